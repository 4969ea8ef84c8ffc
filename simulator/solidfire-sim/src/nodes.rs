//! The nodes' own addresses: an iSCSI portal each, to which the SVIP sends the initiators of the
//! volumes that the node serves, and an API each.

use std::net::SocketAddr;

use iscsi_target::{IscsiServer, PortGroup, Portal, PortalError};
use sim_front::{ServeError, bind};
use tokio::net::TcpListener;

use crate::state::NodeAddresses;

/// The portal group of the whole cluster; an initiator that was redirected refuses another one.
const TAG: u16 = 1;

/// The flags of the nodes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NodeArguments {
    /// Where the nodes serve iSCSI, one address a node: logins at the SVIP are sent there. Without
    /// it there is one node, which serves at the SVIP itself
    #[arg(long = "node-address", value_name = "ADDRESS:PORT", value_delimiter = ',', value_parser = told)]
    addresses: Vec<SocketAddr>,
    /// Where the nodes' own API listens, one address a node; a node without one takes a free port
    /// beside the last
    #[arg(
        long = "node-management",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:0"
    )]
    managements: Vec<SocketAddr>,
}

/// An address that initiators can be sent to.
fn told(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|error| format!("{error}; write ADDRESS:PORT"))?;
    match address.ip().is_unspecified() {
        true => Err("initiators cannot be sent to an unspecified address".to_owned()),
        false => Ok(address),
    }
}

/// The SVIP, bound.
///
/// # Errors
/// [`PortalError`].
pub(crate) async fn bind_svip(server: &IscsiServer, svip: SocketAddr) -> Result<SocketAddr, PortalError> {
    bind_iscsi(server, svip, 0).await
}

async fn bind_iscsi(server: &IscsiServer, listen: SocketAddr, node: u16) -> Result<SocketAddr, PortalError> {
    let group = PortGroup { id: 1, relative_port: node + 1 };
    server.bind_portal(Portal { listen, tag: TAG, group }).await
}

/// The nodes' addresses, bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Those of iSCSI; none: the SVIP serves all.
    pub(crate) portals: Vec<SocketAddr>,
    /// Those of the nodes' own API, one a node.
    pub(crate) listeners: Vec<TcpListener>,
}

impl Bound {
    /// Binds the portals to `server`, and the listeners.
    ///
    /// # Errors
    /// [`NodeError`] names the flag.
    pub(crate) async fn new(server: &IscsiServer, arguments: &NodeArguments) -> Result<Self, NodeError> {
        let mut portals = Vec::new();
        for (node, address) in (1..).zip(&arguments.addresses) {
            portals.push(bind_iscsi(server, *address, node).await?);
        }
        let nodes = portals.len().max(1);
        if arguments.managements.len() > nodes {
            return Err(NodeError::TooMany { given: arguments.managements.len(), nodes });
        }
        let beside = arguments.managements.last().map(|last| SocketAddr::new(last.ip(), 0));
        let mut listeners = Vec::new();
        for address in arguments.managements.iter().copied().chain(beside.into_iter().cycle()).take(nodes) {
            listeners.push(bind("--node-management", address).await?);
        }
        Ok(Self { portals, listeners })
    }

    /// The nodes' addresses, where the cluster's SVIP is the portal of a node without one.
    ///
    /// # Errors
    /// [`ServeError`] when the system does not tell a listener's.
    pub(crate) fn addresses(&self, svip: SocketAddr) -> Result<Vec<NodeAddresses>, ServeError> {
        let portals = self.portals.iter().copied().chain(std::iter::repeat(svip));
        let pair = |(listener, storage): (&TcpListener, SocketAddr)| {
            let management = listener.local_addr().map_err(ServeError::Local)?;
            Ok(NodeAddresses { storage, management })
        };
        self.listeners.iter().zip(portals).map(pair).collect()
    }
}

/// Why the nodes' addresses cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// iSCSI could not listen.
    #[error("--node-address: iSCSI could not listen")]
    Portal(#[from] PortalError),
    /// A node's API could not listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// There are fewer nodes.
    #[error(
        "--node-management: {given} addresses for {nodes} node(s); --node-address says how many there are"
    )]
    TooMany {
        /// Addresses.
        given: usize,
        /// Nodes.
        nodes: usize,
    },
}
