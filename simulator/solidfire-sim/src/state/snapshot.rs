//! Snapshots of volumes, alone and in groups.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::account::require_small;
use super::limits::{SNAPSHOT_NAME_LENGTH, SNAPSHOTS_PER_VOLUME_MAX, VOLUMES_PER_GROUP_SNAPSHOT_MAX};
use super::machine::State;
use super::{ApiError, ContentId, DataPlaneChange, GroupId, Kept, Reply, SnapshotId, Source, VolumeId};

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its number.
    pub id: SnapshotId,
    /// Its UUID.
    pub uuid: Uuid,
    /// The volume it shows.
    pub volume: VolumeId,
    /// Its name; several may share one.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Bytes of the volume at that time.
    pub size: u64,
    /// The content it is kept of: what the volume held then.
    pub content: ContentId,
    /// Whether a paired cluster is to get it.
    pub replicate: bool,
    /// When the cluster deletes it by itself.
    pub expires: Option<Timestamp>,
    /// The group it belongs to.
    pub group: Option<(GroupId, Uuid)>,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

impl Snapshot {
    /// Where it is kept.
    pub(super) fn kept(&self) -> Kept {
        Kept { content: self.content, snapshot: self.id }
    }
}

/// Found under its volume too.
impl records::Row for Snapshot {
    type Tag = VolumeId;

    fn tags(&self) -> Vec<VolumeId> {
        vec![self.volume]
    }
}

records::untagged!(Group);

/// A group snapshot: snapshots of several volumes, made together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

/// A group snapshot and its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    /// The group.
    pub group: Group,
    /// Its snapshots, ascending.
    pub members: Vec<Snapshot>,
}

/// When a snapshot is to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expiry {
    /// When somebody deletes it.
    #[default]
    Never,
    /// So long after it was made.
    After(SignedDuration),
    /// Then.
    At(Timestamp),
}

impl Expiry {
    fn from(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::After(span) => Some(now.saturating_add(span).unwrap_or(Timestamp::MAX)),
            Self::At(at) => Some(at),
        }
    }
}

/// What a new snapshot, or the snapshots of a new group, are like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewSnapshot {
    /// Name; the time when there is none.
    pub name: Option<String>,
    /// Whether a paired cluster is to get it.
    pub replicate: bool,
    /// When it is to go.
    pub expiry: Expiry,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

/// Changes of a snapshot or of all of a group; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotPatch {
    /// A new name.
    pub name: Option<String>,
    /// Whether a paired cluster is to get it.
    pub replicate: Option<bool>,
    /// When it is to go.
    pub expiry: Option<Expiry>,
}

/// What a client may ask about snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRequest {
    /// `CreateSnapshot`, of a volume or of one of its snapshots.
    Create {
        /// The volume.
        volume: VolumeId,
        /// A snapshot of it to be copied.
        source: Option<SnapshotId>,
        /// What it is like.
        new: NewSnapshot,
    },
    /// `ListSnapshots`, of a volume or of all, or only one.
    List {
        /// The volume.
        volume: Option<VolumeId>,
        /// The one.
        only: Option<SnapshotId>,
    },
    /// `ModifySnapshot`.
    Modify(SnapshotId, SnapshotPatch),
    /// `DeleteSnapshot`.
    Delete(SnapshotId),
    /// `RollbackToSnapshot`.
    RollBack {
        /// The volume.
        volume: VolumeId,
        /// What it becomes again.
        to: SnapshotId,
        /// A snapshot of what it was until now.
        save: Option<NewSnapshot>,
    },
    /// `CreateGroupSnapshot`.
    CreateGroup(Vec<VolumeId>, NewSnapshot),
    /// `ListGroupSnapshots`, of these volumes or of all, or only one.
    ListGroups {
        /// The volumes.
        volumes: Option<Vec<VolumeId>>,
        /// The one.
        only: Option<GroupId>,
    },
    /// `ModifyGroupSnapshot`.
    ModifyGroup(GroupId, SnapshotPatch),
    /// `DeleteGroupSnapshot`; its members may stay.
    DeleteGroup {
        /// The group.
        id: GroupId,
        /// Whether its members stay, as snapshots of their volumes.
        save_members: bool,
    },
    /// `RollbackToGroupSnapshot`.
    RollBackGroup {
        /// What the volumes become again.
        to: GroupId,
        /// A group snapshot of what they were until now.
        save: Option<NewSnapshot>,
    },
}

impl State {
    pub(super) fn snapshots(
        &mut self,
        request: SnapshotRequest,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        match request {
            SnapshotRequest::Create { volume, source, new } => {
                if let Some(source) = source {
                    self.require_snapshot_of(volume, source)?;
                }
                self.require_room_for_snapshots(&[volume], &new)?;
                Ok(Reply::Snapshot(self.take_snapshot(volume, source, &new, None, now, changes)?))
            }
            SnapshotRequest::List { volume, only } => self.list_snapshots(volume, only),
            SnapshotRequest::Modify(id, patch) => {
                require_names(patch.name.as_deref())?;
                let mut snapshot = self.require_snapshot(id)?.clone();
                patch_snapshot(&mut snapshot, &patch, now);
                self.snapshots.insert(id, snapshot.clone());
                Ok(Reply::Snapshot(snapshot))
            }
            SnapshotRequest::Delete(id) => {
                self.require_snapshot(id)?;
                self.drop_snapshot(id, changes);
                Ok(Reply::Nothing)
            }
            SnapshotRequest::RollBack { volume, to, save } => {
                let source = Source::Snapshot(self.require_snapshot_of(volume, to)?.kept());
                if let Some(save) = &save {
                    self.require_room_for_snapshots(&[volume], save)?;
                }
                let take = |new| self.take_snapshot(volume, None, &new, None, now, changes);
                let saved = save.map(take).transpose()?;
                self.fill(volume, source, changes);
                Ok(Reply::RolledBack(saved))
            }
            SnapshotRequest::CreateGroup(volumes, new) => {
                Ok(Reply::Group(self.take_group(&volumes, &new, now, changes)?))
            }
            SnapshotRequest::ListGroups { volumes, only } => self.list_groups(volumes.as_deref(), only),
            SnapshotRequest::ModifyGroup(id, patch) => self.modify_group(id, &patch, now),
            SnapshotRequest::DeleteGroup { id, save_members } => self.delete_group(id, save_members, changes),
            SnapshotRequest::RollBackGroup { to, save } => self.roll_back_group(to, save, now, changes),
        }
    }

    /// The snapshot of this number.
    pub(super) fn require_snapshot(&self, id: SnapshotId) -> Result<&Snapshot, ApiError> {
        self.snapshots.get(&id).ok_or(ApiError::SnapshotIdDoesNotExist(id))
    }

    /// The snapshot of this number, if it shows the volume and the volume is there.
    pub(super) fn require_snapshot_of(
        &self,
        volume: VolumeId,
        id: SnapshotId,
    ) -> Result<&Snapshot, ApiError> {
        self.require_active(volume)?;
        self.require_snapshot(id).and_then(|snapshot| match snapshot.volume == volume {
            true => Ok(snapshot),
            false => Err(ApiError::SnapshotIdDoesNotExist(id)),
        })
    }

    fn snapshots_of(&self, volume: VolumeId) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.tagged(&volume)
    }

    /// Checks all that could refuse a snapshot of each of the volumes.
    fn require_room_for_snapshots(&self, volumes: &[VolumeId], new: &NewSnapshot) -> Result<(), ApiError> {
        require_names(new.name.as_deref())?;
        require_small(&new.attributes)?;
        for volume in volumes {
            self.require_active(*volume)?;
            if self.snapshots_of(*volume).count() >= SNAPSHOTS_PER_VOLUME_MAX {
                return Err(ApiError::MaxSnapshotsPerVolume(*volume));
            }
        }
        Ok(())
    }

    fn take_snapshot(
        &mut self,
        volume: VolumeId,
        source: Option<SnapshotId>,
        new: &NewSnapshot,
        group: Option<(GroupId, Uuid)>,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Snapshot, ApiError> {
        let (size, content, source) = match source {
            Some(source) => {
                let source = self.require_snapshot(source)?;
                let (size, kept) = (source.size, source.kept());
                // A copy is kept apart from what it was copied of, which may go first.
                (size, self.last.edit().content.advance(), Source::Snapshot(kept))
            }
            None => {
                let volume = self.require_active(volume)?;
                (volume.size, volume.content, Source::Content(volume.content))
            }
        };
        let snapshot = Snapshot {
            id: self.last.edit().snapshot.advance(),
            uuid: self.mint.edit().uuid(),
            volume,
            name: new.name.clone().unwrap_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            created_at: now,
            size,
            content,
            replicate: new.replicate,
            expires: new.expiry.from(now),
            group,
            attributes: new.attributes.clone(),
        };
        changes.push(DataPlaneChange::Keep { kept: snapshot.kept(), source });
        self.snapshots.insert(snapshot.id, snapshot.clone());
        Ok(snapshot)
    }

    /// A snapshot of one volume, if there is room for it.
    pub(super) fn take_one(
        &mut self,
        volume: VolumeId,
        new: &NewSnapshot,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<(), ApiError> {
        self.require_room_for_snapshots(&[volume], new)?;
        self.take_snapshot(volume, None, new, None, now, changes).map(drop)
    }

    fn list_snapshots(&self, volume: Option<VolumeId>, only: Option<SnapshotId>) -> Result<Reply, ApiError> {
        if let Some(volume) = volume {
            self.require_volume(volume)?;
        }
        if let Some(only) = only {
            self.require_snapshot(only)?;
        }
        let wanted = |snapshot: &&Snapshot| {
            volume.is_none_or(|volume| snapshot.volume == volume)
                && only.is_none_or(|only| snapshot.id == only)
        };
        Ok(Reply::Snapshots(self.snapshots.values().filter(wanted).cloned().collect()))
    }

    /// Takes a snapshot away, and its group with the last of its members.
    pub(super) fn drop_snapshot(&mut self, id: SnapshotId, changes: &mut Vec<DataPlaneChange>) {
        let Some(snapshot) = self.snapshots.remove(&id) else { return };
        changes.push(DataPlaneChange::Drop(snapshot.kept()));
        if let Some((group, _)) = snapshot.group
            && self.members(group).next().is_none()
        {
            self.groups.remove(&group);
        }
    }

    /// Takes away the snapshots of a volume that is no more.
    pub(super) fn drop_snapshots_of(&mut self, volume: VolumeId, changes: &mut Vec<DataPlaneChange>) {
        let ids: Vec<_> = self.snapshots_of(volume).map(|snapshot| snapshot.id).collect();
        ids.into_iter().for_each(|id| self.drop_snapshot(id, changes));
    }

    /// Takes away what has expired.
    pub(super) fn drop_expired(&mut self, now: Timestamp, changes: &mut Vec<DataPlaneChange>) {
        let over = |snapshot: &&Snapshot| snapshot.expires.is_some_and(|expires| expires <= now);
        let ids: Vec<_> = self.snapshots.values().filter(over).map(|snapshot| snapshot.id).collect();
        ids.into_iter().for_each(|id| self.drop_snapshot(id, changes));
    }

    // Groups.

    fn require_group(&self, id: GroupId) -> Result<&Group, ApiError> {
        self.groups.get(&id).ok_or(ApiError::GroupSnapshotIdDoesNotExist(id))
    }

    fn members(&self, group: GroupId) -> impl Iterator<Item = &Snapshot> {
        self.snapshots
            .values()
            .filter(move |snapshot| snapshot.group.is_some_and(|(member_of, _)| member_of == group))
    }

    fn group_record(&self, group: &Group) -> GroupRecord {
        GroupRecord { group: group.clone(), members: self.members(group.id).cloned().collect() }
    }

    pub(super) fn take_group(
        &mut self,
        volumes: &[VolumeId],
        new: &NewSnapshot,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<GroupRecord, ApiError> {
        let volumes: Vec<_> = volumes.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        if volumes.is_empty() {
            return Err(ApiError::MissingParameter { member: "volumes" });
        }
        if volumes.len() > VOLUMES_PER_GROUP_SNAPSHOT_MAX {
            let (what, maximum) = ("volumes per group snapshot", VOLUMES_PER_GROUP_SNAPSHOT_MAX);
            return Err(ApiError::ExceededLimit { what, maximum });
        }
        self.require_room_for_snapshots(&volumes, new)?;
        let group = Group {
            id: self.last.edit().group.advance(),
            uuid: self.mint.edit().uuid(),
            name: new.name.clone().unwrap_or_else(|| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            created_at: now,
            attributes: new.attributes.clone(),
        };
        for volume in volumes {
            self.take_snapshot(volume, None, new, Some((group.id, group.uuid)), now, changes)?;
        }
        self.groups.insert(group.id, group.clone());
        Ok(self.group_record(&group))
    }

    fn list_groups(&self, volumes: Option<&[VolumeId]>, only: Option<GroupId>) -> Result<Reply, ApiError> {
        for volume in volumes.unwrap_or_default() {
            self.require_volume(*volume)?;
        }
        if let Some(only) = only {
            self.require_group(only)?;
        }
        let records = self.groups.values().filter(|group| only.is_none_or(|only| group.id == only));
        let shows = |record: &GroupRecord| {
            let shown = |volumes: &[VolumeId]| record.members.iter().any(|m| volumes.contains(&m.volume));
            volumes.is_none_or(shown)
        };
        Ok(Reply::Groups(records.map(|group| self.group_record(group)).filter(shows).collect()))
    }

    fn modify_group(
        &mut self,
        id: GroupId,
        patch: &SnapshotPatch,
        now: Timestamp,
    ) -> Result<Reply, ApiError> {
        require_names(patch.name.as_deref())?;
        let mut group = self.require_group(id)?.clone();
        if let Some(name) = &patch.name {
            group.name.clone_from(name);
        }
        self.snapshots.edit_where(
            |snapshot| snapshot.group.is_some_and(|(member_of, _)| member_of == id),
            |snapshot| patch_snapshot(snapshot, patch, now),
        );
        self.groups.insert(id, group.clone());
        Ok(Reply::Group(self.group_record(&group)))
    }

    fn delete_group(
        &mut self,
        id: GroupId,
        save_members: bool,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        self.require_group(id)?;
        let members: Vec<_> = self.members(id).map(|snapshot| snapshot.id).collect();
        for member in members {
            if !save_members {
                self.drop_snapshot(member, changes);
            } else if let Some(mut snapshot) = self.snapshots.get_mut(&member) {
                snapshot.group = None;
            }
        }
        self.groups.remove(&id);
        Ok(Reply::Nothing)
    }

    fn roll_back_group(
        &mut self,
        to: GroupId,
        save: Option<NewSnapshot>,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        let record = self.group_record(self.require_group(to)?);
        let volumes: Vec<_> = record.members.iter().map(|member| member.volume).collect();
        for volume in &volumes {
            self.require_active(*volume)?;
        }
        let saved = save.map(|save| self.take_group(&volumes, &save, now, changes)).transpose()?;
        for member in &record.members {
            self.fill(member.volume, Source::Snapshot(member.kept()), changes);
        }
        Ok(Reply::GroupRolledBack(saved))
    }
}

fn patch_snapshot(snapshot: &mut Snapshot, patch: &SnapshotPatch, now: Timestamp) {
    if let Some(name) = &patch.name {
        snapshot.name.clone_from(name);
    }
    snapshot.replicate = patch.replicate.unwrap_or(snapshot.replicate);
    if let Some(expiry) = patch.expiry {
        snapshot.expires = expiry.from(now);
    }
}

fn require_names(name: Option<&str>) -> Result<(), ApiError> {
    match name {
        Some(name) if name.chars().count() > SNAPSHOT_NAME_LENGTH => Err(ApiError::InvalidParameter {
            reason: format!("name of a snapshot may have {SNAPSHOT_NAME_LENGTH} characters at most"),
        }),
        _ => Ok(()),
    }
}
