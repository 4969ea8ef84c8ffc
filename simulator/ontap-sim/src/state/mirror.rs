//! SnapMirror relationships: which volume or SVM of this cluster is a copy of which, and what state the copy is
//! in. What moves is in [`super::transfer`], what this cluster gives away in [`super::replica`].
//!
//! ```text
//! uninitialized ─ initialize → snapmirrored ─ break → broken_off
//!                                   ↑                     │
//!                                   └────── resync ───────┘
//! ```

use jiff::Timestamp;
use records::untagged;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::svm::{Subtype, SvmPatch};
use super::transfer::{Transfer, TransferKind};
use super::volume::Kind;
use super::{Cluster, DataPlaneChange, Refusal, SvmId, VolumeId};

/// ONTAP's number for a transfer that is in the way of what is asked.
const BUSY: u64 = 13_303_812;
/// Name of the policy of a relationship that is given none.
pub const DEFAULT_POLICY: &str = "MirrorAllSnapshots";

/// A policy, as every cluster has it (ONTAP REST reference, `/snapmirror/policies`).
#[derive(Debug, Clone, Copy)]
pub struct MirrorPolicy {
    /// Its name.
    pub name: &'static str,
    /// Whether writes wait for the copy.
    pub sync: bool,
    /// Whether every snapshot of the source is copied, or the latest alone.
    pub all_snapshots: bool,
    /// What it is for.
    pub comment: &'static str,
}

const fn policy(name: &'static str, sync: bool, all_snapshots: bool, comment: &'static str) -> MirrorPolicy {
    MirrorPolicy { name, sync, all_snapshots, comment }
}

/// Policies that ONTAP has from the start. Synchronous ones are shown, and refused when asked for.
pub const POLICIES: &[MirrorPolicy] = &[
    policy(
        "Asynchronous",
        false,
        true,
        "A unified Asynchronous SnapMirror and SnapVault policy for mirroring the latest active file system.",
    ),
    policy(
        DEFAULT_POLICY,
        false,
        true,
        "Asynchronous SnapMirror policy for mirroring all snapshots and the latest active file system.",
    ),
    policy(
        "MirrorLatest",
        false,
        false,
        "Asynchronous SnapMirror policy for mirroring the latest active file system.",
    ),
    policy(
        "MirrorAndVault",
        false,
        true,
        "A unified Asynchronous SnapMirror and SnapVault policy for mirroring the latest active file system \
         and daily and weekly snapshots.",
    ),
    policy("XDPDefault", false, true, "Asynchronous SnapVault policy for daily and weekly snapshots."),
    policy("Sync", true, true, "Synchronous SnapMirror policy for zero RPO."),
    policy("StrictSync", true, true, "Synchronous SnapMirror policy that fails writes that are not copied."),
];

/// What is copied: an SVM's volume, or the SVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MirrorSource {
    /// The peered cluster, by its name here; `None`: this one.
    pub cluster: Option<String>,
    /// Name of the SVM.
    pub svm: String,
    /// Name of the volume; `None`: the SVM with all its volumes.
    pub volume: Option<String>,
}

impl MirrorSource {
    /// `SVM:VOLUME`, or `SVM:`.
    pub fn path(&self) -> String {
        format!("{}:{}", self.svm, self.volume.as_deref().unwrap_or_default())
    }
}

/// In which state a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MirrorState {
    /// Nothing has been copied yet.
    Uninitialized,
    /// It is the copy, and read-only.
    Mirrored,
    /// It was the copy, and goes its own way.
    BrokenOff,
}

/// A relationship, kept where the copy is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mirror {
    /// Its identifier; the source's cluster knows it by the same.
    pub id: Uuid,
    /// What is copied.
    pub source: MirrorSource,
    /// The SVM of the copy.
    pub svm: SvmId,
    /// The copy; `None`: the SVM.
    pub volume: Option<VolumeId>,
    /// Name of the policy.
    pub policy: String,
    /// Name of the schedule.
    pub schedule: Option<String>,
    /// In which state the copy is.
    pub state: MirrorState,
    /// Whether nothing is to be copied for now.
    pub quiesced: bool,
    /// Why the last transfer failed, if it did.
    pub unhealthy: Option<String>,
    /// The last snapshot that came whole.
    pub exported: Option<String>,
    /// When that was taken.
    pub exported_at: Option<Timestamp>,
    /// The last transfer, running or ended.
    pub transfer: Option<Uuid>,
    /// Whether it brings something back into a volume that clients write.
    #[serde(default)]
    pub restore: bool,
    /// Name of the snapshot that is brought back; absent: the latest.
    #[serde(default)]
    pub restored: Option<String>,
}

untagged!(Mirror);

/// A new relationship.
#[derive(Debug, Clone)]
pub struct MirrorSpec {
    /// `SVM:VOLUME` or `SVM:`, elsewhere.
    pub source: String,
    /// The source's cluster, where the paths do not tell.
    pub cluster: Option<String>,
    /// The same, here.
    pub destination: String,
    /// Policy.
    pub policy: Option<String>,
    /// Schedule.
    pub schedule: Option<String>,
    /// Whether the destination volume is made if it is not there.
    pub make_destination: bool,
    /// Whether it brings something back into a volume that clients write.
    pub restore: bool,
}

impl Cluster {
    /// Makes a relationship. Nothing is copied yet.
    ///
    /// # Errors
    /// A [`Refusal`]: paths that are none, an unknown policy, SVMs that are not peered, a destination that is no
    /// data-protection volume (or no `dp_destination` SVM) or has a relationship already. Where the vendor
    /// publishes no number, it is the generic one.
    pub fn create_mirror(&mut self, spec: MirrorSpec) -> Result<Uuid, Refusal> {
        let (source_svm, source_volume) = parts(&spec.source, "source.path")?;
        let (svm_name, volume_name) = parts(&spec.destination, "destination.path")?;
        let svm = self.find_svm_named(svm_name).ok_or_else(|| {
            let message = format!("SVM \"{svm_name}\" does not exist.");
            Refusal::missing(2_621_462, message).about("destination.path")
        })?;
        let (svm, subtype) = (svm.id, svm.subtype);
        if let (true, Some(name)) = (spec.make_destination, volume_name)
            && self.find_volume_named(svm, name).is_none()
        {
            self.make_empty_copy(svm, name)?;
        }
        let volume = match (volume_name, source_volume) {
            (Some(name), Some(_)) if spec.restore => Some(self.require_restorable(svm, name)?),
            (Some(name), Some(_)) => Some(self.require_protected(svm, name)?),
            (None, None) if subtype == Subtype::DpDestination && !spec.restore => None,
            (None, None) => {
                let message = format!("SVM \"{svm_name}\" is not of subtype \"dp-destination\"");
                return Err(Refusal::conflict(8, message).about("destination.path"));
            }
            _ => return Err(Refusal::invalid("destination.path", &spec.destination)),
        };
        if self.mirrors.values().any(|mirror| mirror.svm == svm && mirror.volume == volume) {
            let message = format!("A relationship with destination \"{}\" already exists", spec.destination);
            return Err(Refusal::conflict(1, message).about("destination.path"));
        }
        let cluster = self.cluster_of_source(svm, source_svm, spec.cluster)?;
        let policy = admitted_policy(spec.policy)?;
        self.admit_schedule(spec.schedule.as_deref())?;
        let source =
            MirrorSource { cluster, svm: source_svm.to_owned(), volume: source_volume.map(str::to_owned) };
        let id = self.mint.edit().uuid();
        let mirror = Mirror {
            id,
            source,
            svm,
            volume,
            policy,
            schedule: spec.schedule,
            state: MirrorState::Uninitialized,
            quiesced: false,
            unhealthy: None,
            exported: None,
            exported_at: None,
            transfer: None,
            restore: spec.restore,
            restored: None,
        };
        self.mirrors.insert(id, mirror);
        self.reschedule();
        Ok(id)
    }

    /// Gives a relationship another policy or schedule; an empty one takes the schedule away.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), an unknown policy or schedule.
    pub fn modify_mirror(
        &mut self,
        id: Uuid,
        policy: Option<String>,
        schedule: Option<String>,
    ) -> Result<(), Refusal> {
        let policy = policy.map(|policy| admitted_policy(Some(policy))).transpose()?;
        self.admit_schedule(schedule.as_deref())?;
        let mut mirror = self.mirrors.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        mirror.policy = policy.unwrap_or_else(|| mirror.policy.clone());
        if let Some(schedule) = schedule {
            mirror.schedule = Some(schedule).filter(|name| !name.is_empty());
        }
        drop(mirror);
        self.reschedule();
        Ok(())
    }

    /// Copies for the first time, again after a break, or goes on after a pause: what `snapmirrored` asks for.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), a transfer is running (13303812).
    pub fn resume_mirror(&mut self, id: Uuid) -> Result<Option<Uuid>, Refusal> {
        let mirror = self.mirrors.get(&id).ok_or_else(Refusal::no_entry)?;
        if mirror.restore {
            return self.restore_mirror(id, None).map(Some);
        }
        let kind = match mirror.state {
            MirrorState::Uninitialized => TransferKind::Initialize,
            MirrorState::BrokenOff => TransferKind::Resync,
            MirrorState::Mirrored => {
                if let Some(mut mirror) = self.mirrors.get_mut(&id) {
                    mirror.quiesced = false;
                }
                self.reschedule();
                return Ok(None);
            }
        };
        if let Some(mut mirror) = self.mirrors.get_mut(&id) {
            mirror.quiesced = false;
        }
        self.queue_transfer(id, kind).map(Some)
    }

    /// Copies what is new; everything, if nothing was copied before. With a restore relationship the snapshot of
    /// this name comes back.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), paused or broken off (13303822), a transfer is running (13303812).
    pub fn update_mirror(&mut self, id: Uuid, snapshot: Option<String>) -> Result<Uuid, Refusal> {
        let mirror = self.mirrors.get(&id).ok_or_else(Refusal::no_entry)?;
        if mirror.restore {
            return self.restore_mirror(id, snapshot);
        }
        let refused = |why: &str| {
            let message = format!("Transfer failed. Reason: the relationship {why}");
            Err(Refusal::conflict(13_303_822, message))
        };
        match mirror.state {
            _ if mirror.quiesced => refused("is quiesced"),
            MirrorState::BrokenOff => refused("is broken off: resynchronize it first"),
            MirrorState::Uninitialized => self.queue_transfer(id, TransferKind::Initialize),
            MirrorState::Mirrored => self.queue_transfer(id, TransferKind::Update),
        }
    }

    /// Lets nothing be copied until it is resumed. A transfer that runs ends by itself.
    ///
    /// # Errors
    /// A [`Refusal`] (4) when it is not there.
    pub fn quiesce_mirror(&mut self, id: Uuid) -> Result<(), Refusal> {
        self.mirrors.get_mut(&id).ok_or_else(Refusal::no_entry)?.quiesced = true;
        Ok(())
    }

    /// Makes of the copy a volume that clients write, or an SVM that can be started.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), nothing was copied yet (8), a transfer is running (13303812).
    pub fn break_mirror(&mut self, id: Uuid) -> Result<(), Refusal> {
        let mirror = self.mirrors.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        self.admit_no_transfer(&mirror)?;
        if mirror.state == MirrorState::Uninitialized {
            let message = "The destination is not initialized: there is nothing to break off";
            return Err(Refusal::conflict(8, message));
        }
        for volume in self.copies_of(&mirror) {
            self.set_kind(volume, Kind::ReadWrite);
        }
        if mirror.volume.is_none()
            && let Some(mut svm) = self.svms.get_mut(&mirror.svm)
        {
            svm.subtype = Subtype::Default;
        }
        if let Some(mut mirror) = self.mirrors.get_mut(&id) {
            mirror.state = MirrorState::BrokenOff;
            mirror.quiesced = false;
        }
        Ok(())
    }

    /// Forgets a relationship at its destination; the copy stays as it is.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), a transfer is running (13303812).
    pub fn delete_mirror(&mut self, id: Uuid) -> Result<(), Refusal> {
        let mirror = self.mirrors.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        self.admit_no_transfer(&mirror)?;
        self.mirrors.remove(&id);
        let ended: Vec<_> = self.transfers_of(id).map(|transfer| transfer.id).collect();
        ended.iter().for_each(|transfer| drop(self.transfers.remove(transfer)));
        Ok(())
    }

    /// `SVM:VOLUME` or `SVM:` of a relationship's copy.
    pub fn destination_path(&self, mirror: &Mirror) -> String {
        let volume = mirror.volume.and_then(|id| self.volumes.get(&id));
        format!("{}:{}", self.svm_name(mirror.svm), volume.map_or("", |volume| volume.name.as_str()))
    }

    /// The relationship whose copy the volume is, by itself or with its SVM.
    pub fn mirror_of(&self, volume: VolumeId) -> Option<&Mirror> {
        let svm = self.volumes.get(&volume)?.svm;
        self.mirrors
            .values()
            .filter(|mirror| !mirror.restore)
            .find(|mirror| mirror.volume == Some(volume) || (mirror.volume.is_none() && mirror.svm == svm))
    }

    /// The copies of a relationship.
    pub(super) fn copies_of(&self, mirror: &Mirror) -> Vec<VolumeId> {
        match mirror.volume {
            Some(volume) => vec![volume],
            None => {
                let of_svm = self.volumes.tagged(&super::volume::VolumeTag::Of(mirror.svm));
                of_svm.filter(|volume| !volume.is_svm_root).map(|volume| volume.id).collect()
            }
        }
    }

    /// Lets clients write a volume, or SnapMirror alone.
    pub(super) fn set_kind(&mut self, id: VolumeId, kind: Kind) {
        let Some(before) = self.volumes.get(&id).cloned().filter(|volume| volume.kind != kind) else {
            return;
        };
        let after = super::Volume { kind, ..before.clone() };
        let svm = after.svm;
        self.volumes.insert(id, after.clone());
        self.publish_junction(Some(&before), &after);
        self.protect_luns_of(id);
        self.mask_all_initiators_of(svm);
    }

    /// Lets hosts write the LUNs of a volume, or not while it is a copy.
    pub(super) fn protect_luns_of(&mut self, id: VolumeId) {
        let Some(volume) = self.volumes.get(&id) else { return };
        let (svm, read_only) = (volume.svm, volume.kind == Kind::DataProtection);
        let luns: Vec<_> = self.luns.tagged(&super::lun::LunTag::In(id)).map(|lun| lun.id).collect();
        for lun in luns {
            self.change(DataPlaneChange::ProtectLun { svm, lun, read_only });
        }
    }

    /// SVMs that hold copies are not started before the copy is broken off.
    ///
    /// # Errors
    /// A [`Refusal`] (8; the vendor's number is not published).
    pub(super) fn admit_start(svm: &super::Svm, patch: &SvmPatch) -> Result<(), Refusal> {
        if svm.subtype == Subtype::DpDestination && patch.running == Some(true) {
            let message = format!(
                "Cannot start SVM \"{}\": it is the destination of a SnapMirror relationship that is not broken \
                 off",
                svm.name
            );
            return Err(Refusal::conflict(8, message).about("state"));
        }
        Ok(())
    }

    /// # Errors
    /// A [`Refusal`] (13303812) while a transfer runs.
    pub(super) fn admit_no_transfer(&self, mirror: &Mirror) -> Result<(), Refusal> {
        let running = mirror.transfer.and_then(|id| self.transfers.get(&id)).is_some_and(Transfer::runs);
        if running {
            return Err(Refusal::conflict(BUSY, "Another transfer is in progress"));
        }
        Ok(())
    }

    pub(super) fn forget_mirrors_of(&mut self, svm: SvmId) {
        let ids: Vec<_> =
            self.mirrors.values().filter(|mirror| mirror.svm == svm).map(|mirror| mirror.id).collect();
        ids.iter().for_each(|id| drop(self.mirrors.remove(id)));
    }

    fn require_protected(&self, svm: SvmId, name: &str) -> Result<VolumeId, Refusal> {
        let volume = self.find_volume_named(svm, name).ok_or_else(|| {
            Refusal::missing(918_235, format!("A volume with name \"{name}\" was not found"))
                .about("destination.path")
        })?;
        if volume.kind != Kind::DataProtection {
            let message = format!("Volume \"{name}\" is not of type \"dp\"");
            return Err(Refusal::conflict(8, message).about("destination.path"));
        }
        Ok(volume.id)
    }

    /// In which cluster the source is: the one that its SVM is peered from.
    fn cluster_of_source(
        &self,
        svm: SvmId,
        source: &str,
        cluster: Option<String>,
    ) -> Result<Option<String>, Refusal> {
        let wanted = cluster.map(|name| self.named_peer(&name).map(|peer| peer.name.clone()));
        let mut peers = self.svm_peers.values().filter(|peer| peer.svm == svm && peer.peer == source);
        let peered = match &wanted {
            Some(cluster) => peers.find(|peer| peer.cluster == *cluster),
            None => peers.next(),
        };
        if let Some(peer) = peered {
            return Ok(peer.cluster.clone());
        }
        // An SVM needs no peer to replicate within itself.
        if self.find_svm_named(source).is_some_and(|own| own.id == svm) {
            return Ok(None);
        }
        let message =
            format!("SVM \"{}\" is not peered with SVM \"{source}\" for SnapMirror", self.svm_name(svm));
        Err(Refusal::conflict(8, message).about("source.path"))
    }

    fn admit_schedule(&self, name: Option<&str>) -> Result<(), Refusal> {
        match name.filter(|name| !name.is_empty()) {
            Some(name) if !self.schedules.values().any(|schedule| schedule.name == name) => {
                let message = format!("Schedule \"{name}\" does not exist");
                Err(Refusal::missing(4, message).about("transfer_schedule.name"))
            }
            _ => Ok(()),
        }
    }
}

/// The policy of this name.
pub fn find_policy(name: &str) -> Option<&'static MirrorPolicy> {
    POLICIES.iter().find(|policy| policy.name == name)
}

fn admitted_policy(name: Option<String>) -> Result<String, Refusal> {
    let name = name.unwrap_or_else(|| DEFAULT_POLICY.to_owned());
    match find_policy(&name) {
        None => {
            Err(Refusal::missing(4, format!("SnapMirror policy \"{name}\" does not exist"))
                .about("policy.name"))
        }
        Some(policy) if policy.sync => {
            let message = format!("Policy \"{name}\" is synchronous, which is not simulated");
            Err(Refusal::request(3, message).about("policy.name"))
        }
        Some(_) => Ok(name),
    }
}

/// SVM and volume of a path.
fn parts<'a>(path: &'a str, field: &str) -> Result<(&'a str, Option<&'a str>), Refusal> {
    match path.split_once(':') {
        Some((svm, volume)) if !svm.is_empty() => Ok((svm, Some(volume).filter(|name| !name.is_empty()))),
        _ => Err(Refusal::invalid(field, path)),
    }
}
