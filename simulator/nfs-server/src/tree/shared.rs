//! The handle of a tree, for those who serve it and those who administer it.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::tree::space::Settings;
use crate::tree::store::{self, Barrier, Durability, Log, StoreError, Wait};
use crate::tree::{AdminError, Quota, SnapshotInfo, Tree};

/// Mode and owner of a directory at the top: a tree's root, or a qtree's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootAttributes {
    /// Permission bits, such as 0o777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// A POSIX tree in memory, its changes in a log on disk if it is bound to a directory. Clones of
/// the handle are the same tree; a *copy* is [`Self::clone_snapshot`].
///
/// Of a tree bound to a directory, a method that changes it writes to disk before it returns.
#[derive(Debug, Clone)]
pub struct FileTree {
    fsid: u64,
    pub(super) tree: Arc<RwLock<Tree>>,
    pub(super) log: Option<Arc<Log>>,
}

impl FileTree {
    /// An empty tree in memory that may hold `capacity_bytes` of file data.
    #[must_use]
    pub fn new(capacity_bytes: u64, root: RootAttributes) -> Self {
        Self::in_memory(Tree::new(rand::random(), capacity_bytes, root))
    }

    fn in_memory(tree: Tree) -> Self {
        Self { fsid: tree.fsid, tree: Arc::new(RwLock::new(tree)), log: None }
    }

    /// An empty tree in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// [`StoreError`] when there is a tree already, or the directory cannot be written.
    pub fn create_in(
        dir: &Path,
        durability: Durability,
        capacity_bytes: u64,
        root: RootAttributes,
    ) -> Result<Self, StoreError> {
        Self::store(dir, durability, Tree::new(rand::random(), capacity_bytes, root))
    }

    fn store(dir: &Path, durability: Durability, tree: Tree) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|source| StoreError::Io {
            what: "create",
            path: dir.to_owned(),
            source,
        })?;
        let fsid = tree.fsid;
        let (tree, log) = store::create(store::claim(dir)?, durability, tree)?;
        Ok(Self { fsid, tree, log: Some(log) })
    }

    /// The tree in a directory, as it was when its last process died: same fsid, same handles.
    ///
    /// # Errors
    /// [`StoreError`] when there is none, another process has it, or it is damaged.
    pub fn open(dir: &Path, durability: Durability) -> Result<Self, StoreError> {
        let (tree, log) = store::recover(store::claim(dir)?, durability)?;
        let fsid = tree.read().fsid;
        Ok(Self { fsid, tree, log: Some(log) })
    }

    /// The identity of this file system in attributes and handles: random, never reused.
    #[must_use]
    pub fn fsid(&self) -> u64 {
        self.fsid
    }

    /// Bytes it may hold, the snapshot reserve included.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.look().settings.capacity
    }

    /// Grows or shrinks it; clients see the new size with their next statfs.
    ///
    /// # Errors
    /// [`AdminError::BelowUsed`] for a size smaller than what is held: nothing changed.
    pub fn resize(&self, bytes: u64) -> Result<(), AdminError> {
        self.administer(|tree| tree.resize(bytes))
    }

    /// Percent of the capacity kept for snapshots, at most 90; clients see the rest as the size.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub fn set_snapshot_reserve(&self, percent: u8) -> Result<(), AdminError> {
        self.administer(|tree| {
            tree.set_settings(Settings { reserve_percent: percent.min(90), ..tree.settings });
            Ok(())
        })
    }

    /// Shows `.snapshot` in every directory, or hides it (ONTAP
    /// `snapshot_directory_access_enabled`). Hidden, handles into snapshots are stale.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub fn set_snapshot_directory(&self, visible: bool) -> Result<(), AdminError> {
        self.administer(|tree| {
            tree.set_settings(Settings { snapshots_visible: visible, ..tree.settings });
            Ok(())
        })
    }

    /// Mode and owner of the root directory.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub fn set_root(&self, root: RootAttributes) -> Result<(), AdminError> {
        self.administer(|tree| tree.set_root("", root))
    }

    /// Bytes of file data held, in whole blocks of 4 KiB; those that snapshots alone hold apart.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.look().used()
    }

    /// Bytes that snapshots hold and the tree no longer does.
    #[must_use]
    pub fn snapshot_used(&self) -> u64 {
        self.look().snapshot_used()
    }

    /// Files, directories and other inodes held, the root included.
    #[must_use]
    pub fn inodes(&self) -> u64 {
        self.look().image.inodes.len()
    }

    /// Takes a snapshot, in constant time.
    ///
    /// # Errors
    /// [`AdminError`] when the name is taken or no name, there are 1023 already, or the log fails.
    pub fn take_snapshot(&self, name: &str) -> Result<(), AdminError> {
        self.administer(|tree| tree.take_snapshot(name))
    }

    /// Takes a snapshot of each tree, all at one instant: no change of any of them is between the first
    /// and the last. All are taken or none. A tree stands but once in the list.
    ///
    /// # Errors
    /// Those of [`Self::take_snapshot`].
    pub fn take_snapshots(wanted: &[(Self, &str)]) -> Result<(), AdminError> {
        // Whoever takes several trees takes them in this order.
        let mut wanted: Vec<_> = wanted.iter().collect();
        wanted.sort_by_key(|(tree, _)| tree.fsid);
        let mut held: Vec<_> = wanted.iter().map(|(tree, name)| (tree, *name, tree.tree.write())).collect();
        let mut outcome = Ok(());
        for place in 0..held.len() {
            let Some((_, name, tree)) = held.get_mut(place) else { break };
            outcome = tree.take_snapshot(name);
            if outcome.is_err() {
                for (_, name, tree) in held.iter_mut().take(place) {
                    if let Ok(taken) = tree.find_snapshot(name) {
                        tree.drop_snapshot(taken);
                    }
                }
                break;
            }
        }
        for (shared, _, tree) in &mut held {
            shared.end_change(tree);
        }
        drop(held);
        for log in wanted.iter().filter_map(|(tree, _)| tree.log.as_ref()) {
            log.flush()?;
        }
        outcome
    }

    /// Deletes a snapshot and frees what it alone held. Handles into it are stale.
    ///
    /// # Errors
    /// [`AdminError::NoSnapshot`], [`AdminError::Store`].
    pub fn delete_snapshot(&self, name: &str) -> Result<(), AdminError> {
        self.administer(|tree| {
            tree.drop_snapshot(tree.find_snapshot(name)?);
            Ok(())
        })
    }

    /// Gives a snapshot another name; handles into it stay good.
    ///
    /// # Errors
    /// [`AdminError`] when there is none, or the new name is taken or no name.
    pub fn rename_snapshot(&self, name: &str, new_name: &str) -> Result<(), AdminError> {
        self.administer(|tree| tree.rename_snapshot(name, new_name))
    }

    /// Makes the tree what it was, under its clients' feet: handles of files that were there then
    /// stay good, those of later files are stale. Later snapshots are deleted.
    ///
    /// # Errors
    /// [`AdminError::NoSnapshot`], [`AdminError::Store`].
    pub fn restore_snapshot(&self, name: &str) -> Result<(), AdminError> {
        self.administer(|tree| Ok(tree.restore_snapshot(tree.find_snapshot(name)?)?))
    }

    /// The snapshots, oldest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        self.look().snapshot_infos()
    }

    /// A tree of its own with the content of a snapshot, in memory and in constant time: bytes are
    /// shared until one of the two changes them.
    ///
    /// # Errors
    /// [`AdminError::NoSnapshot`].
    pub fn clone_snapshot(&self, name: &str) -> Result<Self, AdminError> {
        self.clone_tree(name).map(Self::in_memory)
    }

    /// As [`Self::clone_snapshot`], bound to a directory: its bytes, shared in memory, are written
    /// there once.
    ///
    /// # Errors
    /// [`AdminError::NoSnapshot`]; [`AdminError::Store`] when the directory has a tree, or cannot be
    /// written.
    pub fn clone_snapshot_in(
        &self,
        name: &str,
        dir: &Path,
        durability: Durability,
    ) -> Result<Self, AdminError> {
        Ok(Self::store(dir, durability, self.clone_tree(name)?)?)
    }

    fn clone_tree(&self, name: &str) -> Result<Tree, AdminError> {
        let tree = self.look();
        Ok(tree.clone_of(tree.find_snapshot(name)?, rand::random())?)
    }

    /// Makes a directory in the root whose content is counted apart. `id` is the array's, not 0.
    ///
    /// # Errors
    /// [`AdminError`] when the name or id is taken, the name is none, or the tree is full.
    pub fn create_qtree(&self, id: u32, name: &str, root: RootAttributes) -> Result<(), AdminError> {
        self.administer(|tree| tree.create_qtree(id, name, root))
    }

    /// Removes a qtree with everything in it.
    ///
    /// # Errors
    /// [`AdminError::NoQtree`], [`AdminError::Store`].
    pub fn remove_qtree(&self, name: &str) -> Result<(), AdminError> {
        self.administer(|tree| tree.remove_qtree(name))
    }

    /// Gives a qtree another name; handles into it stay good.
    ///
    /// # Errors
    /// [`AdminError`] when there is none, or the new name is taken or no name.
    pub fn rename_qtree(&self, name: &str, new_name: &str) -> Result<(), AdminError> {
        self.administer(|tree| tree.rename_qtree(name, new_name))
    }

    /// Mode and owner of a qtree's directory.
    ///
    /// # Errors
    /// [`AdminError::NoQtree`], [`AdminError::Store`].
    pub fn set_qtree_root(&self, name: &str, root: RootAttributes) -> Result<(), AdminError> {
        self.administer(|tree| tree.set_root(name, root))
    }

    /// Sets the hard limits of a qtree. What is held beyond them stays, and nothing is added.
    ///
    /// # Errors
    /// [`AdminError::NoQtree`], [`AdminError::Store`].
    pub fn set_quota(&self, qtree: &str, quota: Quota) -> Result<(), AdminError> {
        self.administer(|tree| {
            let (id, found) = tree.find_qtree(qtree)?;
            tree.put_qtree(id, crate::tree::quota::Qtree { quota, ..found });
            Ok(())
        })
    }

    /// What a qtree holds, as its limits count: bytes, and files.
    ///
    /// # Errors
    /// [`AdminError::NoQtree`].
    pub fn qtree_used(&self, name: &str) -> Result<(u64, u64), AdminError> {
        let (_, qtree) = self.look().find_qtree(name)?;
        Ok((qtree.used_blocks * crate::tree::BLOCK, qtree.files))
    }

    /// A power cut of the array: each file loses what was written to it unstably since its last
    /// COMMIT, whole writes and all of them; clients learn it from another write verifier and write
    /// again. Returns how many files lost something.
    ///
    /// # Errors
    /// [`AdminError::Store`].
    pub fn cut_power(&self) -> Result<usize, AdminError> {
        self.administer(|tree| Ok(tree.cut_power()?))
    }

    /// Changes the tree on behalf of no client, and returns when the change is durable.
    pub(super) fn administer<T>(
        &self,
        change: impl FnOnce(&mut Tree) -> Result<T, AdminError>,
    ) -> Result<T, AdminError> {
        let outcome = {
            let mut tree = self.tree.write();
            let outcome = change(&mut tree);
            self.end_change(&mut tree);
            outcome
        };
        self.flush()?;
        outcome
    }

    /// Returns when all changes so far are durable.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.log.as_ref().map_or(Ok(()), Log::flush)
    }

    /// Hands a change to the log; returns what to wait for.
    pub(super) fn end_change(&self, tree: &mut Tree) -> Option<Barrier> {
        let Tree { changes, image, .. } = tree;
        let (frame, wait) = changes.take(image);
        let log = self.log.as_ref()?;
        let position = frame.map_or_else(|| log.position(), |frame| log.append(frame));
        (wait > Wait::Nothing).then(|| Barrier::new(log, position, wait == Wait::Durable))
    }

    /// The tree, for an operation that changes nothing.
    pub(crate) fn look(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read()
    }

    /// The tree, for one change: what is done until the guard goes is durable as one. The reply of
    /// the call that this thread serves waits for it.
    pub(crate) fn change(&self) -> Change<'_> {
        Change { shared: self, tree: self.tree.write() }
    }
}

/// A tree under one change.
#[derive(Debug)]
pub(crate) struct Change<'tree> {
    shared: &'tree FileTree,
    tree: RwLockWriteGuard<'tree, Tree>,
}

impl Deref for Change<'_> {
    type Target = Tree;

    fn deref(&self) -> &Tree {
        &self.tree
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if let Some(barrier) = self.shared.end_change(&mut self.tree) {
            store::note(barrier);
        }
    }
}
