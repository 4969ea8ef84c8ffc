//! A POSIX file tree in memory, with a capacity.
//!
//! [`FileTree`] is the shared handle; the tree itself is [`Tree`], taken under a lock for one
//! operation at a time, so that the attributes before and after a change (`wcc_data`) enclose that
//! change alone.

mod attributes;
mod content;
mod directory;
mod error;
mod file;
mod inode;
mod namespace;
mod permission;
#[cfg(test)]
mod properties;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) use attributes::{Attributes, FileKind, SetAttributes, SetTime, Timestamp};
pub(crate) use content::BLOCK;
pub(crate) use directory::NAME_MAX;
pub(crate) use error::TreeError;
pub(crate) use file::MAX_FILE_SIZE;
pub(crate) use inode::{InodeNumber, Node};
pub(crate) use namespace::{Creation, LINK_MAX, NewNode};
pub(crate) use permission::{Identity, Right};

use directory::Directory;
use inode::{Inode, Kind};

/// One inode for so many bytes of capacity, as ONTAP counts `files_maximum` of a new FlexVol.
const BYTES_PER_INODE: u64 = 32 << 10;
/// Even the smallest tree may hold so many inodes.
const MIN_INODES: u64 = 1024;

/// Mode and owner of a tree's root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootAttributes {
    /// Permission bits, such as 0o777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A POSIX tree in memory. Clones are the same tree.
#[derive(Debug, Clone)]
pub struct FileTree {
    fsid: u64,
    tree: Arc<RwLock<Tree>>,
}

impl FileTree {
    /// An empty tree that may hold `capacity_bytes` of file data.
    #[must_use]
    pub fn new(capacity_bytes: u64, root: RootAttributes) -> Self {
        let fsid = rand::random();
        Self { fsid, tree: Arc::new(RwLock::new(Tree::new(fsid, capacity_bytes, root))) }
    }

    /// The identity of this file system in attributes and handles: random, never reused.
    #[must_use]
    pub fn fsid(&self) -> u64 {
        self.fsid
    }

    /// Bytes it may hold.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.tree.read().capacity
    }

    /// Grows or shrinks it; clients see the new size with their next statfs. A capacity below
    /// [`Self::used`] only keeps further data out.
    pub fn set_capacity(&self, bytes: u64) {
        self.tree.write().capacity = bytes;
    }

    /// Bytes of file data held, in whole blocks of 4 KiB.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.tree.read().used()
    }

    /// Files, directories and other inodes held, the root included.
    #[must_use]
    pub fn inodes(&self) -> u64 {
        self.tree.read().inodes.len() as u64
    }

    /// The tree, for an operation that changes nothing.
    pub(crate) fn look(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read()
    }

    /// The tree, for one change.
    pub(crate) fn change(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write()
    }
}

/// The inodes of a tree, and its account of space.
#[derive(Debug)]
pub(crate) struct Tree {
    fsid: u64,
    capacity: u64,
    used_blocks: u64,
    inodes: HashMap<InodeNumber, Inode>,
    next_inode: u64,
    last_change: Timestamp,
}

/// What statfs tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpaceReport {
    pub(crate) total_bytes: u64,
    pub(crate) free_bytes: u64,
    pub(crate) total_inodes: u64,
    pub(crate) free_inodes: u64,
}

impl Tree {
    fn new(fsid: u64, capacity: u64, root: RootAttributes) -> Self {
        let mut tree = Self {
            fsid,
            capacity,
            used_blocks: 0,
            inodes: HashMap::new(),
            next_inode: InodeNumber::ROOT.0 + 1,
            last_change: Timestamp::default(),
        };
        let now = tree.tick();
        let kind = Kind::Directory(Directory::new(InodeNumber::ROOT));
        let inode = Inode::new(kind, root.mode, root.uid, root.gid, now);
        tree.inodes.insert(InodeNumber::ROOT, inode);
        tree
    }

    fn used(&self) -> u64 {
        self.used_blocks * BLOCK
    }

    /// The time of a change: now, and later than every change before, so that no two changes of a
    /// file leave a client with the same ctime.
    fn tick(&mut self) -> Timestamp {
        self.last_change = Timestamp::now().max(self.last_change.successor());
        self.last_change
    }

    fn max_inodes(&self) -> u64 {
        (self.capacity / BYTES_PER_INODE).max(MIN_INODES)
    }

    pub(crate) fn space(&self) -> SpaceReport {
        let total_inodes = self.max_inodes();
        SpaceReport {
            total_bytes: self.capacity,
            free_bytes: self.capacity.saturating_sub(self.used()),
            total_inodes,
            free_inodes: total_inodes.saturating_sub(self.inodes.len() as u64),
        }
    }

    /// The inode a handle names, if it is still that one.
    pub(crate) fn require_node(&self, node: Node) -> Result<InodeNumber, TreeError> {
        let inode = self.inode(node.number)?;
        if inode.generation == node.generation { Ok(node.number) } else { Err(TreeError::Stale) }
    }

    /// What a handle to the inode must say.
    pub(crate) fn node(&self, number: InodeNumber) -> Result<Node, TreeError> {
        Ok(Node { number, generation: self.inode(number)?.generation })
    }

    pub(crate) fn attributes(&self, number: InodeNumber) -> Result<Attributes, TreeError> {
        Ok(self.inode(number)?.attributes(self.fsid, number))
    }

    fn inode(&self, number: InodeNumber) -> Result<&Inode, TreeError> {
        self.inodes.get(&number).ok_or(TreeError::Stale)
    }

    fn inode_mut(&mut self, number: InodeNumber) -> Result<&mut Inode, TreeError> {
        self.inodes.get_mut(&number).ok_or(TreeError::Stale)
    }
}
