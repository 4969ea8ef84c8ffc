//! Snapshots of volumes: taken of files and LUNs at one instant, renamed, deleted, restored.

use jiff::Timestamp;
use records::Row;

use serde::{Deserialize, Serialize};

use super::lun::{Lun, LunTag};
use super::qtree::Qtree;
use super::{Cluster, DataPlaneChange, Refusal, SnapshotId, SvmId, VolumeId};

/// Snapshots a volume may have (ONTAP 9.4 and later).
const MAXIMUM: usize = 1023;

/// A volume as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its identifier.
    pub id: SnapshotId,
    /// The volume it was taken of.
    pub volume: VolumeId,
    /// Its name, unique in the volume.
    pub name: String,
    /// When it was taken.
    pub created: Timestamp,
    /// Free text.
    pub comment: String,
    /// What SnapMirror policies select it by.
    pub label: String,
    /// Before when policies do not delete it.
    pub expiry: Option<Timestamp>,
    /// The LUNs that were in the volume, as they were.
    pub luns: Vec<Lun>,
    /// The qtrees that were in the volume.
    pub qtrees: Vec<Qtree>,
}

/// What a snapshot is found under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotTag {
    /// Its name in its volume.
    Named(VolumeId, String),
    /// Its volume.
    Of(VolumeId),
}

impl Row for Snapshot {
    type Tag = SnapshotTag;

    fn tags(&self) -> Vec<SnapshotTag> {
        vec![SnapshotTag::Named(self.volume, self.name.clone()), SnapshotTag::Of(self.volume)]
    }
}

/// A new snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotSpec {
    /// The volume.
    pub volume: VolumeId,
    /// Name.
    pub name: String,
    /// Free text.
    pub comment: String,
    /// SnapMirror label.
    pub label: String,
    /// Expiry.
    pub expiry: Option<Timestamp>,
}

/// A change of a snapshot. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct SnapshotPatch {
    /// New name.
    pub name: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// SnapMirror label.
    pub label: Option<String>,
    /// Expiry.
    pub expiry: Option<Timestamp>,
}

impl Cluster {
    /// The snapshots of a volume, oldest first: identifiers ascend.
    pub fn snapshots_of(&self, volume: VolumeId) -> Vec<&Snapshot> {
        self.snapshots.tagged(&SnapshotTag::Of(volume)).collect()
    }

    /// The snapshot of this name in a volume.
    pub fn find_snapshot_named(&self, volume: VolumeId, name: &str) -> Option<&Snapshot> {
        self.snapshots.find(&SnapshotTag::Named(volume, name.to_owned()))
    }

    /// The snapshot that `name` must name.
    ///
    /// # Errors
    /// A [`Refusal`] (1638600, from the API reference's table of the deletion).
    pub fn require_snapshot_named(&self, volume: VolumeId, name: &str) -> Result<&Snapshot, Refusal> {
        self.find_snapshot_named(volume, name)
            .ok_or_else(|| Refusal::missing(1_638_600, format!("Snapshot \"{name}\" does not exist.")))
    }

    /// Takes a snapshot of a volume's files and LUNs, all at one instant.
    ///
    /// # Errors
    /// A [`Refusal`]: a copy (1638461), no name (1638518), name taken (525059), volume offline (1638522) or no room for one
    /// more (1638530). Numbers from the API reference's tables.
    pub fn create_snapshot(&mut self, spec: SnapshotSpec) -> Result<SnapshotId, Refusal> {
        let volume = self.volumes.get(&spec.volume).ok_or_else(Refusal::no_entry)?;
        if !volume.online {
            let message =
                format!("Snapshots can only be created on online volumes: \"{}\" is not", volume.name);
            return Err(Refusal::conflict(1_638_522, message));
        }
        volume.admit_write(1_638_461)?;
        self.admit_snapshot_name(spec.volume, &spec.name)?;
        if self.snapshots.count(&SnapshotTag::Of(spec.volume)) >= MAXIMUM {
            let message = format!("Volume \"{}\" has {MAXIMUM} snapshots already", volume.name);
            return Err(Refusal::conflict(1_638_530, message));
        }
        let luns: Vec<Lun> = self.luns.tagged(&LunTag::In(spec.volume)).cloned().collect();
        let snapshot = Snapshot {
            id: SnapshotId(self.mint.edit().uuid()),
            volume: spec.volume,
            name: spec.name,
            created: self.now,
            comment: spec.comment,
            label: spec.label,
            expiry: spec.expiry,
            luns,
            qtrees: self.qtrees_of(spec.volume).into_iter().cloned().collect(),
        };
        let id = snapshot.id;
        self.change(DataPlaneChange::TakeSnapshot {
            volume: snapshot.volume,
            snapshot: id,
            name: snapshot.name.clone(),
            luns: snapshot.luns.iter().map(|lun| lun.id).collect(),
        });
        self.snapshots.insert(id, snapshot);
        Ok(id)
    }

    /// Changes a snapshot; all of it or nothing.
    ///
    /// # Errors
    /// A [`Refusal`] for a name that is none or taken.
    pub fn modify_snapshot(&mut self, id: SnapshotId, patch: SnapshotPatch) -> Result<(), Refusal> {
        let mut after = self.snapshots.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        if let Some(name) = patch.name.filter(|name| *name != after.name) {
            self.admit_snapshot_name(after.volume, &name)?;
            let from = std::mem::replace(&mut after.name, name.clone());
            self.change(DataPlaneChange::RenameSnapshot { volume: after.volume, from, to: name });
        }
        after.comment = patch.comment.unwrap_or(after.comment);
        after.label = patch.label.unwrap_or(after.label);
        after.expiry = patch.expiry.or(after.expiry);
        self.snapshots.insert(id, after);
        Ok(())
    }

    /// Deletes a snapshot.
    ///
    /// # Errors
    /// A [`Refusal`] while a clone depends on it (1638555: clients then split the clone).
    pub fn delete_snapshot(&mut self, id: SnapshotId) -> Result<(), Refusal> {
        let snapshot = self.snapshots.get(&id).ok_or_else(Refusal::no_entry)?;
        self.admit_snapshot_loss(snapshot)?;
        self.drop_snapshot(id);
        Ok(())
    }

    /// Makes a volume what it was, under its clients. Snapshots taken since are gone, and so are LUNs
    /// made since, with their maps; LUNs deleted since are back.
    ///
    /// # Errors
    /// A [`Refusal`]: no such snapshot (1638600), volume offline (1638522), a clone depends on a later
    /// snapshot (1638555).
    pub fn restore_volume(&mut self, volume: VolumeId, name: &str) -> Result<(), Refusal> {
        let present = self.volumes.get(&volume).ok_or_else(Refusal::no_entry)?;
        let (svm, volume_name) = (present.svm, present.name.clone());
        if !present.online {
            let message = format!("Volume \"{volume_name}\" is offline");
            return Err(Refusal::conflict(1_638_522, message));
        }
        let target = self.require_snapshot_named(volume, name).map_err(Refusal::when_executed)?.clone();
        let later: Vec<_> = {
            let all = self.snapshots_of(volume);
            let place = all.iter().position(|snapshot| snapshot.id == target.id).unwrap_or(0);
            all.into_iter().skip(place.saturating_add(1)).cloned().collect()
        };
        for snapshot in &later {
            self.admit_snapshot_loss(snapshot)?;
        }
        let restored: Vec<_> = target.luns.iter().map(|lun| lun.id).collect();
        let made_since: Vec<_> = self
            .luns
            .tagged(&LunTag::In(volume))
            .filter(|lun| !restored.contains(&lun.id))
            .map(|lun| lun.id)
            .collect();
        for lun in made_since {
            self.delete_lun(lun, true)?;
        }
        for snapshot in later {
            self.drop_snapshot(snapshot.id);
        }
        self.change(DataPlaneChange::RestoreTree { volume, name: target.name });
        self.put_qtrees(volume, target.qtrees);
        self.apply_quotas_to(volume);
        let optimised =
            self.volumes.get(&volume).and_then(|volume| self.owner_of(volume)).map(|node| node.id);
        for mut lun in target.luns {
            lun.path = path_in(&volume_name, &lun.path);
            lun.volume = volume;
            if let Some(optimised) = optimised {
                self.change(DataPlaneChange::RestoreLun {
                    svm,
                    lun: lun.id,
                    snapshot: target.id,
                    serial: lun.serial,
                    unmap: lun.unmap,
                    optimised,
                });
            }
            self.luns.insert(lun.id, lun);
        }
        self.mask_all_initiators_of(svm);
        Ok(())
    }

    /// The LUN that a path below `.snapshot` names, `/vol/<volume>/.snapshot/<snapshot>/<name>`, and its
    /// snapshot.
    pub(super) fn find_lun_in_snapshot(&self, svm: SvmId, path: &str) -> Option<(&Lun, SnapshotId)> {
        let (volume, below) = path.strip_prefix("/vol/")?.split_once("/.snapshot/")?;
        let (snapshot, unit) = below.split_once('/')?;
        let volume = self.find_volume_named(svm, volume)?;
        let snapshot = self.find_snapshot_named(volume.id, snapshot)?;
        let unit = format!("/{unit}");
        let within =
            |lun: &&Lun| lun.path.splitn(4, '/').nth(3).is_some_and(|rest| unit.get(1..) == Some(rest));
        snapshot.luns.iter().find(within).map(|lun| (lun, snapshot.id))
    }

    /// Forgets every snapshot of a volume that goes.
    pub(super) fn drop_snapshots_of(&mut self, volume: VolumeId) {
        let all: Vec<_> = self.snapshots_of(volume).into_iter().map(|snapshot| snapshot.id).collect();
        for id in all {
            self.drop_snapshot(id);
        }
    }

    fn drop_snapshot(&mut self, id: SnapshotId) {
        let Some(snapshot) = self.snapshots.remove(&id) else { return };
        self.change(DataPlaneChange::DropSnapshot {
            volume: snapshot.volume,
            snapshot: id,
            name: snapshot.name,
            luns: snapshot.luns.iter().map(|lun| lun.id).collect(),
        });
    }

    pub(super) fn admit_snapshot_loss(&self, snapshot: &Snapshot) -> Result<(), Refusal> {
        let Some(clone) = self
            .clones_of(snapshot.volume)
            .into_iter()
            .find(|clone| clone.origin.as_ref().is_some_and(|origin| origin.snapshot == snapshot.id))
        else {
            return Ok(());
        };
        let message = format!(
            "Snapshot \"{}\" has not expired or is locked: volume \"{}\" is a clone of it",
            snapshot.name, clone.name
        );
        Err(Refusal::conflict(1_638_555, message))
    }

    fn admit_snapshot_name(&self, volume: VolumeId, name: &str) -> Result<(), Refusal> {
        let shaped = !name.is_empty()
            && name.len() <= 255
            && !name.starts_with('.')
            && !name.contains(['/', '"', '*', '?', '|', ','])
            && !name.chars().any(char::is_control);
        if !shaped {
            let message = format!("The specified snapshot name is invalid: \"{name}\"");
            return Err(Refusal::request(1_638_518, message).about("name"));
        }
        if self.find_snapshot_named(volume, name).is_some() {
            let volume = self.volumes.get(&volume).map_or("", |volume| volume.name.as_str());
            let message = format!("Snapshot \"{name}\" already exists on volume \"{volume}\".");
            return Err(Refusal::conflict(525_059, message).about("name"));
        }
        Ok(())
    }
}

/// The path of a LUN once its volume is called `volume`.
pub(super) fn path_in(volume: &str, path: &str) -> String {
    let within = path.splitn(4, '/').nth(3).unwrap_or_default();
    format!("/vol/{volume}/{within}")
}
