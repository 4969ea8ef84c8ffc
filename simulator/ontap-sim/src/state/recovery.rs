//! The volume recovery queue: deleted volumes wait in it, content and all, until they are purged or
//! their time is up.

use jiff::{SignedDuration, Timestamp};
use records::Row;

use serde::{Deserialize, Serialize};

use super::lun::Lun;
use super::volume::{Volume, VolumeTag};
use super::{Cluster, DataPlaneChange, Refusal, SvmId, VolumeId};

/// How long a deleted volume waits: the default of `vserver modify -volume-delete-retention-hours`.
const RETENTION: SignedDuration = SignedDuration::from_hours(12);
/// How many wait at most; an array is bounded by its aggregates instead.
const KEPT: usize = 256;

/// A deleted volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deleted {
    /// Its name in the queue, `<name>_<number>`.
    pub name: String,
    /// When it was deleted.
    pub since: Timestamp,
    /// The volume as it was, unmounted.
    pub volume: Volume,
    /// The LUNs in it.
    pub luns: Vec<Lun>,
}

impl Row for Deleted {
    type Tag = VolumeTag;

    fn tags(&self) -> Vec<VolumeTag> {
        let parent = self.volume.origin.iter().map(|origin| VolumeTag::CloneOf(origin.parent));
        parent.chain([VolumeTag::Named(self.volume.svm, self.name.clone())]).collect()
    }
}

impl Deleted {
    /// When it goes for good.
    pub fn until(&self) -> Timestamp {
        self.since.saturating_add(RETENTION).unwrap_or(self.since)
    }
}

impl Cluster {
    /// Every volume that has content, those in the queue too.
    pub fn kept_volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values().chain(self.recovery.values().map(|deleted| &deleted.volume))
    }

    /// Every LUN that has content, those in the queue too.
    pub fn kept_luns(&self) -> impl Iterator<Item = &Lun> {
        self.luns.values().chain(self.recovery.values().flat_map(|deleted| &deleted.luns))
    }

    /// Puts a volume that is deleted into the queue.
    pub(super) fn enqueue_deleted(&mut self, volume: Volume, luns: Vec<Lun>) {
        if self.recovery.len() >= KEPT
            && let Some(oldest) = self.oldest_deleted()
        {
            self.discard(oldest);
        }
        let name = format!("{}_{}", volume.name, volume.msid);
        self.recovery.insert(volume.id, Deleted { name, since: self.now, volume, luns });
    }

    /// Lets go for good what has waited long enough. Clones before their parents.
    pub(super) fn expire_deleted(&mut self) {
        while let Some(oldest) = self.oldest_deleted() {
            if self.recovery.get(&oldest).is_none_or(|deleted| deleted.until() > self.now) {
                return;
            }
            self.discard(oldest);
        }
    }

    /// Lets go of a deleted volume for good, by its name in the queue.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when the queue has none of that name.
    pub fn purge_deleted(&mut self, svm: SvmId, name: &str) -> Result<(), Refusal> {
        let id = self.find_deleted(svm, name)?;
        self.discard(id);
        Ok(())
    }

    /// Brings a deleted volume back under its queue name, offline, as on the array.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when the queue has none of that name.
    pub fn recover_deleted(&mut self, svm: SvmId, name: &str) -> Result<VolumeId, Refusal> {
        let id = self.find_deleted(svm, name)?;
        let deleted = self.recovery.remove(&id).ok_or_else(Refusal::no_entry)?;
        let volume = Volume { name: deleted.name, online: false, ..deleted.volume };
        self.volumes.insert(id, volume);
        for lun in deleted.luns {
            self.luns.insert(lun.id, lun);
        }
        self.rename_luns_of(id);
        Ok(id)
    }

    /// Lets go for good of all that was deleted from an SVM.
    pub(super) fn purge_all_deleted_of(&mut self, svm: SvmId) {
        // Clones were deleted before their parents, and go before them.
        let mut queued: Vec<_> = self.recovery.values().filter(|deleted| deleted.volume.svm == svm).collect();
        queued.sort_by_key(|deleted| deleted.since);
        let queued: Vec<_> = queued.into_iter().map(|deleted| deleted.volume.id).collect();
        queued.into_iter().for_each(|volume| self.discard(volume));
    }

    fn find_deleted(&self, svm: SvmId, name: &str) -> Result<VolumeId, Refusal> {
        let found = self.recovery.find(&VolumeTag::Named(svm, name.to_owned()));
        found.map(|deleted| deleted.volume.id).ok_or_else(Refusal::no_entry)
    }

    fn oldest_deleted(&self) -> Option<VolumeId> {
        // A parent outlives its clones: it was deletable only without them.
        self.recovery.values().min_by_key(|deleted| deleted.since).map(|deleted| deleted.volume.id)
    }

    fn discard(&mut self, id: VolumeId) {
        if let Some(deleted) = self.recovery.remove(&id) {
            self.release(&deleted.volume, deleted.luns);
        }
    }

    /// Frees the content of a volume that nothing in the state names any more.
    pub(super) fn release(&mut self, volume: &Volume, luns: Vec<Lun>) {
        self.drop_snapshots_of(volume.id);
        self.put_qtrees(volume.id, Vec::new());
        for lun in luns {
            self.change(DataPlaneChange::RemoveLun { svm: volume.svm, lun: lun.id });
        }
        self.change(DataPlaneChange::RemoveTree { volume: volume.id });
    }
}
