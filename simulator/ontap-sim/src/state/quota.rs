//! Quotas: rules for trees, users and groups of a volume. Tree rules are enforced by the data plane
//! while the volume's quotas are on; the others are kept and told.

use records::Row;
use serde::{Deserialize, Serialize};

use super::{Cluster, DataPlaneChange, QuotaRuleId, Refusal, SvmId, VolumeId};

/// For whom a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuotaKind {
    /// A qtree.
    Tree,
    /// A user.
    User,
    /// A group.
    Group,
}

/// A quota rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRule {
    /// Its identifier.
    pub id: QuotaRuleId,
    /// The SVM of its volume.
    pub svm: SvmId,
    /// The volume.
    pub volume: VolumeId,
    /// For whom.
    pub kind: QuotaKind,
    /// The qtree; absent for every qtree that has no rule of its own (and for the volume, with users and
    /// groups).
    pub qtree: Option<u32>,
    /// Users or groups, by name or number; empty for each that has no rule of its own.
    pub who: Vec<String>,
    /// Whether users are mapped between UNIX and Windows.
    pub user_mapping: bool,
    /// Limits.
    pub limits: Limits,
}

/// Limits of a rule; absent is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes that cannot be exceeded.
    pub hard_bytes: Option<u64>,
    /// Bytes from which on it is told.
    pub soft_bytes: Option<u64>,
    /// Files that cannot be exceeded.
    pub hard_files: Option<u64>,
    /// Files from which on it is told.
    pub soft_files: Option<u64>,
}

/// A change of limits: what is absent stays; `Some(None)` is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitPatch {
    /// Hard limit in bytes.
    pub hard_bytes: Option<Option<u64>>,
    /// Soft limit in bytes.
    pub soft_bytes: Option<Option<u64>>,
    /// Hard limit of files.
    pub hard_files: Option<Option<u64>>,
    /// Soft limit of files.
    pub soft_files: Option<Option<u64>>,
}

/// A new rule.
#[derive(Debug, Clone)]
pub struct QuotaSpec {
    /// The volume.
    pub volume: VolumeId,
    /// For whom.
    pub kind: QuotaKind,
    /// Name of the qtree; empty is every one.
    pub qtree: String,
    /// Users or groups.
    pub who: Vec<String>,
    /// Mapping.
    pub user_mapping: bool,
    /// Limits.
    pub limits: LimitPatch,
}

/// What a rule is found under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaTag {
    /// Its volume.
    In(VolumeId),
    /// Its qtree.
    Qtree(VolumeId, u32),
}

impl Row for QuotaRule {
    type Tag = QuotaTag;

    fn tags(&self) -> Vec<QuotaTag> {
        let qtree = self.qtree.iter().map(|id| QuotaTag::Qtree(self.volume, *id));
        qtree.chain([QuotaTag::In(self.volume)]).collect()
    }
}

/// What a tree holds, and may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeReport {
    /// The volume.
    pub volume: VolumeId,
    /// Number of the qtree.
    pub qtree: u32,
    /// Bytes in it.
    pub used_bytes: u64,
    /// Files in it.
    pub used_files: u64,
    /// Its limits.
    pub limits: Limits,
}

impl Limits {
    fn revised(self, patch: LimitPatch) -> Result<Self, Refusal> {
        let after = Self {
            hard_bytes: patch.hard_bytes.unwrap_or(self.hard_bytes),
            soft_bytes: patch.soft_bytes.unwrap_or(self.soft_bytes),
            hard_files: patch.hard_files.unwrap_or(self.hard_files),
            soft_files: patch.soft_files.unwrap_or(self.soft_files),
        };
        let above = |soft: Option<u64>, hard: Option<u64>| matches!((soft, hard), (Some(soft), Some(hard)) if soft > hard);
        if above(after.soft_bytes, after.hard_bytes) {
            return Err(Refusal::invalid("space.soft_limit", "above the hard limit"));
        }
        if above(after.soft_files, after.hard_files) {
            return Err(Refusal::invalid("files.soft_limit", "above the hard limit"));
        }
        Ok(after)
    }
}

impl Cluster {
    /// Makes a rule, in force at once where quotas are on.
    ///
    /// # Errors
    /// A [`Refusal`]: no such qtree (5308552, not verified against an array), a rule for the same target
    /// (5308573, not verified), a limit that contradicts itself.
    pub fn create_quota_rule(&mut self, spec: QuotaSpec) -> Result<QuotaRuleId, Refusal> {
        let volume = self.volumes.get(&spec.volume).ok_or_else(Refusal::no_entry)?;
        let svm = volume.svm;
        let qtree = if spec.qtree.is_empty() {
            None
        } else {
            let found = self.find_qtree_named(spec.volume, &spec.qtree);
            let missing = || {
                let message =
                    format!("Qtree \"{}\" does not exist in volume \"{}\"", spec.qtree, volume.name);
                Refusal::missing(5_308_552, message).about("qtree.name").when_executed()
            };
            Some(found.ok_or_else(missing)?.id)
        };
        let same = |rule: &QuotaRule| rule.kind == spec.kind && rule.qtree == qtree && rule.who == spec.who;
        if self.quota_rules.tagged(&QuotaTag::In(spec.volume)).any(same) {
            let message =
                format!("A quota rule for this target already exists in volume \"{}\"", volume.name);
            return Err(Refusal::conflict(5_308_573, message));
        }
        let id = QuotaRuleId(self.mint.edit().uuid());
        let rule = QuotaRule {
            id,
            svm,
            volume: spec.volume,
            kind: spec.kind,
            qtree,
            who: spec.who,
            user_mapping: spec.user_mapping,
            limits: Limits::default().revised(spec.limits)?,
        };
        self.quota_rules.insert(id, rule);
        self.apply_quotas_to(spec.volume);
        Ok(id)
    }

    /// Changes the limits of a rule, in force at once where quotas are on.
    ///
    /// # Errors
    /// A [`Refusal`] for limits that contradict each other.
    pub fn modify_quota_rule(&mut self, id: QuotaRuleId, patch: LimitPatch) -> Result<(), Refusal> {
        let mut rule = self.quota_rules.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        rule.limits = rule.limits.revised(patch)?;
        let volume = rule.volume;
        self.quota_rules.insert(id, rule);
        self.apply_quotas_to(volume);
        Ok(())
    }

    /// Deletes a rule; its limit is lifted at once.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) for none.
    pub fn delete_quota_rule(&mut self, id: QuotaRuleId) -> Result<(), Refusal> {
        let rule = self.quota_rules.remove(&id).ok_or_else(Refusal::no_entry)?;
        self.apply_quotas_to(rule.volume);
        Ok(())
    }

    /// The volume goes, and its rules with it.
    pub(super) fn forget_quota_rules(&mut self, volume: VolumeId) {
        let rules: Vec<_> = self.quota_rules.tagged(&QuotaTag::In(volume)).map(|rule| rule.id).collect();
        for rule in rules {
            self.quota_rules.remove(&rule);
        }
    }

    /// Gives the copy of a volume the rules of its source, in place of those it has.
    pub(super) fn put_quotas(&mut self, copy: VolumeId, on: bool, rules: &[QuotaRule]) {
        self.forget_quota_rules(copy);
        let Some(mut volume) = self.volumes.get_mut(&copy) else { return };
        volume.features.quota = on;
        let svm = volume.svm;
        drop(volume);
        for rule in rules {
            let id = QuotaRuleId(self.mint.edit().uuid());
            self.quota_rules.insert(id, QuotaRule { id, svm, volume: copy, ..rule.clone() });
        }
    }

    /// What the trees of a volume hold, while its quotas are on.
    pub fn tree_reports(&self, volume: VolumeId) -> Vec<TreeReport> {
        if !self.volumes.get(&volume).is_some_and(|volume| volume.features.quota) {
            return Vec::new();
        }
        let limited = |qtree: u32| Some((qtree, self.tree_limits(volume, qtree)?));
        let trees = self.qtrees_of(volume).into_iter().filter_map(|qtree| limited(qtree.id));
        let report = |(qtree, limits)| {
            let name = self.qtrees.get(&(volume, qtree)).map_or("", |qtree| qtree.name.as_str());
            let used = self.usage.as_ref().map_or((0, 0), |usage| usage.by_qtree(volume, name));
            TreeReport { volume, qtree, used_bytes: used.0, used_files: used.1, limits }
        };
        trees.map(report).collect()
    }

    /// The limits of a qtree: by its own rule, else by the one for every qtree.
    fn tree_limits(&self, volume: VolumeId, qtree: u32) -> Option<Limits> {
        let mut rules = self.quota_rules.tagged(&QuotaTag::In(volume));
        let trees: Vec<_> = rules.by_ref().filter(|rule| rule.kind == QuotaKind::Tree).collect();
        let own = trees.iter().find(|rule| rule.qtree == Some(qtree));
        own.or_else(|| trees.iter().find(|rule| rule.qtree.is_none())).map(|rule| rule.limits)
    }

    /// Tells the data plane the limits of every qtree of a volume.
    pub(super) fn apply_quotas_to(&mut self, volume: VolumeId) {
        let on = self.volumes.get(&volume).is_some_and(|volume| volume.features.quota);
        let limit =
            |id| if on { self.tree_limits(volume, id).unwrap_or_default() } else { Limits::default() };
        let changes: Vec<_> = self
            .qtrees_of(volume)
            .into_iter()
            .map(|qtree| {
                let limits = limit(qtree.id);
                let (bytes, files) = (limits.hard_bytes, limits.hard_files);
                DataPlaneChange::SetQuota { volume, qtree: qtree.name.clone(), bytes, files }
            })
            .collect();
        self.changes.extend(changes);
    }
}
