//! What came for copies from elsewhere: held beside them until the state has it seen.
//!
//! Files are put together by [`FileTree::prepare_snapshots`]. Blocks of a LUN go into a volume of their own in the
//! block store, with a snapshot for each state; the LUN then takes these over in constant time.

use blockstore::{SnapshotId as BlockSnapshot, VolumeId as BlockVolume};
use nfs_server::Incoming;
use uuid::Uuid;

use super::contents::store_id;
use super::copies::{CopyError, block_snapshot, note};
use super::{DataPlanes, Served};
use crate::replication::put_blocks;
use crate::state::{LunId, SnapshotId, VolumeId};

/// The staging volume of a LUN's blocks.
fn staging(content: Uuid) -> BlockVolume {
    BlockVolume(content.as_u128())
}

/// What the LUN was before, while it is not sure that it stays what came.
fn before(content: Uuid) -> BlockVolume {
    BlockVolume(!content.as_u128())
}

impl DataPlanes {
    /// Holds files that have come for a volume until the state has them seen.
    pub(crate) fn stage(&self, content: Uuid, incoming: Incoming) {
        self.served.lock().staged.insert(content, incoming);
    }

    /// Holds states of a LUN that have come, the first on top of one that is here.
    ///
    /// # Errors
    /// [`CopyError`] when they cannot be kept; what is kept goes with [`Self::unstage`].
    pub(crate) fn stage_lun(
        &self,
        content: Uuid,
        beneath: Option<(LunId, SnapshotId)>,
        states: &[Vec<u8>],
    ) -> Result<(), CopyError> {
        // The store has a lock of its own: what is served goes on.
        let store = self.served.lock().contents.store().clone();
        let volume = match beneath {
            Some((lun, snapshot)) => {
                store.clone_snapshot(store_id(lun), block_snapshot(snapshot), staging(content))?
            }
            None => store.create(staging(content), 0)?,
        };
        for (state, blocks) in states.iter().enumerate() {
            put_blocks(blocks, &volume)?;
            store.snapshot(staging(content), BlockSnapshot(state as u128))?;
        }
        Ok(())
    }

    /// Lets go of what is held.
    pub(crate) fn unstage(&self, content: Uuid) {
        let mut served = self.served.lock();
        served.staged.remove(&content);
        let store = served.contents.store().clone();
        drop(served);
        for snapshot in store.snapshots(staging(content)) {
            note(
                "let go of blocks",
                store.remove_snapshot(staging(content), snapshot).map_err(CopyError::from),
            );
        }
        if store.find(staging(content)).is_some() {
            note("let go of blocks", store.remove(staging(content)).map_err(CopyError::from));
        }
    }

    /// A LUN as a snapshot has it.
    pub(crate) fn kept_blocks(&self, lun: LunId, snapshot: SnapshotId) -> Option<blockstore::Snapshot> {
        let store = self.served.lock().contents.store().clone();
        store.find_snapshot(store_id(lun), block_snapshot(snapshot))
    }
}

impl Served {
    pub(super) fn receive_tree(&mut self, volume: VolumeId, content: Uuid) -> Result<(), CopyError> {
        let tree = self.trees.get(&volume).ok_or(CopyError::NoTree(volume))?;
        let incoming = self.staged.remove(&content).ok_or(CopyError::NotStaged(content))?;
        Ok(tree.accept_snapshots(incoming)?)
    }

    /// Makes of a LUN the states that came for it; returns what it is now.
    pub(super) fn receive_lun(
        &self,
        lun: LunId,
        content: Uuid,
        snapshots: &[SnapshotId],
    ) -> Result<blockstore::Volume, CopyError> {
        let (store, own) = (self.contents.store(), store_id(lun));
        if store.find(own).is_some() {
            store.clone_volume(own, before(content))?;
            store.remove(own)?;
        }
        let taken = (|| {
            let mut present = None;
            for (state, snapshot) in snapshots.iter().enumerate() {
                if present.is_some() {
                    store.remove(own)?;
                }
                present = Some(store.clone_snapshot(staging(content), BlockSnapshot(state as u128), own)?);
                store.snapshot(own, block_snapshot(*snapshot))?;
            }
            present.ok_or(CopyError::NotStaged(content))
        })();
        if taken.is_err() {
            self.return_lun(lun, content, snapshots);
        }
        taken
    }

    /// Makes of a LUN again what it was before it received something.
    pub(super) fn return_lun(
        &self,
        lun: LunId,
        content: Uuid,
        snapshots: &[SnapshotId],
    ) -> Option<blockstore::Volume> {
        let (store, own) = (self.contents.store(), store_id(lun));
        for snapshot in snapshots.iter().map(|snapshot| block_snapshot(*snapshot)) {
            if store.find_snapshot(own, snapshot).is_some() {
                note(
                    "take back a snapshot of a LUN",
                    store.remove_snapshot(own, snapshot).map_err(CopyError::from),
                );
            }
        }
        if store.find(own).is_some() {
            note("take back a LUN", store.remove(own).map_err(CopyError::from));
        }
        store.find(before(content))?;
        let returned =
            note("take back a LUN", store.clone_volume(before(content), own).map_err(CopyError::from));
        self.settle_lun(content);
        returned
    }

    /// The LUN stays what came for it.
    pub(super) fn settle_lun(&self, content: Uuid) {
        let store = self.contents.store();
        if store.find(before(content)).is_some() {
            note("forget what a LUN was", store.remove(before(content)).map_err(CopyError::from));
        }
    }

    pub(super) fn drop_lun_snapshots(&self, snapshot: SnapshotId, luns: &[LunId]) {
        for lun in luns {
            let gone = self.contents.store().remove_snapshot(store_id(*lun), block_snapshot(snapshot));
            note("delete a snapshot of a LUN", gone.map_err(CopyError::from));
        }
    }
}
