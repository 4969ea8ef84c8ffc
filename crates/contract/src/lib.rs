//! The nouns controller and agent share, and the one document that passes between them through the
//! orchestrator: the [`PublishContext`].
//!
//! ```text
//! controller ─ ControllerPublishVolume → publish_context (stored in clear by Kubernetes)
//!                                             └→ NodeStageVolume ─ agent
//! ```
//!
//! Nothing here does IO and no secret has a place in a publish context: an agent fetches
//! credentials with `Fleet.GetAccess`.

mod identity;
mod names;
mod publish_context;
mod secret;

pub use identity::{DeviceIdentity, IdentityError, LunSerial, Wwid};
pub use names::{FsType, Iqn, LunNumber, NameError, NodeId, Portal, SnapshotId, VolumeId};
pub use publish_context::{
    CONTRACT_VERSION, IscsiAttachment, NfsAttachment, PublishContext, PublishContextError,
};
pub use secret::{ChapCredentials, ChapPair, Secret};
