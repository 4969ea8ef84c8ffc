//! QoS policies: rates that volumes share, by name.

use serde::{Deserialize, Serialize};

use super::limits::QOS_POLICY_COUNT_MAX;
use super::machine::State;
use super::{ApiError, DataPlaneChange, PolicyId, Qos, QosPatch, Reply, VolumeId};

records::untagged!(Policy);

/// A QoS policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its number.
    pub id: PolicyId,
    /// Its name; several may share one.
    pub name: String,
    /// The rates of its volumes.
    pub qos: Qos,
}

/// A policy and the volumes that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// The policy.
    pub policy: Policy,
    /// Its volumes, ascending, deleted ones included.
    pub volumes: Vec<VolumeId>,
}

/// What a client may ask about QoS policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyRequest {
    /// `CreateQoSPolicy`.
    Create {
        /// Name.
        name: String,
        /// Rates over the defaults.
        qos: QosPatch,
    },
    /// `GetQoSPolicy`.
    Get(PolicyId),
    /// `ListQoSPolicies`.
    List,
    /// `ModifyQoSPolicy`; what is absent stays.
    Modify {
        /// The policy.
        id: PolicyId,
        /// A new name.
        name: Option<String>,
        /// Rates over the present ones.
        qos: QosPatch,
    },
    /// `DeleteQoSPolicy`: its volumes keep the rates.
    Delete(PolicyId),
}

/// The rates a volume asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosChoice {
    /// Its own, over what it has; a policy it had is left.
    Own(QosPatch),
    /// Those of a policy, now and whenever they change.
    Policy(PolicyId),
}

impl Default for QosChoice {
    fn default() -> Self {
        Self::Own(QosPatch::default())
    }
}

impl State {
    pub(super) fn policies(
        &mut self,
        request: PolicyRequest,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        Ok(match request {
            PolicyRequest::Create { name, qos } => {
                require_policy_name(&name)?;
                let qos = Qos::DEFAULT.patched(qos)?;
                if self.policies.len() >= QOS_POLICY_COUNT_MAX {
                    return Err(ApiError::ExceededLimit {
                        what: "QoS policies",
                        maximum: QOS_POLICY_COUNT_MAX,
                    });
                }
                let policy = Policy { id: self.last.edit().policy.advance(), name, qos };
                self.policies.insert(policy.id, policy.clone());
                Reply::Policy(self.policy_record(&policy))
            }
            PolicyRequest::Get(id) => Reply::Policy(self.policy_record(self.require_policy(id)?)),
            PolicyRequest::List => {
                Reply::Policies(self.policies.values().map(|policy| self.policy_record(policy)).collect())
            }
            PolicyRequest::Modify { id, name, qos } => self.modify_policy(id, name, qos, changes)?,
            PolicyRequest::Delete(id) => {
                self.require_policy(id)?;
                self.policies.remove(&id);
                self.volumes.edit_where(|volume| volume.policy == Some(id), |volume| volume.policy = None);
                Reply::Nothing
            }
        })
    }

    fn modify_policy(
        &mut self,
        id: PolicyId,
        name: Option<String>,
        qos: QosPatch,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        let mut policy = self.require_policy(id)?.clone();
        if let Some(name) = name {
            require_policy_name(&name)?;
            policy.name = name;
        }
        policy.qos = policy.qos.patched(qos)?;
        let record = self.policy_record(&policy);
        for volume in &record.volumes {
            if let Some(mut volume) = self.volumes.get_mut(volume) {
                volume.qos = policy.qos;
            }
            changes.extend(self.publication(*volume));
        }
        self.policies.insert(id, policy);
        Ok(Reply::Policy(record))
    }

    /// The policy of this number.
    pub(super) fn require_policy(&self, id: PolicyId) -> Result<&Policy, ApiError> {
        self.policies.get(&id).ok_or(ApiError::QosPolicyDoesNotExist(id))
    }

    /// The rates of a volume that had `before` and asks for `choice`, and the policy they come from.
    pub(super) fn rates(
        &self,
        before: (Qos, Option<PolicyId>),
        choice: QosChoice,
    ) -> Result<(Qos, Option<PolicyId>), ApiError> {
        match choice {
            QosChoice::Policy(id) => Ok((self.require_policy(id)?.qos, Some(id))),
            QosChoice::Own(patch) if patch == QosPatch::default() => Ok(before),
            QosChoice::Own(patch) => Ok((before.0.patched(patch)?, None)),
        }
    }

    fn policy_record(&self, policy: &Policy) -> PolicyRecord {
        let its = self.volumes.values().filter(|volume| volume.policy == Some(policy.id));
        PolicyRecord { policy: policy.clone(), volumes: its.map(|volume| volume.id).collect() }
    }
}

fn require_policy_name(name: &str) -> Result<(), ApiError> {
    if (1..=64).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(ApiError::InvalidParameter { reason: "name of a QoS policy must have 1 to 64 characters".into() })
}
