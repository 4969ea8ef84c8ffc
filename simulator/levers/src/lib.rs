//! Fault levers and the event log of a simulated array.
//!
//! ```text
//! management API ─┐                      ┌─ test, demo, status page
//! iSCSI, NFS ─────┴─ record → EventLog ──┘ since, await_event
//!                             │ tap
//! control endpoint ─ set → Levers ◄─ Schedule (after a time, with the nth event)
//!                             ├─ portal, LUN, NFS service, gate → data planes
//!                             └─ API rules → management API
//! ```
//!
//! The data planes record what happened and obey the levers; they never set one. A lever at rest
//! costs one atomic load.

mod api;
mod events;
mod gate;
mod latency;
mod lun;
mod meter;
mod nfs;
mod pattern;
mod portal;
mod schedule;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;

pub use api::{
    ApiCall, ApiFault, ApiLever, ApiRule, ApiRuleError, CallKind, Hit, MAX_API_RULES, Probability,
    RefusedStatus, RuleId, RuleState, Verdict,
};
pub use events::{Event, EventLog, Page};
pub use gate::{Gate, Mode};
pub use latency::{Latency, MAX_DELAY};
pub use lun::{Access, Attention, BadBlocks, LunFaults, LunLever};
pub use meter::{Meter, Traffic};
pub use nfs::{NfsFaults, NfsLever};
pub use pattern::Pattern;
pub use portal::PortalFault;
pub use schedule::{Action, Schedule, Trigger};

/// The levers of one simulated array. Clones share the same levers.
#[derive(Clone, Debug)]
pub struct Levers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    portals: Mutex<BTreeMap<SocketAddr, watch::Sender<PortalFault>>>,
    luns: Mutex<BTreeMap<String, LunLever>>,
    nfs: Mutex<BTreeMap<String, NfsLever>>,
    api: ApiLever,
    gate: Gate,
    dice: Mutex<StdRng>,
}

impl Default for Levers {
    fn default() -> Self {
        Self::new()
    }
}

impl Levers {
    /// Levers that are all at rest, and roll their dice as chance has it.
    #[must_use]
    pub fn new() -> Self {
        Self::seeded(rand::random())
    }

    /// Levers that are all at rest; with the same seed and the same order of commands the same
    /// delays are drawn.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let shared = Shared {
            portals: Mutex::default(),
            luns: Mutex::default(),
            nfs: Mutex::default(),
            api: ApiLever::default(),
            gate: Gate::default(),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets the fault of the portal at `address`, whether or not anything listens there yet.
    pub fn set_portal_fault(&self, address: SocketAddr, fault: PortalFault) {
        self.shared.portals.lock().entry(address).or_default().send_replace(fault);
    }

    /// The fault of the portal at `address`, now and as it changes.
    #[must_use]
    pub fn watch_portal(&self, address: SocketAddr) -> watch::Receiver<PortalFault> {
        self.shared.portals.lock().entry(address).or_default().subscribe()
    }

    /// The lever of the logical unit with this serial number, whether or not there is one yet.
    #[must_use]
    pub fn lun(&self, serial: &str) -> LunLever {
        self.shared.luns.lock().entry(serial.to_owned()).or_default().clone()
    }

    /// Forgets the lever of a unit that is gone.
    pub fn forget_lun(&self, serial: &str) {
        self.shared.luns.lock().remove(serial);
    }

    /// The lever of the NFS service of this name (that of its SVM).
    #[must_use]
    pub fn nfs(&self, server: &str) -> NfsLever {
        self.shared.nfs.lock().entry(server.to_owned()).or_default().clone()
    }

    /// The gate that commands and calls pass.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// The lever of the management API.
    #[must_use]
    pub fn api(&self) -> &ApiLever {
        &self.shared.api
    }

    /// What goes wrong with this call of the management API.
    #[must_use]
    pub fn judge(&self, call: &ApiCall<'_>) -> Verdict {
        if !self.shared.api.is_armed() {
            return Verdict::default();
        }
        self.shared.api.judge(call, &mut *self.shared.dice.lock())
    }

    /// A delay of this distribution.
    #[must_use]
    pub fn draw(&self, latency: Latency) -> Duration {
        latency.draw(&mut *self.shared.dice.lock())
    }

    /// Pulls one lever.
    pub fn act(&self, action: &Action) {
        match action {
            Action::Portal { address, fault } => self.set_portal_fault(*address, *fault),
            Action::Lun { serial, faults } => self.lun(serial).set(faults.clone()),
            Action::Attention { serial, attention } => self.lun(serial).raise(*attention),
            Action::Nfs { server, faults } => self.nfs(server).set(faults.clone()),
            Action::Api(rule) => {
                // A full set of rules stays as it is: there is nobody here to tell.
                let _added = self.api().add((**rule).clone());
            }
            Action::Mode(mode) => self.gate().set_mode(*mode),
        }
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

    #[test]
    fn the_same_seed_draws_the_same_delays() {
        let latency = Latency::Uniform { min_us: 0, max_us: u64::from(u32::MAX) >> 4 };
        let draws = |levers: Levers| (0..8).map(|_| levers.draw(latency)).collect::<Vec<_>>();
        assert_eq!(draws(Levers::seeded(5)), draws(Levers::seeded(5)));
        assert_ne!(draws(Levers::seeded(5)), draws(Levers::seeded(6)));
    }
}
