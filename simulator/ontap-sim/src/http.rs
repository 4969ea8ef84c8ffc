//! HTTP around the REST skin: users, headers, bodies in and out.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};
use sim_front::{BasicAuth, Controlled as _, Mishaps, obey_levers};
use tracing::warn;

use crate::array::Array;
use crate::rest::{Answer, Call, Method, SvmScope};
use crate::skin::OntapSkin;
use crate::state::Refusal;
use crate::zapi;

/// The largest body the management API reads.
const LARGEST_BODY: usize = 4 << 20;
/// What the array answers with; every client parses it.
const HAL_JSON: HeaderValue = HeaderValue::from_static("application/hal+json");

#[derive(Debug)]
struct Api {
    array: Array,
    auth: BasicAuth,
}

/// The management API of `array` for the users in `auth`.
pub(crate) fn router(array: Array, auth: BasicAuth) -> Router {
    let (levers, events) = (array.levers().clone(), array.event_log().clone());
    let router = Router::new().fallback(serve).with_state(Arc::new(Api { array, auth }));
    obey_levers(router, &levers, &events, OntapSkin)
}

async fn serve(State(api): State<Arc<Api>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(denied) = api.auth.authenticate(&parts.headers) {
        warn!(%denied, path = parts.uri.path(), "not authorised");
        return not_authorised();
    }
    if parts.uri.path() == zapi::PATH {
        return serve_zapi(api, body).await;
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
    match tokio::task::spawn_blocking(move || api.array.answer_amid(&call, &mishaps.0)).await {
        Ok(answer) => response(&answer),
        Err(error) => {
            warn!(%error, "a call failed");
            let message = "An internal error occurred";
            refused(Refusal { status: 500, ..Refusal::request(1_500, message) })
        }
    }
}

/// ZAPI has its errors in the document; HTTP says 200 to all of them.
async fn serve_zapi(api: Arc<Api>, body: Body) -> Response {
    let Ok(request) = to_bytes(body, LARGEST_BODY).await else {
        return status(StatusCode::PAYLOAD_TOO_LARGE);
    };
    match tokio::task::spawn_blocking(move || api.array.answer_zapi(None, &request)).await {
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
    let mut response = Response::new(Body::from(answer.body.to_string()));
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
