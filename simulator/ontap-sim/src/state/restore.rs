//! Restore relationships: a snapshot that a copy has comes back into a volume that clients write. Such a relationship
//! lasts until its transfer has ended.

use uuid::Uuid;

use super::mirror::Mirror;
use super::replica::Offered;
use super::transfer::{OfferRequest, TransferKind};
use super::volume::{Kind, Volume};
use super::{Cluster, Refusal, SvmId, VolumeId};

impl Cluster {
    /// The volume that something is to come back into.
    ///
    /// # Errors
    /// A [`Refusal`]: no such volume (918235), or one that is a copy itself (8).
    pub(super) fn require_restorable(&self, svm: SvmId, name: &str) -> Result<VolumeId, Refusal> {
        let volume = self.find_volume_named(svm, name).ok_or_else(|| {
            Refusal::missing(918_235, format!("A volume with name \"{name}\" was not found"))
                .about("destination.path")
        })?;
        volume.admit_write(8).map_err(|refusal| refusal.about("destination.path"))?;
        Ok(volume.id)
    }

    /// Begins the transfer of a restore relationship: of the snapshot of this name, or of the latest.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), a transfer is running (13303812).
    pub(super) fn restore_mirror(&mut self, id: Uuid, snapshot: Option<String>) -> Result<Uuid, Refusal> {
        if let Some(mut mirror) = self.mirrors.get_mut(&id) {
            mirror.restored = snapshot;
        }
        self.queue_transfer(id, TransferKind::Restore)
    }

    /// What a restore is offered: one snapshot, on the latest before it that the destination has, too, or nothing
    /// where it has that one. None is taken for it: the source may be a copy.
    ///
    /// # Errors
    /// A [`Refusal`] (1638600) when there is no such snapshot.
    pub(super) fn offered_back(&self, request: &OfferRequest, volume: Volume) -> Result<Offered, Refusal> {
        let there = self.snapshots_of(volume.id);
        let wanted = match &request.snapshot {
            Some(name) => there.iter().position(|snapshot| snapshot.name == *name),
            None => there.len().checked_sub(1),
        };
        let missing = || {
            let name = request.snapshot.as_deref().unwrap_or_default();
            Refusal::missing(1_638_600, format!("Snapshot \"{name}\" does not exist."))
        };
        let wanted = wanted.ok_or_else(missing)?;
        let held = request.held.iter().flat_map(|(_, snapshots)| snapshots);
        let held: Vec<_> = held.cloned().collect();
        let common = |at: &usize| {
            there.get(*at).is_some_and(|snapshot| held.contains(&(snapshot.name.clone(), snapshot.created)))
        };
        let base = (0..=wanted).rev().find(common);
        let new = there.get(wanted).filter(|_| base != Some(wanted));
        let snapshots: Vec<_> = new.map(|snapshot| (*snapshot).clone()).into_iter().collect();
        let base = base.and_then(|at| there.get(at));
        let mut kept: Vec<_> = held.iter().map(|(name, _)| name.clone()).collect();
        kept.extend(snapshots.iter().map(|snapshot| snapshot.name.clone()));
        let (base, policy) = (base.map(|base| base.name.clone()), None);
        Ok(Offered { volume, policy, base, snapshots, kept, quotas: Vec::new() })
    }

    /// What kind of volume a relationship's destination is while it is transferred to.
    pub(super) fn kind_beneath(mirror: &Mirror) -> Kind {
        if mirror.restore { Kind::ReadWrite } else { Kind::DataProtection }
    }

    /// A restore relationship is gone when everything has come.
    pub(super) fn end_restore(&mut self, mirror: &Mirror) {
        if mirror.restore {
            self.mirrors.remove(&mirror.id);
        }
    }
}
