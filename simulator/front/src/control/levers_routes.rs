//! The levers over HTTP: each route is one call of [`Controlled`] or of its [`levers::Levers`].

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use levers::{Action, Attention, Event, LunFaults, Mode, NfsFaults, PortalFault, Trigger};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_stream::{Stream, StreamExt as _};

use super::{Array, ControlError, Controlled, Happening, Named, Since, off_the_reactor};

pub(super) fn router() -> Router<Arc<dyn Controlled>> {
    Router::new()
        .route("/sim/v1/events/stream", get(stream_events))
        .route("/sim/v1/trace", put(trace))
        .route("/sim/v1/luns/faults", get(lun_faults).put(set_lun_faults))
        .route("/sim/v1/luns/attention", post(raise_attention))
        .route("/sim/v1/portals/{portal}/fault", put(set_portal_fault))
        .route("/sim/v1/portals/{portal}/migrate", post(migrate))
        .route("/sim/v1/nfs/{svm}/faults", get(nfs_faults).put(set_nfs_faults))
        .route("/sim/v1/nfs/{svm}/restart", post(restart_nfs))
        .route("/sim/v1/nfs/{svm}/expire-leases", post(expire_leases))
        .route("/sim/v1/power-cut", put(arm_power_cut).post(cut_power))
        .route("/sim/v1/mode", put(set_mode))
        .route("/sim/v1/step", post(step))
        .route("/sim/v1/schedule", post(schedule))
}

type Answered = Result<Response, ControlError>;

/// A body, or an error that says what is wrong with it. Any content type will do: `curl -d` sends a
/// form's.
fn parsed<T: DeserializeOwned>(body: &Bytes) -> Result<T, ControlError> {
    serde_json::from_slice(body).map_err(|error| ControlError::Invalid {
        message: format!("the body is not what this request takes: {error}"),
    })
}

fn done() -> Response {
    Json(json!({})).into_response()
}

async fn stream_events(State(array): Array, Query(Since { since }): Query<Since>) -> Response {
    let lines = lines_from(array, since).map(Ok::<_, Infallible>);
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// The events from number `since` on, a line each; it never ends.
fn lines_from(array: Arc<dyn Controlled>, since: u64) -> impl Stream<Item = String> + Send {
    let next = tokio_stream::wrappers::WatchStream::new(array.event_log().watch());
    let mut since = since;
    next.map(move |_| {
        let new = array.event_log().since(since);
        since = new.last().map_or(since, |event| event.sequence + 1);
        new.iter().map(line).collect()
    })
}

fn line(event: &Event) -> String {
    format!("{}\n", json!(event))
}

#[derive(Deserialize)]
struct Switch {
    on: bool,
}

async fn trace(State(array): Array, body: Bytes) -> Answered {
    let Switch { on } = parsed(&body)?;
    array.event_log().set_tracing(on);
    Ok(done())
}

async fn lun_faults(State(array): Array, Query(Named { name }): Query<Named>) -> Answered {
    off_the_reactor(move || {
        let faults = array.levers().lun(&array.serial_of(&name)?).faults().unwrap_or_default();
        Ok(Json(&*faults).into_response())
    })
    .await
}

async fn set_lun_faults(State(array): Array, Query(Named { name }): Query<Named>, body: Bytes) -> Answered {
    let faults: LunFaults = parsed(&body)?;
    off_the_reactor(move || {
        let serial = array.serial_of(&name)?;
        array.event_log().record("lun.faults", json!({ "name": name, "serial": serial, "faults": faults }));
        array.levers().lun(&serial).set(faults);
        Ok(done())
    })
    .await
}

async fn raise_attention(State(array): Array, Query(Named { name }): Query<Named>, body: Bytes) -> Answered {
    let attention: Attention = parsed(&body)?;
    off_the_reactor(move || {
        array.levers().lun(&array.serial_of(&name)?).raise(attention);
        Ok(done())
    })
    .await
}

#[derive(Deserialize)]
struct FaultBody {
    fault: PortalFault,
}

async fn set_portal_fault(State(array): Array, Path(portal): Path<String>, body: Bytes) -> Answered {
    let portal = portal.parse()?;
    let FaultBody { fault } = parsed(&body)?;
    off_the_reactor(move || {
        array.set_portal_fault(portal, fault)?;
        Ok(done())
    })
    .await
}

#[derive(Deserialize)]
struct Destination {
    node: String,
}

async fn migrate(State(array): Array, Path(portal): Path<String>, body: Bytes) -> Answered {
    let portal = portal.parse()?;
    let Destination { node } = parsed(&body)?;
    happen(array, Happening::PortalMigrates { portal, node }).await
}

async fn nfs_faults(State(array): Array, Path(svm): Path<String>) -> Answered {
    off_the_reactor(move || {
        array.require_nfs(&svm)?;
        let faults = array.levers().nfs(&svm).faults().unwrap_or_default();
        Ok(Json(&*faults).into_response())
    })
    .await
}

async fn set_nfs_faults(State(array): Array, Path(svm): Path<String>, body: Bytes) -> Answered {
    let faults: NfsFaults = parsed(&body)?;
    off_the_reactor(move || {
        array.require_nfs(&svm)?;
        array.event_log().record("nfs.faults", json!({ "svm": svm, "faults": faults }));
        array.levers().nfs(&svm).set(faults);
        Ok(done())
    })
    .await
}

async fn restart_nfs(State(array): Array, Path(svm): Path<String>) -> Answered {
    happen(array, Happening::NfsRestart { svm }).await
}

async fn expire_leases(State(array): Array, Path(svm): Path<String>) -> Answered {
    happen(array, Happening::NfsLeasesExpire { svm }).await
}

async fn arm_power_cut(State(array): Array) -> Answered {
    happen(array, Happening::PowerCutArmed).await
}

async fn cut_power(State(array): Array) -> Answered {
    happen(array, Happening::PowerCut).await
}

async fn happen(array: Arc<dyn Controlled>, happening: Happening) -> Answered {
    off_the_reactor(move || {
        array.happen(happening)?;
        Ok(done())
    })
    .await
}

#[derive(Deserialize)]
struct ModeBody {
    mode: Mode,
}

async fn set_mode(State(array): Array, body: Bytes) -> Answered {
    let ModeBody { mode } = parsed(&body)?;
    array.levers().gate().set_mode(mode);
    Ok(done())
}

#[derive(Deserialize)]
struct Steps {
    count: usize,
}

async fn step(State(array): Array, body: Bytes) -> Answered {
    let Steps { count } = parsed(&body)?;
    let gate = array.levers().gate();
    gate.step(count);
    Ok(Json(json!({ "waiting": gate.waiting() })).into_response())
}

#[derive(Deserialize)]
struct Planned {
    trigger: Trigger,
    action: Action,
}

async fn schedule(State(array): Array, body: Bytes) -> Answered {
    let Planned { trigger, action } = parsed(&body)?;
    array.schedule().plan(trigger, action);
    Ok(Json::<Value>(json!({ "pending": array.schedule().pending() })).into_response())
}
