//! Volumes: create, mount at a junction, resize, move, delete.

use jiff::Timestamp;
use records::Row;
use serde::{Deserialize, Serialize};

use super::change::TreeShape;
use super::clone::Origin;
use super::features::{FeaturePatch, Features};
use super::lun::{Lun, LunTag};
use super::lun_map::MapTag;
use super::volume_rules::{admit_size, policy_missing};
use super::{AggregateId, Cluster, DataPlaneChange, Refusal, SvmId, VolumeId};

/// The smallest volume ONTAP makes.
pub const MINIMUM_SIZE: u64 = 20 << 20;
/// The smallest constituent of a FlexGroup.
pub const MINIMUM_CONSTITUENT: u64 = 100 << 20;
/// The largest FlexVol (ONTAP 9.12.1P2 and later), and the largest constituent.
pub const MAXIMUM_SIZE: u64 = 300 << 40;
/// Tiering policies.
pub(super) const TIERING: [&str; 5] = ["none", "snapshot_only", "auto", "all", "backup"];

/// One volume, or many that clients see as one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Style {
    /// One.
    FlexVol,
    /// Many: the aggregate of each constituent, in their order.
    FlexGroup(Vec<AggregateId>),
}

/// Who writes a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Clients.
    ReadWrite,
    /// SnapMirror alone.
    DataProtection,
}

/// Whether the volume's size is taken from the aggregate at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guarantee {
    /// Thin.
    None,
    /// Thick.
    Volume,
}

/// Whose permissions its files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecurityStyle {
    /// Mode bits.
    Unix,
    /// Access lists of Windows.
    Ntfs,
    /// Either.
    Mixed,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its identifier.
    pub id: VolumeId,
    /// Its number in the cluster, never used again; the recovery queue makes names of it.
    pub msid: u32,
    /// Its name, unique in the SVM.
    pub name: String,
    /// The SVM it belongs to.
    pub svm: SvmId,
    /// The aggregate it lies on, or its first constituent.
    pub aggregate: AggregateId,
    /// One volume or many.
    pub style: Style,
    /// Who writes it.
    pub kind: Kind,
    /// Bytes, snapshot reserve included.
    pub size: u64,
    /// Free text; clients keep JSON in it.
    pub comment: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it serves data.
    pub online: bool,
    /// Whether it is the root of its SVM's namespace.
    pub is_svm_root: bool,
    /// Where it stands in the namespace.
    pub junction: Option<String>,
    /// Its export policy.
    pub policy: u64,
    /// Whose permissions.
    pub security_style: SecurityStyle,
    /// Mode of its root directory, such as `0o755`.
    pub mode: u32,
    /// Owner of its root directory.
    pub uid: u32,
    /// Group of its root directory.
    pub gid: u32,
    /// Thin or thick.
    pub guarantee: Guarantee,
    /// Name of its snapshot policy.
    pub snapshot_policy: String,
    /// Percent of the size kept for snapshots.
    pub snapshot_reserve: u8,
    /// Whether clients see `.snapshot`.
    pub snapshot_directory: bool,
    /// Whether it is encrypted at rest.
    pub encrypted: bool,
    /// Tiering policy.
    pub tiering: String,
    /// What it is a clone of.
    pub origin: Option<Origin>,
    /// Where it moved last.
    pub moved_to: Option<AggregateId>,
    /// The rest.
    pub features: Features,
}

/// What a volume is found under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum VolumeTag {
    /// Its name in its SVM.
    Named(SvmId, String),
    /// Its SVM.
    Of(SvmId),
    /// Its aggregate; weighs what it takes from it.
    On(AggregateId),
    /// Its export policy.
    Under(u64),
    /// Its junction in the namespace of its SVM.
    At(SvmId, String),
    /// The directory in the namespace of its SVM that its junction is in.
    Below(SvmId, String),
    /// Its parent.
    CloneOf(VolumeId),
}

impl Row for Volume {
    type Tag = VolumeTag;

    fn tags(&self) -> Vec<VolumeTag> {
        let below = |path: &String| {
            let (parent, _) = path.rsplit_once('/')?;
            Some(VolumeTag::Below(self.svm, parent.to_owned()))
        };
        let junction = self.junction.iter().map(|path| VolumeTag::At(self.svm, path.clone()));
        junction
            .chain(self.junction.iter().filter_map(below))
            .chain(self.origin.iter().map(|origin| VolumeTag::CloneOf(origin.parent)))
            .chain([
                VolumeTag::Named(self.svm, self.name.clone()),
                VolumeTag::Of(self.svm),
                VolumeTag::On(self.aggregate),
                VolumeTag::Under(self.policy),
            ])
            .collect()
    }

    fn weight(&self, tag: &VolumeTag) -> u64 {
        if matches!(tag, VolumeTag::On(_)) { self.reserved() } else { 0 }
    }
}

impl Volume {
    /// Bytes its files and LUNs may take: the size without the snapshot reserve.
    pub fn capacity(&self) -> u64 {
        let reserve = u128::from(self.size) * u128::from(self.snapshot_reserve) / 100;
        self.size.saturating_sub(u64::try_from(reserve).unwrap_or(u64::MAX))
    }

    /// Bytes it takes from its aggregate whatever it holds.
    pub fn reserved(&self) -> u64 {
        match self.guarantee {
            Guarantee::Volume => self.size,
            Guarantee::None => 0,
        }
    }

    /// Whether hosts see the LUNs in it. Those of a copy they read, and write once it is broken off.
    pub fn serves_luns(&self) -> bool {
        self.online
    }

    /// A copy is written by SnapMirror alone.
    ///
    /// # Errors
    /// A [`Refusal`] with this number for a copy that is not broken off.
    pub(super) fn admit_write(&self, code: u64) -> Result<(), Refusal> {
        if self.kind == Kind::ReadWrite {
            return Ok(());
        }
        let message = format!(
            "Volume \"{}\" is a data-protection volume: it is read-only until its SnapMirror relationship is \
             broken off",
            self.name
        );
        Err(Refusal::conflict(code, message).about("volume"))
    }

    /// What its file tree must be like.
    pub fn shape(&self) -> TreeShape {
        TreeShape {
            capacity: self.size,
            reserve_percent: self.snapshot_reserve,
            snapshots_visible: self.snapshot_directory,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// A new volume. What is absent gets the API's default.
#[derive(Debug, Clone)]
pub struct VolumeSpec {
    /// Name.
    pub name: String,
    /// SVM.
    pub svm: SvmId,
    /// Aggregate.
    pub aggregate: AggregateId,
    /// One volume (default) or many.
    pub style: Style,
    /// Who writes it.
    pub kind: Kind,
    /// Bytes (default 20 MiB).
    pub size: Option<u64>,
    /// Thin or thick (default thick).
    pub guarantee: Option<Guarantee>,
    /// Percent (default 5).
    pub snapshot_reserve: Option<u8>,
    /// The rest, which can be changed later too.
    pub settings: VolumePatch,
}

/// A change of a volume. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct VolumePatch {
    /// New name.
    pub name: Option<String>,
    /// New size in bytes.
    pub size: Option<u64>,
    /// Comment.
    pub comment: Option<String>,
    /// Online or offline.
    pub online: Option<bool>,
    /// Junction path; empty unmounts.
    pub junction: Option<String>,
    /// Name of the export policy.
    pub policy: Option<String>,
    /// Number of the export policy, where no name is given.
    pub policy_id: Option<u64>,
    /// Security style.
    pub security_style: Option<SecurityStyle>,
    /// Mode bits of the root directory.
    pub mode: Option<u32>,
    /// Owner of the root directory.
    pub uid: Option<u32>,
    /// Group of the root directory.
    pub gid: Option<u32>,
    /// Name of the snapshot policy.
    pub snapshot_policy: Option<String>,
    /// Percent kept for snapshots.
    pub snapshot_reserve: Option<u8>,
    /// Whether clients see `.snapshot`.
    pub snapshot_directory: Option<bool>,
    /// Thin or thick.
    pub guarantee: Option<Guarantee>,
    /// Tiering policy.
    pub tiering: Option<String>,
    /// Encryption.
    pub encrypted: Option<bool>,
    /// The aggregate to move to.
    pub destination: Option<AggregateId>,
    /// Features.
    pub features: FeaturePatch,
}

impl Cluster {
    /// Makes a volume and its file tree; mounts it when the settings say where.
    ///
    /// # Errors
    /// A [`Refusal`]: bad or duplicate name (917526), size, aggregate full, unknown export policy (1703954) or
    /// snapshot policy (917551), bad junction (918252).
    pub fn create_volume(&mut self, spec: VolumeSpec) -> Result<VolumeId, Refusal> {
        let VolumeSpec { name, svm, aggregate, style, kind, settings, .. } = spec;
        self.admit_volume_name(svm, &name)?;
        let size = spec.size.unwrap_or(MINIMUM_SIZE);
        admit_size(size, &style)?;
        let guarantee = spec.guarantee.unwrap_or(Guarantee::Volume);
        let default_policy = self.find_policy_named(svm, "default").map(|policy| policy.id);
        let blank = Volume {
            id: VolumeId(self.mint.edit().uuid()),
            msid: self.next_msid(),
            name,
            svm,
            aggregate,
            style,
            kind,
            size,
            comment: String::new(),
            created: self.now,
            online: true,
            is_svm_root: false,
            junction: None,
            policy: default_policy.ok_or_else(|| policy_missing("default"))?,
            security_style: SecurityStyle::Unix,
            mode: 0o755,
            uid: 0,
            gid: 0,
            guarantee,
            snapshot_policy: "default".into(),
            snapshot_reserve: spec.snapshot_reserve.unwrap_or(5),
            snapshot_directory: true,
            encrypted: false,
            tiering: "none".into(),
            origin: None,
            moved_to: None,
            features: Features::default(),
        };
        let volume = self.revised(&blank, settings)?;
        self.admit_on_aggregate(&volume, 0)?;
        let id = volume.id;
        self.change(DataPlaneChange::CreateTree { volume: id, shape: volume.shape() });
        self.publish_junction(None, &volume);
        self.volumes.insert(id, volume);
        Ok(id)
    }

    /// Changes a volume; all of it or nothing.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_volume`].
    pub fn modify_volume(&mut self, id: VolumeId, patch: VolumePatch) -> Result<(), Refusal> {
        let before = self.volumes.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        if let Some(name) = patch.name.as_deref().filter(|name| *name != before.name) {
            self.admit_volume_name(before.svm, name)?;
        }
        let after = self.revised(&before, patch)?;
        self.admit_on_aggregate(&after, before.reserved())?;
        if after.shape() != before.shape() {
            let before = before.shape();
            self.change(DataPlaneChange::ReshapeTree { volume: id, before, after: after.shape() });
        }
        self.publish_junction(Some(&before), &after);
        let toggled = before.online != after.online;
        let renamed = before.name != after.name;
        let moved = before.aggregate != after.aggregate;
        let limited = before.features.quota != after.features.quota;
        self.volumes.insert(id, after);
        if renamed {
            self.rename_luns_of(id);
        }
        if limited {
            self.apply_quotas_to(id);
        }
        if moved {
            self.reoptimise_luns_of(id);
        }
        if toggled {
            self.mask_all_initiators_of(before.svm);
        }
        Ok(())
    }

    /// Deletes a volume, mounted and online as it may be, with the LUNs in it. It waits in the recovery
    /// queue, unless `force` lets it go for good.
    ///
    /// # Errors
    /// A [`Refusal`] for the SVM's root (917531), while it has clones (524615), while volumes are mounted
    /// below it, and while a LUN in it is mapped. That the array refuses the latter is known from its
    /// command line (`volume offline` without `-force`); the number and the words of the REST answer are
    /// not verified, so the generic "in use" (8) stands for it.
    pub fn delete_volume(&mut self, id: VolumeId, force: bool) -> Result<(), Refusal> {
        let mut volume = self.volumes.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        if volume.is_svm_root {
            return Err(Refusal::conflict(
                917_531,
                format!("Volume \"{}\" is the root volume of its SVM and cannot be deleted", volume.name),
            ));
        }
        if let Some(clone) = self.clones_of(id).first() {
            let message = format!(
                "Failed to delete volume \"{}\" because it has one or more clones: \"{}\"",
                volume.name, clone.name
            );
            return Err(Refusal::conflict(524_615, message));
        }
        self.admit_unmount(&volume)?;
        let luns: Vec<Lun> = self.luns.tagged(&LunTag::In(id)).cloned().collect();
        if luns.iter().any(|lun| self.lun_maps.count(&MapTag::Of(lun.id)) > 0) {
            return Err(Refusal::conflict(
                8,
                format!("Volume \"{}\" contains mapped LUNs: unmap them before the deletion", volume.name),
            ));
        }
        for lun in &luns {
            self.luns.remove(&lun.id);
        }
        if let Some(path) = volume.junction.take() {
            self.change(DataPlaneChange::Unexport { svm: volume.svm, path });
        }
        self.volumes.remove(&id);
        self.leave_consistency_group(id);
        self.forget_quota_rules(id);
        if force {
            self.release(&volume, luns);
        } else {
            self.enqueue_deleted(volume, luns);
        }
        Ok(())
    }

    pub(super) fn publish_junction(&mut self, before: Option<&Volume>, after: &Volume) {
        let shown = |volume: &Volume| (volume.policy, volume.kind);
        let was = before.and_then(|volume| volume.junction.as_ref().map(|path| (path, shown(volume))));
        let is = after.junction.as_ref().map(|path| (path, shown(after)));
        if was == is {
            return;
        }
        if let Some((path, _)) = was
            && after.junction.as_ref() != Some(path)
        {
            self.change(DataPlaneChange::Unexport { svm: after.svm, path: path.clone() });
        }
        if let Some(export) = self.export_of(after) {
            self.change(export);
        }
    }
}
