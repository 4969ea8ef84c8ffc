//! Content that shares blocks: snapshots, clones and restores of file trees and LUNs.

use std::collections::{BTreeMap, BTreeSet};

use blockstore::{SnapshotId as BlockSnapshot, StoreError, Volume as Content};
use nfs_server::{AdminError, FileRange, FileTree, RootAttributes};
use tracing::warn;
use uuid::Uuid;

use super::Served;
use super::contents::{Contents, store_id};
use crate::replication::BlocksError;
use crate::state::file_clone::{BLOCK, BlockRange};
use crate::state::{DataPlaneChange, LunId, SnapshotId, TreeShape, VolumeId};

/// A copy that could not be made. The state had said that it can: it is a defect or a full disk.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Of files.
    #[error("the file tree refuses")]
    Tree(#[from] AdminError),
    /// Of LUNs.
    #[error("the block store refuses")]
    Blocks(#[from] StoreError),
    /// Blocks of a LUN came that are none.
    #[error(transparent)]
    Arrived(#[from] BlocksError),
    /// The state takes in what is not here.
    #[error("nothing has come under the number {0}")]
    NotStaged(Uuid),
    /// The state names a volume without files.
    #[error("there is no file tree of volume {0}")]
    NoTree(VolumeId),
}

/// A snapshot of a volume that is to be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'c> {
    pub(super) volume: VolumeId,
    pub(super) snapshot: SnapshotId,
    pub(super) name: &'c str,
    pub(super) luns: &'c [LunId],
}

impl<'c> Wanted<'c> {
    /// The snapshot that a change asks for, if it asks for one.
    fn by(change: &'c DataPlaneChange) -> Option<Self> {
        let DataPlaneChange::TakeSnapshot { volume, snapshot, name, luns } = change else { return None };
        Some(Self { volume: *volume, snapshot: *snapshot, name, luns })
    }

    /// The snapshots that changes begin with, up to the second of one volume: those are decided
    /// together, so they are taken together.
    pub(super) fn first_of(changes: &'c [DataPlaneChange]) -> Vec<Self> {
        let mut volumes = BTreeSet::new();
        changes.iter().map_while(Self::by).take_while(|wanted| volumes.insert(wanted.volume)).collect()
    }
}

pub(super) fn block_snapshot(snapshot: SnapshotId) -> BlockSnapshot {
    BlockSnapshot(snapshot.0.as_u128())
}

/// Mode and owner of the root directory of a tree of this shape.
pub(super) fn root_of(shape: TreeShape) -> RootAttributes {
    RootAttributes { mode: shape.mode, uid: shape.uid, gid: shape.gid }
}

/// Makes of `tree` what `after` says, where it differs from `before`. The root directory is left
/// alone where they agree on it: clients may have changed it since.
pub(super) fn shape_tree(
    tree: &FileTree,
    before: Option<TreeShape>,
    after: TreeShape,
) -> Result<(), CopyError> {
    if before.is_some_and(|before| root_of(before) != root_of(after)) {
        tree.set_root(root_of(after))?;
    }
    if before.is_none_or(|before| before.snapshots_visible != after.snapshots_visible) {
        tree.set_snapshot_directory(after.snapshots_visible)?;
    }
    if tree.capacity() != after.capacity {
        tree.resize(after.capacity)?;
    }
    if before.is_none_or(|before| before.reserve_percent != after.reserve_percent) {
        tree.set_snapshot_reserve(after.reserve_percent)?;
    }
    Ok(())
}

/// The state has decided, and answers its client that it is so: what fails here is a line in the log.
pub(super) fn note<T>(what: &str, outcome: Result<T, CopyError>) -> Option<T> {
    outcome
        .inspect_err(|error| warn!(%error, source = ?std::error::Error::source(error), "could not {what}"))
        .ok()
}

impl Served {
    /// Does to the files of a volume what the state has decided.
    pub(super) fn administer(&self, volume: VolumeId, act: impl FnOnce(&FileTree) -> Result<(), AdminError>) {
        if let Some(tree) = self.trees.get(&volume) {
            note("change a file tree", act(tree).map_err(CopyError::from));
        }
    }

    pub(super) fn reshape_tree(&self, volume: VolumeId, before: TreeShape, after: TreeShape) {
        if let Some(tree) = self.trees.get(&volume) {
            note("reshape a file tree", shape_tree(tree, Some(before), after));
        }
    }

    pub(super) fn clone_tree(
        &mut self,
        volume: VolumeId,
        parent: VolumeId,
        snapshot: &str,
        shape: TreeShape,
    ) -> Result<(), CopyError> {
        let parent = self.trees.get(&parent).ok_or(CopyError::NoTree(parent))?;
        let tree = match self.contents.directory_of(volume) {
            Some(dir) => parent.clone_snapshot_in(snapshot, &dir, Contents::durability())?,
            None => parent.clone_snapshot(snapshot)?,
        };
        shape_tree(&tree, None, shape)?;
        self.trees.insert(volume, tree);
        Ok(())
    }

    /// Takes snapshots of volumes, each of another one, all at one instant. All are taken or none.
    pub(super) fn take_snapshots(&self, wanted: &[Wanted<'_>]) -> Result<(), CopyError> {
        let (mut trees, mut luns) = (Vec::new(), BTreeMap::new());
        for one in wanted {
            let tree = self.trees.get(&one.volume).ok_or(CopyError::NoTree(one.volume))?;
            trees.push((tree.clone(), one.name));
            luns.extend(one.luns.iter().map(|lun| (store_id(*lun), block_snapshot(one.snapshot))));
        }
        // No LUN is written while the file trees are taken: one instant for all.
        let store = self.contents.store();
        store.snapshot_all(&luns, || FileTree::take_snapshots(&trees))?.map_err(|error| {
            for (lun, snapshot) in luns {
                note(
                    "delete a snapshot of a LUN",
                    store.remove_snapshot(lun, snapshot).map_err(CopyError::from),
                );
            }
            error.into()
        })
    }

    pub(super) fn copy_file(
        &self,
        volume: VolumeId,
        source: &str,
        destination: &str,
        replace: bool,
    ) -> Result<(), CopyError> {
        let tree = self.trees.get(&volume).ok_or(CopyError::NoTree(volume))?;
        Ok(tree.copy_file(source, destination, replace)?)
    }

    pub(super) fn copy_ranges(
        &self,
        volume: VolumeId,
        source: &str,
        destination: &str,
        ranges: &[BlockRange],
    ) -> Result<(), CopyError> {
        let tree = self.trees.get(&volume).ok_or(CopyError::NoTree(volume))?;
        let size = tree.file_size(source).unwrap_or(0);
        let in_bytes = |range: &BlockRange| {
            let (from, length) = (range.source.saturating_mul(BLOCK), range.count.saturating_mul(BLOCK));
            // The last block of a file need not be whole.
            let length = length.min(size.saturating_sub(from));
            FileRange { source: from, destination: range.destination.saturating_mul(BLOCK), length }
        };
        let ranges: Vec<_> = ranges.iter().map(in_bytes).collect();
        Ok(tree.copy_ranges(source, destination, &ranges)?)
    }

    pub(super) fn rename_snapshot(&self, volume: VolumeId, from: &str, to: &str) {
        if let Some(tree) = self.trees.get(&volume) {
            note("rename a snapshot", tree.rename_snapshot(from, to).map_err(CopyError::from));
        }
    }

    pub(super) fn drop_snapshot(&self, volume: VolumeId, id: SnapshotId, name: &str, luns: &[LunId]) {
        if let Some(tree) = self.trees.get(&volume) {
            note("delete a snapshot", tree.delete_snapshot(name).map_err(CopyError::from));
        }
        self.drop_lun_snapshots(id, luns);
    }

    pub(super) fn restore_tree(&self, volume: VolumeId, name: &str) {
        if let Some(tree) = self.trees.get(&volume) {
            note("restore a snapshot", tree.restore_snapshot(name).map_err(CopyError::from));
        }
    }

    /// The content of a LUN as it was, under the handles that initiators hold if it is there now.
    pub(super) fn restored_content(&self, lun: LunId, snapshot: SnapshotId) -> Option<Content> {
        let (store, lun, snapshot) = (self.contents.store(), store_id(lun), block_snapshot(snapshot));
        let restored = || {
            if let Some(content) = store.find(lun) {
                store.restore(lun, snapshot)?;
                return Ok(content);
            }
            Ok(store.clone_snapshot(lun, snapshot, lun)?)
        };
        note("restore a LUN", restored())
    }

    /// The content of a LUN that begins as another, `size` bytes of it.
    pub(super) fn cloned_content(
        &self,
        lun: LunId,
        source: LunId,
        snapshot: Option<SnapshotId>,
        size: u64,
    ) -> Result<Content, CopyError> {
        let (store, lun, source) = (self.contents.store(), store_id(lun), store_id(source));
        let content = match snapshot {
            Some(snapshot) => store.clone_snapshot(source, block_snapshot(snapshot), lun)?,
            None => store.clone_volume(source, lun)?,
        };
        if content.size() != size {
            content.resize(size);
        }
        Ok(content)
    }
}
