//! Transfers of SnapMirror: asked for here, carried out by `crate::replication` while the array goes on, and
//! taken into the state when everything has come.

use jiff::Timestamp;
use records::untagged;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::arrival::Arrival;
use super::change::Errand;
use super::mirror::{Mirror, MirrorSource, MirrorState, find_policy};
use super::replica::{Offer, Offered, SvmPicture};
use super::svm::Svm;
use super::volume::{Kind, VolumePatch, VolumeSpec};
use super::{Cluster, DataPlaneChange, Refusal, SnapshotId, SvmId, VolumeId};

/// How many ended transfers are kept.
const KEPT: usize = 1_000;

/// What a transfer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferKind {
    /// The first one.
    Initialize,
    /// What is new.
    Update,
    /// After a break: what the copy was given since is lost.
    Resync,
    /// A snapshot comes back.
    Restore,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferState {
    /// It waits to be begun.
    Queued,
    /// It runs.
    Transferring,
    /// Everything has come.
    Success,
    /// It failed; nothing has come.
    Failed,
    /// It was told to end; nothing has come.
    Aborted,
}

impl TransferState {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Transferring => "transferring",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
        }
    }
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its identifier.
    pub id: Uuid,
    /// Of which relationship.
    pub mirror: Uuid,
    /// What it is for.
    pub kind: TransferKind,
    /// How far it is.
    pub state: TransferState,
    /// Bytes that have come.
    pub bytes: u64,
    /// When it was asked for.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The snapshot that came last.
    pub snapshot: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
}

untagged!(Transfer);

impl Transfer {
    /// Whether it has not ended.
    pub fn runs(&self) -> bool {
        matches!(self.state, TransferState::Queued | TransferState::Transferring)
    }
}

/// What whoever carries out a transfer needs to know.
#[derive(Debug, Clone)]
pub struct Journey {
    /// What is copied.
    pub source: MirrorSource,
    /// What the source's cluster is asked for.
    pub request: OfferRequest,
}

/// What a copy asks its source's cluster for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OfferRequest {
    /// The relationship.
    pub mirror: Uuid,
    /// Name of the source's SVM.
    pub svm: String,
    /// Name of the volume; all, when absent.
    pub volume: Option<String>,
    /// Name of the SVM of the copy.
    pub destination_svm: String,
    /// Path of the copy.
    pub destination: String,
    /// The policy.
    pub policy: String,
    /// Whether all snapshots are wanted.
    pub all_snapshots: bool,
    /// Whether a snapshot that is there is wanted, and nothing new.
    #[serde(default)]
    pub restore: bool,
    /// Name of that snapshot; the latest, when absent.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// By name of the volume there: what the copy has, oldest first.
    pub held: Vec<(String, Vec<(String, Timestamp)>)>,
}

impl Cluster {
    /// The transfers of a relationship, oldest first.
    pub fn transfers_of(&self, mirror: Uuid) -> impl Iterator<Item = &Transfer> {
        self.transfers.values().filter(move |transfer| transfer.mirror == mirror)
    }

    /// The transfer of this identifier.
    pub fn find_transfer(&self, id: Uuid) -> Option<&Transfer> {
        self.transfers.get(&id)
    }

    pub(super) fn queue_transfer(&mut self, id: Uuid, kind: TransferKind) -> Result<Uuid, Refusal> {
        let mirror = self.mirrors.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        self.admit_no_transfer(&mirror)?;
        let transfer = Transfer {
            id: self.mint.edit().uuid(),
            mirror: id,
            kind,
            state: TransferState::Queued,
            bytes: 0,
            began: self.now,
            ended: None,
            snapshot: None,
            failure: None,
        };
        let number = transfer.id;
        self.transfers.insert(number, transfer);
        if let Some(mut mirror) = self.mirrors.get_mut(&id) {
            mirror.transfer = Some(number);
        }
        let ended = self.transfers.values().find(|transfer| !transfer.runs()).map(|transfer| transfer.id);
        if let Some(oldest) = ended.filter(|_| self.transfers.len() > KEPT) {
            self.transfers.remove(&oldest);
        }
        self.change(DataPlaneChange::Errand(Errand::Transfer(number)));
        Ok(number)
    }

    /// Tells a transfer to end; nothing of it stays.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), ended already (13303822).
    pub fn abort_transfer(&mut self, id: Uuid) -> Result<(), Refusal> {
        let transfer = self.transfers.get(&id).ok_or_else(Refusal::no_entry)?;
        if !transfer.runs() {
            return Err(Refusal::conflict(13_303_822, "The transfer has ended"));
        }
        self.end_transfer(id, TransferState::Aborted, None);
        Ok(())
    }

    /// Begins a transfer: what is to be asked of whom. `None`: it is not wanted any more.
    pub fn begin_transfer(&mut self, id: Uuid) -> Option<Journey> {
        let mut transfer = self.transfers.get_mut(&id)?;
        if !transfer.runs() {
            return None;
        }
        transfer.state = TransferState::Transferring;
        let mirror = transfer.mirror;
        drop(transfer);
        let mirror = self.mirrors.get(&mirror)?.clone();
        let held = |volume: &VolumeId| {
            let name = match &mirror.source.volume {
                Some(name) => name.clone(),
                None => self.volumes.get(volume)?.name.clone(),
            };
            let snapshots = self.snapshots_of(*volume).into_iter();
            Some((name, snapshots.map(|snapshot| (snapshot.name.clone(), snapshot.created)).collect()))
        };
        let request = OfferRequest {
            mirror: mirror.id,
            svm: mirror.source.svm.clone(),
            volume: mirror.source.volume.clone(),
            destination_svm: self.svm_name(mirror.svm).to_owned(),
            destination: self.destination_path(&mirror),
            all_snapshots: find_policy(&mirror.policy).is_none_or(|policy| policy.all_snapshots),
            policy: mirror.policy.clone(),
            restore: mirror.restore,
            snapshot: mirror.restored.clone(),
            held: self.copies_of(&mirror).iter().filter_map(held).collect(),
        };
        Some(Journey { source: mirror.source, request })
    }

    /// Notes that a transfer failed; the copy is what it was.
    pub fn fail_transfer(&mut self, id: Uuid, reason: &str) {
        self.end_transfer(id, TransferState::Failed, Some(reason.to_owned()));
    }

    fn end_transfer(&mut self, id: Uuid, state: TransferState, failure: Option<String>) {
        let now = self.now;
        let Some(mut transfer) = self.transfers.get_mut(&id) else { return };
        if !transfer.runs() {
            return;
        }
        transfer.state = state;
        transfer.ended = Some(now);
        transfer.failure.clone_from(&failure);
        let mirror = transfer.mirror;
        drop(transfer);
        if let Some(mut mirror) = self.mirrors.get_mut(&mirror) {
            mirror.unhealthy = match state {
                TransferState::Success => None,
                TransferState::Failed => failure,
                _ => mirror.unhealthy.clone(),
            };
        }
    }

    /// Whether what a source offers can be taken: each copy stands on a snapshot that both have, or on nothing.
    ///
    /// # Errors
    /// A [`Refusal`] (13303822): the transfer was aborted, or a copy has snapshots and none of them is the source's.
    pub fn admit_offer(&self, id: Uuid, offer: &Offer) -> Result<(), Refusal> {
        let mirror = self.require_running(id)?;
        for offered in &offer.volumes {
            let copy = self.copy_for(&mirror, &offered.volume.name);
            // An SVM's volume that was made anew at the source is made anew here.
            if let Some(copy) = copy.filter(|_| offer.svm.is_none())
                && !self.is_beneath(copy, offered)
            {
                let (source, copy) = (mirror.source.path(), self.destination_path(&mirror));
                let message =
                    format!("No common Snapshot copy found between source {source} and destination {copy}");
                return Err(Refusal::conflict(13_303_822, message));
            }
        }
        Ok(())
    }

    /// The copy whose files what is offered is put on; `None`: on those of a volume yet to be made.
    pub fn copy_beneath(&self, id: Uuid, offered: &Offered) -> Option<VolumeId> {
        let mirror = self.require_running(id).ok()?;
        self.copy_for(&mirror, &offered.volume.name).filter(|copy| self.is_beneath(*copy, offered))
    }

    /// Takes in what has come: from now on the copies are what the sources were.
    ///
    /// # Errors
    /// A [`Refusal`]: as for [`Self::admit_offer`]; a copy cannot be made or grown; a clone needs a snapshot of the
    /// copy that would go, or the copy.
    pub fn take_arrivals(&mut self, id: Uuid, offer: &Offer, arrivals: Vec<Arrival>) -> Result<(), Refusal> {
        let mirror = self.require_running(id)?;
        self.admit_offer(id, offer)?;
        let (mut bytes, mut latest) = (0_u64, None);
        if let Some(picture) = &offer.svm {
            self.take_picture(&mirror, picture)?;
        }
        for arrival in arrivals {
            bytes = bytes.saturating_add(arrival.bytes);
            latest = arrival.offered.snapshots.last().map(|one| (one.name.clone(), one.created)).or(latest);
            self.take_arrival(&mirror, offer.svm.is_some(), arrival)?;
        }
        if let Some(mut transfer) = self.transfers.get_mut(&id) {
            transfer.bytes = bytes;
            transfer.snapshot = latest.as_ref().map(|(name, _)| name.clone());
        }
        self.end_transfer(id, TransferState::Success, None);
        if mirror.volume.is_none()
            && let Some(mut svm) = self.svms.get_mut(&mirror.svm)
        {
            svm.subtype = super::svm::Subtype::DpDestination;
        }
        if let Some(mut mirror) = self.mirrors.get_mut(&mirror.id) {
            mirror.state = MirrorState::Mirrored;
            if let Some((name, created)) = latest {
                (mirror.exported, mirror.exported_at) = (Some(name), Some(created));
            }
        }
        self.end_restore(&mirror);
        self.reschedule();
        Ok(())
    }

    pub(super) fn require_running(&self, id: Uuid) -> Result<Mirror, Refusal> {
        let transfer = self.transfers.get(&id).filter(|transfer| transfer.runs());
        let mirror = transfer.and_then(|transfer| self.mirrors.get(&transfer.mirror));
        mirror.cloned().ok_or_else(|| Refusal::conflict(13_303_822, "The transfer was aborted"))
    }

    /// The copy of the source's volume of this name.
    pub(super) fn copy_for(&self, mirror: &Mirror, name: &str) -> Option<VolumeId> {
        match mirror.volume {
            Some(volume) => Some(volume).filter(|volume| self.volumes.contains_key(volume)),
            None => self.find_volume_named(mirror.svm, name).map(|volume| volume.id),
        }
    }

    /// A volume that waits for being copied into; it grows with the first transfer.
    pub(super) fn make_empty_copy(&mut self, svm: SvmId, name: &str) -> Result<VolumeId, Refusal> {
        self.make_copy(svm, name, None)
    }

    pub(super) fn make_copy(
        &mut self,
        svm: SvmId,
        name: &str,
        source: Option<&super::Volume>,
    ) -> Result<VolumeId, Refusal> {
        let owner: &Svm = self.find_svm(svm).ok_or_else(Refusal::no_entry)?;
        let assigned = owner.aggregates.first().copied().or_else(|| self.roomiest_aggregate());
        let aggregate = assigned.ok_or_else(|| Refusal::conflict(8, "No aggregate has room for the copy"))?;
        let spec = VolumeSpec {
            name: name.to_owned(),
            svm,
            aggregate,
            style: super::volume::Style::FlexVol,
            kind: Kind::DataProtection,
            size: source.map(|source| source.size),
            guarantee: source.map(|source| source.guarantee),
            snapshot_reserve: source.map(|source| source.snapshot_reserve),
            settings: VolumePatch::default(),
        };
        self.create_volume(spec)
    }

    /// Gives a copy the place and the settings of its source.
    pub(super) fn settle_copy(
        &mut self,
        copy: VolumeId,
        source: &super::Volume,
        policy: Option<String>,
    ) -> Result<(), Refusal> {
        let patch = VolumePatch {
            junction: Some(source.junction.clone().unwrap_or_default()),
            policy,
            comment: Some(source.comment.clone()),
            security_style: Some(source.security_style),
            snapshot_directory: Some(source.snapshot_directory),
            ..VolumePatch::default()
        };
        self.modify_volume(copy, patch)
    }

    /// Gives the SVM of a copy what belongs to the source's SVM besides volumes.
    fn take_picture(&mut self, mirror: &Mirror, picture: &SvmPicture) -> Result<(), Refusal> {
        for policy in &picture.policies {
            self.put_policy(mirror.svm, policy)?;
        }
        if let Some(service) = &picture.nfs {
            self.put_copied_nfs_service(mirror.svm, service);
        }
        let mut svm = self.svms.get_mut(&mirror.svm).ok_or_else(Refusal::no_entry)?;
        svm.language.clone_from(&picture.svm.language);
        svm.allowed.clone_from(&picture.svm.allowed);
        svm.comment.clone_from(&picture.svm.comment);
        Ok(())
    }

    /// After a restart: LUNs of copies are what came whole, and hosts do not write them.
    pub(super) fn revive_copied_luns(&mut self) {
        let of_copies: Vec<_> =
            self.volumes.values().filter(|volume| volume.kind == Kind::DataProtection).cloned().collect();
        for copy in of_copies {
            let optimised = self.optimised_node(&copy);
            let last = self.snapshots_of(copy.id).last().map(|last| (last.id, last.luns.clone()));
            let (snapshot, luns) = last.unwrap_or((SnapshotId(Uuid::nil()), Vec::new()));
            for lun in luns {
                let (svm, serial, unmap) = (lun.svm, lun.serial, lun.unmap);
                self.change(DataPlaneChange::RestoreLun {
                    svm,
                    lun: lun.id,
                    snapshot,
                    serial,
                    unmap,
                    optimised,
                });
            }
            self.protect_luns_of(copy.id);
        }
    }

    /// After a restart: what waited or ran is begun anew, and copies are what came whole.
    pub(super) fn revive_transfers(&mut self) {
        let running: Vec<_> =
            self.transfers.values().filter(|transfer| transfer.runs()).map(|transfer| transfer.id).collect();
        for id in running {
            self.change(DataPlaneChange::Errand(Errand::Transfer(id)));
        }
        self.reschedule();
        let copies: Vec<_> = self.mirrors.values().flat_map(|mirror| self.copies_of(mirror)).collect();
        for copy in copies {
            let protected = self.volumes.get(&copy).is_some_and(|volume| volume.kind == Kind::DataProtection);
            let name = self.snapshots_of(copy).last().map(|snapshot| snapshot.name.clone());
            if let Some(name) = name.filter(|_| protected) {
                self.change(DataPlaneChange::RestoreTree { volume: copy, name });
            }
        }
    }
}
