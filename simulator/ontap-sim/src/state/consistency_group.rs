//! Consistency groups: volumes whose snapshots are taken together, at one instant.

use std::collections::BTreeSet;

use jiff::Timestamp;
use records::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::snapshot::SnapshotSpec;
use super::volume::VolumeSpec;
use super::{Cluster, Refusal, SnapshotId, SvmId, VolumeId};

/// Volumes a group may have (API reference, `volumes`).
const MOST_VOLUMES: usize = 80;

/// A consistency group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsistencyGroup {
    /// Its identifier.
    pub id: Uuid,
    /// The SVM it belongs to.
    pub svm: SvmId,
    /// Its name, unique in the SVM.
    pub name: String,
    /// Its volumes, in the order in which they came.
    pub volumes: Vec<VolumeId>,
}

/// Found under its SVM and name.
impl Row for ConsistencyGroup {
    type Tag = (SvmId, String);

    fn tags(&self) -> Vec<Self::Tag> {
        vec![(self.svm, self.name.clone())]
    }
}

/// A snapshot of a group: one of each of its volumes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSnapshot {
    /// Its identifier.
    pub id: Uuid,
    /// The group.
    pub group: Uuid,
    /// Its name; the snapshots of the volumes have it too.
    pub name: String,
    /// Free text.
    pub comment: String,
    /// SnapMirror label.
    pub label: String,
    /// `crash` or `application`: what the client says that it is.
    pub consistency: String,
    /// When it was taken.
    pub created: Timestamp,
    /// The volumes and their snapshots.
    pub members: Vec<(VolumeId, SnapshotId)>,
}

/// Found under its group.
impl Row for GroupSnapshot {
    type Tag = Uuid;

    fn tags(&self) -> Vec<Uuid> {
        vec![self.group]
    }
}

/// A volume that comes into a group.
#[derive(Debug, Clone)]
pub enum Member {
    /// One that is there.
    There(VolumeId),
    /// One that is made for it.
    New(Box<VolumeSpec>),
}

/// A change of a group. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct GroupPatch {
    /// New name.
    pub name: Option<String>,
    /// Volumes that come.
    pub added: Vec<Member>,
    /// Volumes that go; they stay what they are.
    pub removed: Vec<VolumeId>,
}

/// A new snapshot of a group.
#[derive(Debug, Clone)]
pub struct GroupSnapshotSpec {
    /// The group.
    pub group: Uuid,
    /// Name.
    pub name: String,
    /// Free text.
    pub comment: String,
    /// SnapMirror label.
    pub label: String,
    /// `crash` or `application`.
    pub consistency: String,
}

fn missing() -> Refusal {
    Refusal::missing(53_411_842, "Consistency group does not exist.")
}

impl Cluster {
    /// Makes a group of volumes that are there, of new ones, or of both.
    ///
    /// # Errors
    /// A [`Refusal`]: name bad or taken (53411860), no volume, one of another SVM or of another group
    /// (53411865), too many; what a new volume is refused for. Numbers from the contract of the clients.
    pub fn create_consistency_group(
        &mut self,
        svm: SvmId,
        name: &str,
        members: Vec<Member>,
    ) -> Result<Uuid, Refusal> {
        self.admit_group_name(svm, name)?;
        if members.is_empty() {
            return Err(Refusal::required("volumes"));
        }
        let id = self.mint.edit().uuid();
        let volumes = self.admit_members(svm, &[], members)?;
        self.consistency_groups.insert(id, ConsistencyGroup { id, svm, name: name.to_owned(), volumes });
        Ok(id)
    }

    /// Changes a group; all of it or nothing.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_consistency_group`]; a volume to be removed that is not in it
    /// (53411861).
    pub fn modify_consistency_group(&mut self, id: Uuid, patch: GroupPatch) -> Result<(), Refusal> {
        let mut group = self.consistency_groups.get(&id).ok_or_else(missing)?.clone();
        if let Some(name) = patch.name.filter(|name| *name != group.name) {
            self.admit_group_name(group.svm, &name)?;
            group.name = name;
        }
        for volume in patch.removed {
            let Some(place) = group.volumes.iter().position(|own| *own == volume) else {
                let message = "The volume is not in the consistency group";
                return Err(Refusal::request(53_411_861, message).about("volumes"));
            };
            group.volumes.remove(place);
        }
        let added = self.admit_members(group.svm, &group.volumes, patch.added)?;
        group.volumes.extend(added);
        self.consistency_groups.insert(id, group);
        Ok(())
    }

    /// Dissolves a group. Its volumes and their snapshots stay.
    ///
    /// # Errors
    /// A [`Refusal`] (53411842) when it is not there.
    pub fn delete_consistency_group(&mut self, id: Uuid) -> Result<(), Refusal> {
        self.consistency_groups.remove(&id).ok_or_else(missing)?;
        let snapshots: Vec<_> = self.group_snapshots.tagged(&id).map(|snapshot| snapshot.id).collect();
        snapshots.iter().for_each(|snapshot| drop(self.group_snapshots.remove(snapshot)));
        Ok(())
    }

    /// Takes a snapshot of each volume of a group, all at one instant; all or none.
    ///
    /// # Errors
    /// A [`Refusal`]: no group (53411842), one of its volumes has such a snapshot already (53411921), or is
    /// offline.
    pub fn create_group_snapshot(&mut self, spec: GroupSnapshotSpec) -> Result<Uuid, Refusal> {
        let volumes = self.consistency_groups.get(&spec.group).ok_or_else(missing)?.volumes.clone();
        let own = self.group_snapshots.tagged(&spec.group).any(|other| other.name == spec.name);
        let taken = |volume: &VolumeId| self.find_snapshot_named(*volume, &spec.name).is_some();
        if own || volumes.iter().any(taken) {
            let message =
                format!("A snapshot with the name \"{}\" exists in the consistency group", spec.name);
            return Err(Refusal::conflict(53_411_921, message).about("name"));
        }
        let id = self.mint.edit().uuid();
        let mut members = Vec::with_capacity(volumes.len());
        for volume in volumes {
            let member = SnapshotSpec {
                volume,
                name: spec.name.clone(),
                comment: spec.comment.clone(),
                label: spec.label.clone(),
                expiry: None,
            };
            members.push((volume, self.create_snapshot(member)?));
        }
        let GroupSnapshotSpec { group, name, comment, label, consistency } = spec;
        let created = self.now;
        let snapshot = GroupSnapshot { id, group, name, comment, label, consistency, created, members };
        self.group_snapshots.insert(id, snapshot);
        Ok(id)
    }

    /// The snapshots of volumes that a group's snapshot still has.
    pub fn members_of(&self, snapshot: &GroupSnapshot) -> Vec<(VolumeId, SnapshotId)> {
        snapshot.members.iter().filter(|(_, member)| self.snapshots.contains_key(member)).copied().collect()
    }

    /// Deletes a snapshot of a group, with those of its volumes; all or none.
    ///
    /// # Errors
    /// A [`Refusal`]: not there, or what a volume's snapshot is refused for.
    pub fn delete_group_snapshot(&mut self, id: Uuid) -> Result<(), Refusal> {
        let snapshot = self.group_snapshots.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        for (_, member) in self.members_of(&snapshot) {
            self.delete_snapshot(member)?;
        }
        self.group_snapshots.remove(&id);
        Ok(())
    }

    /// Makes every volume of a group what it was.
    ///
    /// # Errors
    /// A [`Refusal`]: no such snapshot (53411842 for the group); what a volume's restore is refused for.
    pub fn restore_consistency_group(&mut self, id: Uuid, snapshot: &str) -> Result<(), Refusal> {
        self.consistency_groups.get(&id).ok_or_else(missing)?;
        let named = |other: &&GroupSnapshot| other.name == snapshot || other.id.to_string() == snapshot;
        let found = self.group_snapshots.tagged(&id).find(named).cloned();
        let found = found.ok_or_else(|| {
            Refusal::missing(4, format!("Snapshot \"{snapshot}\" does not exist"))
                .about("restore_to.snapshot")
        })?;
        for (volume, member) in self.members_of(&found) {
            // A member may have got another name since.
            let name = self.snapshots.get(&member).map(|snapshot| snapshot.name.clone());
            self.restore_volume(volume, &name.unwrap_or_default())?;
        }
        Ok(())
    }

    /// A volume is gone: so it is from its group.
    pub(super) fn leave_consistency_group(&mut self, volume: VolumeId) {
        self.consistency_groups.edit_where(
            |group| group.volumes.contains(&volume),
            |group| group.volumes.retain(|own| *own != volume),
        );
    }

    pub(super) fn forget_consistency_groups_of(&mut self, svm: SvmId) {
        let owned = self.consistency_groups.values().filter(|group| group.svm == svm);
        for id in owned.map(|group| group.id).collect::<Vec<_>>() {
            // It is there: nothing refuses.
            drop(self.delete_consistency_group(id));
        }
    }

    fn admit_group_name(&self, svm: SvmId, name: &str) -> Result<(), Refusal> {
        let shaped = !name.is_empty()
            && name.len() <= 128
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if self.consistency_groups.find(&(svm, name.to_owned())).is_some() {
            let message = format!("An object with the name \"{name}\" exists in the same scope");
            return Err(Refusal::conflict(53_411_860, message).about("name"));
        }
        Ok(())
    }

    /// The volumes that are to come into a group of the SVM, the new ones made.
    fn admit_members(
        &mut self,
        svm: SvmId,
        present: &[VolumeId],
        members: Vec<Member>,
    ) -> Result<Vec<VolumeId>, Refusal> {
        let mut taken: BTreeSet<_> =
            self.consistency_groups.values().flat_map(|group| group.volumes.iter().copied()).collect();
        let mut admitted = Vec::with_capacity(members.len());
        for member in members {
            let volume = match member {
                Member::There(volume) => volume,
                Member::New(spec) => self.create_volume(*spec)?,
            };
            if self.volumes.get(&volume).is_none_or(|found| found.svm != svm) {
                return Err(Refusal::no_entry().about("volumes"));
            }
            if !taken.insert(volume) {
                let message = "A volume of one consistency group cannot be added to another one";
                return Err(Refusal::conflict(53_411_865, message).about("volumes"));
            }
            admitted.push(volume);
        }
        if present.len().saturating_add(admitted.len()) > MOST_VOLUMES {
            let message = format!("A consistency group has at most {MOST_VOLUMES} volumes");
            return Err(Refusal::request(3, message).about("volumes"));
        }
        Ok(admitted)
    }
}
