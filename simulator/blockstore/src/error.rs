//! What can go wrong: [`BlockError`] on the way of a command, [`StoreError`] for who runs a store.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::store::{SnapshotId, VolumeId};

/// Why a volume did not read or write.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BlockError {
    /// What is on the disk of the data directory is not what was written there: a page fails its
    /// checksum or cannot be read. Only this page is concerned. (SBC-3: MEDIUM ERROR, 11h/00h.)
    #[error("the page at byte {offset} of the page file is damaged")]
    Damaged {
        /// Where in the file `pages` of the data directory.
        offset: u64,
    },
    /// [`Volume::compare_and_write`](crate::Volume::compare_and_write): the volume holds something
    /// else. Nothing was written.
    #[error("the volume differs from what was expected, first at byte {offset} of the comparison")]
    Miscompare {
        /// Offset of the first differing byte, from the start of the comparison.
        offset: u64,
    },
    /// The limit of the volume or of the store, or the disk of the data directory, is reached.
    /// Nothing was written; deallocated or removed space can be written again.
    /// (SBC-3 §4.7.3.6: DATA PROTECT, 27h/07h SPACE ALLOCATION FAILED WRITE PROTECT.)
    #[error("{needed} more bytes do not fit: {available} are left")]
    NoSpace {
        /// Bytes that would have had to be allocated.
        needed: u64,
        /// Bytes left under the limit; 0 when the disk of the data directory is full.
        available: u64,
    },
    /// The range does not lie in the volume. Nothing was read or written.
    #[error("{length} bytes at {offset} do not lie in a volume of {size} bytes")]
    OutOfRange {
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        length: u64,
        /// Bytes the volume has.
        size: u64,
    },
    /// The data directory could not be written, once: what is on disk is what the last successful
    /// flush left and perhaps more, and nothing is written any more. Opened again, the store goes
    /// on from there.
    #[error("the store stopped: {reason}")]
    Stopped {
        /// What failed, with the file and what the system said.
        reason: Arc<str>,
    },
}

/// Why a store did not open or did not do what it was asked. The texts are for an operator: each
/// names the file and, where there is one, the cure.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file of the data directory is not what the store wrote. Nothing was changed on disk.
    #[error(
        "{} is damaged at byte {offset}: {what}. Bring the data directory back from a copy, or move it \
         away to begin with an empty one",
        path.display()
    )]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// First byte that cannot be trusted.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The data directory was written by another version.
    #[error(
        "{} has format {found}, and this version reads format {supported}. Run the version that wrote \
         it, or move the data directory away to begin with an empty one",
        path.display()
    )]
    Format {
        /// The file that tells its format.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// The one this version reads and writes.
        supported: u32,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: "open", "write", …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process, or a store or volume of this one that still lives, has the data directory.
    #[error("{} is in use by another process; stop that one, or choose another directory", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// No snapshot of this id.
    #[error("volume {volume} has no snapshot {snapshot}")]
    NoSnapshot {
        /// Volume the snapshot was sought of.
        volume: VolumeId,
        /// What was asked for.
        snapshot: SnapshotId,
    },
    /// No volume of this id.
    #[error("there is no volume {id}")]
    NoVolume {
        /// What was asked for.
        id: VolumeId,
    },
    /// The id is taken.
    #[error("volume {volume} has a snapshot {snapshot} already")]
    SnapshotExists {
        /// Volume of the snapshot.
        volume: VolumeId,
        /// The id that is taken.
        snapshot: SnapshotId,
    },
    /// A volume did not do its part.
    #[error("volume {id}")]
    Volume {
        /// Which.
        id: VolumeId,
        /// Why.
        #[source]
        source: BlockError,
    },
    /// The data directory cannot be written any more (see [`BlockError::Stopped`]).
    #[error("the store stopped: {reason}")]
    Stopped {
        /// What failed, with the file and what the system said.
        reason: Arc<str>,
    },
    /// The id is taken.
    #[error("there is a volume {id} already")]
    VolumeExists {
        /// The id that is taken.
        id: VolumeId,
    },
}
