//! The iSCSI service of an SVM and how initiators log in.

use super::super::command::{Act, Command, Kind, Target, command, key, may};
use super::super::table::{Form, Table, column, formed};
use super::of;
use crate::management::Source;

pub(super) const COMMANDS: &[Command] = &[
    command(&["vserver", "iscsi", "show"], &[], Act::Show(&SERVICES)),
    command(
        &["vserver", "iscsi", "create"],
        &[
            key("vserver", "svm.name"),
            may("target-alias", "target.alias", Kind::Text),
            may("status-admin", "enabled", Kind::Words(UP)),
        ],
        Act::Create(&of(&SERVICES)),
    ),
    command(
        &["vserver", "iscsi", "start"],
        &[key("vserver", "")],
        Act::Modify(&Target { fixed: &[("enabled", "true")], ..of(&SERVICES) }),
    ),
    command(
        &["vserver", "iscsi", "stop"],
        &[key("vserver", "")],
        Act::Modify(&Target { fixed: &[("enabled", "false")], ..of(&SERVICES) }),
    ),
    command(&["vserver", "iscsi", "delete"], &[key("vserver", "")], Act::Delete(&of(&SERVICES))),
    command(&["vserver", "iscsi", "security", "show"], &[], Act::Show(&CREDENTIALS)),
];

const UP: &[(&str, &str)] = &[("up", "true"), ("down", "false")];

const SERVICES: Table = Table {
    source: Source::Collection("protocols/san/iscsi/services"),
    columns: &[
        column("vserver", "Vserver", "svm.name"),
        column("target-name", "Target Name", "target.name"),
        column("target-alias", "Target Alias", "target.alias"),
        formed(
            "status-admin",
            "Administrative Status",
            "enabled",
            Form::Words(&[("true", "up"), ("false", "down")]),
        ),
    ],
    keys: 1,
    shown: &[
        ("vserver", "Vserver", 10),
        ("target-name", "Target Name", 30),
        ("target-alias", "Target Alias", 16),
        ("status-admin", "Status Admin", 6),
    ],
};

const CREDENTIALS: Table = Table {
    source: Source::Collection("protocols/san/iscsi/credentials"),
    columns: &[
        column("vserver", "Vserver", "svm.name"),
        column("initiator-name", "Initiator Name", "initiator"),
        formed("auth-type", "Authentication Type", "authentication_type", Form::Words(&[("chap", "CHAP")])),
        column("user-name", "Inbound CHAP User Name", "chap.inbound.user"),
        column("outbound-user-name", "Outbound CHAP User Name", "chap.outbound.user"),
    ],
    keys: 2,
    shown: &[
        ("vserver", "Vserver", 10),
        ("initiator-name", "Initiator Name", 22),
        ("auth-type", "Auth Type", 5),
        ("user-name", "Inbound CHAP User Name", 20),
        ("outbound-user-name", "Outbound CHAP User Name", 20),
    ],
};
