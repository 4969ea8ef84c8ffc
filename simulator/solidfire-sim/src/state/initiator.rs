//! Initiators that the cluster knows by name.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access_group::{Access, Outcome, exceeded};
use super::account::require_small;
use super::limits::{INITIATOR_COUNT_MAX, INITIATOR_NAME_LENGTH, INITIATORS_PER_ACCESS_GROUP_MAX};
use super::{AccessGroupId, AccessRequest, ApiError, InitiatorId};

/// An initiator the cluster knows by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initiator {
    /// Its number.
    pub id: InitiatorId,
    /// IQN or WWPN, unique without regard to case.
    pub name: String,
    /// What people call it.
    pub alias: String,
    /// The one group it may be in.
    pub group: Option<AccessGroupId>,
    /// The client's own notes.
    pub attributes: Map<String, Value>,
}

/// An initiator as a client names it: by number, or by name, which makes it known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitiatorRef {
    /// By number.
    Id(InitiatorId),
    /// By name.
    Name(String),
}

/// An initiator that is made or changed; what is absent stays, or is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitiatorPatch {
    /// What people call it.
    pub alias: Option<String>,
    /// The group it is in; `Some(None)` takes it out of its group.
    pub group: Option<Option<AccessGroupId>>,
    /// The client's own notes.
    pub attributes: Option<Map<String, Value>>,
}

impl Access {
    /// Numbers of initiators; those named and not known yet are made.
    pub(super) fn resolve(&mut self, named: Vec<InitiatorRef>) -> Result<BTreeSet<InitiatorId>, ApiError> {
        // One at a time: a name given twice is known the second time.
        named.into_iter().map(|one| self.resolve_one(one)).collect()
    }

    fn resolve_one(&mut self, one: InitiatorRef) -> Result<InitiatorId, ApiError> {
        match one {
            InitiatorRef::Id(id) if self.initiators.contains_key(&id) => Ok(id),
            InitiatorRef::Id(id) => Err(ApiError::InitiatorDoesNotExist(id)),
            InitiatorRef::Name(name) => match self.find_named(&name) {
                Some(known) => Ok(known),
                None => self.make(name),
            },
        }
    }

    pub(super) fn find_named(&self, name: &str) -> Option<InitiatorId> {
        let known = self.initiators.values().find(|known| known.name.eq_ignore_ascii_case(name));
        known.map(|known| known.id)
    }

    pub(super) fn make(&mut self, name: String) -> Result<InitiatorId, ApiError> {
        let legal = name.bytes().all(|byte| byte.is_ascii_graphic());
        if !legal || !INITIATOR_NAME_LENGTH.contains(&name.len()) {
            let reason = format!("initiator `{name}` must have 1 to 224 printable characters");
            return Err(ApiError::InvalidParameter { reason });
        }
        if self.initiators.len() >= INITIATOR_COUNT_MAX {
            return Err(exceeded("Initiators", INITIATOR_COUNT_MAX));
        }
        let id = self.last_initiator.advance();
        let (alias, attributes) = (String::new(), Map::new());
        self.initiators.insert(id, Initiator { id, name, alias, group: None, attributes });
        Ok(id)
    }

    pub(super) fn join(&mut self, initiator: InitiatorId, group: AccessGroupId) -> Result<(), ApiError> {
        let members = self.members(group).len();
        let joining =
            self.initiators.get_mut(&initiator).ok_or(ApiError::InitiatorDoesNotExist(initiator))?;
        match joining.group {
            Some(present) if present == group => {
                Err(ApiError::AlreadyInAccessGroup { what: format!("InitiatorID {initiator}"), group })
            }
            Some(_) => Err(ApiError::TooManyAccessGroups),
            None if members >= INITIATORS_PER_ACCESS_GROUP_MAX => {
                Err(exceeded("Initiators per VolumeAccessGroup", INITIATORS_PER_ACCESS_GROUP_MAX))
            }
            None => {
                joining.group = Some(group);
                Ok(())
            }
        }
    }

    /// Takes initiators out of their group; with `orphans` they are forgotten.
    pub(super) fn part<'a>(&mut self, leaving: impl IntoIterator<Item = &'a InitiatorId>, orphans: bool) {
        for id in leaving {
            if orphans {
                self.initiators.remove(id);
            } else if let Some(initiator) = self.initiators.get_mut(id) {
                initiator.group = None;
            }
        }
    }

    pub(super) fn change_initiators(&mut self, request: AccessRequest) -> Result<Outcome, ApiError> {
        match request {
            AccessRequest::CreateInitiators(new) => {
                let mut made = Vec::new();
                for (name, patch) in new {
                    if self.find_named(&name).is_some() {
                        return Err(ApiError::InitiatorExists { name });
                    }
                    let id = self.make(name)?;
                    self.patch_initiator(id, patch)?;
                    made.push(id);
                }
                Ok(Outcome::Initiators(made))
            }
            AccessRequest::ListInitiators { start, limit, only } => {
                let wanted = |id: &&InitiatorId| {
                    start.is_none_or(|start| **id >= start)
                        && only.as_ref().is_none_or(|only| only.contains(id))
                };
                let ids = self.initiators.keys().filter(wanted).take(limit.unwrap_or(usize::MAX));
                Ok(Outcome::Initiators(ids.copied().collect()))
            }
            AccessRequest::ModifyInitiators(patches) => {
                let ids = patches.iter().map(|(id, _)| *id).collect();
                patches.into_iter().try_for_each(|(id, patch)| self.patch_initiator(id, patch))?;
                Ok(Outcome::Initiators(ids))
            }
            AccessRequest::DeleteInitiators(ids) => {
                for id in ids {
                    self.initiators.remove(&id).ok_or(ApiError::InitiatorDoesNotExist(id))?;
                }
                Ok(Outcome::Nothing)
            }
            // The others are dealt with before.
            _ => Ok(Outcome::Nothing),
        }
    }

    fn patch_initiator(&mut self, id: InitiatorId, patch: InitiatorPatch) -> Result<(), ApiError> {
        let initiator = self.initiators.get_mut(&id).ok_or(ApiError::InitiatorDoesNotExist(id))?;
        if let Some(alias) = patch.alias {
            if alias.chars().count() > *INITIATOR_NAME_LENGTH.end() {
                let reason = "alias of an initiator may have 224 characters at most".into();
                return Err(ApiError::InvalidParameter { reason });
            }
            initiator.alias = alias;
        }
        if let Some(attributes) = patch.attributes {
            require_small(&attributes)?;
            initiator.attributes = attributes;
        }
        if let Some(group) = patch.group.filter(|group| *group != initiator.group) {
            initiator.group = None;
            if let Some(group) = group {
                self.require(group)?;
                self.join(id, group)?;
            }
        }
        Ok(())
    }
}
