//! The control endpoint: plain HTTP on loopback, beside the API that a client of the array sees.
//! A harness reads the event log and the state there, proves that a LUN's bytes did not change,
//! and pulls levers.
//!
//! | request | body → answer |
//! |---|---|
//! | `GET /` | the status page |
//! | `GET /openapi.json` | this list for programs, with every schema |
//! | `GET /sim/v1/events[?since=N&kind=PATTERN&text=TEXT&limit=N]` | the event log, oldest first, from number N on |
//! | `GET /sim/v1/events/stream[?since=N]` | the same, one JSON object a line (or server-sent events), and then each event as it comes |
//! | `PUT /sim/v1/trace` | `{"on":true}`: SCSI commands and NFS calls are events, too |
//! | `GET /sim/v1/state` | the array's state |
//! | `GET /sim/v1/luns/digest?name=NAME` | `{"sha256":"…","bytes":N}` of the whole content |
//! | `GET`, `PUT /sim/v1/luns/faults?name=NAME` | a unit's faults ([`levers::LunFaults`]) |
//! | `POST /sim/v1/luns/attention?name=NAME` | `{"asc":N,"ascq":N}`: a unit attention for every session |
//! | `PUT /sim/v1/portals/{ADDRESS[:PORT]}/fault` | `{"fault":"none|refuse|…"}` ([`levers::PortalFault`]) |
//! | `POST /sim/v1/portals/{ADDRESS[:PORT]}/migrate` | `{"node":"NAME"}`: the LIF moves to another node |
//! | `GET`, `PUT /sim/v1/nfs/{SVM}/faults` | an NFS service's faults ([`levers::NfsFaults`]) |
//! | `POST /sim/v1/nfs/{SVM}/restart` | the service restarts: client state is gone, grace begins |
//! | `POST /sim/v1/nfs/{SVM}/expire-leases` | every lease has run out |
//! | `GET`, `POST`, `DELETE /sim/v1/api/faults` | rules of what goes wrong in the management API ([`levers::ApiRule`]) |
//! | `DELETE /sim/v1/api/faults/{ID}` | one rule less |
//! | `PUT /sim/v1/power-cut` | from now on the array knows what is not flushed |
//! | `POST /sim/v1/power-cut` | what was not flushed is gone |
//! | `PUT /sim/v1/mode` | `{"mode":"auto|step"}` |
//! | `POST /sim/v1/step` | `{"count":N}` commands pass; `{"waiting":N}` is how many are at the gate |
//! | `POST /sim/v1/schedule` | `{"trigger":…,"action":…}` ([`levers::Trigger`], [`levers::Action`]) |

mod error;
mod events;
mod input;
mod levers_routes;
mod openapi;
mod page;
mod portrait;
mod routes;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use levers::{EventLog, Levers, PortalFault, Schedule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::error::ControlError;
use self::error::Refused;
use self::input::Asked;
pub use self::portrait::{Cell, Lever, Portrait, Row, Section, unit_levers};

/// Which portals are meant: all of an address, or one port of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortalSelector {
    /// The portal's address.
    pub address: IpAddr,
    /// Its port; all ports of the address when absent.
    pub port: Option<u16>,
}

impl PortalSelector {
    /// Whether `portal` is meant.
    pub fn selects(&self, portal: SocketAddr) -> bool {
        self.address == portal.ip() && self.port.is_none_or(|port| port == portal.port())
    }
}

impl FromStr for PortalSelector {
    type Err = ControlError;

    fn from_str(text: &str) -> Result<Self, ControlError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { address: address.ip(), port: Some(address.port()) });
        }
        let address = text.parse().map_err(|_| ControlError::Invalid {
            message: format!("`{text}` is no portal address; write ADDRESS or ADDRESS:PORT"),
        })?;
        Ok(Self { address, port: None })
    }
}

/// The digest of a LUN's whole content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Length of the content in bytes.
    pub bytes: u64,
}

/// Something that happens to the array once: not a state that a lever holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The NFS service of an SVM restarts: client state is gone, the grace period begins.
    NfsRestart {
        /// The SVM.
        svm: String,
    },
    /// Every lease of the NFS service of an SVM has run out.
    NfsLeasesExpire {
        /// The SVM.
        svm: String,
    },
    /// From now on the array keeps in mind what was not flushed, for a cut to come.
    PowerCutArmed,
    /// What was not flushed is gone; of LUNs written before [`Happening::PowerCutArmed`] nothing is.
    PowerCut,
    /// A LIF moves to another node; its target port is another one afterwards.
    PortalMigrates {
        /// The LIF's portals.
        portal: PortalSelector,
        /// The node's name.
        node: String,
    },
}

/// A simulated array, as the control endpoint sees it. Calls may block for as long as reading a
/// LUN takes: they run on the blocking pool.
pub trait Controlled: Send + Sync + 'static {
    /// The event log.
    fn event_log(&self) -> &EventLog;

    /// The levers its data planes obey.
    fn levers(&self) -> &Levers;

    /// What is to happen later.
    fn schedule(&self) -> &Schedule;

    /// The whole state, for people and for assertions; secrets redacted.
    fn state(&self) -> Value;

    /// What the status page shows.
    fn portrait(&self) -> Portrait;

    /// SHA-256 over the content of the LUN or volume `name`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when there is none of that name.
    fn digest(&self, name: &str) -> Result<Digest, ControlError>;

    /// The serial number, as INQUIRY tells it, of the LUN or volume `name`.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when there is none of that name.
    fn serial_of(&self, name: &str) -> Result<String, ControlError>;

    /// Puts `fault` on every portal that `portal` selects.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when it selects none.
    fn set_portal_fault(&self, portal: PortalSelector, fault: PortalFault) -> Result<(), ControlError>;

    /// Makes sure that the SVM `name` has an NFS service.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when it has none.
    fn require_nfs(&self, name: &str) -> Result<(), ControlError>;

    /// Lets something happen; it has when this returns.
    ///
    /// # Errors
    /// [`ControlError`] when this array has no such thing.
    fn happen(&self, happening: Happening) -> Result<(), ControlError>;
}

/// The control endpoint of `array`, for [`crate::serve_http`].
pub fn control_router(array: Arc<dyn Controlled>) -> Router {
    routes::router()
        .fallback(unknown_path)
        .method_not_allowed_fallback(other_method)
        .layer(from_fn(own_pages_only))
        .with_state(array)
}

async fn unknown_path(request: Request) -> Response {
    let what = format!("there is nothing at {}", request.uri().path());
    Refused::new(StatusCode::NOT_FOUND, what).at("path").into_response()
}

async fn other_method(request: Request) -> Response {
    let what = format!("{} is not for {}", request.method(), request.uri().path());
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, what).at("method").into_response()
}

/// A page of another origin, open in the same browser, may not pull levers here: a browser tells the
/// origin with everything that changes something (Fetch standard, §3.1), programs tell none.
async fn own_pages_only(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name| HeaderMap::get(headers, name).and_then(|value| value.to_str().ok());
    let foreign = match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.strip_prefix("http://") != Some(host),
        (Some(_), None) => true,
        (None, _) => false,
    };
    if foreign {
        return Refused::new(StatusCode::FORBIDDEN, "this request comes from a page of another origin")
            .at("header Origin")
            .cure("open the status page of this simulator, or call without a browser")
            .into_response();
    }
    next.run(request).await
}

type Array = State<Arc<dyn Controlled>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

async fn state(State(array): Array) -> Result<Response, Refused> {
    off_the_reactor(move || Ok(Json(array.state()).into_response())).await
}

async fn digest(State(array): Array, Asked(Named { name }): Asked<Named>) -> Result<Response, Refused> {
    off_the_reactor(move || Ok(Json(array.digest(&name)?).into_response())).await
}

async fn off_the_reactor(
    work: impl FnOnce() -> Result<Response, ControlError> + Send + 'static,
) -> Result<Response, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(ControlError::Failed { message: error.to_string() }));
    done.map_err(Refused::from)
}
