//! LIFs.

use super::super::command::{Act, Command, Kind, command, key, may, must};
use super::super::table::{Form, Table, column, formed};
use super::of;
use crate::management::Source;

pub(super) const COMMANDS: &[Command] = &[
    command(&["network", "interface", "show"], &[], Act::Show(&INTERFACES)),
    command(
        &["network", "interface", "create"],
        &[
            key("vserver", "svm.name"),
            key("lif", "name"),
            must("address", "ip.address", Kind::Text),
            may("netmask", "ip.netmask", Kind::Text),
            may("netmask-length", "ip.netmask", Kind::Text),
            may("home-node", "location.home_node.name", Kind::Text),
            may("home-port", "location.home_port.name", Kind::Text),
            may("service-policy", "service_policy.name", Kind::Text),
            may("status-admin", "enabled", Kind::Words(STATUS)),
            may("auto-revert", "location.auto_revert", Kind::Boolean),
            // Roles and protocols of releases before service policies say the same by other names.
            may("data-protocol", "service_policy.name", Kind::Words(PROTOCOLS)),
            may("role", "", Kind::Text),
            may("firewall-policy", "", Kind::Text),
            may("failover-policy", "", Kind::Text),
        ],
        Act::Create(&of(&INTERFACES)),
    ),
    command(
        &["network", "interface", "modify"],
        &[
            key("vserver", ""),
            key("lif", ""),
            may("address", "ip.address", Kind::Text),
            may("netmask", "ip.netmask", Kind::Text),
            may("home-node", "location.home_node.name", Kind::Text),
            may("home-port", "location.home_port.name", Kind::Text),
            may("service-policy", "service_policy.name", Kind::Text),
            may("status-admin", "enabled", Kind::Words(STATUS)),
        ],
        Act::Modify(&of(&INTERFACES)),
    ),
    command(
        &["network", "interface", "rename"],
        &[key("vserver", ""), key("lif", ""), must("newname", "name", Kind::Text)],
        Act::Modify(&of(&INTERFACES)),
    ),
    command(
        &["network", "interface", "migrate"],
        &[
            key("vserver", ""),
            key("lif", ""),
            must("destination-node", "location.node.name", Kind::Text),
            may("destination-port", "location.port.name", Kind::Text),
        ],
        Act::Modify(&of(&INTERFACES)),
    ),
    command(
        &["network", "interface", "delete"],
        &[key("vserver", ""), key("lif", "")],
        Act::Delete(&of(&INTERFACES)),
    ),
];

const STATUS: &[(&str, &str)] = &[("up", "true"), ("down", "false")];
const PROTOCOLS: &[(&str, &str)] =
    &[("nfs", "default-data-files"), ("iscsi", "default-data-blocks"), ("none", "default-management")];

const INTERFACES: Table = Table {
    source: Source::Collection("network/ip/interfaces"),
    columns: &[
        column("vserver", "Vserver Name", "svm.name"),
        column("lif", "Logical Interface Name", "name"),
        column("service-policy", "Service Policy", "service_policy.name"),
        column("services", "Service List", "services"),
        column("address", "Network Address", "ip.address"),
        column("netmask-length", "Bits in the Netmask", "ip.netmask"),
        column("home-node", "Home Node", "location.home_node.name"),
        column("home-port", "Home Port", "location.home_port.name"),
        column("curr-node", "Current Node", "location.node.name"),
        column("curr-port", "Current Port", "location.port.name"),
        column("status-oper", "Operational Status", "state"),
        formed(
            "status-admin",
            "Administrative Status",
            "enabled",
            Form::Words(&[("true", "up"), ("false", "down")]),
        ),
        column("is-home", "Is Home", "location.is_home"),
        column("uuid", "LIF UUID", "uuid"),
        formed(
            "status",
            "Status Admin/Oper",
            "",
            Form::Computed(|lif| {
                let admin = if lif.get("enabled") == Some(&false.into()) { "down" } else { "up" };
                Some(format!("{admin}/{}", lif.get("state")?.as_str()?))
            }),
        ),
        formed(
            "network",
            "Network Address/Mask",
            "",
            Form::Computed(|lif| {
                let part = |name: &str| lif.pointer(name).and_then(|value| value.as_str());
                Some(format!("{}/{}", part("/ip/address")?, part("/ip/netmask")?))
            }),
        ),
    ],
    keys: 2,
    shown: &[
        ("vserver", "Vserver", 11),
        ("lif", "Logical Interface", 10),
        ("status", "Status Admin/Oper", 10),
        ("network", "Network Address/Mask", 18),
        ("curr-node", "Current Node", 13),
        ("curr-port", "Current Port", 7),
        ("is-home", "Is Home", 4),
    ],
};
