//! The commands, one module a family.

mod cluster;
mod export;
mod igroup;
mod iscsi;
mod lun;
mod network;
mod nfs;
mod qtree;
mod security;
mod snapmirror;
mod snapshot;
mod volume;
mod vserver;

use super::command::{Command, Target};
use super::table::Table;

/// Every command.
pub(super) const ALL: &[&[Command]] = &[
    cluster::COMMANDS,
    vserver::COMMANDS,
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
