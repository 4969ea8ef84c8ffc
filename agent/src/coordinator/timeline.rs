//! Where the time of a call went: the agent's own part, and the part spent waiting for the kernel,
//! daemons, programs, the array or the controller.

use std::time::{Duration, Instant};

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
}

/// The stretches of a flight in the order they ended. Steps of one batch run at the same time, so
/// their sum may exceed the whole; [`Timeline::waited`] counts wall-clock time once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    stretches: Vec<Stretch>,
    waited: Duration,
}

/// Time a stretch took, and how much of it was waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    pub(super) elapsed: Duration,
    pub(super) waited: Duration,
}

impl Spent {
    pub(super) fn since(started: Instant, waited: Duration) -> Self {
        let elapsed = started.elapsed();
        Self { elapsed, waited: waited.min(elapsed) }
    }

    fn own(self) -> Duration {
        self.elapsed.saturating_sub(self.waited)
    }
}

impl Timeline {
    /// Something done alone.
    pub(super) fn add(&mut self, step: &str, spent: Spent) {
        self.push(step, spent);
        self.waited += spent.waited;
    }

    /// Things done at the same time, `elapsed` from first to last.
    pub(super) fn add_together(&mut self, steps: &[(String, Spent)], elapsed: Duration) {
        for (step, spent) in steps {
            self.push(step, *spent);
        }
        let own: Duration = steps.iter().map(|(_, spent)| spent.own()).sum();
        self.waited += elapsed.saturating_sub(own);
    }

    fn push(&mut self, step: &str, spent: Spent) {
        let printable = step.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
        self.stretches.push(Stretch {
            step: printable.take(NAME_LIMIT).collect(),
            own_us: micros(spent.own()),
            wait_us: micros(spent.waited),
        });
    }

    /// Time in which the agent itself did nothing.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// As ASCII JSON, `[{"step":"…","own_us":1,"wait_us":2},…]`, at most 7 KiB: what does not fit
    /// is summed up in a last entry `(more)`.
    pub fn to_json(&self) -> String {
        let mut json = String::from("[");
        let mut rest = self.stretches.iter();
        for stretch in rest.by_ref() {
            let Ok(text) = serde_json::to_string(stretch) else { continue };
            if json.len() + text.len() + 128 > JSON_LIMIT {
                let (own, wait) = rest.fold((stretch.own_us, stretch.wait_us), |(own, wait), more| {
                    (own.saturating_add(more.own_us), wait.saturating_add(more.wait_us))
                });
                json.push_str(&format!(r#",{{"step":"(more)","own_us":{own},"wait_us":{wait}}}"#));
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
        Spent { elapsed: Duration::from_micros(own + wait), waited: Duration::from_micros(wait) }
    }

    #[test]
    fn time_of_parallel_steps_is_counted_once() {
        let mut timeline = Timeline::default();
        timeline.add("observe", spent(10, 5));
        let both = [("LogIn a".to_owned(), spent(2, 100)), ("LogIn b".to_owned(), spent(3, 90))];
        timeline.add_together(&both, Duration::from_micros(102));
        assert_eq!(timeline.waited(), Duration::from_micros(5 + 102 - 5));
        assert_eq!(
            timeline.to_json(),
            r#"[{"step":"observe","own_us":10,"wait_us":5},{"step":"LogIn a","own_us":2,"wait_us":100},{"step":"LogIn b","own_us":3,"wait_us":90}]"#
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
