//! Which volumes and snapshots a store has.

use std::collections::BTreeMap;

use super::checkpoint::Capture;
use super::{SnapshotId, VolumeId};
use crate::volume::{Snapshot, Volume};

/// See the [module](self). Its lock comes before those of volumes.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) volumes: BTreeMap<VolumeId, Volume>,
    pub(crate) snapshots: BTreeMap<(VolumeId, SnapshotId), Snapshot>,
    /// Volumes to come are armed for a power cut.
    pub(crate) armed: bool,
}

impl Catalog {
    /// Everything as it is now; each volume at a moment of its own.
    pub(crate) fn capture(&self) -> Capture {
        let volumes = self.volumes.iter().map(|(id, volume)| (*id, None, volume.snapshot()));
        let snapshots = self.snapshots.iter();
        let snapshots = snapshots.map(|((volume, id), snapshot)| (*volume, Some(*id), snapshot.clone()));
        volumes.chain(snapshots).map(|(volume, id, content)| (volume, id, content.into_image())).collect()
    }
}
