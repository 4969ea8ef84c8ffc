//! Inodes.

use crate::tree::attributes::{Attributes, FileKind, Timestamp};
use crate::tree::content::{BLOCK, Content};
use crate::tree::directory::Directory;
use crate::tree::error::TreeError;

/// The number of an inode in its tree; never reused.
///
/// Its upper bits say where the inode is seen: as it is now (0), in the snapshot of that id, or, all
/// bits set, as the `.snapshot` directory within it. What a snapshot shows hence has numbers and
/// handles of its own, which no file of the present shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct InodeNumber(pub(crate) u64);

/// Bits of a number below those of the snapshot.
const PLAIN_BITS: u32 = 40;
/// The largest number an inode of the present can have.
pub(super) const LAST_INODE: u64 = (1 << PLAIN_BITS) - 1;
/// The largest id a snapshot can have: 22 bits, all of them set meaning `.snapshot`.
pub(super) const LAST_SNAPSHOT: u32 = (1 << 22) - 2;
const IN_SNAPSHOT_DIRECTORY: u32 = (1 << 22) - 1;

/// Where an inode is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Present,
    Snapshot(u32),
    /// The `.snapshot` directory in the inode.
    SnapshotDirectory,
}

impl InodeNumber {
    /// The root directory; 64, as on WAFL.
    pub(crate) const ROOT: Self = Self(64);

    pub(super) fn view(self) -> View {
        // 24 bits are left, hence they fit.
        match (self.0 >> PLAIN_BITS) as u32 {
            0 => View::Present,
            IN_SNAPSHOT_DIRECTORY => View::SnapshotDirectory,
            id => View::Snapshot(id),
        }
    }

    /// The number in the present.
    pub(super) fn plain(self) -> Self {
        Self(self.0 & LAST_INODE)
    }

    /// The same inode seen elsewhere.
    pub(super) fn seen_in(self, view: View) -> Self {
        let place = match view {
            View::Present => 0,
            View::Snapshot(id) => id,
            View::SnapshotDirectory => IN_SNAPSHOT_DIRECTORY,
        };
        Self(self.plain().0 | u64::from(place) << PLAIN_BITS)
    }
}

/// What names an inode in a handle: the number, and a random generation, so that no handle can be
/// made up from an inode number seen in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) number: InodeNumber,
    pub(crate) generation: u32,
}

/// What an inode is, with what belongs to that.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    File {
        content: Content,
        /// The verifier of the exclusive create that made the file (RFC 1813 §3.3.8).
        created_by: Option<[u8; 8]>,
    },
    Directory(Directory),
    Symlink(Box<[u8]>),
    Device {
        kind: FileKind,
        device: (u32, u32),
    },
    Fifo,
    Socket,
}

#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) generation: u32,
    /// The qtree it belongs to; 0 for none.
    pub(super) qtree: u32,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) links: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) changed: Timestamp,
}

impl Inode {
    pub(super) fn new(kind: Kind, mode: u32, uid: u32, gid: u32, now: Timestamp) -> Self {
        let links = if matches!(kind, Kind::Directory(_)) { 2 } else { 1 };
        let mode = mode & 0o7777;
        let generation = rand::random();
        Self { generation, qtree: 0, kind, mode, links, uid, gid, accessed: now, modified: now, changed: now }
    }

    pub(super) fn directory(&self) -> Result<&Directory, TreeError> {
        match &self.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(TreeError::NotADirectory),
        }
    }

    pub(super) fn directory_mut(&mut self) -> Result<&mut Directory, TreeError> {
        match &mut self.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(TreeError::NotADirectory),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    pub(super) fn content(&self) -> Result<&Content, TreeError> {
        match &self.kind {
            Kind::File { content, .. } => Ok(content),
            Kind::Directory(_) => Err(TreeError::IsADirectory),
            _ => Err(TreeError::Invalid),
        }
    }

    pub(super) fn content_mut(&mut self) -> Result<&mut Content, TreeError> {
        match &mut self.kind {
            Kind::File { content, .. } => Ok(content),
            Kind::Directory(_) => Err(TreeError::IsADirectory),
            _ => Err(TreeError::Invalid),
        }
    }

    /// Marks a change of data or entries.
    pub(super) fn touch(&mut self, now: Timestamp) {
        self.modified = now;
        self.changed = now;
    }

    pub(super) fn attributes(&self, fsid: u64, number: InodeNumber) -> Attributes {
        let (kind, size, used, device) = match &self.kind {
            Kind::File { content, .. } => {
                (FileKind::Regular, content.size(), content.blocks() * BLOCK, (0, 0))
            }
            Kind::Directory(_) => (FileKind::Directory, BLOCK, BLOCK, (0, 0)),
            Kind::Symlink(target) => (FileKind::Symlink, target.len() as u64, 0, (0, 0)),
            Kind::Device { kind, device } => (*kind, 0, 0, *device),
            Kind::Fifo => (FileKind::Fifo, 0, 0, (0, 0)),
            Kind::Socket => (FileKind::Socket, 0, 0, (0, 0)),
        };
        Attributes {
            kind,
            mode: self.mode,
            links: self.links,
            uid: self.uid,
            gid: self.gid,
            size,
            used,
            device,
            fsid,
            inode: number,
            accessed: self.accessed,
            modified: self.modified,
            changed: self.changed,
        }
    }
}
