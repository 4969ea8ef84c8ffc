//! The server of one SVM: its LIFs, its exports, its mounted clients.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use levers::{EventLog, Levers, NfsLever, Traffic};
use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::export::{Export, Exports, MountedClient};
use crate::mount3::Mount3;
use crate::nfs3::Nfs3;
use crate::nfs4::Nfs4;
use crate::portmap::Portmap;
use crate::rpc::{Dispatcher, Service, serve_datagrams, serve_streams};
use crate::versions::{NfsVersions, Switched};

/// How long [`NfsServer::retire`] waits for what was called to be answered, and for hanging up.
const RETIREMENT: Duration = Duration::from_secs(3);

/// The NFS service of one SVM. Clones are the same service; with the last one its LIFs go down.
#[derive(Debug, Clone)]
pub struct NfsServer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    exports: Arc<Exports>,
    nfs4: Arc<Nfs4>,
    speaks_v3: Arc<AtomicBool>,
    dispatcher: Dispatcher,
    /// The tasks of each bound address. Dropping them closes its sockets and connections.
    bound: Mutex<HashMap<SocketAddr, Bound>>,
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

/// A bound address.
#[derive(Debug, Default)]
struct Bound {
    tasks: JoinSet<()>,
    retiring: watch::Sender<bool>,
}

impl NfsServer {
    /// A server with no LIF and no export. Mounts and unmounts are recorded in `events` as
    /// `nfs.mount`, `nfs.mount_refused` and `nfs.unmount`, each with client and path; where calls are
    /// traced, each is an `nfs.call`.
    #[must_use]
    pub fn new(events: EventLog) -> Self {
        Self::with_levers(events, Levers::new(), "")
    }

    /// Such a server that obeys the levers of its LIFs and those called `name`; what they change is
    /// recorded as `nfs.fault`.
    #[must_use]
    pub fn with_levers(events: EventLog, levers: Levers, name: &str) -> Self {
        let lever = levers.nfs(name);
        let exports = Arc::new(Exports::new(lever.clone()));
        let speaks_v3 = Arc::new(AtomicBool::new(true));
        let nfs3: Arc<dyn Service> =
            Arc::new(Switched { service: Nfs3::new(exports.clone()), on: speaks_v3.clone() });
        let mount = Mount3::new(exports.clone(), events.clone());
        let mount: Arc<dyn Service> = Arc::new(Switched { service: mount, on: speaks_v3.clone() });
        let nfs4 = Arc::new(Nfs4::new(exports.clone(), events.clone()));
        let dispatcher = Dispatcher::new([nfs3, nfs4.clone(), mount], levers, lever, events);
        let bound = Mutex::default();
        Self { shared: Arc::new(Shared { exports, nfs4, speaks_v3, dispatcher, bound }) }
    }

    /// Serves NFS v3 and MOUNT v3 at `address` (port 0: any free one) until [`Self::unbind`].
    /// Returns the address bound.
    ///
    /// # Errors
    /// [`LifError`] when the address is taken, or not of this host.
    pub async fn bind_lif(&self, address: SocketAddr) -> Result<SocketAddr, LifError> {
        let (listener, bound) = self.listen(address).await?;
        let mut service = Bound::default();
        let (dispatcher, retiring) = (self.shared.dispatcher.clone(), service.retiring.subscribe());
        service.tasks.spawn(serve_streams(listener, bound, dispatcher, retiring));
        self.shared.bound.lock().insert(bound, service);
        tracing::info!(address = %bound, "NFS LIF up");
        Ok(bound)
    }

    /// Serves the port mapper (RFC 1833; usually on port 111) at `address` over TCP and UDP, naming
    /// `nfs_port` as the place of NFS and MOUNT, until [`Self::unbind`]. Returns the address bound.
    ///
    /// # Errors
    /// [`LifError`] when the address is taken, not of this host, or the port needs a privilege.
    pub async fn bind_portmap(&self, address: SocketAddr, nfs_port: u16) -> Result<SocketAddr, LifError> {
        let (listener, bound) = self.listen(address).await?;
        let socket =
            UdpSocket::bind(bound).await.map_err(|source| LifError::Listen { address: bound, source })?;
        let versions =
            Portmap::versions(bound, nfs_port).map(|version| Arc::new(version) as Arc<dyn Service>);
        // The port mapper is a service of its own: NFS stopped, it goes on.
        let (levers, events) = (self.shared.dispatcher.levers().0, self.shared.dispatcher.events());
        let dispatcher = Dispatcher::new(versions, levers.clone(), NfsLever::default(), events.clone());
        let mut service = Bound::default();
        let retiring = service.retiring.subscribe();
        service.tasks.spawn(serve_streams(listener, bound, dispatcher.clone(), retiring));
        service.tasks.spawn(serve_datagrams(socket, dispatcher));
        self.shared.bound.lock().insert(bound, service);
        tracing::info!(address = %bound, nfs_port, "port mapper up");
        Ok(bound)
    }

    async fn listen(&self, address: SocketAddr) -> Result<(TcpListener, SocketAddr), LifError> {
        if self.shared.bound.lock().contains_key(&address) {
            return Err(LifError::AlreadyBound(address));
        }
        let failed = |source| LifError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok((listener, bound))
    }

    /// Stops listening at `address` and cuts every connection made through it; when this returns,
    /// the port is free. Nothing happens when nothing is bound there.
    pub async fn unbind(&self, address: SocketAddr) {
        let service = self.shared.bound.lock().remove(&address);
        if let Some(mut service) = service {
            service.tasks.shutdown().await;
            tracing::info!(%address, "down");
        }
    }

    /// As [`Self::unbind`], in good order: what was called is answered before the connections end, so
    /// that a client which finds the service again repeats nothing that was done. It has a second to
    /// hang up.
    pub async fn retire(&self, address: SocketAddr) {
        let service = self.shared.bound.lock().remove(&address);
        if let Some(mut service) = service {
            service.retiring.send_replace(true);
            // Of a port mapper, the datagrams go on until they are cut; so do calls a lever holds up.
            let _in_time = tokio::time::timeout(RETIREMENT, service.tasks.join_next()).await;
            service.tasks.shutdown().await;
            tracing::info!(%address, "retired");
        }
    }

    /// Exports a tree, or replaces the export at the same path; visible to clients at once.
    ///
    /// A tree exported at two paths has the policy of the newer one.
    pub fn put_export(&self, export: Export) {
        tracing::info!(path = export.path, policy = export.policy.name, "exported");
        self.shared.exports.put(export);
    }

    /// Takes an export away. A handle into its tree then answers NFS3ERR_STALE, unless the tree is
    /// exported at another path too.
    pub fn remove_export(&self, path: &str) {
        if self.shared.exports.remove(path) {
            tracing::info!(path, "no longer exported");
        }
    }

    /// Speaks these versions and no others, from the next call on.
    pub fn set_versions(&self, versions: NfsVersions) {
        tracing::info!(?versions, "versions of NFS");
        self.shared.speaks_v3.store(versions.v3, Ordering::Relaxed);
        self.shared.nfs4.set_minors([versions.v4_0, versions.v4_1, versions.v4_2]);
    }

    /// How long a v4 client may be silent before it loses its locks (ONTAP's default: 30 s), and how
    /// long clients may at most reclaim them after a restart (45 s).
    pub fn set_lease(&self, lease: Duration, grace: Duration) {
        self.shared.nfs4.set_periods(lease, grace);
    }

    /// Forgets all v4 state, as a service does that restarts; files and handles stay. Clients that
    /// had something open get a grace to reclaim it, which the last v4.1 client to finish ends early.
    pub fn restart(&self) {
        tracing::info!("v4 state forgotten");
        self.shared.nfs4.restart();
    }

    /// Starts a grace of that length: v4 clients get nothing opened or locked, save what they reclaim.
    pub fn enter_grace(&self, period: Duration) {
        tracing::info!(?period, "grace");
        self.shared.nfs4.enter_grace(period);
    }

    /// Ends the lease of every v4 client now, as if it had been silent; its opens and locks are gone.
    pub fn expire_leases(&self) {
        tracing::info!("leases expired");
        self.shared.nfs4.expire_leases();
    }

    /// What a client has called so far: bytes of the records of its calls and their replies.
    #[must_use]
    pub fn traffic(&self, client: IpAddr) -> Traffic {
        self.shared.dispatcher.traffic(client)
    }

    /// Who has what mounted, by what MOUNT calls told.
    #[must_use]
    pub fn clients(&self) -> Vec<MountedClient> {
        self.shared.exports.mounts()
    }
}
