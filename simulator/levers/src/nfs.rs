//! Faults of one NFS service (that of one SVM).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// How an NFS service misbehaves; all at rest by default. Faults of a LIF, and a restart or expired
/// leases, are elsewhere: the first are [`crate::PortalFault`]s, the others are things that happen,
/// not states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NfsFaults {
    /// The service is stopped: connections are closed and refused; the LIFs stay up.
    pub stopped: bool,
    /// Junction paths of exports whose every handle is stale, as of a volume restored elsewhere.
    pub stale: BTreeSet<String>,
    /// Calls that are neither READ, WRITE nor COMMIT are late.
    pub metadata_latency: Option<Latency>,
    /// READ, WRITE and COMMIT are late.
    pub data_latency: Option<Latency>,
}

/// The lever of one NFS service. Clones are the same lever.
#[derive(Clone, Debug, Default)]
pub struct NfsLever(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    armed: AtomicBool,
    faults: RwLock<Arc<NfsFaults>>,
    changed: tokio::sync::Notify,
}

impl NfsLever {
    /// The faults, if any is set. One atomic load while none is.
    #[must_use]
    pub fn faults(&self) -> Option<Arc<NfsFaults>> {
        self.0.armed.load(Ordering::Acquire).then(|| Arc::clone(&self.0.faults.read()))
    }

    /// Whether the service is stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.faults().is_some_and(|faults| faults.stopped)
    }

    /// Sets the faults, in place of those set before.
    pub fn set(&self, faults: NfsFaults) {
        let armed = faults != NfsFaults::default();
        *self.0.faults.write() = Arc::new(faults);
        self.0.armed.store(armed, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    /// Returns once the service is stopped, or running, as asked. Never returns if that never
    /// happens: the caller has the deadline, or another branch.
    pub async fn await_stopped(&self, stopped: bool) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, lest a change between the two be missed.
            changed.as_mut().enable();
            if self.is_stopped() == stopped {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_who_waits_for_the_service_to_stop_is_woken() {
        let lever = NfsLever::default();
        lever.await_stopped(false).await;
        let waiter = tokio::spawn({
            let lever = lever.clone();
            async move { lever.await_stopped(true).await }
        });
        lever.set(NfsFaults { stopped: true, ..NfsFaults::default() });
        tokio::time::timeout(Duration::from_secs(10), waiter).await.unwrap().unwrap();
        lever.set(NfsFaults::default());
        assert_eq!(lever.faults(), None);
    }
}
