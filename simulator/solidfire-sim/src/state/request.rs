//! What a client may ask, and what it is told: the API without its wire format.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::traffic::Traffic;

use super::{
    AccessGroupRecord, AccessRequest, AccountId, AccountPatch, AccountRecord, CopyRequest, GroupRecord,
    Initiator, Job, NewAccount, NewVolume, Node, PolicyRecord, PolicyRequest, Qos, Schedule, ScheduleRequest,
    Snapshot, SnapshotRequest, UniqueId, Volume, VolumeFilter, VolumeId, VolumePatch,
};

/// One API call, with its parameters understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `GetAPI`.
    GetApi,
    /// `GetClusterInfo`.
    GetClusterInfo,
    /// `GetClusterVersionInfo`.
    GetClusterVersionInfo,
    /// `GetClusterHardwareInfo`.
    GetClusterHardwareInfo(HardwareKind),
    /// `GetClusterCapacity`.
    GetClusterCapacity,
    /// `GetLimits`.
    GetLimits,
    /// `GetDefaultQoS`.
    GetDefaultQos,
    /// `GetAccountByName`.
    GetAccountByName(String),
    /// `GetAccountByID`.
    GetAccountById(AccountId),
    /// `ListAccounts`.
    ListAccounts(Page),
    /// `AddAccount`.
    AddAccount(NewAccount),
    /// `ModifyAccount`.
    ModifyAccount(AccountPatch),
    /// `RemoveAccount`.
    RemoveAccount(AccountId),
    /// `CreateVolume`.
    CreateVolume(NewVolume),
    /// `ModifyVolume`.
    ModifyVolume(VolumePatch),
    /// `DeleteVolume`.
    DeleteVolume(VolumeId),
    /// `PurgeDeletedVolume`.
    PurgeDeletedVolume(VolumeId),
    /// `RestoreDeletedVolume`.
    RestoreDeletedVolume(VolumeId),
    /// `ListVolumes`, `ListActiveVolumes`, `ListDeletedVolumes`.
    ListVolumes(VolumeFilter),
    /// `ListVolumesForAccount`: unlike a filter by account, the account must exist.
    ListVolumesForAccount(AccountId, VolumeFilter),
    /// `GetVolumeStats`.
    GetVolumeStats(VolumeId),
    /// QoS policies.
    Policy(PolicyRequest),
    /// Snapshots.
    Snapshot(SnapshotRequest),
    /// Schedules.
    Schedule(ScheduleRequest),
    /// Clones, copies and their jobs.
    Copy(CopyRequest),
    /// Volume access groups and initiators.
    Access(AccessRequest),
}

/// Which hardware `GetClusterHardwareInfo` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HardwareKind {
    /// Nodes and drives.
    All,
    /// Only nodes.
    Nodes,
    /// Only drives.
    Drives,
}

/// A part of the account list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// From this ID on.
    pub start: Option<AccountId>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Who the cluster is; does not change while it runs, and only its addresses at a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// Its name.
    pub name: String,
    /// Its four characters.
    pub unique_id: UniqueId,
    /// Its UUID.
    pub uuid: Uuid,
    /// Where the API listens.
    pub mvip: SocketAddr,
    /// Where iSCSI listens.
    pub svip: SocketAddr,
    /// Its nodes, ascending.
    pub nodes: Vec<Node>,
    /// Volumes it may have, deleted ones included.
    pub volume_count_max: usize,
}

/// Nobody, nowhere: before a state is filled.
impl Default for ClusterIdentity {
    fn default() -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let (name, unique_id, uuid, nodes) = Default::default();
        let volume_count_max = super::limits::VOLUME_COUNT_MAX;
        Self { name, unique_id, uuid, mvip: nowhere, svip: nowhere, nodes, volume_count_max }
    }
}

/// What the cluster has promised and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes of all volumes, deleted ones included.
    pub provisioned: u64,
    /// Bytes of them that hold data.
    pub used: u64,
    /// Open iSCSI sessions.
    pub sessions: usize,
    /// What all volumes were asked to do.
    pub traffic: Traffic,
    /// Operations of 4 KiB a second that the cluster can do.
    pub iops: u32,
    /// When this was true.
    pub at: Timestamp,
}

/// A volume and what the data plane knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUsage {
    /// The volume.
    pub volume: Volume,
    /// Bytes of it that hold data.
    pub used: u64,
    /// What it was asked to do.
    pub traffic: Traffic,
    /// Operations it may do beyond its maxIOPS.
    pub burst_credit: u64,
    /// The node that serves it.
    pub node: u32,
    /// When this was true.
    pub at: Timestamp,
}

/// The answer to a [`Request`] of the same name where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The versions of the API.
    Api,
    /// Who the cluster is.
    ClusterInfo(ClusterIdentity),
    /// The versions of the software.
    ClusterVersionInfo(ClusterIdentity),
    /// The hardware.
    ClusterHardwareInfo(HardwareKind, ClusterIdentity),
    /// The capacity.
    ClusterCapacity(Capacity),
    /// The limits, and volumes of the cluster at most.
    Limits(usize),
    /// The QoS of a volume that asks for none.
    DefaultQos(Qos),
    /// One account.
    Account(AccountRecord),
    /// The account that was added.
    AccountAdded(AccountRecord),
    /// Accounts by ascending ID.
    Accounts(Vec<AccountRecord>),
    /// The volume that was created.
    VolumeCreated(Volume),
    /// The volume as it is now.
    Volume(Volume),
    /// Volumes by ascending ID.
    Volumes(Vec<Volume>),
    /// The statistics of one volume.
    VolumeStats(VolumeUsage),
    /// One QoS policy.
    Policy(PolicyRecord),
    /// QoS policies by ascending ID.
    Policies(Vec<PolicyRecord>),
    /// One snapshot.
    Snapshot(Snapshot),
    /// Snapshots by ascending ID.
    Snapshots(Vec<Snapshot>),
    /// A volume was rolled back; what it was before, if that was to be saved.
    RolledBack(Option<Snapshot>),
    /// One group snapshot.
    Group(GroupRecord),
    /// Group snapshots by ascending ID.
    Groups(Vec<GroupRecord>),
    /// Volumes were rolled back; what they were before, if that was to be saved.
    GroupRolledBack(Option<GroupRecord>),
    /// The schedule that was made.
    ScheduleCreated(Schedule),
    /// One schedule.
    Schedule(Schedule),
    /// Schedules by ascending ID.
    Schedules(Vec<Schedule>),
    /// A clone, and the job that made it.
    Cloned(Volume, Job),
    /// The job that copied.
    Copied(Job),
    /// A job that is over.
    Job(Job),
    /// Jobs by ascending handle.
    Jobs(Vec<Job>),
    /// One volume access group.
    AccessGroup(AccessGroupRecord),
    /// Volume access groups by ascending ID.
    AccessGroups(Vec<AccessGroupRecord>),
    /// The LUNs of a volume access group.
    Luns(AccessGroupRecord),
    /// Initiators.
    Initiators(Vec<Initiator>),
    /// Nothing to tell.
    Nothing,
}
