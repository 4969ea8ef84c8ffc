//! SVMs.

use super::super::command::{Act, Command, Kind, Target, command, key, may};
use super::super::table::{Form, Table, column, formed};
use super::{of, saying};
use crate::management::Source;

pub(super) const COMMANDS: &[Command] = &[
    command(&["vserver", "show"], &[], Act::Show(&VSERVERS)),
    command(
        &["vserver", "create"],
        &[
            key("vserver", "name"),
            may("subtype", "subtype", Kind::Words(SUBTYPES)),
            may("rootvolume", "", Kind::Text),
            may("aggregate", "", Kind::Text),
            may("rootvolume-security-style", "", Kind::Text),
            may("language", "language", Kind::Text),
            may("snapshot-policy", "snapshot_policy.name", Kind::Text),
            may("comment", "comment", Kind::Text),
            may("ipspace", "ipspace.name", Kind::Text),
            may("aggr-list", "aggregates", Kind::Objects("name")),
        ],
        Act::Create(&saying(&VSERVERS, "[Job 1] Job succeeded:\nVserver creation completed.\n")),
    ),
    command(
        &["vserver", "modify"],
        &[
            key("vserver", ""),
            may("language", "language", Kind::Text),
            may("snapshot-policy", "snapshot_policy.name", Kind::Text),
            may("comment", "comment", Kind::Text),
            may("aggr-list", "aggregates", Kind::Objects("name")),
            may("max-volumes", "max_volumes", Kind::Text),
        ],
        Act::Modify(&of(&VSERVERS)),
    ),
    command(
        &["vserver", "rename"],
        &[key("vserver", ""), may("newname", "name", Kind::Text)],
        Act::Modify(&of(&VSERVERS)),
    ),
    command(
        &["vserver", "start"],
        &[key("vserver", "")],
        Act::Modify(&Target {
            fixed: &[("state", "running")],
            ..saying(&VSERVERS, "[Job 1] Job succeeded: DONE\n")
        }),
    ),
    command(
        &["vserver", "stop"],
        &[key("vserver", ""), may("force", "", Kind::Boolean)],
        Act::Modify(&Target {
            fixed: &[("state", "stopped")],
            ..saying(&VSERVERS, "[Job 1] Job succeeded: DONE\n")
        }),
    ),
    command(
        &["vserver", "delete"],
        &[key("vserver", ""), may("force", "", Kind::Boolean)],
        Act::Delete(&saying(&VSERVERS, "[Job 1] Job succeeded: Successful\n")),
    ),
];

const SUBTYPES: &[(&str, &str)] = &[
    ("dp-destination", "dp_destination"),
    ("sync-source", "sync_source"),
    ("sync-destination", "sync_destination"),
];

const VSERVERS: Table = Table {
    source: Source::Collection("svm/svms"),
    columns: &[
        column("vserver", "Vserver", "name"),
        formed("type", "Vserver Type", "", Form::Computed(|_| Some("data".into()))),
        formed("subtype", "Vserver Subtype", "subtype", Form::Words(&[("dp_destination", "dp-destination")])),
        column("uuid", "Vserver UUID", "uuid"),
        column("admin-state", "Vserver Admin State", "state"),
        formed(
            "operational-state",
            "Vserver Operational State",
            "state",
            Form::Words(&[("starting", "stopped"), ("stopping", "stopped")]),
        ),
        column("aggr-list", "List of Aggregates Assigned", "aggregates.name"),
        column("language", "Default Volume Language Code", "language"),
        column("snapshot-policy", "Snapshot Policy", "snapshot_policy.name"),
        column("comment", "Comment", "comment"),
        column("max-volumes", "Limit on Maximum Number of Volumes allowed", "max_volumes"),
        formed(
            "allowed-protocols",
            "Allowed Protocols",
            "",
            Form::Computed(|svm| {
                let allowed =
                    |protocol: &&str| svm.pointer(&format!("/{protocol}/allowed")) == Some(&true.into());
                Some(
                    ["nfs", "cifs", "fcp", "iscsi", "nvme"]
                        .into_iter()
                        .filter(allowed)
                        .collect::<Vec<_>>()
                        .join(","),
                )
            }),
        ),
        column("ipspace", "IPspace Name", "ipspace.name"),
    ],
    keys: 1,
    shown: &[
        ("vserver", "Vserver", 11),
        ("type", "Type", 7),
        ("subtype", "Subtype", 10),
        ("admin-state", "Admin State", 11),
        ("operational-state", "Operational State", 17),
        ("aggr-list", "Aggregates", 10),
    ],
};
