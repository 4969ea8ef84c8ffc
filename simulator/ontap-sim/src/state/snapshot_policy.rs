//! Snapshot policies: how many snapshots are kept of which schedule. They are kept and told; the
//! simulator takes no snapshots by the clock.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cluster, Refusal, SnapshotPolicyId, SvmId};

/// Snapshots of one schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// Name of the schedule.
    pub schedule: String,
    /// How many are kept.
    pub count: u64,
    /// What their names begin with.
    pub prefix: String,
    /// Their SnapMirror label.
    pub label: String,
}

/// A snapshot policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPolicy {
    /// Its identifier.
    pub id: SnapshotPolicyId,
    /// Its name, unique among those of the cluster and of the SVM.
    pub name: String,
    /// The SVM it belongs to; the cluster when absent.
    pub svm: Option<SvmId>,
    /// Whether it is in force.
    pub enabled: bool,
    /// Free text.
    pub comment: String,
    /// By schedule.
    pub copies: Vec<Copies>,
}

/// A change of a policy. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct SnapshotPolicyPatch {
    /// In force or not.
    pub enabled: Option<bool>,
    /// Free text.
    pub comment: Option<String>,
    /// All schedules, in place of those there are.
    pub copies: Option<Vec<Copies>>,
}

/// Snapshots that the schedules of one policy may keep together.
const MAXIMUM: u64 = 1023;

/// The policies that every cluster has.
fn built_in() -> Vec<SnapshotPolicy> {
    let copies = |schedule: &str, count| Copies {
        schedule: schedule.into(),
        count,
        prefix: schedule.into(),
        label: if schedule == "hourly" { String::new() } else { schedule.into() },
    };
    let scheduled = |weekly| vec![copies("hourly", 6), copies("daily", 2), copies("weekly", weekly)];
    [
        ("default", "Default policy with hourly, daily & weekly schedules.", scheduled(2)),
        ("default-1weekly", "Default policy with 6 hourly, 2 daily & 1 weekly schedule.", scheduled(1)),
        ("none", "Policy for no automatic snapshots.", Vec::new()),
    ]
    .into_iter()
    .map(|(name, comment, copies)| SnapshotPolicy {
        id: UNNAMED,
        name: name.into(),
        svm: None,
        enabled: name != "none",
        comment: comment.into(),
        copies,
    })
    .collect()
}

impl Cluster {
    /// Makes the policies that every cluster has.
    pub(super) fn boot_snapshot_policies(&mut self) {
        for policy in built_in() {
            let id = SnapshotPolicyId(self.mint.edit().uuid());
            self.snapshot_policies.insert(id, SnapshotPolicy { id, ..policy });
        }
    }

    /// The policy that volumes of the SVM know by this name: the SVM's own, or the cluster's.
    pub fn find_snapshot_policy(&self, svm: SvmId, name: &str) -> Option<&SnapshotPolicy> {
        self.snapshot_policies
            .values()
            .find(|policy| policy.name == name && policy.svm.is_none_or(|owner| owner == svm))
    }

    /// Makes a policy.
    ///
    /// # Errors
    /// A [`Refusal`]: name taken (1638508), no schedule (1638407), more than 1023 snapshots (1638451).
    pub fn create_snapshot_policy(&mut self, policy: SnapshotPolicy) -> Result<SnapshotPolicyId, Refusal> {
        if policy.name.is_empty() || policy.name.contains(['/', ' ']) {
            return Err(Refusal::invalid("name", &policy.name));
        }
        let overlaps = |other: &&SnapshotPolicy| {
            other.name == policy.name
                && (other.svm == policy.svm || other.svm.is_none() || policy.svm.is_none())
        };
        if self.snapshot_policies.values().any(|other| overlaps(&other)) {
            let message = format!("Snapshot policy \"{}\" already exists in this scope", policy.name);
            return Err(Refusal::conflict(1_638_508, message).about("name"));
        }
        admit_copies(&policy.copies)?;
        let id = SnapshotPolicyId(self.mint.edit().uuid());
        self.snapshot_policies.insert(id, SnapshotPolicy { id, ..policy });
        Ok(id)
    }

    /// Changes a policy; all of it or nothing.
    ///
    /// # Errors
    /// A [`Refusal`] as for the creation.
    pub fn modify_snapshot_policy(
        &mut self,
        id: SnapshotPolicyId,
        patch: SnapshotPolicyPatch,
    ) -> Result<(), Refusal> {
        let mut after = self.snapshot_policies.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        if let Some(copies) = patch.copies {
            admit_copies(&copies)?;
            after.copies = copies;
        }
        after.enabled = patch.enabled.unwrap_or(after.enabled);
        after.comment = patch.comment.unwrap_or(after.comment);
        self.snapshot_policies.insert(id, after);
        Ok(())
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// A [`Refusal`] while a volume uses it (1638415), and for those every cluster has (1638419, not
    /// verified against an array).
    pub fn delete_snapshot_policy(&mut self, id: SnapshotPolicyId) -> Result<(), Refusal> {
        let policy = self.snapshot_policies.get(&id).ok_or_else(Refusal::no_entry)?;
        if policy.svm.is_none() && ["default", "default-1weekly", "none"].contains(&policy.name.as_str()) {
            let message = format!("Cannot delete policy \"{}\": it belongs to the system", policy.name);
            return Err(Refusal::conflict(1_638_419, message));
        }
        let uses =
            |svm: SvmId, name: &str| self.find_snapshot_policy(svm, name).is_some_and(|used| used.id == id);
        if self.volumes.values().any(|volume| uses(volume.svm, &volume.snapshot_policy)) {
            let message =
                format!("Cannot delete policy \"{}\": it is in use by at least one volume", policy.name);
            return Err(Refusal::conflict(1_638_415, message));
        }
        self.snapshot_policies.remove(&id);
        Ok(())
    }
}

fn admit_copies(copies: &[Copies]) -> Result<(), Refusal> {
    if copies.is_empty() {
        return Err(
            Refusal::request(1_638_407, "A snapshot policy needs at least one schedule").about("copies")
        );
    }
    let total = copies.iter().fold(0_u64, |total, copies| total.saturating_add(copies.count));
    if total > MAXIMUM || copies.iter().any(|copies| copies.count == 0) {
        let message = format!("A snapshot policy keeps between 1 and {MAXIMUM} snapshots");
        return Err(Refusal::request(1_638_451, message).about("copies.count"));
    }
    Ok(())
}

/// What a policy that is to be made has for an identifier.
pub const UNNAMED: SnapshotPolicyId = SnapshotPolicyId(Uuid::nil());
