//! What came for a copy is taken into the state, in one change: snapshots, qtrees, LUNs. The bytes were taken in
//! beside the copy before (`crate::replication`); they are seen when this change is carried out.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::lun::{Lun, LunTag};
use super::mirror::Mirror;
use super::replica::Offered;
use super::snapshot::{Snapshot, SnapshotTag, path_in};
use super::volume::{Kind, VolumePatch};
use super::{Cluster, DataPlaneChange, LunId, Refusal, SnapshotId, SvmId, VolumeId};

/// Something that came.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What was offered.
    pub offered: Offered,
    /// Under which number the data planes hold its files.
    pub content: Uuid,
    /// By the LUN of the source: under which number they hold its blocks.
    pub luns: BTreeMap<LunId, Uuid>,
    /// Bytes.
    pub bytes: u64,
}

impl Cluster {
    pub(super) fn is_beneath(&self, copy: VolumeId, offered: &Offered) -> bool {
        offered.base.is_some() || self.snapshots.count(&SnapshotTag::Of(copy)) == 0
    }

    /// Makes of a copy again what it was when it last agreed with its source. Of its files that is done when what
    /// came is put on them.
    fn rewind_copy(&mut self, copy: VolumeId, base: Option<&str>, kind: Kind) -> Result<(), Refusal> {
        self.set_kind(copy, kind);
        let Some(base) = base else { return Ok(()) };
        let base = self.require_snapshot_named(copy, base)?.id;
        let held = self.snapshots_of(copy).into_iter();
        let later: Vec<_> = held.skip_while(|held| held.id != base).skip(1).cloned().collect();
        for snapshot in &later {
            self.admit_snapshot_loss(snapshot)?;
        }
        for snapshot in later {
            self.snapshots.remove(&snapshot.id);
            let luns = snapshot.luns.iter().map(|lun| lun.id).collect();
            self.change(DataPlaneChange::DropLunSnapshots { snapshot: snapshot.id, luns });
        }
        Ok(())
    }

    /// What a copy holds of a LUN of its source in the snapshot that both have: the LUN, and the snapshot.
    pub fn lun_beneath(&self, copy: VolumeId, base: &str, source: LunId) -> Option<(LunId, SnapshotId)> {
        let base = self.find_snapshot_named(copy, base)?;
        let own = own_lun(copy, source);
        base.luns.iter().any(|lun| lun.id == own).then_some((own, base.id))
    }

    pub(super) fn take_arrival(
        &mut self,
        mirror: &Mirror,
        of_svm: bool,
        arrival: Arrival,
    ) -> Result<(), Refusal> {
        let Arrival { offered, content, luns: staged, .. } = arrival;
        let source = &offered.volume;
        let copy = match self.copy_for(mirror, &source.name) {
            Some(copy) if self.is_beneath(copy, &offered) => copy,
            Some(copy) => {
                self.delete_volume(copy, false)?;
                self.make_copy(mirror.svm, &source.name, Some(source))?
            }
            None if of_svm => self.make_copy(mirror.svm, &source.name, Some(source))?,
            None => return Err(Refusal::no_entry()),
        };
        // Nothing came: what is wanted is here.
        if let (Some(base), []) = (&offered.base, offered.snapshots.as_slice()) {
            return self.restore_volume(copy, base);
        }
        self.rewind_copy(copy, offered.base.as_deref(), Self::kind_beneath(mirror))?;
        let present = self.volumes.get(&copy).ok_or_else(Refusal::no_entry)?;
        if present.size < source.size {
            self.modify_volume(copy, VolumePatch { size: Some(source.size), ..VolumePatch::default() })?;
        }
        self.change(DataPlaneChange::ReceiveTree { volume: copy, content, base: offered.base.clone() });
        let last = offered.snapshots.last().map(|last| last.qtrees.clone());
        let mut taken = Vec::with_capacity(offered.snapshots.len());
        for snapshot in offered.snapshots {
            let id = SnapshotId(self.mint.edit().uuid());
            let luns = snapshot.luns.iter().map(|lun| self.lun_in_copy(copy, lun)).collect();
            let snapshot = Snapshot { id, volume: copy, luns, ..snapshot };
            taken.push(snapshot.clone());
            self.snapshots.insert(id, snapshot);
        }
        self.take_luns(copy, &taken, &staged)?;
        for gone in self.snapshots_of(copy).into_iter().cloned().collect::<Vec<_>>() {
            if !offered.kept.contains(&gone.name) {
                self.delete_snapshot(gone.id)?;
            }
        }
        if let Some(qtrees) = last {
            let qtrees = qtrees.into_iter().map(|qtree| super::qtree::Qtree { policy: None, ..qtree });
            self.put_qtrees(copy, qtrees.collect());
            if of_svm {
                self.put_quotas(copy, source.features.quota, &offered.quotas);
            }
            self.apply_quotas_to(copy);
        }
        if of_svm {
            self.settle_copy(copy, source, offered.policy)?;
        }
        Ok(())
    }

    /// A LUN as a copy has it: at the same place, with a serial number of its own that stays.
    fn lun_in_copy(&mut self, copy: VolumeId, source: &Lun) -> Lun {
        let id = own_lun(copy, source.id);
        let (svm, name) = self
            .volumes
            .get(&copy)
            .map(|copy| (copy.svm, copy.name.clone()))
            .unwrap_or((SvmId(Uuid::nil()), String::new()));
        let held = self.luns.get(&id).map(|lun| lun.serial).or_else(|| {
            let snapshots = self.snapshots_of(copy).into_iter();
            snapshots.flat_map(|snapshot| &snapshot.luns).find(|lun| lun.id == id).map(|lun| lun.serial)
        });
        Lun {
            id,
            svm,
            volume: copy,
            path: path_in(&name, &source.path),
            serial: held.unwrap_or_else(|| self.mint_serial()),
            reserved: false,
            qos_policy: None,
            ..source.clone()
        }
    }

    /// Gives a copy the LUNs that its source had in the last of these snapshots, with the maps that they have
    /// here. What else it has goes.
    fn take_luns(
        &mut self,
        copy: VolumeId,
        taken: &[Snapshot],
        staged: &BTreeMap<LunId, Uuid>,
    ) -> Result<(), Refusal> {
        let Some(volume) = self.volumes.get(&copy) else { return Err(Refusal::no_entry()) };
        let (svm, optimised) = (volume.svm, self.optimised_node(volume));
        let present: Vec<Lun> = taken.last().map(|last| last.luns.clone()).unwrap_or_default();
        let gone: Vec<_> = self
            .luns
            .tagged(&LunTag::In(copy))
            .filter(|lun| present.iter().all(|kept| kept.id != lun.id))
            .map(|lun| lun.id)
            .collect();
        for (source, content) in staged {
            let id = own_lun(copy, *source);
            let held = |snapshot: &Snapshot| snapshot.luns.iter().find(|lun| lun.id == id).cloned();
            let snapshots: Vec<_> =
                taken.iter().filter(|taken| held(taken).is_some()).map(|taken| taken.id).collect();
            let Some(lun) = taken.iter().rev().find_map(held) else { continue };
            self.change(DataPlaneChange::ReceiveLun {
                svm,
                lun: id,
                content: *content,
                snapshots,
                serial: lun.serial,
                unmap: lun.unmap,
                optimised,
            });
        }
        for lun in gone {
            self.delete_lun(lun, true)?;
        }
        for mut lun in present {
            lun.enabled = self.luns.get(&lun.id).is_none_or(|own| own.enabled);
            self.luns.insert(lun.id, lun);
        }
        self.protect_luns_of(copy);
        self.mask_all_initiators_of(svm);
        Ok(())
    }
}

/// The identifier of a LUN in a copy: always the same for the same LUN of the source.
fn own_lun(copy: VolumeId, source: LunId) -> LunId {
    LunId(Uuid::from_u128(copy.0.as_u128() ^ source.0.as_u128()))
}
