//! The commands, one module a family.

mod cluster;
mod export;
mod igroup;
mod iscsi;
mod lun;
mod network;
mod nfs;
mod peer;
mod qtree;
mod security;
mod snapmirror;
mod snapshot;
mod volume;
mod vserver;

use serde_json::Value;

use super::Failure;
use super::arguments::Arguments;
use super::command::{Command, Target};
use super::table::Table;

/// Every command.
pub(super) const ALL: &[&[Command]] = &[
    cluster::COMMANDS,
    vserver::COMMANDS,
    peer::COMMANDS,
    nfs::COMMANDS,
    export::COMMANDS,
    iscsi::COMMANDS,
    network::COMMANDS,
    security::COMMANDS,
    volume::COMMANDS,
    qtree::COMMANDS,
    snapshot::COMMANDS,
    lun::COMMANDS,
    igroup::COMMANDS,
    snapmirror::COMMANDS,
];

/// Records of a table, with nothing else to tell.
const fn of(table: &'static Table) -> Target {
    Target { table, fixed: &[], flags: &[], said: "" }
}

/// The same, and what is said of a success.
const fn saying(table: &'static Table, said: &'static str) -> Target {
    Target { said, ..of(table) }
}

/// The answer that was given twice.
fn agreed(arguments: &Arguments) -> Result<Value, Failure> {
    match arguments.answers.as_slice() {
        [once] => Ok(once.as_str().into()),
        [first, second] if first == second => Ok(first.as_str().into()),
        [_, _] => Err(Failure("Error: command failed: The passwords do not match.".into())),
        _ => Err(Failure("Error: command failed: A password is needed.".into())),
    }
}
