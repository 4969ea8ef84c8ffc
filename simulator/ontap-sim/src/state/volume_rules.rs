//! What a volume may be, and what may become of it.

use super::snapshot::SnapshotTag;
use super::volume::{
    Kind, MAXIMUM_SIZE, MINIMUM_CONSTITUENT, MINIMUM_SIZE, Style, TIERING, Volume, VolumePatch, VolumeTag,
};
use super::{Cluster, Refusal, SvmId};

impl Cluster {
    /// The volume as it would be, or why not.
    pub(super) fn revised(&self, before: &Volume, patch: VolumePatch) -> Result<Volume, Refusal> {
        let mut after = before.clone();
        if let Some(size) = patch.size {
            admit_size(size, &before.style)?;
            after.size = size;
        }
        if let Some(percent) = patch.snapshot_reserve {
            if percent > 90 {
                return Err(Refusal::invalid("space.snapshot.reserve_percent", &percent.to_string()));
            }
            after.snapshot_reserve = percent;
        }
        let by_name = patch.policy.is_some();
        if let Some(name) = patch.policy {
            let policy = self.find_policy_named(before.svm, &name).ok_or_else(|| policy_missing(&name))?;
            after.policy = policy.id;
        }
        if let Some(id) = patch.policy_id.filter(|_| !by_name).filter(|id| *id != before.policy) {
            let known = self.policies.get(&id).filter(|policy| policy.svm == before.svm);
            after.policy = known.ok_or_else(|| policy_missing(&id.to_string()))?.id;
        }
        if let Some(name) = patch.snapshot_policy {
            if self.find_snapshot_policy(before.svm, &name).is_none() {
                let message = format!("The snapshot policy \"{name}\" does not exist");
                return Err(Refusal::missing(917_551, message).about("snapshot_policy.name").when_executed());
            }
            after.snapshot_policy = name;
        }
        if let Some(path) = patch.junction {
            let blank =
                before.kind == Kind::DataProtection && self.snapshots.count(&SnapshotTag::Of(before.id)) == 0;
            if blank && !path.is_empty() {
                let message = format!(
                    "Volume \"{}\" cannot be mounted: it is the destination of a SnapMirror relationship that is \
                     not initialized",
                    before.name
                );
                return Err(Refusal::conflict(917_536, message).about("nas.path"));
            }
            after.junction = self.admit_junction(before, path)?;
        }
        if let Some(destination) = patch.destination.filter(|aggregate| *aggregate != before.aggregate) {
            if before.style != Style::FlexVol {
                let message = "A FlexGroup does not move as a whole";
                return Err(Refusal::request(3, message).about("movement.destination_aggregate"));
            }
            after.aggregate = destination;
            after.moved_to = Some(destination);
        }
        if let Some(tiering) = patch.tiering {
            if !TIERING.contains(&tiering.as_str()) {
                return Err(Refusal::invalid("tiering.policy", &tiering));
            }
            after.tiering = tiering;
        }
        after.features = self.revised_features(before.svm, &before.features, patch.features)?;
        if let Some(online) = patch.online {
            if !online && before.is_svm_root {
                return Err(Refusal::conflict(917_531, "The root volume of an SVM stays online"));
            }
            after.online = online;
        }
        if !after.online {
            // "Taking a volume offline removes its junction path" (API reference of PATCH /storage/volumes).
            after.junction = None;
        }
        if before.junction.is_some() && after.junction != before.junction {
            self.admit_unmount(before)?;
        }
        if after.size < before.size || after.snapshot_reserve > before.snapshot_reserve {
            self.admit_shrink(&after)?;
        }
        after.name = patch.name.unwrap_or(after.name);
        after.comment = patch.comment.unwrap_or(after.comment);
        after.security_style = patch.security_style.unwrap_or(after.security_style);
        after.mode = patch.mode.unwrap_or(after.mode);
        after.uid = patch.uid.unwrap_or(after.uid);
        after.gid = patch.gid.unwrap_or(after.gid);
        after.snapshot_directory = patch.snapshot_directory.unwrap_or(after.snapshot_directory);
        after.guarantee = patch.guarantee.unwrap_or(after.guarantee);
        after.encrypted = patch.encrypted.unwrap_or(after.encrypted);
        Ok(after)
    }

    /// Whether what the volume holds, as last told, fits into what it would be.
    pub(super) fn admit_shrink(&self, after: &Volume) -> Result<(), Refusal> {
        let reserve = after.size.saturating_sub(after.capacity());
        let snapshots = self.used_by_snapshots(after.id).saturating_sub(reserve);
        if self.used_by_volume(after.id).saturating_add(snapshots) <= after.capacity() {
            return Ok(());
        }
        let message = format!(
            "Unable to set volume attribute \"size\" for volume \"{}\" on SVM \"{}\". Reason: Selected volume \
             size is too small to hold the current volume data.",
            after.name,
            self.svm_name(after.svm)
        );
        Err(Refusal::conflict(2, message).about("size"))
    }

    /// A volume stays mounted while others are mounted below it. The number is not verified against an
    /// array, so the generic "in use" (8) stands for it.
    pub(super) fn admit_unmount(&self, volume: &Volume) -> Result<(), Refusal> {
        let Some(path) = &volume.junction else { return Ok(()) };
        let Some(other) = self.volumes.find(&VolumeTag::Below(volume.svm, path.clone())) else {
            return Ok(());
        };
        let message = format!(
            "Volume \"{}\" cannot be unmounted while volume \"{}\" is mounted below it",
            volume.name, other.name
        );
        Err(Refusal::conflict(8, message).about("nas.path"))
    }

    pub(super) fn admit_volume_name(&self, svm: SvmId, name: &str) -> Result<(), Refusal> {
        let shaped = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.len() <= 203
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if self.find_volume_named(svm, name).is_some() {
            let message = format!("Volume \"{name}\" already exists in SVM \"{}\"", self.svm_name(svm));
            return Err(Refusal::conflict(917_526, message).about("name"));
        }
        Ok(())
    }

    /// Whether the aggregate has room for what the volume reserves; `held` it has already. The
    /// number is not verified against an array.
    pub(super) fn admit_on_aggregate(&self, volume: &Volume, held: u64) -> Result<(), Refusal> {
        let aggregate = self.find_aggregate(volume.aggregate).ok_or_else(Refusal::no_entry)?;
        let others = self.reserved_on(aggregate.id).saturating_sub(held);
        let free = aggregate.size.saturating_sub(others);
        if volume.reserved() > held && volume.reserved() > free {
            // Clients look for "not enough space in aggregate".
            let message = format!(
                "Request to create or grow volume \"{}\" failed because there is not enough space in aggregate \
                 \"{}\": {} bytes wanted and {free} bytes free",
                volume.name,
                aggregate.name,
                volume.reserved()
            );
            return Err(Refusal::conflict(460_770, message));
        }
        Ok(())
    }

    pub(super) fn admit_junction(&self, volume: &Volume, path: String) -> Result<Option<String>, Refusal> {
        if path.is_empty() {
            return Ok(None);
        }
        let bad = |why: &str| {
            let message = format!("The junction path \"{path}\" is invalid: {why}");
            Refusal::request(918_252, message).about("nas.path").when_executed()
        };
        let shaped = path.starts_with('/')
            && path.len() > 1
            && path.len() <= 255
            && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..");
        if !shaped {
            return Err(bad("it must be absolute with no empty component"));
        }
        let stands_at = |path: &str| {
            let mut there = self.volumes.tagged(&VolumeTag::At(volume.svm, path.to_owned()));
            there.any(|other| other.id != volume.id)
        };
        if stands_at(&path) {
            return Err(bad("another volume is mounted there"));
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if parent.is_empty() || stands_at(parent) {
            Ok(Some(path))
        } else {
            Err(bad("its parent is not a junction"))
        }
    }
}

pub(super) fn admit_size(size: u64, style: &Style) -> Result<(), Refusal> {
    if let Style::FlexGroup(constituents) = style {
        let number = constituents.len() as u64;
        let minimum = MINIMUM_CONSTITUENT.saturating_mul(number);
        if size < minimum {
            let message = format!(
                "The FlexGroup size is too small: {number} constituents need at least {minimum} bytes"
            );
            return Err(Refusal::request(917_534, message).about("size").when_executed());
        }
        return Ok(());
    }
    // The generic "invalid value": the specific numbers are not verified against an array.
    if size < MINIMUM_SIZE {
        return Err(Refusal::request(2, "Volume size is too small: the minimum is 20MB").about("size"));
    }
    if size > MAXIMUM_SIZE {
        return Err(Refusal::request(2, "Volume size is too large: the maximum is 300TB").about("size"));
    }
    Ok(())
}

pub(super) fn policy_missing(name: &str) -> Refusal {
    Refusal::missing(1_703_954, format!("Export policy \"{name}\" does not exist"))
        .about("nas.export_policy.name")
        .when_executed()
}
