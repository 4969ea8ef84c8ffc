//! What the API shows apart from what is: objects that appear or disappear late, jobs that hang.
//! Levers draw it; the state below knows nothing of it.

use std::time::Instant;

use levers::RuleId;
use serde_json::{Value, json};

/// Objects veiled at once; the oldest are shown as they are first.
const MAX_ENTRIES: usize = 1024;

/// One thing that is shown as it is not.
#[derive(Debug, Clone, PartialEq)]
pub enum Veiled {
    /// The object at this path is not shown.
    Hidden(String),
    /// The object at this path is shown as this record, though it is gone.
    Lingering(String, Value),
    /// The job at this path is shown as running.
    Running(String),
}

#[derive(Debug, Clone)]
struct Entry {
    rule: RuleId,
    until: Option<Instant>,
    veiled: Veiled,
}

/// What is shown as it is not; nothing by default.
#[derive(Debug, Clone, Default)]
pub struct Veil {
    entries: Vec<Entry>,
}

impl Veil {
    /// A veil over nothing.
    pub const CLEAR: Self = Self { entries: Vec::new() };

    /// Whether everything is shown as it is.
    pub fn is_clear(&self) -> bool {
        self.entries.is_empty()
    }

    /// Veils something until that time, or until `rule` is gone.
    pub fn draw(&mut self, rule: RuleId, until: Option<Instant>, veiled: Veiled) {
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.remove(0);
        }
        self.entries.push(Entry { rule, until, veiled });
    }

    /// Lifts what has had its time or whose rule is gone.
    pub fn lift(&mut self, now: Instant, holds: impl Fn(RuleId) -> bool) {
        self.entries.retain(|entry| entry.until.is_none_or(|until| now < until) && holds(entry.rule));
    }

    /// The records of a collection as they are shown; `href` tells where a record has its place, if
    /// it can be of this collection.
    pub(super) fn over(&self, records: &mut Vec<Value>, href: impl Fn(&Value) -> String) {
        for Entry { veiled, .. } in &self.entries {
            match veiled {
                Veiled::Hidden(place) => records.retain(|record| href(record) != *place),
                Veiled::Lingering(place, ghost) => {
                    let there = records.iter().any(|record| href(record) == *place);
                    if !there && href(ghost) == *place {
                        records.push(ghost.clone());
                    }
                }
                Veiled::Running(place) => {
                    let jobs = records.iter_mut().filter(|record| href(record) == *place);
                    jobs.for_each(show_running);
                }
            }
        }
    }
}

fn show_running(job: &mut Value) {
    if let Some(job) = job.as_object_mut() {
        for (name, value) in [("state", json!("running")), ("message", json!("")), ("code", json!(0))] {
            job.insert(name.to_owned(), value);
        }
        job.shift_remove("end_time");
        job.shift_remove("error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(veil: &Veil, names: &[&str]) -> Vec<String> {
        let mut records: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
        veil.over(&mut records, |record| {
            format!("/api/things/{}", record["name"].as_str().unwrap_or_default())
        });
        records.iter().map(|record| record["name"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_hidden_is_not_shown_and_the_lingering_is_until_they_are_lifted() {
        let mut veil = Veil::CLEAR;
        veil.draw(RuleId(1), None, Veiled::Hidden("/api/things/a".into()));
        veil.draw(RuleId(2), None, Veiled::Lingering("/api/things/z".into(), json!({ "name": "z" })));
        veil.draw(RuleId(2), None, Veiled::Lingering("/api/others/y".into(), json!({ "name": "y" })));
        assert_eq!(shown(&veil, &["a", "b"]), ["b", "z"]);
        assert_eq!(shown(&veil, &["z"]), ["z"]);
        veil.lift(Instant::now(), |rule| rule == RuleId(1));
        assert_eq!(shown(&veil, &["a", "b"]), ["b"]);
        veil.lift(Instant::now(), |_| false);
        assert!(veil.is_clear());
    }

    #[test]
    fn time_lifts_and_the_oldest_goes_first_when_there_are_too_many() {
        let mut veil = Veil::CLEAR;
        let now = Instant::now();
        veil.draw(RuleId(1), Some(now), Veiled::Hidden("/api/things/first".into()));
        for n in 0..MAX_ENTRIES {
            veil.draw(RuleId(1), Some(now), Veiled::Hidden(format!("/api/things/{n}")));
        }
        assert_eq!(shown(&veil, &["first", "0"]), ["first"]);
        veil.lift(now, |_| true);
        assert!(veil.is_clear());
    }
}
