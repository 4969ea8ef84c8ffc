//! Making filesystems.
//!
//! Neither program is told to force anything: should a signature be there that we did not see, they
//! refuse, and that is a third guard behind the witness and the scan before the call.

mod ext4;
mod xfs;

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use contract::FsType;

use crate::command::{self, CommandError, Program};
use crate::root::HostRoot;

/// Makes a filesystem on the device behind `node`.
///
/// # Errors
/// [`CommandError`] of mkfs.
pub async fn make(root: &HostRoot, fs: FsType, node: &Path, deadline: Instant) -> Result<(), CommandError> {
    let (program, options) = match fs {
        FsType::Ext4 => (Program::MkfsExt4, ext4::OPTIONS),
        FsType::Xfs => (Program::MkfsXfs, xfs::OPTIONS),
    };
    let mut arguments: Vec<OsString> = options.iter().map(OsString::from).collect();
    arguments.push(node.into());
    command::run(root, program, &arguments, deadline).await.map(drop)
}
