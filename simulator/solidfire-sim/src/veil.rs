//! What the API shows apart from what is: levers make new volumes and accounts appear late, and
//! deleted ones stay for a while. It works on rendered results, so that the state knows nothing of it.

use std::time::{Duration, Instant};

use levers::{ApiFault, Hit, MAX_DELAY, RuleId};
use serde_json::Value;

/// Objects veiled at once; the oldest are shown as they are first.
const MAX_ENTRIES: usize = 1024;
/// The lists in results, with the member of the one object and the member that identifies it.
const KINDS: [(&str, &str, &str); 2] =
    [("volumes", "volume", "volumeID"), ("accounts", "account", "accountID")];

#[derive(Debug)]
struct Entry {
    rule: RuleId,
    until: Option<Instant>,
    kind: usize,
    id: Value,
    /// The object as it was, where it is shown though it is gone; otherwise it is not shown.
    ghost: Option<Value>,
}

/// What is shown as it is not.
#[derive(Debug, Default)]
pub(crate) struct Veil {
    entries: Vec<Entry>,
}

fn until(ms: Option<u64>) -> Option<Instant> {
    ms.map(|ms| Instant::now() + Duration::from_millis(ms).min(MAX_DELAY))
}

impl Veil {
    /// Lifts what has had its time or whose rule is gone.
    pub(crate) fn lift(&mut self, now: Instant, holds: impl Fn(RuleId) -> bool) {
        self.entries.retain(|entry| entry.until.is_none_or(|until| now < until) && holds(entry.rule));
    }

    /// Draws the veil over what a call made (`result`) or deleted: a volume as it was.
    pub(crate) fn draw(&mut self, hits: &[Hit], result: &Value, deleted: Option<&Value>) {
        for hit in hits {
            match hit.fault {
                ApiFault::AppearLate { ms } => {
                    for (kind, (_, one, key)) in KINDS.iter().enumerate() {
                        let id = result.get(key).or_else(|| result.get(one)?.get(key)).cloned();
                        id.into_iter().for_each(|id| self.push(hit.rule, until(ms), kind, id, None));
                    }
                }
                ApiFault::DisappearLate { ms } => {
                    if let Some((volume, id)) =
                        deleted.and_then(|volume| Some((volume, volume.get("volumeID")?)))
                    {
                        self.push(hit.rule, until(ms), 0, id.clone(), Some(volume.clone()));
                    }
                }
                _ => {}
            }
        }
    }

    fn push(&mut self, rule: RuleId, until: Option<Instant>, kind: usize, id: Value, ghost: Option<Value>) {
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.remove(0);
        }
        self.entries.push(Entry { rule, until, kind, id, ghost });
    }

    /// The result of a method that lists, as it is shown.
    pub(crate) fn over(&self, method: &str, result: &mut Value) {
        if !method.starts_with("List") || method == "ListDeletedVolumes" {
            return;
        }
        for entry in &self.entries {
            let Some((list, _, key)) = KINDS.get(entry.kind) else { continue };
            let Some(Value::Array(objects)) = result.get_mut(*list) else { continue };
            let same = |object: &Value| object.get(key) == Some(&entry.id);
            match &entry.ghost {
                None => objects.retain(|object| !same(object)),
                Some(ghost) => {
                    objects.retain(|object| !same(object));
                    objects.push(ghost.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hit(fault: ApiFault) -> [Hit; 1] {
        [Hit { rule: RuleId(3), fault }]
    }

    #[test]
    fn a_new_volume_is_not_listed_and_a_deleted_one_is_until_the_rule_goes() {
        let mut veil = Veil::default();
        veil.draw(&hit(ApiFault::AppearLate { ms: None }), &json!({ "volumeID": 2, "volume": {} }), None);
        let gone = json!({ "volumeID": 7, "name": "gone" });
        veil.draw(&hit(ApiFault::DisappearLate { ms: None }), &json!({}), Some(&gone));
        let shown = |veil: &Veil, method| {
            let mut result = json!({ "volumes": [{ "volumeID": 1 }, { "volumeID": 2 }] });
            veil.over(method, &mut result);
            let ids = result["volumes"].as_array().unwrap().iter();
            ids.map(|volume| volume["volumeID"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&veil, "ListVolumes"), [1, 7]);
        assert_eq!(shown(&veil, "GetVolumeStats"), [1, 2]);
        veil.lift(Instant::now(), |_| false);
        assert_eq!(shown(&veil, "ListVolumes"), [1, 2]);
    }
}
