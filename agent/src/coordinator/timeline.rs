//! Where the time of a call went: the agent's own part, and the rest, spent waiting for the kernel,
//! daemons, programs, the array, the controller, or the CPU.
//!
//! What counts as own is defined in [`agent_linux::own_time`].

use std::time::{Duration, Instant};

use agent_linux::own_time::OwnTime;
use serde::Serialize;

/// A gRPC answer carries the timeline in a header; peers limit headers to 8 KiB.
const JSON_LIMIT: usize = 7 * 1024;
const NAME_LIMIT: usize = 96;

/// One stretch of a flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Stretch {
    step: String,
    own_us: u64,
    wait_us: u64,
    /// Of the waiting, the CPU time the kernel took for its jobs on the agent's threads.
    kernel_us: u64,
}

/// The stretches of a flight in the order they ended. What lies between them (planning, the log)
/// has none. Steps of one batch run at the same time: the sum of their waiting may exceed the
/// flight's; the own time of the whole, [`Timeline::own`], has every step once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    stretches: Vec<Stretch>,
    own: Duration,
}

/// Measures one stretch.
#[derive(Debug)]
pub(super) struct Watch {
    started: Instant,
    account: OwnTime,
    own: Duration,
    kernel: Duration,
}

/// Time a stretch took, and how much of it was the agent's own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    elapsed: Duration,
    own: Duration,
    kernel: Duration,
}

impl Watch {
    /// Begins a stretch of what this thread runs for now.
    pub(super) fn start() -> Self {
        Self::of(OwnTime::current())
    }

    /// Begins a stretch of what is counted on `account`.
    pub(super) fn of(account: OwnTime) -> Self {
        let (own, kernel) = (account.so_far(), account.kernel_so_far());
        Self { started: Instant::now(), account, own, kernel }
    }

    pub(super) fn account(&self) -> OwnTime {
        self.account.clone()
    }

    pub(super) fn spent(&self) -> Spent {
        Spent {
            elapsed: self.started.elapsed(),
            own: self.account.so_far().saturating_sub(self.own),
            kernel: self.account.kernel_so_far().saturating_sub(self.kernel),
        }
    }
}

impl Timeline {
    /// The flight has ended and consumed `own` in all.
    pub(super) fn close(&mut self, own: Duration) {
        self.own = own;
    }

    /// The agent's own time in the whole flight ([`agent_linux::own_time`] defines it).
    pub fn own(&self) -> Duration {
        self.own
    }

    /// Something that ended.
    pub(super) fn add(&mut self, step: &str, spent: Spent) {
        let printable = step.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
        self.stretches.push(Stretch {
            step: printable.take(NAME_LIMIT).collect(),
            own_us: micros(spent.own),
            wait_us: micros(spent.elapsed.saturating_sub(spent.own)),
            kernel_us: micros(spent.kernel),
        });
    }

    /// As ASCII JSON, `[{"step":"…","own_us":1,"wait_us":2,"kernel_us":1},…]`, at most 7 KiB: what does not fit
    /// is summed up in a last entry `(more)`.
    pub fn to_json(&self) -> String {
        let mut json = String::from("[");
        let mut rest = self.stretches.iter();
        for stretch in rest.by_ref() {
            let Ok(text) = serde_json::to_string(stretch) else { continue };
            if json.len() + text.len() + 128 > JSON_LIMIT {
                let more = rest.fold(stretch.clone(), |sum, more| Stretch {
                    step: "(more)".to_owned(),
                    own_us: sum.own_us.saturating_add(more.own_us),
                    wait_us: sum.wait_us.saturating_add(more.wait_us),
                    kernel_us: sum.kernel_us.saturating_add(more.kernel_us),
                });
                let Ok(text) = serde_json::to_string(&more) else { break };
                json.push(',');
                json.push_str(&text);
                break;
            }
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&text);
        }
        json.push(']');
        json
    }
}

/// Whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(own: u64, wait: u64) -> Spent {
        let kernel = Duration::from_micros(wait / 2);
        Spent { elapsed: Duration::from_micros(own + wait), own: Duration::from_micros(own), kernel }
    }

    #[test]
    fn every_stretch_tells_its_own_time_and_its_waiting() {
        let mut timeline = Timeline::default();
        timeline.add("observe", spent(10, 5));
        timeline.add("LogIn a", spent(2, 100));
        assert_eq!(
            timeline.to_json(),
            r#"[{"step":"observe","own_us":10,"wait_us":5,"kernel_us":2},{"step":"LogIn a","own_us":2,"wait_us":100,"kernel_us":50}]"#
        );
    }

    #[test]
    fn a_timeline_fits_a_header_whatever_happened() {
        let mut timeline = Timeline::default();
        for _ in 0..500 {
            timeline.add("Unmount /var/lib/kubelet/ünïcode/\n\"quoted\"", spent(1, 1));
        }
        let json = timeline.to_json();
        assert!(json.is_ascii() && json.len() <= JSON_LIMIT, "{}", json.len());
        let parsed: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed.iter().map(|entry| entry["own_us"].as_u64().unwrap()).sum::<u64>(), 500);
    }
}
