//! The cluster as a pure machine: `(State, Request, time) -> Reply + data-plane changes`. No IO, no
//! clock, no sockets; a seed makes it repeatable. The JSON-RPC skin (`rpc`) builds the
//! requests and renders the replies, `dataplane` carries out the changes.

mod access_group;
mod account;
mod change;
mod copy;
mod error;
mod identity;
mod initiator;
pub mod limits;
mod machine;
mod mint;
mod node;
mod number;
mod policy;
mod qos;
mod request;
mod schedule;
mod snapshot;
mod volume;

pub use access_group::{AccessGroup, AccessGroupPatch, AccessGroupRecord, AccessRequest};
pub use account::{
    Account, AccountPatch, AccountRecord, AccountStatus, ChapSecret, Login, NewAccount, SecretChoice,
};
pub use change::{DataPlaneChange, DataPlaneView, Export, Kept, Source};
pub use copy::{CopyRequest, Job, JobKind, NewClone};
pub use error::ApiError;
pub use identity::{DeviceId, UniqueId, VolumeNames};
pub use initiator::{Initiator, InitiatorPatch, InitiatorRef};
pub use machine::{Outcome, State};
pub use node::{DRIVES_PER_NODE, Node, NodeAddresses, home_of};
pub use number::{
    AccessGroupId, AccountId, AsyncHandle, CloneId, ContentId, GroupId, InitiatorId, PolicyId, ScheduleId,
    SnapshotId, VolumeId,
};
pub use policy::{Policy, PolicyRecord, PolicyRequest, QosChoice};
pub use qos::{Qos, QosPatch};
pub use request::{Capacity, ClusterIdentity, HardwareKind, Page, Reply, Request, VolumeUsage};
pub use schedule::{Frequency, Schedule, SchedulePatch, ScheduleRequest, ScheduledSnapshot};
pub use snapshot::{Expiry, Group, GroupRecord, NewSnapshot, Snapshot, SnapshotPatch, SnapshotRequest};
pub use volume::{Access, Deletion, LogicalBlock, NewVolume, Volume, VolumeFilter, VolumePatch};
