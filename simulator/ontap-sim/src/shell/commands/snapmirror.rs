//! SnapMirror relationships. They are named by their destination path, `SVM:VOLUME` or `SVM:`.

use serde_json::{Value, json};

use super::super::Failure;
use super::super::arguments::Arguments;
use super::super::command::{Act, Command, Kind, Parameter, Target, command, key, may, must};
use super::super::run::no_entry;
use super::super::table::{Form, Table, column, formed};
use super::saying;
use crate::management::{Management, Members, Source, href};

pub(super) const COMMANDS: &[Command] = &[
    command(&["snapmirror", "show"], &[], Act::Show(&RELATIONSHIPS)),
    command(&["snapmirror", "list-destinations"], &[], Act::Show(&DESTINATIONS)),
    command(
        &["snapmirror", "create"],
        &[
            key("destination-path", "destination.path"),
            must("source-path", "source.path", Kind::Text),
            may("policy", "policy.name", Kind::Text),
            may("schedule", "transfer_schedule.name", Kind::Text),
            may("type", "", Kind::Text),
            may("identity-preserve", "", Kind::Text),
        ],
        Act::Create(&saying(
            &RELATIONSHIPS,
            "Operation succeeded: snapmirror create for the relationship with destination \"{destination-path}\".\n",
        )),
    ),
    command(
        &["snapmirror", "modify"],
        &[
            key("destination-path", ""),
            may("policy", "policy.name", Kind::Text),
            may("schedule", "transfer_schedule.name", Kind::Text),
        ],
        Act::Modify(&saying(
            &RELATIONSHIPS,
            "Operation succeeded: snapmirror modify for the relationship with destination \"{destination-path}\".\n",
        )),
    ),
    turning(
        &["snapmirror", "initialize"],
        &Target {
            fixed: &[("state", "snapmirrored")],
            ..saying(
                &RELATIONSHIPS,
                "Operation is queued: snapmirror initialize of destination \"{destination-path}\".\n",
            )
        },
    ),
    turning(
        &["snapmirror", "resync"],
        &Target {
            fixed: &[("state", "snapmirrored")],
            ..saying(
                &RELATIONSHIPS,
                "Operation is queued: snapmirror resync to destination \"{destination-path}\".\n",
            )
        },
    ),
    turning(
        &["snapmirror", "resume"],
        &Target {
            fixed: &[("state", "snapmirrored")],
            ..saying(
                &RELATIONSHIPS,
                "Operation succeeded: snapmirror resume for destination \"{destination-path}\".\n",
            )
        },
    ),
    turning(
        &["snapmirror", "break"],
        &Target {
            fixed: &[("state", "broken_off")],
            ..saying(
                &RELATIONSHIPS,
                "Operation succeeded: snapmirror break for destination \"{destination-path}\".\n",
            )
        },
    ),
    turning(
        &["snapmirror", "quiesce"],
        &Target {
            fixed: &[("state", "paused")],
            ..saying(
                &RELATIONSHIPS,
                "Operation succeeded: snapmirror quiesce for destination \"{destination-path}\".\n",
            )
        },
    ),
    command(&["snapmirror", "update"], PATHS, Act::Run(update)),
    command(
        &["snapmirror", "restore"],
        &[
            key("destination-path", ""),
            must("source-path", "", Kind::Text),
            may("source-snapshot", "", Kind::Text),
        ],
        Act::Run(restore),
    ),
    command(&["snapmirror", "abort"], PATHS, Act::Run(abort)),
    command(
        &["snapmirror", "release"],
        &[
            key("destination-path", ""),
            may("source-path", "", Kind::Text),
            may("relationship-info-only", "", Kind::Boolean),
            may("force", "", Kind::Boolean),
        ],
        Act::Run(release),
    ),
    command(&["snapmirror", "policy", "show"], &[], Act::Show(&POLICIES)),
    command(
        &["snapmirror", "delete"],
        &[key("destination-path", ""), may("force", "", Kind::Boolean)],
        Act::Delete(&saying(
            &RELATIONSHIPS,
            "Operation succeeded: snapmirror delete for the relationship with destination \"{destination-path}\".\n",
        )),
    ),
];

const PATHS: &[Parameter] = &[key("destination-path", ""), may("source-path", "", Kind::Text)];

const fn turning(words: &'static [&'static str], target: &'static Target) -> Command {
    command(words, PATHS, Act::Modify(target))
}

const RELATIONSHIPS: Table = Table {
    source: Source::Collection("snapmirror/relationships"),
    columns: &[
        column("destination-path", "Destination Path", "destination.path"),
        column("source-path", "Source Path", "source.path"),
        formed("type", "Relationship Type", "", Form::Computed(|_| Some("XDP".into()))),
        column("policy", "SnapMirror Policy", "policy.name"),
        column("policy-type", "SnapMirror Policy Type", "policy.type"),
        column("schedule", "SnapMirror Schedule", "transfer_schedule.name"),
        formed(
            "state",
            "Mirror State",
            "state",
            Form::Words(&[
                ("snapmirrored", "Snapmirrored"),
                ("in_sync", "Snapmirrored"),
                ("paused", "Snapmirrored"),
                ("broken_off", "Broken-off"),
                ("uninitialized", "Uninitialized"),
            ]),
        ),
        formed("status", "Relationship Status", "", Form::Computed(|record| Some(status(record).to_owned()))),
        column("healthy", "Healthy", "healthy"),
        column("unhealthy-reason", "Unhealthy Reason", "unhealthy_reason.message"),
        column("newest-snapshot", "Newest Snapshot", "exported_snapshot"),
        column("lag-time", "Lag Time", "lag_time"),
        column("last-transfer-type", "Last Transfer Type", "last_transfer_type"),
        formed("last-transfer-size", "Last Transfer Size", "transfer.bytes_transferred", Form::Size),
        column("relationship-id", "Relationship ID", "uuid"),
    ],
    keys: 1,
    shown: &[
        ("source-path", "Source Path", 11),
        ("type", "Type", 4),
        ("destination-path", "Destination Path", 12),
        ("state", "Mirror State", 14),
        ("status", "Relationship Status", 14),
        ("healthy", "Healthy", 7),
    ],
};

/// What a relationship does at the moment.
fn status(record: &Value) -> &'static str {
    let at = |path: &str| record.pointer(path).and_then(Value::as_str).unwrap_or_default();
    match (at("/transfer/state"), at("/state")) {
        ("queued", _) => "Queued",
        ("transferring", _) => "Transferring",
        (_, "paused") => "Quiesced",
        (_, "in_sync") => "InSync",
        _ => "Idle",
    }
}

const POLICIES: Table = Table {
    source: Source::Collection("snapmirror/policies"),
    columns: &[
        column("vserver", "Vserver", "svm.name"),
        column("policy", "SnapMirror Policy Name", "name"),
        formed(
            "type",
            "SnapMirror Policy Type",
            "type",
            Form::Words(&[("async", "async-mirror"), ("sync", "sync-mirror")]),
        ),
        column("comment", "Comment", "comment"),
    ],
    keys: 2,
    shown: &[("vserver", "Vserver Name", 12), ("policy", "Policy Name", 18), ("type", "Policy Type", 12)],
};

const DESTINATIONS: Table = Table {
    source: Source::Where("snapmirror/relationships", &[("list_destinations_only", "true")]),
    columns: &[
        column("source-path", "Source Path", "source.path"),
        column("destination-path", "Destination Path", "destination.path"),
        column("relationship-id", "Relationship ID", "uuid"),
    ],
    keys: 2,
    shown: &[
        ("source-path", "Source Path", 20),
        ("destination-path", "Destination Path", 20),
        ("relationship-id", "Relationship Id", 36),
    ],
};

fn require(management: &mut Management<'_>, arguments: &Arguments) -> Result<Value, Failure> {
    let destination = arguments.value("destination-path");
    let found = management.exactly("snapmirror/relationships", &[("destination.path", destination)])?;
    found.into_iter().next().ok_or_else(no_entry)
}

fn update(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let transfers = format!("{}/transfers", href(&require(management, arguments)?));
    management.create(&transfers, Members::new())?;
    let destination = arguments.value("destination-path");
    Ok(format!("Operation is queued: snapmirror update of destination \"{destination}\".\n"))
}

fn restore(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let destination = arguments.value("destination-path");
    let relationship = json!({ "restore": true, "source.path": arguments.value("source-path"),
        "destination.path": destination });
    let Value::Object(relationship) = relationship else { return Err(no_entry()) };
    management.create("snapmirror/relationships", relationship)?;
    let transfers = format!("{}/transfers", href(&require(management, arguments)?));
    let snapshot = arguments.get("source-snapshot").map(|name| ("source_snapshot".to_owned(), name.into()));
    management.create(&transfers, snapshot.into_iter().collect())?;
    Ok(format!(
        "Operation is queued: snapmirror restore from source \"{}\" to \"{destination}\".\n",
        arguments.value("source-path")
    ))
}

fn abort(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let relationship = require(management, arguments)?;
    let transfer = relationship.pointer("/transfer/uuid").and_then(Value::as_str).ok_or_else(no_entry)?;
    let path = format!("{}/transfers/{transfer}", href(&relationship));
    management.modify(&path, Members::from_iter([("state".to_owned(), "aborted".into())]))?;
    let destination = arguments.value("destination-path");
    Ok(format!("Operation is queued: snapmirror abort for destination \"{destination}\".\n"))
}

/// At the source.
fn release(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let destination = arguments.value("destination-path");
    let given = [("list_destinations_only", "true"), ("destination.path", destination)];
    let found = management.records("snapmirror/relationships", &given)?;
    let only = arguments.get("relationship-info-only") == Some("true");
    let flag = if only { "source_info_only" } else { "source_only" };
    management.delete(href(found.first().ok_or_else(no_entry)?), &[(flag, "true")])?;
    Ok(format!("[Job 1] Job succeeded: SnapMirror Release Succeeded for destination \"{destination}\".\n"))
}
