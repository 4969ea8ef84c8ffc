//! The NFS service of an SVM.

use super::super::command::{Act, Command, Kind, Parameter, Target, command, key, may};
use super::super::table::{Form, Table, column, formed};
use super::of;
use crate::management::Source;

pub(super) const COMMANDS: &[Command] = &[
    command(&["vserver", "nfs", "show"], &[], Act::Show(&SERVICES)),
    command(&["vserver", "nfs", "status"], &[], Act::Show(&SERVICES)),
    command(
        &["vserver", "nfs", "create"],
        &[key("vserver", "svm.name"), ACCESS, V3, V40, V41, TCP, UDP, SHOWMOUNT, DOMAIN],
        Act::Create(&of(&SERVICES)),
    ),
    command(
        &["vserver", "nfs", "modify"],
        &[key("vserver", ""), ACCESS, V3, V40, V41, TCP, UDP, SHOWMOUNT, DOMAIN],
        Act::Modify(&of(&SERVICES)),
    ),
    command(
        &["vserver", "nfs", "on"],
        &[key("vserver", "")],
        Act::Modify(&Target { fixed: &[("enabled", "true")], ..of(&SERVICES) }),
    ),
    command(
        &["vserver", "nfs", "off"],
        &[key("vserver", "")],
        Act::Modify(&Target { fixed: &[("enabled", "false")], ..of(&SERVICES) }),
    ),
    command(&["vserver", "nfs", "delete"], &[key("vserver", "")], Act::Delete(&of(&SERVICES))),
];

const ACCESS: Parameter = may("access", "enabled", Kind::Boolean);
const V3: Parameter = may("v3", "protocol.v3_enabled", Kind::Enabled);
const V40: Parameter = may("v4.0", "protocol.v40_enabled", Kind::Enabled);
const V41: Parameter = may("v4.1", "protocol.v41_enabled", Kind::Enabled);
const TCP: Parameter = may("tcp", "transport.tcp_enabled", Kind::Enabled);
const UDP: Parameter = may("udp", "transport.udp_enabled", Kind::Enabled);
const SHOWMOUNT: Parameter = may("showmount", "showmount_enabled", Kind::Enabled);
const DOMAIN: Parameter = may("v4-id-domain", "protocol.v4_id_domain", Kind::Text);

const ENABLED: Form = Form::Words(&[("true", "enabled"), ("false", "disabled")]);

const SERVICES: Table = Table {
    source: Source::Collection("protocols/nfs/services"),
    columns: &[
        column("vserver", "Vserver", "svm.name"),
        column("access", "General NFS Access", "enabled"),
        formed("v3", "NFS v3", "protocol.v3_enabled", ENABLED),
        formed("v4.0", "NFS v4.0", "protocol.v40_enabled", ENABLED),
        formed("v4.1", "NFS v4.1 Minor Version Support", "protocol.v41_enabled", ENABLED),
        formed("tcp", "TCP Protocol", "transport.tcp_enabled", ENABLED),
        formed("udp", "UDP Protocol", "transport.udp_enabled", ENABLED),
        formed("showmount", "Showmount Enabled", "showmount_enabled", ENABLED),
        column("v4-id-domain", "NFSv4 ID Mapping Domain", "protocol.v4_id_domain"),
    ],
    keys: 1,
    shown: &[
        ("vserver", "Vserver", 12),
        ("access", "General Access", 9),
        ("v3", "v3", 8),
        ("v4.0", "v4.0", 8),
        ("v4.1", "4.1", 8),
        ("udp", "UDP", 8),
        ("tcp", "TCP", 8),
    ],
};
