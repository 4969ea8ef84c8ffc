//! Portals: listening addresses, each with its portal group tag and its place in ALUA.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use levers::PortalFault;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::transport::reset_on_drop;

/// Connections one portal serves at once; further ones wait in the backlog.
const MAX_CONNECTIONS: usize = 1024;
/// Pause after the system refused a listener or a connection (out of descriptors).
const RETRY: Duration = Duration::from_millis(100);

/// A network portal to be (RFC 7143 §4.4.1): one LIF on ONTAP, the SVIP on SolidFire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portal {
    /// Where to listen; port 0 lets the system choose. Initiators are told this address, so it
    /// should not be the unspecified one.
    pub listen: SocketAddr,
    /// Target portal group tag, as SendTargets and login show it.
    pub tag: u16,
    /// Its target port in SCSI terms.
    pub group: PortGroup,
}

/// The SCSI target port behind a portal (SPC-4 §5.15, §7.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortGroup {
    /// TARGET PORT GROUP identifier.
    pub id: u16,
    /// RELATIVE TARGET PORT IDENTIFIER, from 1, unique on the array.
    pub relative_port: u16,
}

/// Where a portal sends the initiators of a target: as SolidFire's SVIP sends them to the node that
/// serves the volume (RFC 7143 §11.13.5, status 0x0101 and 0x0102).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The address told: that of a bound portal, which serves the target whether or not
    /// [`crate::Target::portals`] lists it. Discovery shows only those listed.
    pub address: SocketAddr,
    /// "Moved permanently" instead of "moved temporarily".
    pub permanent: bool,
}

/// Why a portal could not be bound.
#[derive(Debug, Error)]
pub enum PortalError {
    /// The system refused the address.
    #[error("cannot listen for iSCSI on {address}: is it configured on this host and free?")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// This server listens there already.
    #[error("{address} is already a portal of this server")]
    AlreadyBound {
        /// The address asked for.
        address: SocketAddr,
    },
}

/// A portal that is served.
#[derive(Debug)]
pub(crate) struct Bound {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Bound {
    /// Drops listener and connections, and returns when the address is free.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        // A task that panicked has dropped its listener as well.
        let _ = self.task.await;
    }
}

/// Opens the listener of a portal.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, PortalError> {
    TcpListener::bind(address).await.map_err(|source| PortalError::Listen { address, source })
}

/// Serves a portal in a task of its own: `connect` is spawned for each connection, with the token
/// that ends it.
pub(crate) fn serve<C, F>(
    listener: TcpListener,
    address: SocketAddr,
    fault: watch::Receiver<PortalFault>,
    connect: C,
) -> Bound
where
    C: Fn(TcpStream, SocketAddr, CancellationToken) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let stop = CancellationToken::new();
    let acceptor = Acceptor { address, listener: Some(listener), fault, stop: stop.clone() };
    let task = tokio::spawn(acceptor.run(connect));
    Bound { stop, task }
}

struct Acceptor {
    address: SocketAddr,
    /// None while the portal refuses: then the system answers with a reset.
    listener: Option<TcpListener>,
    fault: watch::Receiver<PortalFault>,
    stop: CancellationToken,
}

impl Acceptor {
    async fn run<C, F>(mut self, connect: C)
    where
        C: Fn(TcpStream, SocketAddr, CancellationToken) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let fault = *self.fault.borrow_and_update();
            let stop = self.stop.clone();
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                changed = self.fault.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                accepted = accept(self.address, &mut self.listener, fault, &slots) => accepted,
            };
            if let Some((stream, peer, slot)) = accepted {
                if matches!(fault, PortalFault::Reset) {
                    reset_on_drop(&stream);
                    continue;
                }
                let serve = connect(stream, peer, self.stop.child_token());
                tokio::spawn(async move {
                    serve.await;
                    drop(slot);
                });
            }
        }
    }
}

/// The next connection, if the fault lets one through; otherwise waits to be cancelled.
async fn accept(
    address: SocketAddr,
    place: &mut Option<TcpListener>,
    fault: PortalFault,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    match fault {
        PortalFault::Refuse => {
            *place = None;
            std::future::pending().await
        }
        // The system completes the handshake; nobody ever answers.
        PortalFault::Blackhole => std::future::pending().await,
        PortalFault::None | PortalFault::Reset | PortalFault::Slow(_) | PortalFault::DropAfter { .. } => {}
    }
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    let listener = match place {
        Some(listener) => listener,
        None => match listen(address).await {
            Ok(listener) => place.insert(listener),
            Err(error) => {
                tracing::warn!(address = %address, %error, "portal cannot come back yet");
                tokio::time::sleep(RETRY).await;
                return None;
            }
        },
    };
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, slot)),
        Err(error) => {
            tracing::warn!(address = %address, %error, "accept failed");
            tokio::time::sleep(RETRY).await;
            None
        }
    }
}
