//! Every request of the control endpoint in one table: the router is made from it, and so is its
//! description.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post, put};

use super::error::Refused;
use super::levers_routes as levers;
use super::{Controlled, events, openapi, page};

/// A request.
pub(super) struct Route {
    /// The method, as HTTP has it.
    pub(super) method: &'static str,
    /// The path, variables in braces.
    pub(super) path: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// Parameters of the query: a name, its schema, whether it must be there.
    pub(super) query: &'static [Parameter],
    /// The body's schema.
    pub(super) body: Option<&'static str>,
    /// The answer's content type and schema.
    pub(super) answer: (&'static str, &'static str),
    pub(super) handler: fn() -> MethodRouter<Arc<dyn Controlled>>,
}

/// A parameter of a query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) schema: &'static str,
    pub(super) required: bool,
}

const fn may(name: &'static str, schema: &'static str) -> Parameter {
    Parameter { name, schema, required: false }
}

const NAME: &[Parameter] = &[Parameter { name: "name", schema: "ObjectName", required: true }];
const EVENTS: &[Parameter] = &[may("since", "Count"), may("kind", "Pattern"), may("text", "Text")];
const PAGE: &[Parameter] =
    &[may("since", "Count"), may("kind", "Pattern"), may("text", "Text"), may("limit", "Count")];

const JSON: &str = "application/json";
const DONE: (&str, &str) = (JSON, "Done");

/// A request without query and body that answers nothing.
const PLAIN: Route = Route {
    method: "GET",
    path: "",
    summary: "",
    query: &[],
    body: None,
    answer: DONE,
    handler: MethodRouter::new,
};

/// Every request there is.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/",
        summary: "The status page",
        answer: ("text/html; charset=utf-8", "Text"),
        handler: || get(page::page),
        ..PLAIN
    },
    Route {
        path: "/status/sections",
        summary: "What changes on the status page",
        answer: ("text/html; charset=utf-8", "Text"),
        handler: || get(page::sections),
        ..PLAIN
    },
    Route {
        path: "/status/page.css",
        summary: "The status page's style",
        answer: ("text/css; charset=utf-8", "Text"),
        handler: || get(page::style),
        ..PLAIN
    },
    Route {
        path: "/status/page.js",
        summary: "The status page's script",
        answer: ("text/javascript; charset=utf-8", "Text"),
        handler: || get(page::script),
        ..PLAIN
    },
    Route {
        path: "/openapi.json",
        summary: "This description",
        answer: (JSON, "Object"),
        handler: || get(openapi::serve),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/events",
        summary: "The event log, oldest first",
        query: PAGE,
        answer: (JSON, "Events"),
        handler: || get(events::list),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/events/stream",
        summary: "The event log from a number on, then each event as it comes: a line of JSON each, or \
                  server-sent events where text/event-stream is accepted",
        query: EVENTS,
        answer: ("application/x-ndjson", "Text"),
        handler: || get(events::stream),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/trace",
        summary: "Whether SCSI commands and NFS calls are events, too",
        answer: (JSON, "Switch"),
        handler: || get(levers::is_tracing),
        ..PLAIN
    },
    Route {
        method: "PUT",
        path: "/sim/v1/trace",
        summary: "Makes SCSI commands and NFS calls events, or no longer",
        body: Some("Switch"),
        handler: || put(levers::trace),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/state",
        summary: "The array's state, secrets left out",
        answer: (JSON, "Object"),
        handler: || get(super::state),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/luns/digest",
        summary: "SHA-256 of the whole content of a LUN or volume",
        query: NAME,
        answer: (JSON, "Digest"),
        handler: || get(super::digest),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/luns/faults",
        summary: "A unit's faults",
        query: NAME,
        answer: (JSON, "LunFaults"),
        handler: || get(levers::lun_faults),
        ..PLAIN
    },
    Route {
        method: "PUT",
        path: "/sim/v1/luns/faults",
        summary: "Sets a unit's faults in place of those before",
        query: NAME,
        body: Some("LunFaults"),
        handler: || put(levers::set_lun_faults),
        ..PLAIN
    },
    Route {
        method: "POST",
        path: "/sim/v1/luns/attention",
        summary: "Raises a unit attention for every session",
        query: NAME,
        body: Some("Attention"),
        handler: || post(levers::raise_attention),
        ..PLAIN
    },
    Route {
        method: "PUT",
        path: "/sim/v1/portals/{portal}/fault",
        summary: "Sets the fault of the portals (LIFs) at an address, or at one port of it",
        body: Some("SetPortalFault"),
        handler: || put(levers::set_portal_fault),
        ..PLAIN
    },
    Route {
        method: "POST",
        path: "/sim/v1/portals/{portal}/migrate",
        summary: "Moves a LIF to another node",
        body: Some("Destination"),
        handler: || post(levers::migrate),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/nfs/{svm}/faults",
        summary: "The faults of an SVM's NFS service",
        answer: (JSON, "NfsFaults"),
        handler: || get(levers::nfs_faults),
        ..PLAIN
    },
    Route {
        method: "PUT",
        path: "/sim/v1/nfs/{svm}/faults",
        summary: "Sets the faults of an SVM's NFS service in place of those before",
        body: Some("NfsFaults"),
        handler: || put(levers::set_nfs_faults),
        ..PLAIN
    },
    Route {
        method: "POST",
        path: "/sim/v1/nfs/{svm}/restart",
        summary: "Restarts the NFS service: client state is gone, the grace period begins",
        handler: || post(levers::restart_nfs),
        ..PLAIN
    },
    Route {
        method: "POST",
        path: "/sim/v1/nfs/{svm}/expire-leases",
        summary: "Ends every lease of the NFS service",
        handler: || post(levers::expire_leases),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/api/faults",
        summary: "The rules of the management API's faults, and what came of them",
        answer: (JSON, "ApiRuleStates"),
        handler: || get(levers::api_rules),
        ..PLAIN
    },
    Route {
        method: "POST",
        path: "/sim/v1/api/faults",
        summary: "Adds a rule: which calls of the management API go wrong, and how",
        body: Some("ApiRule"),
        answer: (JSON, "RuleId"),
        handler: || post(levers::add_api_rule),
        ..PLAIN
    },
    Route {
        method: "DELETE",
        path: "/sim/v1/api/faults",
        summary: "Removes every rule; what they held up goes on",
        handler: || delete(levers::clear_api_rules),
        ..PLAIN
    },
    Route {
        method: "DELETE",
        path: "/sim/v1/api/faults/{id}",
        summary: "Removes a rule; what it held up goes on",
        handler: || delete(levers::remove_api_rule),
        ..PLAIN
    },
    Route {
        method: "PUT",
        path: "/sim/v1/power-cut",
        summary: "From now on the array knows what is not flushed",
        handler: || put(levers::arm_power_cut),
        ..PLAIN
    },
    Route {
        method: "POST",
        path: "/sim/v1/power-cut",
        summary: "Cuts the power: what was not flushed is gone",
        handler: || post(levers::cut_power),
        ..PLAIN
    },
    Route {
        path: "/sim/v1/mode",
        summary: "Whether commands wait for steps, and how many do now",
        answer: (JSON, "ModeState"),
        handler: || get(levers::mode),
        ..PLAIN
    },
    Route {
        method: "PUT",
        path: "/sim/v1/mode",
        summary: "Lets commands pass as they come, or one for each step",
        body: Some("SetMode"),
        handler: || put(levers::set_mode),
        ..PLAIN
    },
    Route {
        method: "POST",
        path: "/sim/v1/step",
        summary: "Lets so many commands pass",
        body: Some("Steps"),
        answer: (JSON, "Waiting"),
        handler: || post(levers::step),
        ..PLAIN
    },
    Route {
        method: "POST",
        path: "/sim/v1/schedule",
        summary: "Pulls a lever later: after a time, or with an event",
        body: Some("Planned"),
        answer: (JSON, "Pending"),
        handler: || post(levers::schedule),
        ..PLAIN
    },
];

/// The router of [`ROUTES`].
pub(super) fn router() -> axum::Router<Arc<dyn Controlled>> {
    let routed = |router: axum::Router<_>, route: &'static Route| {
        router.route(route.path, (route.handler)().layer(from_fn_with_state(route, known_parameters)))
    };
    ROUTES.iter().fold(axum::Router::new(), routed)
}

/// A parameter that the request does not take is refused by name: misspelt, it would be without effect.
async fn known_parameters(State(route): State<&'static Route>, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let names = query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
    for name in names {
        if !route.query.iter().any(|parameter| parameter.name == name) {
            let known: Vec<_> = route.query.iter().map(|parameter| parameter.name).collect();
            let cure = match known.as_slice() {
                [] => "leave it out: this request takes no query".to_owned(),
                known => format!("known are: {}", known.join(", ")),
            };
            let what = format!("the query has an unknown parameter `{name}`");
            return Refused::bad(what).at("query").cure(cure).into_response();
        }
    }
    next.run(request).await
}
