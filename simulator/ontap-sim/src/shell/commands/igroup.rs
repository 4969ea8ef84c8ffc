//! Initiator groups.

use super::super::Failure;
use super::super::arguments::Arguments;
use super::super::command::{Act, Command, Kind, Target, command, key, may, must};
use super::super::run::no_entry;
use super::super::table::{Table, column};
use super::of;
use crate::management::{Management, Source, href};

pub(super) const COMMANDS: &[Command] = &[
    command(&["lun", "igroup", "show"], &[], Act::Show(&IGROUPS)),
    command(
        &["lun", "igroup", "create"],
        &[
            key("vserver", "svm.name"),
            key("igroup", "name"),
            may("protocol", "protocol", Kind::Text),
            must("ostype", "os_type", Kind::Text),
            may("initiator", "initiators", Kind::Objects("name")),
            may("comment", "comment", Kind::Text),
        ],
        Act::Create(&of(&IGROUPS)),
    ),
    command(
        &["lun", "igroup", "rename"],
        &[key("vserver", ""), key("igroup", ""), must("new-name", "name", Kind::Text)],
        Act::Modify(&of(&IGROUPS)),
    ),
    command(
        &["lun", "igroup", "delete"],
        &[key("vserver", ""), key("igroup", ""), may("force", "", Kind::Boolean)],
        Act::Delete(&Target { flags: FORCE, ..of(&IGROUPS) }),
    ),
    command(
        &["lun", "igroup", "add"],
        &[key("vserver", ""), key("igroup", ""), key("initiator", "name")],
        Act::Create(&of(&INITIATORS)),
    ),
    command(
        &["lun", "igroup", "remove"],
        &[key("vserver", ""), key("igroup", ""), key("initiator", ""), may("force", "", Kind::Boolean)],
        Act::Run(remove),
    ),
];

const FORCE: &[(&str, &str)] = &[("allow_delete_while_mapped", "true")];

const IGROUPS: Table = Table {
    source: Source::Collection("protocols/san/igroups"),
    columns: &[
        column("vserver", "Vserver Name", "svm.name"),
        column("igroup", "Igroup Name", "name"),
        column("protocol", "Protocol", "protocol"),
        column("ostype", "OS Type", "os_type"),
        column("initiator", "Initiators", "initiators.name"),
        column("uuid", "Igroup UUID", "uuid"),
        column("comment", "Comment", "comment"),
    ],
    keys: 2,
    shown: &[
        ("vserver", "Vserver", 9),
        ("igroup", "Igroup", 12),
        ("protocol", "Protocol", 8),
        ("ostype", "OS Type", 8),
        ("initiator", "Initiators", 36),
    ],
};

const INITIATORS: Table = Table {
    source: Source::Within { parent: "protocols/san/igroups", child: "initiators", column: "igroup" },
    columns: &[
        column("vserver", "Vserver Name", "svm.name"),
        column("igroup", "Igroup Name", "igroup.name"),
        column("initiator", "Initiator", "name"),
    ],
    keys: 3,
    shown: &[],
};

/// An initiator's record does not tell its SVM: the group is found first.
fn remove(management: &mut Management<'_>, arguments: &Arguments) -> Result<String, Failure> {
    let fields = [("svm.name", arguments.value("vserver")), ("name", arguments.value("igroup"))];
    let groups = management.exactly("protocols/san/igroups", &fields)?;
    let path = format!("{}/initiators", href(groups.first().ok_or_else(no_entry)?));
    let initiators = management.exactly(&path, &[("name", arguments.value("initiator"))])?;
    let flags = if arguments.get("force") == Some("true") { FORCE } else { &[] };
    management.delete(href(initiators.first().ok_or_else(no_entry)?), flags)?;
    Ok(String::new())
}
