//! Snapshots.

use super::super::Failure;
use super::super::arguments::Arguments;
use super::super::command::{Act, Command, Kind, command, key, may, must};
use super::super::run::no_entry;
use super::super::table::{Form, Table, column, formed};
use super::of;
use crate::management::{Management, Members, Source, href};
use crate::rest::Method;

pub(super) const COMMANDS: &[Command] = &[
    command(&["volume", "snapshot", "show"], &[], Act::Show(&SNAPSHOTS)),
    command(
        &["volume", "snapshot", "create"],
        &[
            key("vserver", ""),
            key("volume", ""),
            key("snapshot", "name"),
            may("comment", "comment", Kind::Text),
            may("snapmirror-label", "snapmirror_label", Kind::Text),
        ],
        Act::Create(&of(&SNAPSHOTS)),
    ),
    command(
        &["volume", "snapshot", "modify"],
        &[
            key("vserver", ""),
            key("volume", ""),
            key("snapshot", ""),
            may("comment", "comment", Kind::Text),
            may("snapmirror-label", "snapmirror_label", Kind::Text),
        ],
        Act::Modify(&of(&SNAPSHOTS)),
    ),
    command(
        &["volume", "snapshot", "rename"],
        &[key("vserver", ""), key("volume", ""), key("snapshot", ""), must("new-name", "name", Kind::Text)],
        Act::Modify(&of(&SNAPSHOTS)),
    ),
    command(
        &["volume", "snapshot", "delete"],
        &[key("vserver", ""), key("volume", ""), key("snapshot", ""), may("force", "", Kind::Boolean)],
        Act::Delete(&of(&SNAPSHOTS)),
    ),
    command(
        &["volume", "snapshot", "restore"],
        &[key("vserver", ""), key("volume", ""), key("snapshot", ""), may("force", "", Kind::Boolean)],
        Act::Run(restore),
    ),
];

const SNAPSHOTS: Table = Table {
    source: Source::Within { parent: "storage/volumes", child: "snapshots", column: "volume" },
    columns: &[
        column("vserver", "Vserver", "svm.name"),
        column("volume", "Volume", "volume.name"),
        column("snapshot", "Snapshot", "name"),
        column("create-time", "Creation Time", "create_time"),
        column("owners", "Snapshot Owners", "owners"),
        formed("size", "Snapshot Data Set Size", "size", Form::Size),
        column("comment", "Comment", "comment"),
        column("snapmirror-label", "Label for SnapMirror Operations", "snapmirror_label"),
        column("state", "Snapshot State", "state"),
    ],
    keys: 3,
    shown: &[
        ("vserver", "Vserver", 8),
        ("volume", "Volume", 8),
        ("snapshot", "Snapshot", 35),
        ("create-time", "Creation Time", 25),
        ("size", "Size", 8),
    ],
};

fn restore(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let fields = [("svm.name", arguments.value("vserver")), ("name", arguments.value("volume"))];
    let volumes = management.exactly("storage/volumes", &fields)?;
    let volume = volumes.first().ok_or_else(no_entry)?;
    let query = [("restore_to.snapshot.name", arguments.value("snapshot"))];
    management.waiting(Method::Patch, href(volume), &query, Members::new())?;
    Ok(String::new())
}
