//! The event log: what the array did, in order, for tests and the status page.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

/// Events kept by [`EventLog::default`]; older ones are forgotten first.
const DEFAULT_CAPACITY: usize = 4096;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Position in the log, from 0, never reused: a gap between two snapshots means lost events.
    pub sequence: u64,
    /// When it was recorded, by this host's clock.
    pub at: SystemTime,
    /// What kind of thing, dotted lower case: `iscsi.login`, `portal.fault`.
    pub kind: String,
    /// Particulars, an object by custom. Never a secret.
    pub fields: Value,
}

/// A bounded ring of [`Event`]s. Clones share the same ring.
#[derive(Clone, Debug)]
pub struct EventLog {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug)]
struct Ring {
    capacity: usize,
    next: u64,
    events: VecDeque<Event>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }
}

impl EventLog {
    /// An empty log of the default size.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty log that keeps the newest `capacity` events.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let ring = Ring { capacity, next: 0, events: VecDeque::new() };
        Self { ring: Arc::new(Mutex::new(ring)) }
    }

    /// Appends an event; forgets the oldest when the ring is full.
    pub fn record(&self, kind: &str, fields: Value) {
        let mut ring = self.ring.lock();
        let event = Event { sequence: ring.next, at: SystemTime::now(), kind: kind.to_owned(), fields };
        ring.next += 1;
        ring.events.push_back(event);
        while ring.events.len() > ring.capacity {
            ring.events.pop_front();
        }
    }

    /// The events still in the ring, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Event> {
        self.ring.lock().events.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_full_ring_forgets_the_oldest_and_keeps_counting() {
        let log = EventLog::with_capacity(2);
        for n in 0..3 {
            log.clone().record("test.tick", json!({ "n": n }));
        }
        let seen: Vec<_> = log.snapshot().into_iter().map(|e| (e.sequence, e.fields)).collect();
        assert_eq!(seen, [(1, json!({ "n": 1 })), (2, json!({ "n": 2 }))]);
    }
}
