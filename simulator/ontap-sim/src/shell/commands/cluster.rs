//! The cluster, its nodes, aggregates and jobs; and what a session begins with.

use super::super::Failure;
use super::super::arguments::Arguments;
use super::super::command::{Act, Command, Kind, command, may};
use super::super::table::{Form, Table, column, formed};
use crate::management::{Management, Source};
use crate::rest::{text_of, values_at};

pub(super) const COMMANDS: &[Command] = &[
    command(&["version"], &[], Act::Run(version)),
    command(
        &["set"],
        &[
            may("privilege", "", Kind::Text),
            may("confirmations", "", Kind::Text),
            may("rows", "", Kind::Text),
            may("units", "", Kind::Text),
            may("showseparator", "", Kind::Text),
            may("showallfields", "", Kind::Text),
        ],
        Act::Run(|_, _| Ok(String::new())),
    ),
    command(&["rows"], &[may("rows", "", Kind::Text)], Act::Run(|_, _| Ok(String::new()))),
    command(&["cluster", "show"], &[], Act::Show(&MEMBERS)),
    command(&["cluster", "identity", "show"], &[], Act::Show(&IDENTITY)),
    command(
        &["cluster", "identity", "modify"],
        &[
            may("name", "name", Kind::Text),
            may("contact", "contact", Kind::Text),
            may("location", "location", Kind::Text),
        ],
        Act::Run(identify),
    ),
    command(&["system", "node", "show"], &[], Act::Show(&NODES)),
    command(&["storage", "aggregate", "show"], &[], Act::Show(&AGGREGATES)),
    command(&["job", "show"], &[], Act::Show(&JOBS)),
];

const UP: Form = Form::Words(&[("up", "true"), ("down", "false")]);

const MEMBERS: Table = Table {
    source: Source::Collection("cluster/nodes"),
    columns: &[
        column("node", "Node", "name"),
        formed("health", "Health", "state", UP),
        formed("eligibility", "Eligibility", "state", UP),
    ],
    keys: 1,
    shown: &[("node", "Node", 21), ("health", "Health", 7), ("eligibility", "Eligibility", 12)],
};

const IDENTITY: Table = Table {
    source: Source::Collection("cluster"),
    columns: &[column("name", "Cluster Name", "name"), column("uuid", "Cluster UUID", "uuid")],
    keys: 0,
    shown: &[("name", "Cluster Name", 12), ("uuid", "Cluster UUID", 36)],
};

const NODES: Table = Table {
    source: Source::Collection("cluster/nodes"),
    columns: &[
        column("node", "Node", "name"),
        formed("health", "Node Health", "state", UP),
        column("model", "Model Number", "model"),
        column("serialnumber", "Serial Number", "serial_number"),
        column("uuid", "UUID", "uuid"),
    ],
    keys: 1,
    shown: &[
        ("node", "Node", 9),
        ("health", "Health", 6),
        ("model", "Model", 11),
        ("serialnumber", "Serial Number", 13),
    ],
};

const AGGREGATES: Table = Table {
    source: Source::Collection("storage/aggregates"),
    columns: &[
        column("aggregate", "Aggregate", "name"),
        formed("size", "Size", "space.block_storage.size", Form::Size),
        formed("availsize", "Available Size", "space.block_storage.available", Form::Size),
        formed("usedsize", "Used Size", "space.block_storage.used", Form::Size),
        formed(
            "percent-used",
            "Used Percentage",
            "",
            Form::Computed(|aggregate| {
                let number =
                    |field: &str| values_at(aggregate, field).first().and_then(|value| value.as_u64());
                let used = number("space.block_storage.used")?.saturating_mul(100);
                used.checked_div(number("space.block_storage.size")?).map(|percent| format!("{percent}%"))
            }),
        ),
        column("state", "State", "state"),
        column("volcount", "Number Of Volumes", "volume_count"),
        column("node", "Node", "node.name"),
        column("storage-type", "Storage Type", "block_storage.storage_type"),
        column("raidtype", "RAID Type", "block_storage.primary.raid_type"),
        column("uuid", "UUID", "uuid"),
    ],
    keys: 1,
    shown: &[
        ("aggregate", "Aggregate", 9),
        ("size", "Size", 8),
        ("availsize", "Available", 9),
        ("percent-used", "Used%", 5),
        ("state", "State", 7),
        ("volcount", "#Vols", 6),
        ("node", "Nodes", 16),
        ("raidtype", "RAID Status", 12),
    ],
};

const JOBS: Table = Table {
    source: Source::Collection("cluster/jobs"),
    columns: &[
        column("uuid", "Job UUID", "uuid"),
        column("vserver", "Owning Vserver", "svm.name"),
        column("description", "Description", "description"),
        column("state", "State", "state"),
        column("message", "Completion", "message"),
    ],
    keys: 1,
    shown: &[
        ("uuid", "Job UUID", 36),
        ("vserver", "Vserver", 10),
        ("state", "State", 8),
        ("description", "Description", 20),
    ],
};

fn version(management: &mut Management<'_>, _: &Arguments) -> Result<String, Failure> {
    let cluster = management.records("cluster", &[])?;
    let full: Vec<_> =
        cluster.iter().flat_map(|cluster| values_at(cluster, "version.full")).map(text_of).collect();
    Ok(format!("{}\n\n", full.join("\n")))
}

fn identify(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let members = arguments.iter().map(|(name, value)| (name.to_owned(), value.into()));
    management.modify("cluster", members.collect())?;
    Ok(String::new())
}
