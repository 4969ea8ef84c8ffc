//! The cluster's nodes. The SVIP and the MVIP are addresses of the cluster; each node has addresses of
//! its own behind them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{ClusterIdentity, VolumeId};

/// Drives of a node: the first holds metadata ("volume" drive), the others blocks.
pub const DRIVES_PER_NODE: u32 = 4;

/// A storage node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number, from 1.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Where it serves iSCSI (its SIP).
    pub storage: SocketAddr,
    /// Where its own API listens (its MIP).
    pub management: SocketAddr,
}

/// The addresses of a node to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAddresses {
    /// Where it serves iSCSI.
    pub storage: SocketAddr,
    /// Where its own API listens.
    pub management: SocketAddr,
}

impl Node {
    /// Node `id` of a cluster.
    pub(super) fn new(cluster: &str, cluster_uuid: Uuid, id: u32, addresses: NodeAddresses) -> Self {
        Self {
            id,
            name: format!("{cluster}-{id}"),
            // Another one for each node, and the same whenever the cluster starts.
            uuid: Uuid::from_u128(cluster_uuid.as_u128() ^ u128::from(id)),
            storage: addresses.storage,
            management: addresses.management,
        }
    }

    /// Numbers of its drives.
    pub fn drives(&self) -> std::ops::RangeInclusive<u32> {
        let first = (self.id - 1) * DRIVES_PER_NODE + 1;
        first..=first + DRIVES_PER_NODE - 1
    }
}

impl ClusterIdentity {
    /// Gives the cluster nodes at these addresses.
    pub(super) fn set_nodes(&mut self, addresses: &[NodeAddresses]) {
        let node = |(id, one): (u32, &NodeAddresses)| Node::new(&self.name, self.uuid, id, *one);
        self.nodes = (1..).zip(addresses).map(node).collect();
    }
}

/// The node among `nodes` that serves a volume: volumes are dealt out in turn. None when there are no
/// nodes.
pub fn home_of<T>(volume: VolumeId, nodes: &[T]) -> Option<&T> {
    let turn = usize::try_from(volume.0.saturating_sub(1)).ok()?;
    nodes.get(turn.checked_rem(nodes.len())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_dealt_out_to_the_nodes_in_turn() {
        let dealt: Vec<_> = (1..=5).filter_map(|id| home_of(VolumeId(id), &['a', 'b'])).collect();
        assert_eq!(dealt, [&'a', &'b', &'a', &'b', &'a']);
        assert_eq!(home_of::<char>(VolumeId(1), &[]), None);
    }
}
