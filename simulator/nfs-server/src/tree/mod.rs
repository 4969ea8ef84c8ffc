//! A POSIX file tree, with a capacity, quotas and snapshots.
//!
//! [`FileTree`] is the shared handle; the tree itself is [`Tree`], taken under a lock for one
//! operation at a time, so that the attributes before and after a change (`wcc_data`) enclose that
//! change alone.
//!
//! ```text
//! FileTree ─ change() → Tree: namespace, file (the rules) → image (the inodes, their account)
//!     │                   └ snapshot, quota, space
//!     └ store: what a change did to the image goes to a log, before the reply to its caller
//! ```
//!
//! Everything lies in memory, in structures whose copies share what does not differ; a tree bound to
//! a directory is that and a log of its changes.

mod attributes;
mod content;
mod copy;
mod directory;
mod error;
mod file;
mod image;
mod inode;
mod namespace;
mod permission;
#[cfg(test)]
mod properties;
mod quota;
mod radix;
mod shared;
mod snapshot;
mod space;
mod store;

use std::collections::HashMap;

pub(crate) use attributes::{Attributes, FileKind, SetAttributes, SetTime, Timestamp};
pub(crate) use content::BLOCK;
pub use copy::FileRange;
pub(crate) use directory::NAME_MAX;
pub use error::AdminError;
pub(crate) use error::TreeError;
pub(crate) use file::MAX_FILE_SIZE;
pub(crate) use inode::{InodeNumber, Node};
pub(crate) use namespace::{Creation, LINK_MAX, NewNode};
pub(crate) use permission::{Identity, Right};
pub use quota::Quota;
pub use shared::{FileTree, RootAttributes};
pub use snapshot::SnapshotInfo;
pub(crate) use space::SpaceReport;
pub(crate) use store::{Barrier, await_durable, take_barriers};
pub use store::{Durability, Incoming, StoreError};

use content::Content;
use directory::Directory;
use image::Image;
use inode::{Inode, Kind, View};
use snapshot::Snapshots;
use space::Settings;
use store::Changes;

/// The inodes of a tree, its account of space, and its snapshots.
#[derive(Debug)]
pub(crate) struct Tree {
    fsid: u64,
    settings: Settings,
    /// The present.
    image: Image,
    next_inode: u64,
    last_change: Timestamp,
    snapshots: Snapshots,
    /// Of files with unstable writes: their bytes as of the last COMMIT.
    uncommitted: HashMap<InodeNumber, Content>,
    /// Of unstable writes (RFC 1813 §3.3.7 writeverf3): another whenever some may have been lost.
    verifier: [u8; 8],
    /// What this change did so far, for the log.
    changes: Changes,
}

impl Tree {
    /// A tree without a root.
    fn bare(fsid: u64, capacity: u64) -> Self {
        Self {
            fsid,
            settings: Settings { capacity, reserve_percent: 0, snapshots_visible: false },
            image: Image::default(),
            next_inode: InodeNumber::ROOT.0 + 1,
            last_change: Timestamp::default(),
            snapshots: Snapshots::default(),
            uncommitted: HashMap::new(),
            verifier: rand::random(),
            changes: Changes::default(),
        }
    }

    fn new(fsid: u64, capacity: u64, root: RootAttributes) -> Self {
        let mut tree = Self::bare(fsid, capacity);
        let now = tree.tick();
        let kind = Kind::Directory(Directory::new(InodeNumber::ROOT));
        let inode = Inode::new(kind, root.mode, root.uid, root.gid, now);
        tree.put_inode(InodeNumber::ROOT, inode);
        tree
    }

    /// The time of a change: now, and later than every change before, so that no two changes of a
    /// file leave a client with the same ctime.
    fn tick(&mut self) -> Timestamp {
        self.last_change = Timestamp::now().max(self.last_change.successor());
        self.last_change
    }

    /// The number of an inode to be made.
    fn take_number(&mut self) -> Result<InodeNumber, TreeError> {
        if self.next_inode > inode::LAST_INODE {
            return Err(TreeError::NoSpace);
        }
        self.next_inode += 1;
        Ok(InodeNumber(self.next_inode - 1))
    }

    /// The inode a handle names, if it is still that one.
    pub(crate) fn require_node(&self, node: Node) -> Result<InodeNumber, TreeError> {
        if self.node(node.number)?.generation == node.generation {
            Ok(node.number)
        } else {
            Err(TreeError::Stale)
        }
    }

    /// What a handle to the inode must say.
    pub(crate) fn node(&self, number: InodeNumber) -> Result<Node, TreeError> {
        let named = match number.view() {
            View::SnapshotDirectory => self.inode(number).and_then(|_| self.inode(number.plain()))?,
            View::Present | View::Snapshot(_) => self.inode(number)?,
        };
        Ok(Node { number, generation: named.generation })
    }

    pub(crate) fn attributes(&self, number: InodeNumber) -> Result<Attributes, TreeError> {
        Ok(self.inode(number)?.attributes(self.fsid, number))
    }

    /// What the verifier of an unstable WRITE or a COMMIT must be.
    pub(crate) fn write_verifier(&self) -> [u8; 8] {
        self.verifier
    }

    fn inode(&self, number: InodeNumber) -> Result<&Inode, TreeError> {
        match number.view() {
            View::Present => self.image.find(number),
            View::Snapshot(id) => self.visible_snapshot(id)?.image.find(number.plain()),
            View::SnapshotDirectory => self.snapshot_directory(number.plain()),
        }
    }

    /// Refuses to change what a snapshot shows.
    fn require_present(&self, number: InodeNumber) -> Result<(), TreeError> {
        if number.view() == View::Present { Ok(()) } else { Err(TreeError::ReadOnly) }
    }
}
