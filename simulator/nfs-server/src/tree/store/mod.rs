//! Trees that outlive their process: a log of changes in a directory, and checkpoints of it.
//!
//! ```text
//! change → Changes (one frame: all of it or nothing) → Log (group commit) → log-N
//!                                                        └ grown? → checkpoint-N+1, log-N+1
//! open:  checkpoint-N → log-N → log-N+1 …, a torn end cut off
//! ```
//!
//! A frame holds the effects of one change, not the request: recovery does not judge again. A
//! checkpoint is a log, too, one that makes snapshot after snapshot and then the present; replayed,
//! they share what they shared.
//!
//! Who changed a tree while it served a call finds a [`Barrier`] with [`take_barriers`], and sends
//! its reply only after that. Even an unstable WRITE waits until the kernel has it: the death of
//! this process loses nothing that was answered.

mod barrier;
mod changes;
mod checkpoint;
mod files;
mod frame;
mod log;
mod record;
mod recovery;
mod replica;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub(super) use barrier::note;
pub(crate) use barrier::{Barrier, await_durable, take_barriers};
pub(super) use changes::{Changes, Wait};
pub(super) use files::{claim, create};
pub(super) use log::Log;
pub(super) use record::{Meta, Record};
pub(super) use recovery::recover;
pub use replica::Incoming;

/// What a change must survive before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of this process at any moment: the kernel has the change.
    #[default]
    Process,
    /// The death of the host: the disk has it (`fdatasync`, shared by the changes of a moment).
    /// Unstable writes wait for their COMMIT.
    Host,
}

/// A tree's directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was to be done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has the tree open.
    #[error("{} is in use by another process: stop that first", .0.display())]
    Locked(PathBuf),
    /// There is no tree in the directory.
    #[error("there is no file tree in {}: create one there", .0.display())]
    NoTree(PathBuf),
    /// There is one already.
    #[error("there is a file tree in {} already: open it, or choose an empty directory", .0.display())]
    TreeExists(PathBuf),
    /// A file holds what was never written so.
    #[error(
        "{} is damaged at byte {offset} ({reason}): put back a copy of the directory, or cut the file \
         there and lose what was written later (truncate -s {offset} FILE)",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The place of the record that cannot be read, in bytes.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An earlier write to the log failed; the tree takes no more changes until it is opened anew.
    #[error("the log in {} failed earlier: free space or mend the disk, and open the tree anew", .0.display())]
    Failed(PathBuf),
}

fn io_error<'path>(
    what: &'static str,
    path: &'path Path,
) -> impl FnOnce(io::Error) -> StoreError + use<'path> {
    move |source| StoreError::Io { what, path: path.to_owned(), source }
}
