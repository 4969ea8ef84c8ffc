//! FlexClones: volumes that begin as a snapshot of another, sharing its blocks; and the split that
//! makes them independent.

use serde::{Deserialize, Serialize};

use super::lun::Lun;
use super::snapshot::{SnapshotSpec, path_in};
use super::volume::{Volume, VolumePatch, VolumeTag};
use super::{Cluster, DataPlaneChange, LunId, Refusal, SnapshotId, SvmId, VolumeId};

/// What a clone was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The parent.
    pub parent: VolumeId,
    /// The snapshot of the parent that the clone began as.
    pub snapshot: SnapshotId,
}

/// A new clone.
#[derive(Debug, Clone)]
pub struct CloneSpec {
    /// Its name.
    pub name: String,
    /// The SVM of parent and clone.
    pub svm: SvmId,
    /// Name or UUID of the parent.
    pub parent: String,
    /// Name of the snapshot; a new one is taken when absent.
    pub snapshot: Option<String>,
    /// What is to differ from the parent.
    pub settings: VolumePatch,
}

impl Cluster {
    /// The clones that depend on a volume, those in the recovery queue too: on the array they hold their
    /// parent as long as they are in it.
    pub fn clones_of(&self, parent: VolumeId) -> Vec<&Volume> {
        let waiting = self.recovery.tagged(&VolumeTag::CloneOf(parent)).map(|deleted| &deleted.volume);
        self.volumes.tagged(&VolumeTag::CloneOf(parent)).chain(waiting).collect()
    }

    /// Makes a clone of a volume with the LUNs in it, in constant time for each. LUNs get serial numbers of
    /// their own and no maps.
    ///
    /// # Errors
    /// A [`Refusal`]: parent missing (524601), snapshot missing (1638600), a name in use (917526), parent
    /// offline (1638522), and as for [`Cluster::modify_volume`].
    pub fn clone_volume(&mut self, spec: CloneSpec) -> Result<VolumeId, Refusal> {
        let parent = self.find_parent(&spec)?.clone();
        self.admit_volume_name(spec.svm, &spec.name)?;
        let blank = Volume {
            id: VolumeId(self.mint.edit().uuid()),
            msid: self.next_msid(),
            name: spec.name,
            created: self.now,
            is_svm_root: false,
            junction: None,
            origin: None,
            moved_to: None,
            online: true,
            ..parent.clone()
        };
        let mut clone = self.revised(&blank, spec.settings)?;
        // A clone takes no space at once: ONTAP makes clones of thick parents thin.
        clone.guarantee = super::volume::Guarantee::None;
        let snapshot = match spec.snapshot {
            Some(name) => self.require_snapshot_named(parent.id, &name).map_err(Refusal::when_executed)?.id,
            None => self.base_snapshot(&parent, &clone.name)?,
        };
        clone.origin = Some(Origin { parent: parent.id, snapshot });
        let taken = self.snapshots.get(&snapshot).ok_or_else(Refusal::no_entry)?.clone();
        self.change(DataPlaneChange::CloneTree {
            volume: clone.id,
            parent: parent.id,
            snapshot: taken.name,
            shape: clone.shape(),
        });
        self.publish_junction(None, &clone);
        let (id, svm, name) = (clone.id, clone.svm, clone.name.clone());
        self.volumes.insert(id, clone);
        self.put_qtrees(id, taken.qtrees);
        // The rules stay with the parent.
        self.apply_quotas_to(id);
        for lun in taken.luns {
            let copy = Lun { path: path_in(&name, &lun.path), volume: id, created: self.now, ..lun.clone() };
            self.add_lun_clone(svm, copy, lun.id, Some(snapshot));
        }
        Ok(id)
    }

    /// Makes a clone independent of its parent, at once.
    ///
    /// # Errors
    /// A [`Refusal`] (918209, not verified against an array) for a volume that is no clone.
    pub fn split_clone(&mut self, id: VolumeId) -> Result<(), Refusal> {
        let mut volume = self.volumes.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        if volume.origin.take().is_none() {
            let message = format!("Volume \"{}\" is not a clone", volume.name);
            return Err(Refusal::conflict(918_209, message).about("clone.split_initiated"));
        }
        self.volumes.insert(id, volume);
        Ok(())
    }

    /// Puts a LUN that shares its content with another one, or with that one in a snapshot. Identity is its
    /// own, and nobody sees it yet.
    pub(super) fn add_lun_clone(
        &mut self,
        svm: SvmId,
        lun: Lun,
        source: LunId,
        snapshot: Option<SnapshotId>,
    ) -> LunId {
        let optimised = self.volumes.get(&lun.volume).map(|volume| self.optimised_node(volume));
        let clone =
            Lun { id: LunId(self.mint.edit().uuid()), serial: self.mint_serial(), svm, enabled: true, ..lun };
        let id = clone.id;
        if let Some(optimised) = optimised {
            self.change(DataPlaneChange::CloneLun {
                svm,
                lun: id,
                serial: clone.serial,
                size: clone.size,
                unmap: clone.unmap,
                optimised,
                source,
                snapshot,
            });
        }
        self.luns.insert(id, clone);
        id
    }

    fn find_parent(&self, spec: &CloneSpec) -> Result<&Volume, Refusal> {
        let by_id = || spec.parent.parse().ok().and_then(|id| self.volumes.get(&VolumeId(id)));
        let named = self.find_volume_named(spec.svm, &spec.parent).or_else(by_id);
        named.filter(|volume| volume.svm == spec.svm).ok_or_else(|| {
            let message = format!("The parent volume \"{}\" does not exist", spec.parent);
            Refusal::missing(524_601, message).about("clone.parent_volume").when_executed()
        })
    }

    /// The snapshot that the array takes itself for a clone; its name is as ONTAP's.
    fn base_snapshot(&mut self, parent: &Volume, clone: &str) -> Result<SnapshotId, Refusal> {
        let stamp = self.now.strftime("%Y-%m-%d_%H%M%S");
        let base = format!("clone_{clone}.{stamp}");
        let name = (0..)
            .map(|number: u32| format!("{base}.{number}"))
            .find(|name| self.find_snapshot_named(parent.id, name).is_none())
            .unwrap_or(base);
        self.create_snapshot(SnapshotSpec {
            volume: parent.id,
            name,
            comment: String::new(),
            label: String::new(),
            expiry: None,
        })
    }
}
