//! `/support/ems/application-logs`: heartbeats of clients. The array files them; so does the event log of
//! the HTTP skin, which records every call.

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
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

fn file(_: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    body.integer("event_id")?;
    body.boolean("autosupport_required")?;
    Ok(Vec::new())
}
