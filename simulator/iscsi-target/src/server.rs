//! The server: portals and targets, and the sessions between them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use levers::{EventLog, Levers, PortalFault, Traffic};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;

use crate::connection::Connection;
use crate::directory::Registry;
use crate::options::Options;
use crate::portal::{self, Bound, PortGroup, Portal, PortalError, Redirect};
use crate::session::orders::{AsyncEvent, Order};
use crate::target::Target;

/// An iSCSI server with any number of portals and targets. Clones are the same server. Events it
/// records: `iscsi.portal_bound`, `iscsi.portal_unbound`, `iscsi.portal_moved`, `iscsi.portal_fault`,
/// `iscsi.login`, `iscsi.login_failed`, `iscsi.login_redirected`, `iscsi.logout`,
/// `iscsi.task_management`, `iscsi.session_closed`; of the data path, when asked for, `scsi.command`.
#[derive(Clone, Debug)]
pub struct IscsiServer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) events: EventLog,
    pub(crate) levers: Levers,
    pub(crate) options: Options,
    pub(crate) registry: Arc<Registry>,
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
    /// Commands so far, and the bytes that they asked to move.
    pub traffic: Traffic,
}

impl IscsiServer {
    /// A server with no portal and no target, and levers of its own.
    #[must_use]
    pub fn new(events: EventLog) -> Self {
        Self::with_levers(events, Levers::new())
    }

    /// The same, obeying levers that others hold.
    #[must_use]
    pub fn with_levers(events: EventLog, levers: Levers) -> Self {
        Self::with_options(events, levers, Options::default())
    }

    /// The same, with other settings than the usual ones.
    #[must_use]
    pub fn with_options(events: EventLog, levers: Levers, options: Options) -> Self {
        let registry = Arc::new(Registry::new(levers.clone(), events.clone()));
        let inner = Inner { events, levers, options, registry, bound: Mutex::new(HashMap::new()) };
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
        let port = self.inner.registry.add_portal(address, portal);
        let inner = Arc::clone(&self.inner);
        let fault = self.inner.levers.watch_portal(address);
        let bound = portal::serve(listener, address, fault, move |stream, peer, stop| {
            Connection::serve(Arc::clone(&inner), stream, peer, portal, Arc::clone(&port), stop)
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

    /// Moves a portal to another place in ALUA, as a LIF that migrates to another node: address and
    /// sessions stay. Where the access state of a unit is another one there, its sessions are told by
    /// the unit attention ASYMMETRIC ACCESS STATE CHANGED. False: no portal is bound there.
    pub fn move_portal(&self, address: SocketAddr, group: PortGroup) -> bool {
        let moved = self.inner.registry.move_portal(address, group);
        if moved {
            let particulars = json!({ "portal": address, "group": group.id, "port": group.relative_port });
            self.inner.events.record("iscsi.portal_moved", particulars);
        }
        moved
    }

    /// Sends those who log in to a target at a portal elsewhere, or no longer. Removing the target
    /// ends it as well.
    pub fn set_redirect(&self, iqn: &str, portal: SocketAddr, to: Option<Redirect>) {
        self.inner.registry.set_redirect(iqn, portal, to);
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

    /// Tells the initiator of a session something unasked. False: there is no such session, or it has
    /// not taken in what it was told before.
    pub fn announce(&self, tsih: u16, event: AsyncEvent) -> bool {
        let line = self.inner.registry.find_line(tsih);
        line.is_some_and(|line| line.orders.try_send(Order::Announce(event)).is_ok())
    }

    /// The normal sessions, in order of login.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.inner.registry.sessions()
    }
}
