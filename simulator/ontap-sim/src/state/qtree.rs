//! Qtrees: directories in the root of a volume with an export policy, a security style and limits of
//! their own. The volume itself counts as qtree 0 without a name.

use records::Row;
use serde::{Deserialize, Serialize};

use super::quota::QuotaTag;
use super::volume::{SecurityStyle, Volume};
use super::{Cluster, DataPlaneChange, Refusal, VolumeId};

/// Qtrees a volume may have besides itself.
const MAXIMUM: u32 = 4994;
/// The longest name.
const LONGEST_NAME: usize = 64;

/// A qtree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qtree {
    /// The volume it is in.
    pub volume: VolumeId,
    /// Its number in the volume, from 1.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its export policy; the volume's when absent.
    pub policy: Option<u64>,
    /// Whose permissions.
    pub security_style: SecurityStyle,
    /// Mode of its directory.
    pub mode: u32,
    /// Owner of its directory.
    pub uid: u32,
    /// Group of its directory.
    pub gid: u32,
    /// Name of its QoS policy.
    pub qos_policy: Option<String>,
}

/// What a qtree is found under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum QtreeTag {
    /// Its name in its volume.
    Named(VolumeId, String),
    /// Its volume.
    In(VolumeId),
    /// Its export policy.
    Under(u64),
}

impl Row for Qtree {
    type Tag = QtreeTag;

    fn tags(&self) -> Vec<QtreeTag> {
        let policy = self.policy.iter().map(|policy| QtreeTag::Under(*policy));
        policy.chain([QtreeTag::Named(self.volume, self.name.clone()), QtreeTag::In(self.volume)]).collect()
    }
}

/// A new qtree, or a change of one. What is absent gets the volume's, or stays.
#[derive(Debug, Clone, Default)]
pub struct QtreePatch {
    /// Name.
    pub name: Option<String>,
    /// Name of the export policy.
    pub policy: Option<String>,
    /// Number of the export policy, where no name is given.
    pub policy_id: Option<u64>,
    /// Security style.
    pub security_style: Option<SecurityStyle>,
    /// Mode.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Name of the QoS policy.
    pub qos_policy: Option<String>,
}

impl Qtree {
    /// Where clients find it, while its volume is mounted.
    pub fn path(&self, volume: &Volume) -> Option<String> {
        let junction = volume.junction.as_deref()?.trim_end_matches('/');
        Some(format!("{junction}/{}", self.name))
    }
}

impl Cluster {
    /// Qtrees of a volume besides itself, by number.
    pub fn qtrees_of(&self, volume: VolumeId) -> Vec<&Qtree> {
        self.qtrees.tagged(&QtreeTag::In(volume)).collect()
    }

    /// The qtree of this name in a volume.
    pub fn find_qtree_named(&self, volume: VolumeId, name: &str) -> Option<&Qtree> {
        self.qtrees.find(&QtreeTag::Named(volume, name.to_owned()))
    }

    /// Makes a qtree; its number.
    ///
    /// # Errors
    /// A [`Refusal`]: name bad (5242886) or in use (5242927, not verified against an array), volume
    /// offline (5242955, not verified), unknown export policy (1703954).
    pub fn create_qtree(&mut self, volume: VolumeId, patch: QtreePatch) -> Result<u32, Refusal> {
        let parent = self.volumes.get(&volume).ok_or_else(Refusal::no_entry)?.clone();
        if !parent.online {
            let message = format!("Volume \"{}\" is offline", parent.name);
            return Err(Refusal::conflict(5_242_955, message).about("volume"));
        }
        parent.admit_write(8)?;
        let used: Vec<u32> = self.qtrees_of(volume).into_iter().map(|qtree| qtree.id).collect();
        let id = (1..=MAXIMUM).find(|id| !used.contains(id)).ok_or_else(|| {
            Refusal::conflict(5_242_923, format!("Volume \"{}\" has {MAXIMUM} qtrees already", parent.name))
        })?;
        let blank = Qtree {
            volume,
            id,
            name: String::new(),
            policy: None,
            security_style: parent.security_style,
            mode: parent.mode,
            uid: 0,
            gid: 0,
            qos_policy: None,
        };
        if patch.name.is_none() {
            return Err(Refusal::required("name"));
        }
        let qtree = self.revised_qtree(&parent, &blank, patch)?;
        self.change(DataPlaneChange::CreateQtree {
            volume,
            id,
            name: qtree.name.clone(),
            mode: qtree.mode,
            uid: qtree.uid,
            gid: qtree.gid,
        });
        self.qtrees.insert((volume, id), qtree);
        self.apply_quotas_to(volume);
        Ok(id)
    }

    /// Changes a qtree; all of it or nothing. Handles that clients hold stay good.
    ///
    /// # Errors
    /// A [`Refusal`] as for the creation.
    pub fn modify_qtree(&mut self, volume: VolumeId, id: u32, patch: QtreePatch) -> Result<(), Refusal> {
        let parent = self.volumes.get(&volume).ok_or_else(Refusal::no_entry)?.clone();
        let before = self.qtrees.get(&(volume, id)).ok_or_else(Refusal::no_entry)?.clone();
        let after = self.revised_qtree(&parent, &before, patch)?;
        if after.name != before.name {
            self.change(DataPlaneChange::RenameQtree {
                volume,
                from: before.name.clone(),
                to: after.name.clone(),
            });
        }
        if (after.mode, after.uid, after.gid) != (before.mode, before.uid, before.gid) {
            self.change(DataPlaneChange::SetQtreeRoot {
                volume,
                name: after.name.clone(),
                mode: after.mode,
                uid: after.uid,
                gid: after.gid,
            });
        }
        self.qtrees.insert((volume, id), after);
        Ok(())
    }

    /// Deletes a qtree with everything in it, and the quota rules for it.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) for none, and for qtree 0 (5242897, not verified against an array).
    pub fn delete_qtree(&mut self, volume: VolumeId, id: u32) -> Result<(), Refusal> {
        if id == 0 && self.volumes.contains_key(&volume) {
            return Err(Refusal::conflict(5_242_897, "The default qtree cannot be deleted"));
        }
        let qtree = self.qtrees.remove(&(volume, id)).ok_or_else(Refusal::no_entry)?;
        let rules: Vec<_> =
            self.quota_rules.tagged(&QuotaTag::Qtree(volume, id)).map(|rule| rule.id).collect();
        for rule in rules {
            self.quota_rules.remove(&rule);
        }
        self.change(DataPlaneChange::RemoveQtree { volume, name: qtree.name });
        Ok(())
    }

    /// Makes `qtrees` the qtrees of a volume, as its files have them already.
    pub(super) fn put_qtrees(&mut self, volume: VolumeId, qtrees: Vec<Qtree>) {
        let there: Vec<_> = self.qtrees_of(volume).into_iter().map(|qtree| qtree.id).collect();
        for id in there {
            self.qtrees.remove(&(volume, id));
        }
        for qtree in qtrees {
            self.qtrees.insert((volume, qtree.id), Qtree { volume, ..qtree });
        }
    }

    fn revised_qtree(&self, parent: &Volume, before: &Qtree, patch: QtreePatch) -> Result<Qtree, Refusal> {
        let mut after = before.clone();
        if let Some(name) = patch.name.filter(|name| *name != before.name) {
            let shaped = !name.is_empty()
                && name.len() <= LONGEST_NAME
                && !name.starts_with('.')
                && !name.contains(['/', ',', '"', ' '])
                && !name.chars().any(char::is_control);
            if !shaped {
                let message = format!("Invalid qtree name \"{name}\"");
                return Err(Refusal::request(5_242_886, message).about("name"));
            }
            if self.find_qtree_named(parent.id, &name).is_some() {
                let message = format!("Qtree \"{name}\" already exists in volume \"{}\"", parent.name);
                return Err(Refusal::conflict(5_242_927, message).about("name"));
            }
            after.name = name;
        }
        if let Some(name) = patch.policy {
            let found = self.find_policy_named(parent.svm, &name);
            after.policy = Some(found.ok_or_else(|| super::volume_rules::policy_missing(&name))?.id);
        } else if let Some(id) = patch.policy_id {
            let known = self.policies.get(&id).filter(|policy| policy.svm == parent.svm);
            after.policy =
                Some(known.ok_or_else(|| super::volume_rules::policy_missing(&id.to_string()))?.id);
        }
        if let Some(name) = patch.qos_policy {
            self.require_qos_policy(parent.svm, &name)?;
            after.qos_policy = Some(name);
        }
        after.security_style = patch.security_style.unwrap_or(after.security_style);
        after.mode = patch.mode.unwrap_or(after.mode);
        after.uid = patch.uid.unwrap_or(after.uid);
        after.gid = patch.gid.unwrap_or(after.gid);
        Ok(after)
    }
}
