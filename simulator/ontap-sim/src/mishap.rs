//! A call of the REST API with which something goes wrong inside the array: between
//! [`crate::array`] and [`crate::rest`].

use std::time::{Duration, Instant};

use levers::{ApiFault, Hit, MAX_DELAY};
use serde_json::Value;

use crate::rest::{self, Answer, Call, Method, Veil, Veiled};
use crate::state::{Cluster, JobId, Refusal};

/// Answers a call, as the faults that hit it would have it; what is shown from now on as it is not
/// is drawn on `veil`.
pub(crate) fn answer(cluster: &mut Cluster, call: &Call, hits: &[Hit], veil: &mut Veil) -> Answer {
    let fault = |wanted: fn(&ApiFault) -> bool| hits.iter().map(|hit| &hit.fault).find(|fault| wanted(fault));
    if let Some(ApiFault::FailJob { code, message }) =
        fault(|fault| matches!(fault, ApiFault::FailJob { .. }))
    {
        return failed(cluster, call, *code, message);
    }
    let half = fault(|fault| matches!(fault, ApiFault::HalfDone { .. }));
    let mut call = call.clone();
    if let Some(ApiFault::HalfDone { without, .. }) = half {
        without.iter().for_each(|field| remove(&mut call.body, field));
    }
    let doomed = if call.method == Method::Delete && hits.iter().any(lingers) {
        pictures(cluster, &call, veil)
    } else {
        Vec::new()
    };
    let mut answer = rest::answer_behind(cluster, &call, veil);
    if answer.status >= 300 {
        return answer;
    }
    let job = answer.body.pointer("/job/uuid").and_then(Value::as_str).map(str::to_owned);
    for hit in hits {
        match &hit.fault {
            ApiFault::AppearLate { ms } => {
                let place = answer.location.clone().map(Veiled::Hidden);
                place.into_iter().for_each(|veiled| veil.draw(hit.rule, until(*ms), veiled));
            }
            ApiFault::DisappearLate { ms } => {
                let ghosts = doomed.iter().cloned();
                ghosts.for_each(|(href, record)| {
                    veil.draw(hit.rule, until(*ms), Veiled::Lingering(href, record))
                });
            }
            ApiFault::StickJob { ms } => {
                if let Some(job) = &job {
                    veil.draw(hit.rule, until(*ms), Veiled::Running(format!("/api/cluster/jobs/{job}")));
                    // One who waits is told that it is not done yet.
                    answer.status = 202;
                }
            }
            _ => {}
        }
    }
    if let Some(ApiFault::HalfDone { code, message, .. }) = half {
        let refusal = refusal(*code, message);
        let job = job.and_then(|job| job.parse().ok()).map(JobId);
        return match job {
            Some(job) if answer.status == 202 => {
                cluster.fail_job(job, refusal);
                Answer { location: None, ..answer }
            }
            _ => Answer::refused(&refusal),
        };
    }
    answer
}

fn lingers(hit: &Hit) -> bool {
    matches!(hit.fault, ApiFault::DisappearLate { .. })
}

fn until(ms: Option<u64>) -> Option<Instant> {
    ms.map(|ms| Instant::now() + Duration::from_millis(ms).min(MAX_DELAY))
}

fn refusal(code: u64, message: &str) -> Refusal {
    Refusal { status: 500, ..Refusal::request(code, message).when_executed() }
}

/// Nothing is done: a job that failed, or a refusal where there is no job or the client waits for it.
fn failed(cluster: &mut Cluster, call: &Call, code: u64, message: &str) -> Answer {
    let waits = call.query.split('&').any(|pair| {
        pair.strip_prefix("return_timeout=").is_some_and(|seconds| !seconds.trim_matches('0').is_empty())
    });
    if waits || !rest::makes_jobs(&call.path) {
        return Answer::refused(&refusal(code, message));
    }
    let description = format!("{} {}", call.method.name(), call.path);
    Answer::accepted(cluster.finish_job(description, None, Some(refusal(code, message))))
}

/// The objects that a DELETE is about, complete, and where each has its place.
fn pictures(cluster: &mut Cluster, call: &Call, veil: &Veil) -> Vec<(String, Value)> {
    let query =
        if call.query.is_empty() { "fields=**".to_owned() } else { format!("{}&fields=**", call.query) };
    let look = Call { method: Method::Get, query, body: Value::Null, ..call.clone() };
    let body = rest::answer_behind(cluster, &look, veil).body;
    let records = match body.get("records").and_then(Value::as_array) {
        Some(records) => records.clone(),
        None => vec![body],
    };
    let placed = |record: Value| {
        let href = record.pointer("/_links/self/href")?.as_str()?.to_owned();
        Some((href, record))
    };
    records.into_iter().filter_map(placed).collect()
}

/// Removes a dotted field, in whichever form the client gave it, of a record or of each of several.
fn remove(body: &mut Value, field: &str) {
    match body {
        Value::Array(items) => items.iter_mut().for_each(|item| remove(item, field)),
        Value::Object(members) => {
            members.retain(|name, _| {
                name != field && !name.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'))
            });
            if let Some((head, rest)) = field.split_once('.')
                && let Some(member) = members.get_mut(head)
            {
                remove(member, rest);
            }
            if let Some(records) = members.get_mut("records") {
                remove(records, field);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_removed_in_every_form_that_clients_write() {
        for mut body in [
            json!({ "name": "v", "nas": { "path": "/v" } }),
            json!({ "name": "v", "nas.path": "/v", "nas": {} }),
            json!({ "name": "v", "nas": { "path": { "x": 1 } } }),
        ] {
            remove(&mut body, "nas.path");
            assert_eq!(body, json!({ "name": "v", "nas": {} }));
        }
        let mut several = json!({ "records": [{ "nas.path": "/a" }, { "nas.path.x": 1, "b": 2 }] });
        remove(&mut several, "nas.path");
        assert_eq!(several, json!({ "records": [{}, { "b": 2 }] }));
    }
}
