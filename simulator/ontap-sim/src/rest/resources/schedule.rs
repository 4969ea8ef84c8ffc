//! `/cluster/schedules`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use crate::state::schedule::{Cron, Schedule, Timing};
use crate::state::{Cluster, Refusal};

pub(super) const SCHEDULES: Resource = Resource {
    path: "cluster/schedules",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "type",
        "scope",
        "interval",
        "cron.minutes",
        "cron.hours",
        "cron.days",
        "cron.months",
        "cron.weekdays",
        "cluster.name",
        "cluster.uuid",
    ],
    creatable: &[
        "name",
        "interval",
        "cron.minutes",
        "cron.hours",
        "cron.days",
        "cron.months",
        "cron.weekdays",
        "cluster.name",
    ],
    modifiable: &["interval", "cron.minutes", "cron.hours", "cron.days", "cron.months", "cron.weekdays"],
    list: Some(schedules),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

fn schedules(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |schedule: &&Schedule| scope.admits("name", &schedule.name);
    Ok(cluster.schedules.values().filter(wanted).map(|schedule| record(cluster, schedule)).collect())
}

fn record(cluster: &Cluster, schedule: &Schedule) -> Value {
    let list = |values: &Vec<u64>| if values.is_empty() { Value::Null } else { json!(values) };
    let (kind, cron, interval) = match &schedule.timing {
        Timing::Cron(cron) => (
            "cron",
            json!({
                "minutes": list(&cron.minutes),
                "hours": list(&cron.hours),
                "days": list(&cron.days),
                "months": list(&cron.months),
                "weekdays": list(&cron.weekdays),
            }),
            Value::Null,
        ),
        Timing::Interval(interval) => ("interval", Value::Null, json!(interval)),
    };
    json!({
        "uuid": schedule.id.to_string(),
        "name": schedule.name,
        "type": kind,
        "scope": "cluster",
        "cron": cron,
        "interval": interval,
        "cluster": { "name": cluster.about.name, "uuid": cluster.about.uuid.to_string() },
    })
}

fn create(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let name = body.required_text("name")?;
    let timing = timing(body, None)?.ok_or_else(|| Refusal::required("cron.minutes"))?;
    Ok(vec![cluster.create_schedule(&name, timing)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = scope.key(0).parse().map_err(|_| Refusal::no_entry())?;
    let before = cluster.schedules.get(&id).ok_or_else(Refusal::no_entry)?.timing.clone();
    match timing(body, Some(&before))? {
        Some(timing) => cluster.modify_schedule(id, timing),
        None => Ok(()),
    }
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_schedule(scope.key(0).parse().map_err(|_| Refusal::no_entry())?)
}

/// The timing in a body, on top of the one there was; `None` when it has none.
fn timing(body: &Body, before: Option<&Timing>) -> Result<Option<Timing>, Refusal> {
    match (body.text("interval")?, body.has("cron")) {
        (Some(_), true) => {
            Err(Refusal::request(2, "A schedule is either of type cron or of type interval")
                .about("interval"))
        }
        (Some(interval), false) => Ok(Some(Timing::Interval(interval))),
        (None, true) => {
            let mut cron = match before {
                Some(Timing::Cron(cron)) => cron.clone(),
                _ => Cron::default(),
            };
            let fields = [
                ("cron.minutes", &mut cron.minutes),
                ("cron.hours", &mut cron.hours),
                ("cron.days", &mut cron.days),
                ("cron.months", &mut cron.months),
                ("cron.weekdays", &mut cron.weekdays),
            ];
            for (field, place) in fields {
                if let Some(values) = body.texts(field)? {
                    *place = numbers(field, &values)?;
                }
            }
            Ok(Some(Timing::Cron(cron)))
        }
        (None, false) => Ok(None),
    }
}

fn numbers(field: &str, values: &[String]) -> Result<Vec<u64>, Refusal> {
    values.iter().map(|text| text.parse().map_err(|_| Refusal::invalid(field, text))).collect()
}
