//! The server: portals and targets, and the sessions between them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use levers::{EventLog, Levers, PortalFault};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::directory::{AtPortal, Registry, SessionGuard, SessionKey};
use crate::login::{Accepted, Directory, Login, MAX_RECEIVE, Refusal, Step, grant};
use crate::pdu::Pdu;
use crate::portal::{self, Bound, Portal, PortalError};
use crate::session::{Place, Session};
use crate::target::Target;
use crate::transport::{Closed, Transport};

/// How long a login may take from the first byte to the last.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long a reinstated session may take to end.
const REINSTATE_DEADLINE: Duration = Duration::from_secs(5);

/// An iSCSI server with any number of portals and targets. Clones are the same server. Events it
/// records: `iscsi.portal_bound`, `iscsi.portal_unbound`, `iscsi.portal_fault`, `iscsi.login`,
/// `iscsi.login_failed`, `iscsi.session_closed`.
#[derive(Clone, Debug)]
pub struct IscsiServer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    events: EventLog,
    levers: Levers,
    registry: Arc<Registry>,
    bound: Mutex<HashMap<SocketAddr, Bound>>,
}

/// A normal session, as the array's management shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    /// Target name, in normal form (lower case).
    pub target: String,
    /// Initiator name as it gave it.
    pub initiator: String,
    /// Portal it came through.
    pub portal: SocketAddr,
    /// Portal group tag of that portal.
    pub tag: u16,
    /// Address of the initiator.
    pub peer: SocketAddr,
    /// Initiator's part of the session id.
    pub isid: [u8; 6],
    /// Target's part of the session id, never 0.
    pub tsih: u16,
    /// Numbers of the logical units it sees now, ascending.
    pub luns: Vec<u16>,
}

impl IscsiServer {
    /// A server with no portal and no target.
    #[must_use]
    pub fn new(events: EventLog) -> Self {
        Self::with_levers(events, Levers::new())
    }

    /// A server with no portal and no target that obeys `levers`.
    #[must_use]
    pub fn with_levers(events: EventLog, levers: Levers) -> Self {
        let inner = Inner {
            events,
            levers,
            registry: Arc::new(Registry::default()),
            bound: Mutex::new(HashMap::new()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Listens on a portal and returns its real address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`PortalError`].
    pub async fn bind_portal(&self, portal: Portal) -> Result<SocketAddr, PortalError> {
        if self.inner.bound.lock().contains_key(&portal.listen) {
            return Err(PortalError::AlreadyBound { address: portal.listen });
        }
        let listener = portal::listen(portal.listen).await?;
        let address =
            listener.local_addr().map_err(|source| PortalError::Listen { address: portal.listen, source })?;
        let portal = Portal { listen: address, ..portal };
        self.inner.registry.add_portal(address, portal);
        let inner = Arc::clone(&self.inner);
        let fault = self.inner.levers.watch_portal(address);
        let bound = portal::serve(listener, address, fault, move |stream, peer, stop| {
            Arc::clone(&inner).serve(stream, peer, portal, stop)
        });
        self.inner.bound.lock().insert(address, bound);
        self.inner.events.record("iscsi.portal_bound", json!({ "portal": address, "tag": portal.tag }));
        Ok(address)
    }

    /// Stops listening on a portal and drops its connections; the address is free afterwards. An
    /// unknown address is no error.
    pub async fn unbind_portal(&self, address: SocketAddr) {
        let bound = self.inner.bound.lock().remove(&address);
        if let Some(bound) = bound {
            self.inner.registry.remove_portal(address);
            bound.close().await;
            self.inner.events.record("iscsi.portal_unbound", json!({ "portal": address }));
        }
    }

    /// Makes the portal at `address` misbehave, or behave again.
    pub fn set_portal_fault(&self, address: SocketAddr, fault: PortalFault) {
        self.inner.levers.set_portal_fault(address, fault);
        self.inner.events.record("iscsi.portal_fault", json!({ "portal": address, "fault": fault }));
    }

    /// Adds the target, or replaces the one with this name. Live sessions go on: a changed set of
    /// units or size is reported to them as a unit attention, a unit no longer visible answers
    /// LOGICAL UNIT NOT SUPPORTED from the next command on. Sessions keep the authentication they
    /// logged in with, except that an initiator who is now denied is dropped.
    pub fn put_target(&self, target: Target) {
        self.inner.registry.put_target(target);
    }

    /// Removes a target and drops its sessions. An unknown name is no error.
    pub fn remove_target(&self, iqn: &str) {
        self.inner.registry.remove_target(iqn);
    }

    /// The normal sessions, in order of login.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.inner.registry.sessions()
    }
}

impl Inner {
    /// One connection, from its first byte to its last.
    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        portal: Portal,
        stop: CancellationToken,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "connection gone before it began");
            return;
        }
        let fault = self.levers.watch_portal(portal.listen);
        let mut transport = Transport::new(stream, MAX_RECEIVE, fault, stop.clone());
        let connection = Connection { inner: self, peer, portal, local, stop };
        match timeout(LOGIN_DEADLINE, connection.log_in(&mut transport)).await {
            Ok(Ok((response, login))) => connection.serve_session(transport, response, login).await,
            Ok(Err(closed)) => {
                transport.shut_down().await;
                tracing::debug!(%peer, %closed, "no login");
            }
            Err(_) => tracing::debug!(%peer, "no login in time"),
        }
    }
}

/// A connection and where it came in.
struct Connection {
    inner: Arc<Inner>,
    peer: SocketAddr,
    portal: Portal,
    local: SocketAddr,
    stop: CancellationToken,
}

impl Connection {
    /// Plays the login phase. The last response is not sent yet: it needs a TSIH.
    async fn log_in(&self, transport: &mut Transport) -> Result<(Pdu, Box<Accepted>), Closed> {
        let directory =
            AtPortal { registry: &self.inner.registry, address: self.portal.listen, tag: self.portal.tag };
        let mut login = Login::default();
        loop {
            let request = transport.receive().await?;
            match login.answer(&request, &directory as &dyn Directory) {
                Step::Reply(response) => {
                    transport.send(&response).await?;
                    transport.flush().await?;
                }
                Step::Complete(response, accepted) => return Ok((response, accepted)),
                Step::Refuse(response, refusal) => {
                    self.record_refusal(&login, &refusal);
                    transport.send(&response).await?;
                    return Err(Closed::Protocol("login refused"));
                }
            }
        }
    }

    async fn serve_session(self, mut transport: Transport, response: Pdu, login: Box<Accepted>) {
        let parameters = login.parameters;
        let registry = Arc::clone(&self.inner.registry);
        let guard = self.enter(&login).await;
        let tsih = guard.as_ref().map_or(1, |guard| guard.tsih);
        let cell = login.peer.target.as_ref().and_then(|name| registry.find_cell(name, self.portal.listen));
        let welcome = cell.as_ref().is_some_and(|cell| !cell.denies(&login.peer.initiator));
        if guard.is_some() && !welcome {
            tracing::debug!(peer = %self.peer, "the target went away, or shut its door, during login");
            return;
        }
        let particulars = json!({
            "target": login.peer.target, "initiator": login.peer.initiator_name,
            "portal": self.portal.listen, "peer": self.peer, "tsih": tsih,
        });
        self.inner.events.record("iscsi.login", particulars.clone());
        let place = Place { portal: self.portal.listen, port: self.portal.group, local: self.local };
        let closed = match transport.send(&grant(response, tsih)).await {
            Ok(()) => {
                transport.set_digests(parameters.digests);
                Session::new(registry, place, transport, login, cell).run().await
            }
            Err(closed) => closed,
        };
        drop(guard);
        let mut particulars = particulars;
        particulars["reason"] = json!(closed.to_string());
        self.inner.events.record("iscsi.session_closed", particulars);
    }

    /// Enters a normal session; one it reinstates has ended when this returns (RFC 7143 §6.3.5).
    async fn enter(&self, login: &Accepted) -> Option<SessionGuard> {
        let peer = &login.peer;
        let target = peer.target.clone()?;
        let key = SessionKey {
            target: target.clone(),
            initiator: peer.initiator.clone(),
            isid: peer.isid,
            tag: self.portal.tag,
        };
        let info = SessionInfo {
            target,
            initiator: peer.initiator_name.clone(),
            portal: self.portal.listen,
            tag: self.portal.tag,
            peer: self.peer,
            isid: peer.isid,
            tsih: 0,
            luns: Vec::new(),
        };
        let (guard, predecessors) = self.inner.registry.enter(key, info, self.stop.clone());
        for ended in predecessors {
            if timeout(REINSTATE_DEADLINE, ended.cancelled()).await.is_err() {
                tracing::warn!(peer = %self.peer, "the session to be reinstated does not end");
            }
        }
        Some(guard)
    }

    fn record_refusal(&self, login: &Login, refusal: &Refusal) {
        let (class, detail) = refusal.status();
        let peer = login.peer();
        let particulars = json!({
            "initiator": peer.map(|peer| peer.initiator_name.as_str()),
            "target": peer.and_then(|peer| peer.target.as_deref()),
            "portal": self.portal.listen, "peer": self.peer,
            "status": format!("{class:02x}{detail:02x}"), "reason": refusal.to_string(),
        });
        self.inner.events.record("iscsi.login_failed", particulars);
    }
}
