//! Unmaking one mount, and seeing that it is gone.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::attach;
use super::table::{self, Mount, MountTableError};
use crate::blocking::{BulkheadError, Bulkheads};
use crate::root::HostRoot;

/// Why a mount is still there.
#[derive(Debug, thiserror::Error)]
pub enum UnmountError {
    /// A file is open on it, or another mount stands on it.
    #[error("{at} is in use: end what has files open there")]
    Busy {
        /// Mount point.
        at: String,
    },
    /// Another mount is on top of the one meant: it would be the one to go (hazard H13).
    #[error("another mount (id {top}) was made on top of mount {wanted} at {at}: unmount it first")]
    Covered {
        /// Mount point.
        at: String,
        /// The mount meant.
        wanted: u32,
        /// The topmost.
        top: u32,
    },
    /// The kernel refused.
    #[error("cannot unmount {at}")]
    Refused {
        /// Mount point.
        at: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel was content and the mount is still there.
    #[error("{at} was unmounted and is still in the mount table")]
    StillThere {
        /// Mount point.
        at: String,
    },
    /// The unmount hangs.
    #[error("the unmount hangs")]
    Hung(#[from] BulkheadError),
    /// The mount table.
    #[error("cannot see the mounts of this node")]
    Table(#[from] MountTableError),
}

/// Unmounts mount `id` at `at`. `false`: it was gone.
///
/// # Errors
/// [`UnmountError`].
pub async fn unmount(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    (at, id): (&str, u32),
    detach: bool,
    deadline: Instant,
) -> Result<bool, UnmountError> {
    let there = |mounts: &[Mount]| mounts.iter().any(|mount| mount.id == id && mount.is_at(at));
    let mounts = table::read(root)?;
    if !there(&mounts) {
        return Ok(false);
    }
    if let Some(top) = mounts.iter().rev().find(|mount| mount.is_at(at)).filter(|top| top.id != id) {
        return Err(UnmountError::Covered { at: at.to_owned(), wanted: id, top: top.id });
    }
    let path = PathBuf::from(at);
    let call = move |_: &_| attach::unmount(&path, detach);
    if let Err(source) = bulkheads.run(format!("unmount of {at}"), deadline, call).await? {
        match source.raw_os_error() {
            Some(libc::EBUSY) => return Err(UnmountError::Busy { at: at.to_owned() }),
            // No mount there, or no such path: the look below decides.
            Some(libc::EINVAL | libc::ENOENT) => {}
            _ => return Err(UnmountError::Refused { at: at.to_owned(), source }),
        }
    }
    if there(&table::read(root)?) {
        return Err(UnmountError::StillThere { at: at.to_owned() });
    }
    Ok(true)
}
