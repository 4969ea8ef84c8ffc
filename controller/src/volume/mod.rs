//! Use cases, one a file. Each is called with its volume's lock held (`Controller::run`), writes
//! its record before the first effect, and converges when called again.

mod create;
mod delete;
mod publish;
mod unpublish;
mod validate;

use std::time::Duration;

use contract::{NodeId, PublishContextError, VolumeId};

use crate::array::{ArrayError, Guest};
use crate::backend::BackendError;
use crate::controller::Controller;
use crate::scheduling::NoPool;
use crate::store::{PublicationRecord, StoreError};

pub use create::CreateIntent;
pub use publish::PublishIntent;

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
