//! QoS policies: named limits that volumes, LUNs and namespaces refer to. They are kept and told; the data planes
//! do not throttle by them.

use records::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::qtree::Qtree;
use super::{Cluster, Refusal, SvmId};

/// Limits that do not depend on size. Absent: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// Operations a second, at most.
    pub max_iops: Option<u64>,
    /// MB a second, at most.
    pub max_mbps: Option<u64>,
    /// Operations a second, at least.
    pub min_iops: Option<u64>,
    /// MB a second, at least.
    pub min_mbps: Option<u64>,
    /// Whether those who have the policy share the limits.
    pub shared: bool,
}

/// Limits by TB of size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adaptive {
    /// Operations a second and TB, at least.
    pub expected_iops: u64,
    /// Operations a second and TB, at most.
    pub peak_iops: u64,
    /// Operations a second, at least, however small.
    pub absolute_min_iops: u64,
    /// `used_space` or `allocated_space`.
    pub expected_allocation: String,
    /// `used_space` or `allocated_space`.
    pub peak_allocation: String,
    /// `any`, `4k`, …
    pub block_size: String,
}

/// What a policy limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limits {
    /// By fixed numbers.
    Fixed(Fixed),
    /// By size.
    Adaptive(Adaptive),
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QosPolicy {
    /// Its identifier.
    pub id: Uuid,
    /// The SVM it belongs to; `None`: the cluster's, for every SVM.
    pub svm: Option<SvmId>,
    /// Its name, unique in the cluster.
    pub name: String,
    /// What it limits.
    pub limits: Limits,
    /// Whether ONTAP made it.
    pub builtin: bool,
}

/// Found under its name.
impl Row for QosPolicy {
    type Tag = String;

    fn tags(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

/// Adaptive policies every cluster has (ONTAP documentation, "predefined adaptive policy groups").
const BUILTIN: [(&str, u64, u64, u64); 3] =
    [("extreme", 6144, 12288, 1000), ("performance", 2048, 4096, 500), ("value", 128, 512, 75)];

impl Cluster {
    /// The policy of this name that objects of the SVM can have.
    pub fn find_qos_policy(&self, svm: SvmId, name: &str) -> Option<&QosPolicy> {
        let name = name.to_owned();
        self.qos_policies.tagged(&name).find(|policy| policy.svm.is_none_or(|owner| owner == svm))
    }

    /// The policy that an object of the SVM is to have; none for an empty name or `none`.
    ///
    /// # Errors
    /// A [`Refusal`] (8454154) when there is no such policy.
    pub(super) fn admit_qos_policy(
        &self,
        svm: SvmId,
        name: Option<String>,
    ) -> Result<Option<String>, Refusal> {
        let Some(name) = name.filter(|name| !name.is_empty() && name != "none") else { return Ok(None) };
        if self.find_qos_policy(svm, &name).is_none() {
            let message = format!("QoS policy \"{name}\" does not exist");
            return Err(Refusal::missing(8_454_154, message).about("qos_policy.name"));
        }
        Ok(Some(name))
    }

    /// Gives what has the policy `before` another name for it, or none.
    fn reassign_qos_policy(&mut self, before: &QosPolicy, name: Option<String>) {
        let has = |svm: SvmId, own: &Option<String>| {
            own.as_ref() == Some(&before.name) && before.svm.is_none_or(|owner| owner == svm)
        };
        let has_qtree = |qtree: &Qtree| {
            let svm = self.volumes.get(&qtree.volume).map(|volume| volume.svm);
            svm.is_some_and(|svm| has(svm, &qtree.qos_policy))
        };
        self.qtrees.edit_where(has_qtree, |qtree| qtree.qos_policy.clone_from(&name));
        self.luns.edit_where(|lun| has(lun.svm, &lun.qos_policy), |lun| lun.qos_policy.clone_from(&name));
        self.namespaces.edit_where(
            |namespace| has(namespace.svm, &namespace.qos_policy),
            |namespace| namespace.qos_policy.clone_from(&name),
        );
        self.volumes.edit_where(
            |volume| has(volume.svm, &volume.features.qos_policy),
            |volume| volume.features.qos_policy.clone_from(&name),
        );
    }

    /// Makes a policy.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, one in use (1; the array's number is not verified), limits that contradict.
    pub fn create_qos_policy(
        &mut self,
        svm: Option<SvmId>,
        name: &str,
        limits: Limits,
    ) -> Result<Uuid, Refusal> {
        self.admit_qos_name(name)?;
        admit(&limits)?;
        let id = self.mint.edit().uuid();
        self.qos_policies.insert(id, QosPolicy { id, svm, name: name.to_owned(), limits, builtin: false });
        Ok(id)
    }

    /// Changes a policy; what has it follows a new name.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_qos_policy`].
    pub fn modify_qos_policy(
        &mut self,
        id: Uuid,
        name: Option<String>,
        limits: Option<Limits>,
    ) -> Result<(), Refusal> {
        let before = self.qos_policies.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        let mut after = before.clone();
        if let Some(name) = name.filter(|name| *name != before.name) {
            self.admit_qos_name(&name)?;
            after.name = name;
        }
        if let Some(limits) = limits {
            admit(&limits)?;
            after.limits = limits;
        }
        if after.name != before.name {
            self.reassign_qos_policy(&before, Some(after.name.clone()));
        }
        self.qos_policies.insert(id, after);
        Ok(())
    }

    /// Deletes a policy; what has it is limited no more (API reference: its workloads go with it).
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), ONTAP's own (8).
    pub fn delete_qos_policy(&mut self, id: Uuid) -> Result<(), Refusal> {
        let policy = self.qos_policies.get(&id).ok_or_else(Refusal::no_entry)?;
        if policy.builtin {
            let message = format!("QoS policy \"{}\" is built in and cannot be deleted", policy.name);
            return Err(Refusal::conflict(8, message));
        }
        let policy = policy.clone();
        self.reassign_qos_policy(&policy, None);
        self.qos_policies.remove(&id);
        Ok(())
    }

    pub(super) fn create_builtin_qos_policies(&mut self) {
        for (name, expected_iops, peak_iops, absolute_min_iops) in BUILTIN {
            let id = self.mint.edit().uuid();
            let limits = Limits::Adaptive(Adaptive {
                expected_iops,
                peak_iops,
                absolute_min_iops,
                expected_allocation: "allocated_space".into(),
                peak_allocation: "used_space".into(),
                block_size: "any".into(),
            });
            let policy = QosPolicy { id, svm: None, name: name.to_owned(), limits, builtin: true };
            self.qos_policies.insert(id, policy);
        }
    }

    fn admit_qos_name(&self, name: &str) -> Result<(), Refusal> {
        let shaped = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && name.len() <= 127
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if self.qos_policies.count(&name.to_owned()) > 0 {
            return Err(Refusal::conflict(1, format!("QoS policy \"{name}\" already exists")).about("name"));
        }
        Ok(())
    }
}

fn admit(limits: &Limits) -> Result<(), Refusal> {
    match limits {
        Limits::Fixed(fixed) => {
            let crossed = |least: Option<u64>, most: Option<u64>| matches!((least, most), (Some(least), Some(most)) if least > most && most > 0);
            if crossed(fixed.min_iops, fixed.max_iops) {
                let message = "The minimum throughput is higher than the maximum";
                return Err(Refusal::request(8_454_260, message).about("fixed.min_throughput_iops"));
            }
            if crossed(fixed.min_mbps, fixed.max_mbps) {
                let message = "The minimum throughput is higher than the maximum";
                return Err(Refusal::request(8_454_260, message).about("fixed.min_throughput_mbps"));
            }
            Ok(())
        }
        Limits::Adaptive(adaptive) => {
            let known = ["used_space", "allocated_space"];
            for allocation in [&adaptive.expected_allocation, &adaptive.peak_allocation] {
                if !known.contains(&allocation.as_str()) {
                    return Err(Refusal::invalid("adaptive.expected_iops_allocation", allocation));
                }
            }
            if adaptive.peak_iops < adaptive.expected_iops || adaptive.peak_iops == 0 {
                let message = "Peak IOPS must be at least the expected IOPS";
                return Err(Refusal::request(8_454_261, message).about("adaptive.peak_iops"));
            }
            Ok(())
        }
    }
}
