//! The event log: what the array did, in order, for tests and the status page.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::sync::watch;

/// Events kept by [`EventLog::default`]; older ones are forgotten first.
const DEFAULT_CAPACITY: usize = 4096;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Position in the log, from 0, never reused: a gap between two snapshots means lost events.
    pub sequence: u64,
    /// When it was recorded, by this host's clock; as JSON in RFC 3339.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// What kind of thing, dotted lower case: `iscsi.login`, `portal.fault`.
    pub kind: String,
    /// Particulars, an object by custom. Never a secret.
    pub fields: Value,
}

impl Event {
    /// Whether every field of `wanted` (an object) is there with the same value.
    #[must_use]
    pub fn has(&self, wanted: &Value) -> bool {
        match wanted {
            Value::Object(wanted) => wanted.iter().all(|(name, value)| self.fields.get(name) == Some(value)),
            Value::Null => true,
            other => self.fields == *other,
        }
    }
}

fn rfc3339<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    // A clock before 9999 BC or after AD 9999 is a broken one: the epoch then stands for it.
    let at = jiff::Timestamp::try_from(*at).unwrap_or_default();
    serializer.collect_str(&format_args!("{at:.6}"))
}

/// A part of the log, for a reader that takes it in turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// How many events between the number asked for and the first one here are forgotten.
    pub lost: u64,
    /// Where to go on.
    pub next: u64,
    /// The events, without a gap.
    pub events: Vec<Event>,
}

/// Called with each event, before [`EventLog::record`] returns.
type Tap = Box<dyn Fn(&Event) + Send + Sync>;

/// A bounded ring of [`Event`]s. Clones share the same ring.
#[derive(Clone)]
pub struct EventLog {
    shared: Arc<Shared>,
}

struct Shared {
    ring: Mutex<Ring>,
    /// Whether [`EventLog::trace`] records.
    tracing: AtomicBool,
    taps: RwLock<Vec<Tap>>,
    next: watch::Sender<u64>,
}

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
        let shared = Shared {
            ring: Mutex::new(ring),
            tracing: AtomicBool::new(false),
            taps: RwLock::default(),
            next: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Appends an event; forgets the oldest when the ring is full.
    pub fn record(&self, kind: &str, fields: Value) {
        let event = {
            let mut ring = self.shared.ring.lock();
            let event = Event { sequence: ring.next, at: SystemTime::now(), kind: kind.to_owned(), fields };
            ring.next += 1;
            ring.events.push_back(event.clone());
            while ring.events.len() > ring.capacity {
                ring.events.pop_front();
            }
            event
        };
        // Outside the ring's lock: a tap may record, too.
        for tap in self.shared.taps.read().iter() {
            tap(&event);
        }
        self.shared.next.send_replace(event.sequence + 1);
    }

    /// Appends an event of the data path (a SCSI command, an RPC call) if these are wanted. `fields`
    /// is not called where they are not, so that the fast path pays one atomic load.
    pub fn trace(&self, kind: &str, fields: impl FnOnce() -> Value) {
        if self.traces() {
            self.record(kind, fields());
        }
    }

    /// Whether events of the data path are recorded.
    #[must_use]
    pub fn traces(&self) -> bool {
        self.shared.tracing.load(Ordering::Acquire)
    }

    /// Starts or ends the recording of events of the data path.
    pub fn set_tracing(&self, on: bool) {
        self.shared.tracing.store(on, Ordering::Release);
    }

    /// Calls `tap` with each event from now on, before the call that recorded it returns: what the
    /// tap does is true for whatever the data plane does next. It must not call this method, and
    /// must not wait.
    pub fn tap(&self, tap: impl Fn(&Event) + Send + Sync + 'static) {
        self.shared.taps.write().push(Box::new(tap));
    }

    /// The events still in the ring, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Event> {
        self.since(0)
    }

    /// The events still in the ring from number `sequence` on, oldest first.
    #[must_use]
    pub fn since(&self, sequence: u64) -> Vec<Event> {
        let ring = self.shared.ring.lock();
        let first = ring.next - ring.events.len() as u64;
        let skip = usize::try_from(sequence.saturating_sub(first)).unwrap_or(usize::MAX);
        ring.events.iter().skip(skip).cloned().collect()
    }

    /// At most `most` events from number `sequence` on: what a reader takes that comes again.
    #[must_use]
    pub fn page(&self, sequence: u64, most: usize) -> Page {
        let ring = self.shared.ring.lock();
        let first = ring.next - ring.events.len() as u64;
        let skip = usize::try_from(sequence.saturating_sub(first)).unwrap_or(usize::MAX);
        let events: Vec<_> = ring.events.iter().skip(skip).take(most).cloned().collect();
        let start = sequence.max(first);
        Page { lost: start - sequence, next: start + events.len() as u64, events }
    }

    /// The number that the next event will have, now and as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.next.subscribe()
    }

    /// The first event from number `sequence` on that `wanted` accepts; waits for it if there is
    /// none yet. The caller has the deadline.
    pub async fn await_event(&self, mut sequence: u64, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut next = self.watch();
        loop {
            next.mark_unchanged();
            for event in self.since(sequence) {
                sequence = event.sequence + 1;
                if wanted(&event) {
                    return event;
                }
            }
            if next.changed().await.is_err() {
                // The sender lives as long as this log does.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog").field("next", &self.shared.ring.lock().next).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert_eq!(log.since(2).len(), 1);
        assert!(log.since(3).is_empty() && log.since(u64::MAX).is_empty());
    }

    #[test]
    fn a_reader_that_takes_pages_misses_nothing_or_is_told_how_much() {
        let log = EventLog::with_capacity(4);
        (0..6).for_each(|n| log.record("test.tick", json!({ "n": n })));
        let page = log.page(0, 3);
        assert_eq!((page.lost, page.next), (2, 5));
        assert_eq!(page.events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [2, 3, 4]);
        let rest = log.page(page.next, 3);
        assert_eq!((rest.lost, rest.next, rest.events.len()), (0, 6, 1));
        assert_eq!(log.page(rest.next, 3), Page { lost: 0, next: 6, events: Vec::new() });
    }

    #[test]
    fn an_event_tells_its_time_as_people_write_it() {
        let log = EventLog::new();
        log.record("test.tick", Value::Null);
        let at = json!(log.snapshot()[0])["at"].as_str().unwrap().to_owned();
        assert!(at.len() == 27 && at.starts_with("20") && at.ends_with('Z'), "{at}");
    }

    #[test]
    fn the_data_path_is_recorded_only_when_asked() {
        let log = EventLog::new();
        log.trace("scsi.command", || unreachable!("built for nobody"));
        log.set_tracing(true);
        log.trace("scsi.command", || json!({ "opcode": 0x28 }));
        assert!(log.snapshot()[0].has(&json!({ "opcode": 0x28 })));
        assert!(!log.snapshot()[0].has(&json!({ "opcode": 0x2a })));
    }

    #[tokio::test]
    async fn one_who_waits_gets_the_event_that_is_there_already_or_comes_later() {
        let log = EventLog::new();
        log.record("a", Value::Null);
        let (other, deadline) = (log.clone(), Duration::from_secs(10));
        let waiter = tokio::spawn(async move { other.await_event(0, |event| event.kind == "b").await });
        let first = tokio::time::timeout(deadline, log.await_event(0, |event| event.kind == "a"));
        assert_eq!(first.await.unwrap().sequence, 0);
        log.record("b", Value::Null);
        assert_eq!(tokio::time::timeout(deadline, waiter).await.unwrap().unwrap().sequence, 1);
    }
}
