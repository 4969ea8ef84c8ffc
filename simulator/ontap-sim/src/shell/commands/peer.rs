//! Peers: clusters, and SVMs of theirs.

use serde_json::Value;

use super::super::Failure;
use super::super::arguments::Arguments;
use super::super::command::{Act, Command, Kind, command, key, may, must};
use super::super::table::{Table, column};
use super::{agreed, of};
use crate::management::{Management, Members, Source};

pub(super) const COMMANDS: &[Command] = &[
    command(&["cluster", "peer", "show"], &[], Act::Show(&CLUSTERS)),
    Command {
        prompts: &["\nEnter the passphrase: ", "Confirm the passphrase: "],
        ..command(
            &["cluster", "peer", "create"],
            &[
                must("peer-addrs", "", Kind::Text),
                may("address-family", "", Kind::Text),
                may("local-name", "", Kind::Text),
                may("ipspace", "", Kind::Text),
                may("initial-allowed-vserver-peers", "", Kind::Text),
                may("applications", "", Kind::Text),
            ],
            Act::Run(create),
        )
    },
    command(&["cluster", "peer", "delete"], &[key("cluster", "")], Act::Delete(&of(&CLUSTERS))),
    command(&["vserver", "peer", "show"], &[], Act::Show(&SVMS)),
    command(
        &["vserver", "peer", "create"],
        &[
            key("vserver", "svm.name"),
            key("peer-vserver", "peer.svm.name"),
            may("peer-cluster", "peer.cluster.name", Kind::Text),
            must("applications", "applications", Kind::Texts),
        ],
        Act::Create(&of(&SVMS)),
    ),
    // Nothing waits for being accepted: whoever has the passphrase of the clusters is trusted.
    command(
        &["vserver", "peer", "accept"],
        &[key("vserver", ""), key("peer-vserver", "")],
        Act::Run(|_, _| Ok(String::new())),
    ),
    command(
        &["vserver", "peer", "delete"],
        &[key("vserver", ""), key("peer-vserver", "")],
        Act::Delete(&of(&SVMS)),
    ),
];

const CLUSTERS: Table = Table {
    source: Source::Collection("cluster/peers"),
    columns: &[
        column("cluster", "Peer Cluster Name", "name"),
        column("remote-cluster", "Remote Cluster Name", "remote.name"),
        column("peer-addrs", "Remote Intercluster Addresses", "remote.ip_addresses"),
        column("availability", "Availability of the Remote Cluster", "status.state"),
        column("auth-status-operational", "Authentication Status Operational", "authentication.state"),
    ],
    keys: 1,
    shown: &[
        ("cluster", "Peer Cluster Name", 25),
        ("peer-addrs", "Addresses", 26),
        ("availability", "Availability", 14),
        ("auth-status-operational", "Authentication", 14),
    ],
};

const SVMS: Table = Table {
    source: Source::Collection("svm/peers"),
    columns: &[
        column("vserver", "Local Vserver Name", "svm.name"),
        column("peer-vserver", "Peer Vserver Name", "peer.svm.name"),
        column("peer-state", "Peering State", "state"),
        column("peer-cluster", "Peer Cluster Name", "peer.cluster.name"),
        column("applications", "Peering Applications", "applications"),
    ],
    keys: 2,
    shown: &[
        ("vserver", "Vserver", 11),
        ("peer-vserver", "Peer Vserver", 12),
        ("peer-state", "Peer State", 12),
        ("peer-cluster", "Peer Cluster", 16),
        ("applications", "Peering Applications", 14),
    ],
};

fn create(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let addresses: Value = arguments.value("peer-addrs").split(',').map(str::trim).map(Value::from).collect();
    let mut members = Members::new();
    members.insert("remote.ip_addresses".into(), addresses);
    members.insert("authentication.passphrase".into(), agreed(arguments)?);
    if let Some(name) = arguments.get("local-name") {
        members.insert("name".into(), name.into());
    }
    management.create("cluster/peers", members)?;
    Ok(String::new())
}
