//! Use cases, one a file. Each is called with its volume's lock held (`Controller::run`), writes
//! its record before the first effect, and converges when called again.

mod create;
mod delete;
mod expand;
mod list;
mod publish;
mod snapshot;
mod unpublish;
mod validate;

use std::time::Duration;

use contract::{NodeId, PublishContextError, SnapshotId, VolumeId};

use crate::array::{ArrayError, Guest};
use crate::backend::BackendError;
use crate::controller::Controller;
use crate::scheduling::NoPool;
use crate::store::{PublicationRecord, StoreError};

pub use create::CreateIntent;
pub use list::{Listed, Page};
pub use publish::PublishIntent;
pub use snapshot::SnapshotIntent;

/// Why a use case did not come to its end. Each says what and the cure; `csi::status` gives the code.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// No such volume.
    #[error("volume {0} does not exist")]
    NotFound(VolumeId),
    /// No such node.
    #[error("node {0} has not registered: is its tine-agent running?")]
    UnknownNode(NodeId),
    /// The name is taken by a volume that is not what is asked for.
    #[error("volume {volume} exists already and differs in its {difference}")]
    Exists {
        /// The volume.
        volume: VolumeId,
        /// In what.
        difference: String,
    },
    /// The volume is being deleted.
    #[error("volume {0} is being deleted: repeat the call when it is gone")]
    Deleting(VolumeId),
    /// Creation has not come to its end.
    #[error("volume {0} is not created completely: repeat CreateVolume")]
    NotReady(VolumeId),
    /// It has snapshots, which would go with it.
    #[error("volume {volume} has {snapshots} snapshot(s), {first} among them: delete them first")]
    Snapshots {
        /// The volume.
        volume: VolumeId,
        /// How many.
        snapshots: usize,
        /// One of them.
        first: SnapshotId,
    },
    /// No such snapshot.
    #[error("snapshot {0} does not exist")]
    NoSnapshot(SnapshotId),
    /// The snapshot's name is taken by one of another volume.
    #[error("snapshot {snapshot} exists already, of volume {volume}")]
    SnapshotOfOther {
        /// The snapshot.
        snapshot: SnapshotId,
        /// The volume that it is of.
        volume: VolumeId,
    },
    /// The snapshot is being deleted, or not taken completely.
    #[error("snapshot {0} is being made or deleted: repeat the call")]
    SnapshotUnsettled(SnapshotId),
    /// A size that cannot be.
    #[error("{what} has {has} bytes, {wanted} are asked for: {cure}")]
    Size {
        /// Of what.
        what: String,
        /// Bytes it has, or may have.
        has: u64,
        /// Bytes asked for.
        wanted: u64,
        /// What to do.
        cure: &'static str,
    },
    /// A list was asked to go on where none of ours has ended.
    #[error("starting_token `{0}` is not one that this driver gave: begin the list anew")]
    Token(String),
    /// No pool has what is asked for.
    #[error(transparent)]
    NoPool(#[from] NoPool),
    /// Nodes use it.
    #[error("volume {volume} is published to {}: unpublish it first", .nodes.join(", "))]
    Published {
        /// The volume.
        volume: VolumeId,
        /// Where.
        nodes: Vec<String>,
    },
    /// It cannot be used in that way.
    #[error("volume {volume} cannot be used as {wanted}: {why}")]
    Unusable {
        /// The volume.
        volume: VolumeId,
        /// The way asked for.
        wanted: String,
        /// Why not.
        why: String,
    },
    /// Another node has it, and one of the two wants it alone.
    #[error("volume {volume} is published to node {node} ({use}): unpublish it there first")]
    Exclusive {
        /// The volume.
        volume: VolumeId,
        /// The node that has it.
        node: NodeId,
        /// How.
        r#use: String,
    },
    /// The node has it in another way.
    #[error("volume {volume} is published to node {node} as {use}, not as {wanted}")]
    PublishedOtherwise {
        /// The volume.
        volume: VolumeId,
        /// The node.
        node: NodeId,
        /// How it has it.
        r#use: String,
        /// How it is asked for.
        wanted: String,
    },
    /// The array did not do it.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// The backend is unknown or offline.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The publish context cannot be written.
    #[error(transparent)]
    Context(#[from] PublishContextError),
    /// The whole took too long.
    #[error("the operation on volume {volume} did not end within {} s: repeat the call", .after.as_secs())]
    Deadline {
        /// The volume.
        volume: VolumeId,
        /// How long it was allowed to take.
        after: Duration,
    },
    /// The operation's task is gone.
    #[error("the operation was interrupted: repeat the call")]
    Interrupted,
}

impl From<&PublicationRecord> for Guest {
    fn from(publication: &PublicationRecord) -> Self {
        Self {
            node: publication.node.clone(),
            iqn: publication.iqn.clone(),
            addresses: publication.addresses.clone(),
        }
    }
}

impl Controller {
    /// Where a volume is published.
    pub(crate) async fn publications_of(
        &self,
        volume: &VolumeId,
    ) -> Result<Vec<PublicationRecord>, StoreError> {
        self.store.under(&PublicationRecord::key_prefix(volume)).await
    }
}
