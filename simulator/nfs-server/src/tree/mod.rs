//! A POSIX file tree in memory, with a capacity.

use std::sync::Arc;

use parking_lot::RwLock;

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
    capacity: Arc<RwLock<u64>>,
}

impl FileTree {
    /// An empty tree that may hold `capacity_bytes` of file data.
    #[must_use]
    pub fn new(capacity_bytes: u64, root: RootAttributes) -> Self {
        let _ = root;
        Self { fsid: rand::random(), capacity: Arc::new(RwLock::new(capacity_bytes)) }
    }

    /// The identity of this file system in attributes and handles: random, never reused.
    #[must_use]
    pub fn fsid(&self) -> u64 {
        self.fsid
    }

    /// Bytes it may hold.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        *self.capacity.read()
    }

    /// Grows or shrinks it; clients see the new size with their next statfs. A capacity below
    /// [`Self::used`] only keeps further data out.
    pub fn set_capacity(&self, bytes: u64) {
        *self.capacity.write() = bytes;
    }

    /// Bytes of file data held, in whole blocks of 4 KiB.
    #[must_use]
    pub fn used(&self) -> u64 {
        0
    }
}
