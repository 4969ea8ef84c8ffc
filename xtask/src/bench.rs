//! Measurements: release programs, and the packages of those they are compared with.

use std::ffi::OsString;

use anyhow::Result;

use crate::chores::require_root;
use crate::command::{cargo, run};
use crate::packages::ensure;

/// The servers ours are compared with. Debian starts a service of tgt, rpcbind and nfs-ganesha when
/// it installs them; the comparison needs none of them and starts its own.
const RIVALS: &[&str] = &["iproute2", "nfs-ganesha", "nfs-ganesha-vfs", "rpcbind", "tgt", "util-linux"];

/// `cargo xtask bench dataplane`.
pub(crate) fn dataplane(yes: bool, rest: &[OsString]) -> Result<()> {
    require_root("the comparison runs in network, mount and process namespaces")?;
    ensure(&[RIVALS], yes)?;
    program("compare", rest)
}

/// `cargo xtask bench scale`.
pub(crate) fn scale(rest: &[OsString]) -> Result<()> {
    program("scale", rest)
}

fn program(what: &str, rest: &[OsString]) -> Result<()> {
    let mut program = cargo();
    program.args(["run", "--release", "--quiet", "--package", "dataplane-bench", "--", what]);
    run(program.args(rest))
}
