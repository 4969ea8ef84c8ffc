//! The levers of the management API, as far as HTTP shows them: between the listener and the
//! array's skin, which gets what is left of the call.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header, request};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, http};
use levers::{ApiCall, ApiFault, CallKind, EventLog, Hit, Levers, Verdict};
use serde_json::json;

use crate::auth::claimed_user;
use crate::serve::CutConnection;

/// The largest body that is read to find out what a call does; a larger one is refused.
const LARGEST_BODY: usize = 8 << 20;

/// What a call of an array's API does, and how that array words a refusal.
pub trait ApiSkin: Send + Sync + 'static {
    /// Whether the path alone does not tell what a call does.
    fn reads_body(&self, path: &str) -> bool;

    /// What a call does, and the name of the operation where the path does not tell. `body` is empty
    /// unless [`Self::reads_body`].
    fn kind(&self, method: &http::Method, query: &str, body: &[u8]) -> (CallKind, String);

    /// The array's refusal with this status and message, its own message when there is none.
    fn refusal(&self, status: StatusCode, message: Option<&str>) -> Response;
}

/// In the extensions of a call that the skin gets: what must go wrong inside the array.
#[derive(Debug, Clone, Default)]
pub struct Mishaps(pub Arc<[Hit]>);

struct Obeying<S> {
    levers: Levers,
    events: EventLog,
    skin: S,
}

/// `router`, whose every call obeys the API rules of `levers`. What they do is recorded in `events`
/// as `api.fault`.
pub fn obey_levers<S: ApiSkin>(router: Router, levers: &Levers, events: &EventLog, skin: S) -> Router {
    let obeying = Arc::new(Obeying { levers: levers.clone(), events: events.clone(), skin });
    router.layer(from_fn_with_state(obeying, obey))
}

async fn obey<S: ApiSkin>(State(obeying): State<Arc<Obeying<S>>>, request: Request, next: Next) -> Response {
    if !obeying.levers.api().is_armed() {
        return next.run(request).await;
    }
    let (mut parts, mut body) = request.into_parts();
    let mut read = Vec::new();
    if obeying.skin.reads_body(parts.uri.path()) {
        let Ok(bytes) = to_bytes(body, LARGEST_BODY).await else {
            return obeying.skin.refusal(StatusCode::PAYLOAD_TOO_LARGE, None);
        };
        read = bytes.to_vec();
        body = Body::from(bytes);
    }
    let verdict = obeying.judge(&parts, &read);
    tokio::time::sleep(verdict.delay).await;
    match verdict.ending() {
        Some(ApiFault::Refuse { status, retry_after, message }) => {
            let status = StatusCode::from_u16((*status).into()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = obeying.skin.refusal(status, message.as_deref());
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
            }
            return response;
        }
        Some(ApiFault::ExpireAuth { .. }) => return obeying.skin.refusal(StatusCode::UNAUTHORIZED, None),
        Some(_) => return cut(),
        None => {}
    }
    let lost = verdict.loses_answer();
    parts.extensions.insert(Mishaps(verdict.hits.into()));
    let response = next.run(Request::from_parts(parts, body)).await;
    if lost { cut() } else { response }
}

impl<S: ApiSkin> Obeying<S> {
    fn judge(&self, parts: &request::Parts, body: &[u8]) -> Verdict {
        let query = parts.uri.query().unwrap_or_default();
        let (kind, operation) = self.skin.kind(&parts.method, query, body);
        let user = claimed_user(&parts.headers).unwrap_or_default();
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let call = ApiCall { method, path, operation: &operation, user: &user, kind };
        let verdict = self.levers.judge(&call);
        if !verdict.hits.is_empty() {
            let faults: Vec<_> = verdict
                .hits
                .iter()
                .map(|hit| json!({ "rule": hit.rule, "fault": hit.fault.name() }))
                .collect();
            let delay = u64::try_from(verdict.delay.as_micros()).unwrap_or(u64::MAX);
            let mut fields = json!({ "method": method, "path": path, "faults": faults });
            if let Some(fields) = fields.as_object_mut() {
                fields.extend((!operation.is_empty()).then(|| ("operation".into(), operation.into())));
                fields.extend((delay > 0).then(|| ("delay_us".into(), delay.into())));
            }
            self.events.record("api.fault", fields);
        }
        verdict
    }
}

fn cut() -> Response {
    let mut response = ().into_response();
    response.extensions_mut().insert(CutConnection);
    response
}
