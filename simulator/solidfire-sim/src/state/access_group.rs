//! Volume access groups: initiators that reach volumes by their name instead of CHAP.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::account::require_small;
use super::limits::{ACCESS_GROUP_COUNT_MAX, ACCESS_GROUP_NAME_LENGTH, VOLUMES_PER_ACCESS_GROUP_MAX};
use super::machine::State;
use super::{
    AccessGroupId, ApiError, DataPlaneChange, Initiator, InitiatorId, InitiatorPatch, InitiatorRef, Reply,
    VolumeId,
};

/// A volume access group. Its initiators are those that name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessGroup {
    /// Its number.
    pub id: AccessGroupId,
    /// Its name; several may share one.
    pub name: String,
    /// Its volumes, deleted ones included, and the LUN each has for Fibre Channel; over iSCSI every
    /// volume is LUN 0 of a target of its own.
    pub volumes: BTreeMap<VolumeId, i64>,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

/// A group with its initiators, ascending, and which of its volumes are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessGroupRecord {
    /// The group.
    pub group: AccessGroup,
    /// Its initiators.
    pub initiators: Vec<Initiator>,
    /// Those of its volumes that wait for their purge.
    pub deleted: BTreeSet<VolumeId>,
}

/// Parameters of a group that is made or changed; what is absent stays, or is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessGroupPatch {
    /// Name.
    pub name: Option<String>,
    /// All its initiators.
    pub initiators: Option<Vec<InitiatorRef>>,
    /// All its volumes.
    pub volumes: Option<Vec<VolumeId>>,
    /// The client's own notes.
    pub attributes: Option<Map<String, Value>>,
}

/// What a client may ask about access groups and initiators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessRequest {
    /// `CreateVolumeAccessGroup`.
    Create(AccessGroupPatch),
    /// `ListVolumeAccessGroups`: from a number on, at most so many, or only these.
    List {
        /// From here on.
        start: Option<AccessGroupId>,
        /// At most so many.
        limit: Option<usize>,
        /// Only these.
        only: Option<Vec<AccessGroupId>>,
    },
    /// `ModifyVolumeAccessGroup`.
    Modify(AccessGroupId, AccessGroupPatch),
    /// `DeleteVolumeAccessGroup`; with `orphans` its initiators go too.
    Delete {
        /// The group.
        id: AccessGroupId,
        /// Whether initiators in no group go.
        orphans: bool,
    },
    /// `AddVolumesToVolumeAccessGroup`.
    AddVolumes(AccessGroupId, Vec<VolumeId>),
    /// `RemoveVolumesFromVolumeAccessGroup`.
    RemoveVolumes(AccessGroupId, Vec<VolumeId>),
    /// `AddInitiatorsToVolumeAccessGroup`.
    AddInitiators(AccessGroupId, Vec<InitiatorRef>),
    /// `RemoveInitiatorsFromVolumeAccessGroup`.
    RemoveInitiators {
        /// The group.
        id: AccessGroupId,
        /// Who.
        initiators: Vec<InitiatorRef>,
        /// Whether they are forgotten.
        orphans: bool,
    },
    /// `GetVolumeAccessGroupLunAssignments`.
    Luns(AccessGroupId),
    /// `ModifyVolumeAccessGroupLunAssignments`.
    SetLuns(AccessGroupId, Vec<(VolumeId, i64)>),
    /// `CreateInitiators`: all or none.
    CreateInitiators(Vec<(String, InitiatorPatch)>),
    /// `ListInitiators`.
    ListInitiators {
        /// From here on.
        start: Option<InitiatorId>,
        /// At most so many.
        limit: Option<usize>,
        /// Only these.
        only: Option<Vec<InitiatorId>>,
    },
    /// `ModifyInitiators`: all or none.
    ModifyInitiators(Vec<(InitiatorId, InitiatorPatch)>),
    /// `DeleteInitiators`: all or none.
    DeleteInitiators(Vec<InitiatorId>),
}

/// Groups and initiators: changed as a copy, which takes their place when nothing was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(super) groups: BTreeMap<AccessGroupId, AccessGroup>,
    pub(super) initiators: BTreeMap<InitiatorId, Initiator>,
    last_group: AccessGroupId,
    pub(super) last_initiator: InitiatorId,
}

impl State {
    pub(super) fn access_groups(
        &mut self,
        request: AccessRequest,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        let mut access = Access::clone(&self.access);
        let reply = self.change_access(&mut access, request)?;
        let affected = self.access.differs(&access);
        if access != *self.access {
            *self.access.edit() = access;
        }
        for id in affected {
            let (groups, names) = (self.groups_of(id), self.access.names_for(id));
            let Some(mut volume) = self.volumes.get_mut(&id) else { continue };
            volume.groups = groups;
            if names != volume.open_to {
                volume.open_to = names;
                drop(volume);
                changes.extend(self.publication(id));
            }
        }
        Ok(match reply {
            Outcome::Group(id) => Reply::AccessGroup(self.access_record(self.access.require(id)?)),
            Outcome::Groups(ids) => {
                let groups = ids.iter().filter_map(|id| self.access.groups.get(id));
                Reply::AccessGroups(groups.map(|group| self.access_record(group)).collect())
            }
            Outcome::Luns(id) => Reply::Luns(self.access_record(self.access.require(id)?)),
            Outcome::Initiators(ids) => Reply::Initiators(
                ids.iter().filter_map(|id| self.access.initiators.get(id)).cloned().collect(),
            ),
            Outcome::Nothing => Reply::Nothing,
        })
    }

    fn change_access(&self, access: &mut Access, request: AccessRequest) -> Result<Outcome, ApiError> {
        match request {
            AccessRequest::Create(patch) => {
                if access.groups.len() >= ACCESS_GROUP_COUNT_MAX {
                    return Err(exceeded("VolumeAccessGroups", ACCESS_GROUP_COUNT_MAX));
                }
                let name = patch.name.clone().ok_or(ApiError::MissingParameter { member: "name" })?;
                let id = access.last_group.advance();
                let (volumes, attributes) = (BTreeMap::new(), Map::new());
                access.groups.insert(id, AccessGroup { id, name, volumes, attributes });
                self.patch_group(access, id, patch)?;
                Ok(Outcome::Group(id))
            }
            AccessRequest::List { start, limit, only } => {
                let wanted = |id: &&AccessGroupId| {
                    start.is_none_or(|start| **id >= start)
                        && only.as_ref().is_none_or(|only| only.contains(id))
                };
                let ids = access.groups.keys().filter(wanted).take(limit.unwrap_or(usize::MAX));
                Ok(Outcome::Groups(ids.copied().collect()))
            }
            AccessRequest::Modify(id, patch) => {
                self.patch_group(access, id, patch)?;
                Ok(Outcome::Group(id))
            }
            AccessRequest::Delete { id, orphans } => {
                access.require(id)?;
                access.groups.remove(&id);
                let members = access.members(id);
                access.part(&members, orphans);
                Ok(Outcome::Nothing)
            }
            AccessRequest::AddVolumes(id, volumes) => {
                self.add_volumes(access, id, volumes)?;
                Ok(Outcome::Group(id))
            }
            AccessRequest::RemoveVolumes(id, volumes) => {
                let group = access.require_mut(id)?;
                for volume in volumes {
                    group.volumes.remove(&volume).ok_or_else(|| not_in(format!("VolumeID {volume}"), id))?;
                }
                Ok(Outcome::Group(id))
            }
            AccessRequest::AddInitiators(id, initiators) => {
                access.require(id)?;
                for initiator in access.resolve(initiators)? {
                    access.join(initiator, id)?;
                }
                Ok(Outcome::Group(id))
            }
            AccessRequest::RemoveInitiators { id, initiators, orphans } => {
                access.require(id)?;
                let leaving = access.resolve(initiators)?;
                for initiator in &leaving {
                    let member = access.initiators.get(initiator).is_some_and(|one| one.group == Some(id));
                    if !member {
                        return Err(not_in(format!("InitiatorID {initiator}"), id));
                    }
                }
                access.part(&leaving, orphans);
                Ok(Outcome::Group(id))
            }
            AccessRequest::Luns(id) => access.require(id).map(|_| Outcome::Luns(id)),
            AccessRequest::SetLuns(id, luns) => access.set_luns(id, luns),
            request => access.change_initiators(request),
        }
    }

    fn patch_group(
        &self,
        access: &mut Access,
        id: AccessGroupId,
        patch: AccessGroupPatch,
    ) -> Result<(), ApiError> {
        let group = access.require_mut(id)?;
        if let Some(name) = patch.name {
            if !ACCESS_GROUP_NAME_LENGTH.contains(&name.chars().count()) {
                let reason = "name of a volume access group must have 1 to 64 characters".into();
                return Err(ApiError::InvalidParameter { reason });
            }
            group.name = name;
        }
        if let Some(attributes) = patch.attributes {
            require_small(&attributes)?;
            group.attributes = attributes;
        }
        if let Some(volumes) = patch.volumes {
            let wanted: BTreeSet<_> = volumes.into_iter().collect();
            group.volumes.retain(|volume, _| wanted.contains(volume));
            let new = wanted.into_iter().filter(|volume| !group.volumes.contains_key(volume)).collect();
            self.add_volumes(access, id, new)?;
        }
        if let Some(initiators) = patch.initiators {
            let wanted = access.resolve(initiators)?;
            let leaving: Vec<_> =
                access.members(id).into_iter().filter(|member| !wanted.contains(member)).collect();
            access.part(&leaving, false);
            let members = access.members(id);
            for initiator in wanted.into_iter().filter(|initiator| !members.contains(initiator)) {
                access.join(initiator, id)?;
            }
        }
        Ok(())
    }

    fn add_volumes(
        &self,
        access: &mut Access,
        id: AccessGroupId,
        volumes: Vec<VolumeId>,
    ) -> Result<(), ApiError> {
        let group = access.require_mut(id)?;
        for volume in volumes {
            self.require_active(volume)?;
            if group.volumes.contains_key(&volume) {
                return Err(ApiError::AlreadyInAccessGroup { what: format!("VolumeID {volume}"), group: id });
            }
            if group.volumes.len() >= VOLUMES_PER_ACCESS_GROUP_MAX {
                return Err(exceeded("Volumes per VolumeAccessGroup", VOLUMES_PER_ACCESS_GROUP_MAX));
            }
            let taken: BTreeSet<_> = group.volumes.values().copied().collect();
            let free = (0..).find(|lun| !taken.contains(lun)).unwrap_or_default();
            group.volumes.insert(volume, free);
        }
        Ok(())
    }

    /// The groups a volume is in.
    fn groups_of(&self, volume: VolumeId) -> Vec<AccessGroupId> {
        let its = self.access.groups.values().filter(|group| group.volumes.contains_key(&volume));
        its.map(|group| group.id).collect()
    }

    /// Takes a volume that is no more out of its groups.
    pub(super) fn leave_groups(&mut self, volume: VolumeId) {
        if self.groups_of(volume).is_empty() {
            return;
        }
        for group in self.access.edit().groups.values_mut() {
            group.volumes.remove(&volume);
        }
    }

    fn access_record(&self, group: &AccessGroup) -> AccessGroupRecord {
        let deleted = |id: &&VolumeId| self.volumes.get(id).is_none_or(|volume| volume.deletion.is_some());
        AccessGroupRecord {
            group: group.clone(),
            initiators: self
                .access
                .initiators
                .values()
                .filter(|one| one.group == Some(group.id))
                .cloned()
                .collect(),
            deleted: group.volumes.keys().filter(deleted).copied().collect(),
        }
    }
}

/// What is to be told once the change is made.
pub(super) enum Outcome {
    Group(AccessGroupId),
    Groups(Vec<AccessGroupId>),
    Luns(AccessGroupId),
    Initiators(Vec<InitiatorId>),
    Nothing,
}

impl Access {
    /// The volumes of groups that are not the same in `other`.
    fn differs(&self, other: &Self) -> BTreeSet<VolumeId> {
        let (ours, theirs) = (self.reach(), other.reach());
        let ids: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
        let changed = ids.into_iter().filter(|id| ours.get(*id) != theirs.get(*id));
        let volumes = changed.flat_map(|id| [ours.get(id), theirs.get(id)]).flatten();
        volumes.flat_map(|(volumes, _)| volumes.iter().copied()).collect()
    }

    /// By group its volumes, and who is in it.
    fn reach(&self) -> BTreeMap<AccessGroupId, (BTreeSet<VolumeId>, BTreeSet<InitiatorId>)> {
        let mut reach: BTreeMap<_, (BTreeSet<_>, BTreeSet<_>)> = BTreeMap::new();
        for group in self.groups.values() {
            reach.entry(group.id).or_default().0.extend(group.volumes.keys().copied());
        }
        for initiator in self.initiators.values() {
            if let Some(group) = initiator.group {
                reach.entry(group).or_default().1.insert(initiator.id);
            }
        }
        reach
    }

    /// Names of the initiators that reach a volume without CHAP, in lower case.
    fn names_for(&self, volume: VolumeId) -> BTreeSet<String> {
        let opens = |group: &AccessGroupId| {
            self.groups.get(group).is_some_and(|group| group.volumes.contains_key(&volume))
        };
        let its = self.initiators.values().filter(|initiator| initiator.group.as_ref().is_some_and(opens));
        its.map(|initiator| initiator.name.to_lowercase()).collect()
    }

    pub(super) fn require(&self, id: AccessGroupId) -> Result<&AccessGroup, ApiError> {
        self.groups.get(&id).ok_or(ApiError::AccessGroupIdDoesNotExist(id))
    }

    fn require_mut(&mut self, id: AccessGroupId) -> Result<&mut AccessGroup, ApiError> {
        self.groups.get_mut(&id).ok_or(ApiError::AccessGroupIdDoesNotExist(id))
    }

    pub(super) fn members(&self, group: AccessGroupId) -> Vec<InitiatorId> {
        let its = self.initiators.values().filter(|initiator| initiator.group == Some(group));
        its.map(|initiator| initiator.id).collect()
    }

    fn set_luns(&mut self, id: AccessGroupId, luns: Vec<(VolumeId, i64)>) -> Result<Outcome, ApiError> {
        let group = self.require_mut(id)?;
        for (volume, lun) in luns {
            if !(0..=16_383).contains(&lun) {
                let reason = format!("lun {lun} is not in 0..16383");
                return Err(ApiError::InvalidParameter { reason });
            }
            let place =
                group.volumes.get_mut(&volume).ok_or_else(|| not_in(format!("VolumeID {volume}"), id))?;
            *place = lun;
        }
        let distinct: BTreeSet<_> = group.volumes.values().collect();
        if distinct.len() < group.volumes.len() {
            let reason = "two volumes of a volume access group cannot have one LUN".into();
            return Err(ApiError::InvalidParameter { reason });
        }
        Ok(Outcome::Luns(id))
    }
}

pub(super) fn exceeded(what: &'static str, maximum: usize) -> ApiError {
    ApiError::ExceededLimit { what, maximum }
}

fn not_in(what: String, group: AccessGroupId) -> ApiError {
    ApiError::NotInAccessGroup { what, group }
}
