//! What the levers do to a LIF and its connections.

use std::net::SocketAddr;

use levers::{EventLog, Latency, NfsLever, PortalFault};
use serde_json::json;
use tokio::sync::watch;

use crate::rpc::service::Dispatcher;

/// The fault of one LIF: its own, or that its service is stopped.
#[derive(Debug)]
pub(super) struct LifFault {
    address: SocketAddr,
    portal: watch::Receiver<PortalFault>,
    lever: NfsLever,
    events: EventLog,
    now: watch::Sender<PortalFault>,
}

impl LifFault {
    pub(super) fn new(address: SocketAddr, dispatcher: &Dispatcher) -> Self {
        let (levers, lever) = dispatcher.levers();
        let fault = Self {
            address,
            portal: levers.watch_portal(address),
            lever: lever.clone(),
            events: dispatcher.events().clone(),
            now: watch::Sender::default(),
        };
        fault.look();
        fault
    }

    /// The view of one connection.
    pub(super) fn passage(&self) -> Passage {
        Passage { fault: self.now.subscribe(), seen: PortalFault::None, calls_left: 0 }
    }

    /// Takes over what the levers say, and records it.
    fn look(&self) {
        let stopped = self.lever.is_stopped();
        // A stopped service is a LIF on which nobody listens.
        let fault = if stopped { PortalFault::Refuse } else { *self.portal.borrow() };
        let changed = self.now.send_if_modified(|now| {
            let changed = *now != fault;
            *now = fault;
            changed
        });
        if changed {
            self.events
                .record("nfs.fault", json!({ "lif": self.address, "fault": fault, "stopped": stopped }));
        }
    }

    /// Follows the levers for as long as it is polled.
    pub(super) async fn follow(mut self) {
        loop {
            let stopped = self.lever.is_stopped();
            self.look();
            tokio::select! {
                changed = self.portal.changed() => {
                    if changed.is_err() {
                        // The levers are gone: the fault stays as it is.
                        std::future::pending::<()>().await;
                    }
                }
                () = self.lever.await_stopped(!stopped) => {}
            }
        }
    }
}

/// Whether a connection's bytes may pass, and how.
#[derive(Debug, Clone)]
pub(super) struct Passage {
    fault: watch::Receiver<PortalFault>,
    /// The fault when last looked at: one pulled anew counts its calls anew.
    seen: PortalFault,
    calls_left: u64,
}

impl Passage {
    fn now(&self) -> PortalFault {
        *self.fault.borrow()
    }

    /// Do new connections come in?
    pub(super) fn admits(&self) -> bool {
        !matches!(self.now(), PortalFault::Refuse | PortalFault::Blackhole)
    }

    pub(super) fn refuses(&self) -> bool {
        self.now() == PortalFault::Refuse
    }

    pub(super) fn resets(&self) -> bool {
        self.now() == PortalFault::Reset
    }

    /// How late replies are.
    pub(super) fn latency(&self) -> Option<Latency> {
        match self.now() {
            PortalFault::Slow(latency) => Some(latency),
            _ => None,
        }
    }

    /// Returns when the fault is another.
    pub(super) async fn changed(&mut self) {
        if self.fault.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn await_fault(&mut self, wanted: impl FnMut(&PortalFault) -> bool) {
        if self.fault.wait_for(wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the connection must go.
    pub(super) async fn await_cut(&mut self) {
        self.await_fault(|fault| matches!(fault, PortalFault::Refuse | PortalFault::Reset)).await;
    }

    /// Returns when bytes may pass.
    pub(super) async fn await_way(&mut self) {
        self.await_fault(|fault| *fault != PortalFault::Blackhole).await;
    }

    /// May one more call be served?
    pub(super) fn count_call(&mut self) -> bool {
        let PortalFault::DropAfter { messages } = self.now() else {
            self.seen = PortalFault::None;
            return true;
        };
        if self.seen != self.now() {
            self.seen = self.now();
            self.calls_left = messages;
        }
        self.calls_left = match self.calls_left.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}
