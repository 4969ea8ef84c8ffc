//! The cluster as a pure machine: `(State, Request, time) -> Reply + data-plane changes`. No IO, no
//! clock, no sockets; a seed makes it repeatable. The JSON-RPC skin (`rpc`) builds the
//! requests and renders the replies, `dataplane` carries out the changes.

mod account;
mod change;
mod error;
mod identity;
pub mod limits;
mod machine;
mod qos;
mod request;
mod volume;

pub use account::{
    Account, AccountId, AccountPatch, AccountRecord, AccountStatus, ChapSecret, Login, NewAccount,
    SecretChoice,
};
pub use change::{DataPlaneChange, DataPlaneView, Export};
pub use error::ApiError;
pub use identity::{DeviceId, UniqueId, VolumeNames};
pub use machine::{Outcome, State};
pub use qos::{Qos, QosPatch};
pub use request::{Capacity, ClusterIdentity, HardwareKind, Page, Reply, Request, VolumeUsage};
pub use volume::{Access, Deletion, LogicalBlock, NewVolume, Volume, VolumeFilter, VolumeId, VolumePatch};
