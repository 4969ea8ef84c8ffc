//! `/sys/class/iscsi_session` and its connections.

use std::net::IpAddr;

use agent_core::facts::{Hctl, SessionState};
use contract::{Iqn, Portal};

use super::{SysfsError, attribute, link, names, numbered_component, parsed, scsi};
use crate::root::HostRoot;

/// A session as sysfs shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `sessionN`.
    pub sid: u32,
    /// `hostN`.
    pub host: u32,
    /// Target name.
    pub target: Iqn,
    /// Where it was logged in to: the *persistent* address, port and tag of its connection.
    pub portal: Portal,
    /// State of the session.
    pub state: SessionState,
}

/// Every session that is named. One that is just being made (its target reads `(null)`) or removed
/// is left out, and so is one without connection.
///
/// # Errors
/// See [`SysfsError`].
pub fn sessions(root: &HostRoot) -> Result<Vec<Session>, SysfsError> {
    let mut sessions = Vec::new();
    for name in names(&root.sys("class/iscsi_session"))? {
        if let Some(sid) = name.strip_prefix("session").and_then(|digits| digits.parse().ok()) {
            sessions.extend(session(root, sid)?);
        }
    }
    sessions.sort_by_key(|session| session.sid);
    Ok(sessions)
}

/// One session; `None` when it is gone, or not named yet.
///
/// # Errors
/// See [`SysfsError`].
pub fn session(root: &HostRoot, sid: u32) -> Result<Option<Session>, SysfsError> {
    let directory = root.sys(format!("class/iscsi_session/session{sid}"));
    let connection = root.sys(format!("class/iscsi_connection/connection{sid}:0"));
    let Some(place) = link(&directory)? else { return Ok(None) };
    let target = attribute(&directory.join("targetname"))?.and_then(|name| name.parse().ok());
    let address: Option<IpAddr> = parsed(&connection.join("persistent_address"))?;
    let port: Option<u16> = parsed(&connection.join("persistent_port"))?;
    let state = attribute(&directory.join("state"))?;
    let (Some(host), Some(target), Some(address), Some(port), Some(state)) =
        (numbered_component(&place, "host"), target, address, port, state)
    else {
        return Ok(None);
    };
    let tag = parsed(&directory.join("tpgt"))?.unwrap_or(Portal::UNKNOWN_TAG);
    let portal = Portal { address, port, tag };
    Ok(Some(Session { sid, host, target, portal, state: parse_state(&state) }))
}

/// Texts of `iscsi_session_state_name` (drivers/scsi/scsi_transport_iscsi.c).
fn parse_state(text: &str) -> SessionState {
    match text {
        "LOGGED_IN" => SessionState::LoggedIn,
        "FAILED" => SessionState::Failed,
        "FREE" => SessionState::Free,
        other => SessionState::Other(other.to_owned()),
    }
}

impl Session {
    /// Whether this is the session to `portal` of `target`. A tag that is not known matches any.
    pub fn reaches(&self, target: &Iqn, portal: &Portal) -> bool {
        self.target == *target && self.portal.socket_addr() == portal.socket_addr()
    }

    /// SCSI devices on this session.
    ///
    /// # Errors
    /// See [`SysfsError`].
    pub fn devices(&self, root: &HostRoot) -> Result<Vec<Hctl>, SysfsError> {
        scsi::devices_of_host(root, self.host)
    }
}
