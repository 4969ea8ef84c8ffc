//! The agents: who they are, what they observe, what they may use.
//!
//! ```text
//! Register ─► NodeRecord (store)      GetAccess ─► publication? ─► credentials
//! Sync: observations up ─► Fleet (memory)     desired publications down, at each change
//! ```

mod register;
mod service;
mod sync;
pub mod tls;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use contract::{Iqn, NodeId};
use fleet_proto::fleet::NodeObservation;
use parking_lot::RwLock;

use crate::store::StoreError;

pub use service::FleetService;

/// Why an agent is refused.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A field of the request is malformed.
    #[error("{0}")]
    Malformed(String),
    /// The join token is wrong.
    #[error("the join token is not this controller's: give the agent the token file of the controller")]
    WrongJoinToken,
    /// Another live node has that initiator name.
    #[error(
        "iSCSI name {iqn} belongs to node {holder}, which is alive: two nodes with one name corrupt data; write a name of its own into /etc/iscsi/initiatorname.iscsi of one of them"
    )]
    DuplicateIqn {
        /// The name.
        iqn: Iqn,
        /// Who has it.
        holder: NodeId,
    },
    /// Another agent has registered under the name.
    #[error(
        "node {node} has registered before with another key than this agent's: if the node was made anew, \
         forget the former one with `tinectl delete node {node}`; if not, some other machine uses its name"
    )]
    NameTaken {
        /// The name.
        node: NodeId,
    },
    /// The node cannot be forgotten now.
    #[error("node {node} cannot be forgotten: {by}")]
    NodeInUse {
        /// The node.
        node: NodeId,
        /// What keeps it.
        by: String,
    },
    /// The node token is missing or wrong.
    #[error("the node token is missing or not the one of the last registration: register again")]
    Unauthenticated,
    /// The volume is not published to the asking node.
    #[error("volume {volume} is not published to node {node}")]
    NotPublished {
        /// The volume.
        volume: String,
        /// The node.
        node: NodeId,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of the agents beyond their registration; gone at a restart, until they speak again.
#[derive(Debug, Default)]
pub struct Fleet {
    by_node: RwLock<BTreeMap<NodeId, Presence>>,
}

/// An agent's presence.
#[derive(Debug, Clone, Default)]
pub struct Presence {
    /// Streams open now; more than one only for the moment of a reconnection.
    streams: u32,
    /// Seconds since the epoch of its last word.
    pub last_seen: i64,
    /// Its last observation.
    pub observation: Option<NodeObservation>,
}

impl Presence {
    /// Whether a Sync stream of the node is open.
    pub fn is_connected(&self) -> bool {
        self.streams > 0
    }
}

impl Fleet {
    /// What is known of `node`.
    pub fn presence(&self, node: &NodeId) -> Presence {
        self.by_node.read().get(node).cloned().unwrap_or_default()
    }

    fn change(&self, node: &NodeId, change: impl FnOnce(&mut Presence)) {
        let mut by_node = self.by_node.write();
        let presence = by_node.entry(node.clone()).or_default();
        presence.last_seen = now();
        change(presence);
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
