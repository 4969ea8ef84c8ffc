//! `/support/ems`: what applications tell the array, heartbeats of clients among it, and the log in
//! which it is found again.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::{node_reference, time};
use crate::state::ems::{ApplicationLog, EmsEvent};
use crate::state::{Cluster, Refusal};

pub(super) const APPLICATION_LOGS: Resource = Resource {
    path: "support/ems/application-logs",
    creatable: &[
        "app_version",
        "autosupport_required",
        "category",
        "computer_name",
        "event_description",
        "event_id",
        "event_source",
        "severity",
    ],
    create: Some(file),
    ..NOTHING
};

pub(super) const EVENTS: Resource = Resource {
    path: "support/ems/events",
    keys: &["node.name", "index"],
    always: &["node.name", "node.uuid", "index"],
    readable: &[
        "index",
        "log_message",
        "message.name",
        "message.severity",
        "node.name",
        "node.uuid",
        "parameters.name",
        "parameters.value",
        "source",
        "time",
    ],
    list: Some(events),
    ..NOTHING
};

fn file(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    body.boolean("autosupport_required")?;
    let text = |field: &str| Ok(body.text(field)?.unwrap_or_default());
    let log = ApplicationLog {
        computer: text("computer_name")?,
        source: text("event_source")?,
        version: text("app_version")?,
        id: body.integer("event_id")?.unwrap_or(0),
        category: text("category")?,
        description: text("event_description")?,
        severity: body.text("severity")?.unwrap_or_else(|| "notice".into()),
    };
    cluster.log_for_application(log)?;
    Ok(Vec::new())
}

/// The newest first, as the array lists them.
fn events(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |event: &EmsEvent| {
        let parameters: Vec<_> =
            event.parameters.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        json!({
            "index": event.index,
            "time": time(event.time),
            "node": node_reference(cluster, event.node),
            "source": event.source,
            "message": { "name": event.name, "severity": event.severity },
            "log_message": format!("{}: {}", event.name, event.message),
            "parameters": parameters,
        })
    };
    Ok(cluster.ems_events.values().rev().map(record).collect())
}
