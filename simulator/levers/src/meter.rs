//! What goes through a data plane, counted for the status page.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What one client has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// SCSI commands or RPC calls.
    pub operations: u64,
    /// Bytes that it was sent.
    pub read: u64,
    /// Bytes that it sent.
    pub written: u64,
}

/// Counts the traffic of one client. Clones are the same meter.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    operations: AtomicU64,
    read: AtomicU64,
    written: AtomicU64,
}

impl Meter {
    /// Counts one operation that moves so many bytes.
    pub fn count(&self, read: u64, written: u64) {
        // The counters are looked at one by one: nothing is read from one about another.
        self.0.operations.fetch_add(1, Ordering::Relaxed);
        self.0.read.fetch_add(read, Ordering::Relaxed);
        self.0.written.fetch_add(written, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let look = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            operations: look(&self.0.operations),
            read: look(&self.0.read),
            written: look(&self.0.written),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clone_of_a_meter_counts_the_same() {
        let meter = Meter::default();
        meter.count(1, 2);
        meter.clone().count(10, 20);
        assert_eq!(meter.traffic(), Traffic { operations: 2, read: 11, written: 22 });
    }
}
