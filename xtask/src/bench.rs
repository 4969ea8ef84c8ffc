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
    program("dataplane-bench", &["compare"], rest)
}

/// `cargo xtask bench scale`.
pub(crate) fn scale(rest: &[OsString]) -> Result<()> {
    program("dataplane-bench", &["scale"], rest)
}

/// `cargo xtask bench api`.
pub(crate) fn api(rest: &[OsString]) -> Result<()> {
    program("api-bench", &[], rest)
}

fn program(package: &str, what: &[&str], rest: &[OsString]) -> Result<()> {
    let mut program = cargo();
    program.args(["run", "--release", "--quiet", "--package", package, "--"]);
    run(program.args(what).args(rest))
}
