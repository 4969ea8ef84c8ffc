//! The array's state as a pure machine: no IO, no clock, no randomness but the seed's.
//!
//! A request becomes one method call on [`Cluster`]. It either refuses ([`Refusal`]) and changes
//! nothing, or changes the state and says what the data planes must now do: the
//! [`DataPlaneChange`]s in [`Cluster::take_changes`]. Whoever holds the cluster applies them before
//! the client is answered, so that a job which shows success is already true on the wire.
//!
//! The methods live beside their nouns: [`svm`], [`lif`], [`volume`], [`export`], [`lun`], [`igroup`], [`lun_map`],
//! [`iscsi`], [`job`].

pub mod account;
pub mod aggregate;
pub mod arrival;
mod boot;
mod change;
pub mod clone;
pub mod consistency_group;
pub mod due;
pub mod ems;
pub mod export;
pub mod features;
pub mod file_clone;
pub mod igroup;
pub mod iscsi;
pub mod job;
pub mod lif;
pub mod lun;
pub mod lun_clone;
pub mod lun_map;
mod mint;
pub mod mirror;
pub mod name_services;
pub mod network;
pub mod nfs;
pub mod nvme;
pub mod peer;
pub mod qos;
pub mod qtree;
pub mod quota;
pub mod recovery;
mod refusal;
pub mod replica;
#[cfg(test)]
mod restart;
mod restore;
mod revive;
pub mod role;
pub mod schedule;
pub mod snapshot;
pub mod snapshot_policy;
pub mod svm;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod volume;
mod volume_rules;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use records::{Marks, Row, Single, Table, records, untagged};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use aggregate::{Aggregate, Media};
pub use boot::{Blueprint, BlueprintError, LifBlueprint};
pub use change::{DataPlaneChange, Errand, TreeShape};
pub use lif::Lif;
pub use refusal::{Phase, Refusal};
pub use svm::Svm;

use account::{Account, AccountKey, Certificate};
use consistency_group::{ConsistencyGroup, GroupSnapshot};
use ems::EmsEvent;
use export::ExportPolicy;
use igroup::Igroup;
use iscsi::Session;
use job::Job;
use lif::ServicePolicy;
use lun::{Lun, LunTag};
use lun_map::LunMap;
use mint::Mint;
use mirror::Mirror;
use name_services::{Dns, LocalHost, UnixGroup, UnixUser};
use network::{BroadcastDomain, Ipspace, Route, Subnet};
use nfs::NfsService;
use nvme::{Namespace, Subsystem, SubsystemMap};
use peer::{ClusterPeer, SvmPeer};
use qos::QosPolicy;
use qtree::Qtree;
use quota::QuotaRule;
use recovery::Deleted;
use replica::Replica;
use role::Role;
use schedule::Schedule;
use snapshot::Snapshot;
use snapshot_policy::SnapshotPolicy;
use transfer::Transfer;
use volume::{Volume, VolumeTag};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }
    };
}

identifier!(
    /// Identifies a node.
    NodeId
);
identifier!(
    /// Identifies an aggregate.
    AggregateId
);
identifier!(
    /// Identifies an SVM.
    SvmId
);
identifier!(
    /// Identifies a network interface.
    LifId
);
identifier!(
    /// Identifies a volume.
    VolumeId
);
identifier!(
    /// Identifies a snapshot.
    SnapshotId
);
identifier!(
    /// Identifies a snapshot policy.
    SnapshotPolicyId
);
identifier!(
    /// Identifies a quota rule.
    QuotaRuleId
);
identifier!(
    /// Identifies a LUN.
    LunId
);
identifier!(
    /// Identifies an initiator group.
    IgroupId
);
identifier!(
    /// Identifies a job.
    JobId
);

/// A storage controller. Nodes come as HA pairs: each is the other's partner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its identifier.
    pub id: NodeId,
    /// `<cluster>-NN`.
    pub name: String,
    /// The chassis serial number; never empty, since clients report it in heartbeats.
    pub serial: String,
}

/// What the cluster says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Name of the cluster.
    pub name: String,
    /// Identifier of the cluster.
    pub uuid: Uuid,
    /// The release it says it runs.
    pub version: Version,
    /// Model of its nodes.
    pub model: String,
    /// Whom to call.
    pub contact: String,
    /// Where it stands.
    pub location: String,
}

/// A release of ONTAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// 9.
    pub generation: u16,
    /// 15 in 9.15.1.
    pub major: u16,
    /// 1 in 9.15.1.
    pub minor: u16,
}

/// 9.15.1: the first for which clients take REST unasked, and the last before they probe for other personalities.
impl Default for Version {
    fn default() -> Self {
        Self { generation: 9, major: 15, minor: 1 }
    }
}

/// No release of ONTAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a release as 9.15.1")]
pub struct VersionError;

impl std::str::FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let numbers: Vec<u16> =
            text.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| VersionError)?;
        match numbers.as_slice() {
            [generation @ 9..=u16::MAX, major, minor] => {
                Ok(Self { generation: *generation, major: *major, minor: *minor })
            }
            _ => Err(VersionError),
        }
    }
}
untagged!(SnapshotPolicy, NfsService);

/// Rows of few that are found by their name.
macro_rules! named {
    ($($row:ty),*) => {
        $(impl Row for $row {
            type Tag = String;

            fn tags(&self) -> Vec<String> {
                vec![self.name.clone()]
            }
        })*
    };
}
named!(Node, Aggregate, Svm);

// One line a table: whatever is here is rolled back when a request is refused, and durable with a
// data directory. Identifiers ascend in the order of making, and so do rows.
records! {
    /// The whole array.
    #[derive(Debug, Default)]
    pub struct Cluster beside {
        now: Timestamp,
        changes: Vec<DataPlaneChange>,
        usage: Option<Arc<dyn Usage>>,
        unreachable: BTreeSet<LifId>,
    }

    /// The cluster itself.
    about: Single<About>,
    /// Where identifiers come from.
    mint: Single<Mint>,
    /// Controllers.
    nodes: Table<NodeId, Node>,
    /// Pools of disks.
    aggregates: Table<AggregateId, Aggregate>,
    /// Tenants.
    svms: Table<SvmId, Svm>,
    /// Addresses.
    lifs: Table<LifId, Lif>,
    /// What LIFs can serve.
    service_policies: Table<Uuid, ServicePolicy>,
    /// Networks of their own.
    ipspaces: Table<Uuid, Ipspace>,
    /// Ports that reach each other.
    broadcast_domains: Table<Uuid, BroadcastDomain>,
    /// Ways to networks.
    routes: Table<Uuid, Route>,
    /// Addresses for LIFs.
    subnets: Table<Uuid, Subnet>,
    /// Who may log in.
    accounts: Table<AccountKey, Account>,
    /// Roles that were made.
    custom_roles: Table<(Option<SvmId>, String), Role>,
    /// Installed certificates.
    certificates: Table<Uuid, Certificate>,
    /// When things are done.
    schedules: Table<Uuid, Schedule>,
    /// Other clusters.
    cluster_peers: Table<Uuid, ClusterPeer>,
    /// SVMs that SVMs replicate with.
    svm_peers: Table<Uuid, SvmPeer>,
    /// What volumes and SVMs here are copies of.
    mirrors: Table<Uuid, Mirror>,
    /// What was copied when.
    transfers: Table<Uuid, Transfer>,
    /// What copies were given.
    replicas: Table<Uuid, Replica>,
    /// Limits that objects refer to.
    qos_policies: Table<Uuid, QosPolicy>,
    /// NVMe namespaces.
    namespaces: Table<Uuid, Namespace>,
    /// NVMe subsystems.
    subsystems: Table<Uuid, Subsystem>,
    /// Which namespace is in which subsystem.
    subsystem_maps: Table<(Uuid, Uuid), SubsystemMap>,
    /// Export policies.
    policies: Table<u64, ExportPolicy>,
    /// Volumes.
    volumes: Table<VolumeId, Volume>,
    /// The number of the last volume made.
    last_msid: Single<u32>,
    /// Snapshots of volumes.
    snapshots: Table<SnapshotId, Snapshot>,
    /// Snapshot policies.
    snapshot_policies: Table<SnapshotPolicyId, SnapshotPolicy>,
    /// Qtrees, by volume and number.
    qtrees: Table<(VolumeId, u32), Qtree>,
    /// Quota rules.
    quota_rules: Table<QuotaRuleId, QuotaRule>,
    /// NFS services.
    nfs_services: Table<SvmId, NfsService>,
    /// Deleted volumes.
    recovery: Table<VolumeId, Deleted>,
    /// LUNs.
    luns: Table<LunId, Lun>,
    /// Initiator groups.
    igroups: Table<IgroupId, Igroup>,
    /// What is mapped to whom.
    lun_maps: Table<(LunId, IgroupId), LunMap>,
    /// Volumes whose snapshots are taken together.
    consistency_groups: Table<Uuid, ConsistencyGroup>,
    /// Snapshots taken together.
    group_snapshots: Table<Uuid, GroupSnapshot>,
    /// Whom SVMs ask for names.
    dns: Table<SvmId, Dns>,
    /// Users that SVMs know themselves.
    unix_users: Table<(SvmId, String), UnixUser>,
    /// Groups that SVMs know themselves.
    unix_groups: Table<(SvmId, String), UnixGroup>,
    /// Host tables of SVMs.
    local_hosts: Table<(SvmId, IpAddr), LocalHost>,
    /// The event log.
    ems_events: Table<u64, EmsEvent>,
    /// What was asked asynchronously.
    jobs: Table<JobId, Job>,
}

/// A moment of the state to come back to.
#[derive(Debug)]
pub(crate) struct Savepoint {
    changes: usize,
    rows: Marks,
}

/// What the data planes hold. The state cannot know it; whoever holds the data planes tells.
pub trait Usage: fmt::Debug + Send + Sync {
    /// Bytes that the files of a volume take.
    fn by_files(&self, volume: VolumeId) -> u64;

    /// Bytes that the snapshots of a volume hold and its files no longer do.
    fn by_snapshots(&self, volume: VolumeId) -> u64;

    /// Files, directories and other inodes in a volume.
    fn inodes(&self, volume: VolumeId) -> u64;

    /// Bytes and files in a qtree, as its limits count them.
    fn by_qtree(&self, volume: VolumeId, name: &str) -> (u64, u64);

    /// Whether there is something at a path in the volume, and whether it is a regular file.
    fn holds_file(&self, volume: VolumeId, path: &str) -> Option<bool>;

    /// The size of the regular file at a path in the volume, in bytes.
    fn file_size(&self, volume: VolumeId, path: &str) -> Option<u64>;

    /// Bytes that the content of a LUN takes.
    fn by_lun(&self, lun: LunId) -> u64;

    /// Initiators that are logged in.
    fn sessions(&self) -> Vec<Session>;
}

impl Cluster {
    /// Tells the machine what time it is; everything made from now on bears this time.
    pub fn set_clock(&mut self, now: Timestamp) {
        self.now = now;
        self.expire_deleted();
    }

    /// What time it is, as it was last told.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Tells the machine whom to ask what the data planes hold.
    pub fn set_usage(&mut self, usage: Arc<dyn Usage>) {
        self.usage = Some(usage);
    }

    /// Where the state stands, for [`Self::roll_back`].
    pub(crate) fn savepoint(&self) -> Savepoint {
        Savepoint { changes: self.changes.len(), rows: self.mark_rows() }
    }

    /// Takes back all that was done since; what is then to be done to the data planes too.
    pub(crate) fn roll_back(&mut self, savepoint: &Savepoint) {
        self.changes.truncate(savepoint.changes);
        self.roll_back_rows(&savepoint.rows);
    }

    /// Does something whole or not at all: a refusal leaves everything as it was, what the data
    /// planes would have had to do included.
    ///
    /// # Errors
    /// What `act` refuses.
    pub fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let savepoint = self.savepoint();
        let outcome = act(self);
        if outcome.is_err() {
            self.roll_back(&savepoint);
        }
        outcome
    }

    /// Bytes that the LUN's content takes.
    pub fn used_by_lun(&self, lun: LunId) -> u64 {
        self.usage.as_ref().map_or(0, |usage| usage.by_lun(lun))
    }

    /// Files, directories and other inodes in the volume.
    pub fn files_in_volume(&self, volume: VolumeId) -> u64 {
        self.usage.as_ref().map_or(0, |usage| usage.inodes(volume))
    }

    /// Bytes that the volume's snapshots hold and its files no longer do.
    pub fn used_by_snapshots(&self, volume: VolumeId) -> u64 {
        self.usage.as_ref().map_or(0, |usage| usage.by_snapshots(volume))
    }

    fn next_msid(&mut self) -> u32 {
        let last = self.last_msid.edit();
        *last = last.saturating_add(1);
        *last
    }

    /// Bytes that files and LUNs take in the volume.
    pub fn used_by_volume(&self, volume: VolumeId) -> u64 {
        let files = self.usage.as_ref().map_or(0, |usage| usage.by_files(volume));
        let luns = self.luns.tagged(&LunTag::In(volume)).map(|lun| self.used_by_lun(lun.id));
        luns.fold(files, u64::saturating_add)
    }

    /// What the data planes must do for the state to be true on the wire, in order. The list is
    /// empty afterwards.
    pub fn take_changes(&mut self) -> Vec<DataPlaneChange> {
        std::mem::take(&mut self.changes)
    }

    fn change(&mut self, change: DataPlaneChange) {
        self.changes.push(change);
    }

    /// Changes what the cluster says of itself. What is absent stays.
    ///
    /// # Errors
    /// A [`Refusal`] for a name that ONTAP would not take.
    pub fn modify_about(
        &mut self,
        name: Option<String>,
        contact: Option<String>,
        location: Option<String>,
    ) -> Result<(), Refusal> {
        if let Some(name) = &name {
            let shaped = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.len() <= 44
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            if !shaped {
                return Err(Refusal::invalid("name", name));
            }
        }
        let about = self.about.edit();
        about.name = name.unwrap_or_else(|| about.name.clone());
        about.contact = contact.unwrap_or_else(|| about.contact.clone());
        about.location = location.unwrap_or_else(|| about.location.clone());
        Ok(())
    }

    /// Sets the release and the model that the array shows.
    pub fn set_release(&mut self, version: Version, model: &str) {
        let about = self.about.edit();
        about.version = version;
        model.clone_into(&mut about.model);
    }

    /// The SVM of this identifier.
    pub fn find_svm(&self, id: SvmId) -> Option<&Svm> {
        self.svms.get(&id)
    }

    /// The SVM of this name.
    pub fn find_svm_named(&self, name: &str) -> Option<&Svm> {
        self.svms.find(&name.to_owned())
    }

    /// The aggregate of this name.
    pub fn find_aggregate_named(&self, name: &str) -> Option<&Aggregate> {
        self.aggregates.find(&name.to_owned())
    }

    /// The aggregate of this identifier.
    pub fn find_aggregate(&self, id: AggregateId) -> Option<&Aggregate> {
        self.aggregates.get(&id)
    }

    /// The node of this identifier.
    pub fn find_node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The node of this name.
    pub fn find_node_named(&self, name: &str) -> Option<&Node> {
        self.nodes.find(&name.to_owned())
    }

    /// The volume of this name in the SVM.
    pub fn find_volume_named(&self, svm: SvmId, name: &str) -> Option<&Volume> {
        self.volumes.find(&VolumeTag::Named(svm, name.to_owned()))
    }

    /// The name of the SVM, for messages and records.
    pub fn svm_name(&self, id: SvmId) -> &str {
        self.find_svm(id).map_or("", |svm| svm.name.as_str())
    }

    /// The node whose portals are the short way to the volume: the owner of its aggregate.
    pub fn owner_of(&self, volume: &Volume) -> Option<&Node> {
        self.find_aggregate(volume.aggregate).and_then(|aggregate| self.find_node(aggregate.node))
    }

    /// The HA pair of `node`: itself and its partner. Selective LUN map reports these two.
    pub fn ha_pair(&self, node: NodeId) -> Vec<&Node> {
        let position = self.nodes.keys().position(|candidate| *candidate == node).unwrap_or(0);
        let pair = position - position % 2;
        self.nodes.values().skip(pair).take(2).collect()
    }

    /// Bytes that the volumes on an aggregate take from it: the size of those with a guarantee.
    pub fn reserved_on(&self, aggregate: AggregateId) -> u64 {
        self.volumes.total(&VolumeTag::On(aggregate))
    }
}
