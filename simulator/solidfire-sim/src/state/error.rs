//! Why the cluster refuses a request. Clients branch on the *name*, so a name is part of the contract;
//! where an array's own name or text could not be learnt, `docs/simulators.md` says so.

use super::limits::SNAPSHOTS_PER_VOLUME_MAX;
use super::{
    AccessGroupId, AccountId, AsyncHandle, GroupId, InitiatorId, PolicyId, ScheduleId, SnapshotId, VolumeId,
};

/// An API-level refusal; it travels in an HTTP 200 answer with code 500.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// A lever made the call fail.
    #[error("{message}")]
    Injected {
        /// What it is told.
        message: String,
    },
    /// The data directory or the volumes' store failed.
    #[error("{reason}")]
    NotCarriedOut {
        /// Why, for an operator.
        reason: String,
    },
    /// The body is no JSON-RPC request.
    #[error("Unable to parse the request: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// No such method on a cluster's endpoint. Ansible tells nodes from clusters by `method=`.
    #[error("method={method}")]
    UnknownMethod {
        /// The method that was asked for.
        method: String,
    },
    /// A required parameter is absent or null.
    #[error("Missing member=[{member}]")]
    MissingParameter {
        /// The parameter.
        member: &'static str,
    },
    /// A parameter has a type that cannot be coerced.
    #[error("{member}: expected {expected}")]
    ParameterType {
        /// The parameter.
        member: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// A parameter is none of its enumeration's words.
    #[error("{member}: unrecognized value `{value}`, expected one of {expected}")]
    UnrecognizedEnum {
        /// The parameter.
        member: &'static str,
        /// What was given.
        value: String,
        /// The words there are.
        expected: &'static str,
    },
    /// A parameter's value is out of bounds or contradicts another.
    #[error("{reason}")]
    InvalidParameter {
        /// Parameter, value and bounds.
        reason: String,
    },
    /// A count has reached its limit.
    #[error("Exceeded maximum number of {what} ({maximum})")]
    ExceededLimit {
        /// What is counted.
        what: &'static str,
        /// How many there may be.
        maximum: usize,
    },
    /// No account of that name.
    #[error("Unknown account `{username}`")]
    UnknownAccount {
        /// The name that was asked for.
        username: String,
    },
    /// No account of that ID.
    #[error("Illegal AccountID {0}")]
    AccountIdDoesNotExist(AccountId),
    /// The name is taken.
    #[error("Username `{username}` is already in use")]
    DuplicateUsername {
        /// The name that was asked for.
        username: String,
    },
    /// The account still owns volumes, deleted ones included.
    #[error("AccountID {account} still has {volumes} volume(s); delete and purge them first")]
    AccountHasVolumes {
        /// The account.
        account: AccountId,
        /// How many volumes it owns.
        volumes: usize,
    },
    /// No volume of that ID in the state the method needs.
    #[error("VolumeID {0} does not exist.")]
    VolumeIdDoesNotExist(VolumeId),
    /// A volume cannot become smaller.
    #[error("Lowering a volume size is not allowed.")]
    ShrinkProhibited,
    /// No such node.
    #[error("NodeID {0} does not exist.")]
    NodeIdDoesNotExist(i64),
    /// No such QoS policy.
    #[error("QoSPolicyID {0} does not exist.")]
    QosPolicyDoesNotExist(PolicyId),
    /// No such volume access group.
    #[error("VolumeAccessGroupID {0} does not exist.")]
    AccessGroupIdDoesNotExist(AccessGroupId),
    /// A volume or initiator is in the group already.
    #[error("{what} is already in VolumeAccessGroupID {group}")]
    AlreadyInAccessGroup {
        /// Kind and number.
        what: String,
        /// The group.
        group: AccessGroupId,
    },
    /// A volume or initiator is not in the group.
    #[error("{what} is not in VolumeAccessGroupID {group}")]
    NotInAccessGroup {
        /// Kind and number.
        what: String,
        /// The group.
        group: AccessGroupId,
    },
    /// An initiator is in another group.
    #[error("Exceeded maximum number of VolumeAccessGroups per Initiator")]
    TooManyAccessGroups,
    /// An initiator of this name is known.
    #[error("Initiator `{name}` already exists")]
    InitiatorExists {
        /// The name.
        name: String,
    },
    /// No such initiator.
    #[error("InitiatorID {0} does not exist.")]
    InitiatorDoesNotExist(InitiatorId),
    /// No such snapshot, or not of this volume.
    #[error("SnapshotID {0} does not exist.")]
    SnapshotIdDoesNotExist(SnapshotId),
    /// No such group snapshot.
    #[error("GroupSnapshotID {0} does not exist.")]
    GroupSnapshotIdDoesNotExist(GroupId),
    /// The volume has as many snapshots as it may.
    #[error("VolumeID {0} has the maximum number of snapshots ({SNAPSHOTS_PER_VOLUME_MAX}).")]
    MaxSnapshotsPerVolume(VolumeId),
    /// No such schedule.
    #[error("ScheduleID {0} does not exist.")]
    ScheduleIdDoesNotExist(ScheduleId),
    /// No such job, or its result was told already.
    #[error("DBClient operation requested on a non-existent path at [/asyncresults/{0}]")]
    NoSuchJob(AsyncHandle),
}

impl ApiError {
    /// The name clients branch on.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Injected { .. } | Self::NotCarriedOut { .. } => "xUnknown",
            Self::Malformed { .. } => "xInvalidAPIParameter",
            Self::UnknownMethod { .. } => "xUnknownAPIMethod",
            Self::MissingParameter { .. } => "xMissingParameter",
            Self::ParameterType { .. } => "xInvalidParameterType",
            Self::UnrecognizedEnum { .. } => "xUnrecognizedEnumString",
            Self::InvalidParameter { .. } => "xInvalidParameter",
            Self::ExceededLimit { .. } => "xExceededLimit",
            Self::UnknownAccount { .. } => "xUnknownAccount",
            Self::AccountIdDoesNotExist(_) => "xAccountIDDoesNotExist",
            Self::DuplicateUsername { .. } => "xDuplicateUsername",
            Self::AccountHasVolumes { .. } => "xAPINotPermitted",
            Self::VolumeIdDoesNotExist(_) => "xVolumeIDDoesNotExist",
            Self::ShrinkProhibited => "xVolumeShrinkProhibited",
            Self::NodeIdDoesNotExist(_) => "xNodeIDDoesNotExist",
            Self::QosPolicyDoesNotExist(_) => "xQoSPolicyDoesNotExist",
            Self::AccessGroupIdDoesNotExist(_) => "xVolumeAccessGroupIDDoesNotExist",
            Self::AlreadyInAccessGroup { .. } => "xAlreadyInVolumeAccessGroup",
            Self::NotInAccessGroup { .. } => "xNotInVolumeAccessGroup",
            Self::TooManyAccessGroups => "xExceededLimit",
            Self::InitiatorExists { .. } => "xInitiatorExists",
            Self::InitiatorDoesNotExist(_) => "xInitiatorDoesNotExist",
            Self::SnapshotIdDoesNotExist(_) => "xSnapshotIDDoesNotExist",
            Self::GroupSnapshotIdDoesNotExist(_) => "xGroupSnapshotIDDoesNotExist",
            Self::MaxSnapshotsPerVolume(_) => "xMaxSnapshotsPerVolumeExceeded",
            Self::ScheduleIdDoesNotExist(_) => "xScheduleIDDoesNotExist",
            Self::NoSuchJob(_) => "xDBNoSuchPath",
        }
    }
}
