//! HTTP around the REST skin: users, headers, bodies in and out.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use sim_front::{
    ClientCertificates, Controlled as _, Denied, Mishaps, User, basic_credentials, common_name_of,
    is_issued_by, obey_levers,
};
use tracing::warn;

use crate::array::Array;
use crate::replication;
use crate::rest::{Answer, Call, Method, SvmScope};
use crate::skin::OntapSkin;
use crate::state::account::Caller;
use crate::state::{Cluster, Refusal, SvmId};
use crate::zapi;

/// The largest body the management API reads.
const LARGEST_BODY: usize = 4 << 20;
/// What the array answers with; every client parses it.
const HAL_JSON: HeaderValue = HeaderValue::from_static("application/hal+json");

#[derive(Debug)]
struct Api {
    array: Array,
    /// The SVM whose LIF this is the door of; absent: the cluster's.
    door: Option<SvmId>,
}

/// The management API of `array`, at the door of an SVM or of the cluster.
pub(crate) fn router(array: Array, door: Option<SvmId>) -> Router {
    let (levers, events) = (array.levers().clone(), array.event_log().clone());
    let router = Router::new().fallback(serve).with_state(Arc::new(Api { array: array.clone(), door }));
    let peers = door.is_none().then(|| replication::router(array));
    let obeying = obey_levers(router, &levers, &events, OntapSkin);
    peers.into_iter().fold(obeying, Router::merge)
}

/// Who sends the request: by the certificate they showed, else by name and password.
fn log_in(api: &Api, parts: &Parts) -> Result<Caller, Denied> {
    if let Some(shown) = parts.extensions.get::<ClientCertificates>()
        && let Some(name) = shown.0.first().and_then(common_name_of)
    {
        let authorities = api.array.read(Cluster::client_authorities);
        if is_issued_by(shown, &authorities)
            && let Some(caller) = api.array.read(|cluster| cluster.log_in_certified(api.door, &name))
        {
            return Ok(caller);
        }
    }
    let User { name, password } = basic_credentials(&parts.headers)?;
    let found = api.array.read(|cluster| cluster.log_in(api.door, &name, password.expose()));
    found.ok_or(Denied::Wrong)
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let caller = match log_in(&api, &parts) {
        Ok(caller) => caller,
        Err(denied) => {
            warn!(%denied, path = parts.uri.path(), "not authorised");
            return not_authorised();
        }
    };
    let array = api.array.acting_for(caller);
    if parts.uri.path() == zapi::PATH {
        return serve_zapi(array, body).await;
    }
    let refused = |refusal: Refusal| response(&Answer::refused(&refusal));
    let Some(method) = Method::from_name(parts.method.as_str()) else {
        let message = format!("Method {} is not supported", parts.method);
        return refused(Refusal { status: 405, ..Refusal::missing(4, message) });
    };
    let body = match method {
        // Some clients send a body with GET; it says nothing.
        Method::Get | Method::Delete | Method::Options => Value::Null,
        Method::Post | Method::Patch => match read_json(body).await {
            Ok(body) => body,
            Err(refusal) => return refused(refusal),
        },
    };
    let call = Call {
        method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        svm: svm_scope(&parts.headers),
        body,
    };
    let mishaps = parts.extensions.get::<Mishaps>().cloned().unwrap_or_default();
    // The machine is quick, but freeing a large volume is not: keep it off the reactor.
    match tokio::task::spawn_blocking(move || array.answer_amid(&call, &mishaps.0)).await {
        Ok(answer) => response(&answer),
        Err(error) => {
            warn!(%error, "a call failed");
            let message = "An internal error occurred";
            refused(Refusal { status: 500, ..Refusal::request(1_500, message) })
        }
    }
}

/// ZAPI has its errors in the document; HTTP says 200 to all of them.
async fn serve_zapi(array: Array, body: Body) -> Response {
    let Ok(request) = to_bytes(body, LARGEST_BODY).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    match tokio::task::spawn_blocking(move || array.answer_zapi(None, &request)).await {
        Ok(document) => {
            let mut response = Response::new(Body::from(document));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
            response
        }
        Err(error) => {
            warn!(%error, "a ZAPI call failed");
            status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

async fn read_json(body: Body) -> Result<Value, Refusal> {
    let bytes: Bytes = to_bytes(body, LARGEST_BODY).await.map_err(|_| {
        Refusal::request(2, format!("The body is longer than {LARGEST_BODY} bytes or broken off"))
    })?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::request(2, format!("The body is no JSON: {error}")))
}

fn svm_scope(headers: &HeaderMap) -> Option<SvmScope> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    text("x-dot-svm-name").map(SvmScope::Name).or_else(|| text("x-dot-svm-uuid").map(SvmScope::Uuid))
}

pub(crate) fn not_authorised() -> Response {
    let error = json!({ "error": { "message": "User is not authorized.", "code": "6691623" } });
    let mut response = response(&Answer { status: 401, location: None, allow: None, body: error });
    let challenge = HeaderValue::from_static("Basic realm=\"Private\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

pub(crate) fn response(answer: &Answer) -> Response {
    // A value in memory has text keys: it is always written.
    let body = serde_json::to_vec(&answer.body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HAL_JSON);
    for (name, value) in [(header::LOCATION, &answer.location), (header::ALLOW, &answer.allow)] {
        if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    response
}
