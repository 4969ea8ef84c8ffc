//! The JSON-RPC skin: `POST /json-rpc/<version>` and the GET form, basic authentication, envelopes.
//! It takes what clients really send: any `Content-Type`, an `id` of any type or none, a trailing slash.
//! API-level refusals travel with HTTP 200, because clients stop reading at any other status.

mod decode;
mod params;
mod render;
mod version;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use sim_front::BasicAuth;
use tracing::{debug, info};

use crate::cluster::Cluster;
use crate::state::ApiError;

use self::params::Params;
use self::version::Version;

pub(crate) use self::render::volume as render_volume;

/// The API of `cluster` for the administrators that `auth` admits.
pub(crate) fn router(cluster: Arc<Cluster>, auth: BasicAuth) -> Router {
    Router::new()
        .route("/json-rpc/{version}", get(get_form).post(post_form))
        .route("/json-rpc/{version}/", get(get_form).post(post_form))
        .fallback(async || not_found())
        .with_state(Arc::new(Api { cluster, auth }))
}

#[derive(Debug)]
struct Api {
    cluster: Arc<Cluster>,
    auth: BasicAuth,
}

async fn post_form(
    State(api): State<Arc<Api>>,
    Path(version): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match api.find_refusal(&headers, &version) {
        Some(refusal) => refusal,
        None => answer(api.call_body(&body)),
    }
}

async fn get_form(
    State(api): State<Arc<Api>>,
    Path(version): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = api.find_refusal(&headers, &version) {
        return refusal;
    }
    let method = pairs.iter().find(|(name, _)| name == "method").map(|(_, value)| value.clone());
    let params = Params::from_pairs(pairs.into_iter().filter(|(name, _)| name != "method"));
    answer(api.call(&Value::Null, &method.unwrap_or_default(), params))
}

impl Api {
    /// The HTTP-level refusal of a request with these headers for this version.
    fn find_refusal(&self, headers: &HeaderMap, version: &str) -> Option<Response> {
        if let Err(denied) = self.auth.authenticate(headers) {
            info!(%denied, "request without valid credentials");
            return Some(unauthorized());
        }
        version.parse::<Version>().is_err().then(not_found)
    }

    fn call_body(&self, body: &[u8]) -> Value {
        match parse_envelope(body) {
            Ok(Envelope { id, method, params }) => self.call(&id, &method, params),
            Err(error) => refusal(&Value::Null, &error),
        }
    }

    fn call(&self, id: &Value, method: &str, mut params: Params) -> Value {
        let outcome = decode::decode(method, &mut params).and_then(|request| self.cluster.call(request));
        self.cluster.record_call(method, outcome.as_ref().err());
        match outcome {
            Ok(reply) => {
                debug!(method, "done");
                let mut envelope = Map::new();
                envelope.insert("id".into(), id.clone());
                envelope.insert("result".into(), render::result(&reply));
                let unused = params.into_unused();
                if !unused.is_empty() {
                    envelope.insert("unusedParameters".into(), Value::Object(unused));
                }
                Value::Object(envelope)
            }
            Err(error) => {
                debug!(method, name = error.name(), %error, "refused");
                refusal(id, &error)
            }
        }
    }
}

struct Envelope {
    id: Value,
    method: String,
    params: Params,
}

fn parse_envelope(body: &[u8]) -> Result<Envelope, ApiError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| ApiError::Malformed { reason: error.to_string() })?;
    let Value::Object(mut members) = value else {
        return Err(ApiError::Malformed { reason: "a request must be an object".into() });
    };
    let method = match members.shift_remove("method") {
        Some(Value::String(method)) => method,
        None | Some(Value::Null) => return Err(ApiError::MissingParameter { member: "method" }),
        Some(_) => return Err(ApiError::Malformed { reason: "`method` must be a string".into() }),
    };
    let params = Params::parse(members.shift_remove("params"))?;
    Ok(Envelope { id: members.shift_remove("id").unwrap_or(Value::Null), method, params })
}

fn refusal(id: &Value, error: &ApiError) -> Value {
    json!({"id": id, "error": {"code": 500, "name": error.name(), "message": error.to_string()}})
}

fn answer(envelope: Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], envelope.to_string()).into_response()
}

fn unauthorized() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"Element API\"")];
    let page = "<html><head><title>401 Unauthorized</title></head>\
                <body><h1>401 Unauthorized.</h1></body></html>\n";
    (StatusCode::UNAUTHORIZED, challenge, Html(page)).into_response()
}

fn not_found() -> Response {
    let page = "<html><head><title>404 Not Found</title></head><body><h1>404 Not Found.</h1>\
                The API is at /json-rpc/&lt;version&gt;, versions 1.0 to 12.8.</body></html>\n";
    (StatusCode::NOT_FOUND, Html(page)).into_response()
}
