//! Faults of one portal (a LIF's or SVIP's address and port), as the data planes see them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How a portal misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortalFault {
    /// It does not.
    #[default]
    None,
    /// Down with notice: open connections are closed, new ones get "connection refused".
    Refuse,
    /// Down without notice: open connections fall silent and new ones are never answered. Lifted,
    /// both go on where they were, as after a healed partition.
    Blackhole,
}

/// The levers of one simulated array. Clones share the same levers.
#[derive(Clone, Debug, Default)]
pub struct Levers {
    portals: Arc<Mutex<BTreeMap<SocketAddr, watch::Sender<PortalFault>>>>,
}

impl Levers {
    /// Levers that are all at rest.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the fault of the portal at `address`, whether or not anything listens there yet.
    pub fn set_portal_fault(&self, address: SocketAddr, fault: PortalFault) {
        self.portals.lock().entry(address).or_default().send_replace(fault);
    }

    /// The fault of the portal at `address`, now and as it changes.
    #[must_use]
    pub fn watch_portal(&self, address: SocketAddr) -> watch::Receiver<PortalFault> {
        self.portals.lock().entry(address).or_default().subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_set_before_the_portal_is_watched_is_seen() {
        let levers = Levers::new();
        let address = SocketAddr::from(([127, 0, 0, 1], 3260));
        levers.set_portal_fault(address, PortalFault::Refuse);
        let mut watch = levers.watch_portal(address);
        assert_eq!(*watch.borrow_and_update(), PortalFault::Refuse);
        levers.clone().set_portal_fault(address, PortalFault::None);
        assert!(watch.has_changed().unwrap());
    }
}
