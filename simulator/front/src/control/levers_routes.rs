//! The levers over HTTP: each route is one call of [`Controlled`] or of its [`levers::Levers`].

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use levers::{Action, ApiRule, Attention, LunFaults, Mode, NfsFaults, PortalFault, RuleId, Trigger};
use serde::Deserialize;
use serde_json::json;

use super::error::Refused;
use super::input::{Asked, Input, Segment};
use super::{Array, Controlled, Happening, Named, PortalSelector, off_the_reactor};

type Answered = Result<Response, Refused>;

fn selector(text: &str) -> Result<PortalSelector, Refused> {
    text.parse().map_err(|error| Refused::from(error).at("path"))
}

fn done() -> Response {
    Json(json!({})).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Switch {
    on: bool,
}

pub(super) async fn trace(State(array): Array, Input(Switch { on }): Input<Switch>) -> Answered {
    array.event_log().set_tracing(on);
    Ok(done())
}

pub(super) async fn is_tracing(State(array): Array) -> Response {
    Json(json!({ "on": array.event_log().traces() })).into_response()
}

pub(super) async fn lun_faults(State(array): Array, Asked(Named { name }): Asked<Named>) -> Answered {
    off_the_reactor(move || {
        let faults = array.levers().lun(&array.serial_of(&name)?).faults().unwrap_or_default();
        Ok(Json(&*faults).into_response())
    })
    .await
}

pub(super) async fn set_lun_faults(
    State(array): Array,
    Asked(Named { name }): Asked<Named>,
    Input(faults): Input<LunFaults>,
) -> Answered {
    off_the_reactor(move || {
        let serial = array.serial_of(&name)?;
        array.event_log().record("lun.faults", json!({ "name": name, "serial": serial, "faults": faults }));
        array.levers().lun(&serial).set(faults);
        Ok(done())
    })
    .await
}

pub(super) async fn raise_attention(
    State(array): Array,
    Asked(Named { name }): Asked<Named>,
    Input(attention): Input<Attention>,
) -> Answered {
    off_the_reactor(move || {
        array.levers().lun(&array.serial_of(&name)?).raise(attention);
        Ok(done())
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FaultBody {
    fault: PortalFault,
}

pub(super) async fn set_portal_fault(
    State(array): Array,
    Segment(portal): Segment,
    Input(FaultBody { fault }): Input<FaultBody>,
) -> Answered {
    let portal = selector(&portal)?;
    off_the_reactor(move || {
        array.set_portal_fault(portal, fault)?;
        Ok(done())
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Destination {
    node: String,
}

pub(super) async fn migrate(
    State(array): Array,
    Segment(portal): Segment,
    Input(Destination { node }): Input<Destination>,
) -> Answered {
    let portal = selector(&portal)?;
    happen(array, Happening::PortalMigrates { portal, node }).await
}

pub(super) async fn nfs_faults(State(array): Array, Segment(svm): Segment) -> Answered {
    off_the_reactor(move || {
        array.require_nfs(&svm)?;
        let faults = array.levers().nfs(&svm).faults().unwrap_or_default();
        Ok(Json(&*faults).into_response())
    })
    .await
}

pub(super) async fn set_nfs_faults(
    State(array): Array,
    Segment(svm): Segment,
    Input(faults): Input<NfsFaults>,
) -> Answered {
    off_the_reactor(move || {
        array.require_nfs(&svm)?;
        array.event_log().record("nfs.faults", json!({ "svm": svm, "faults": faults }));
        array.levers().nfs(&svm).set(faults);
        Ok(done())
    })
    .await
}

pub(super) async fn restart_nfs(State(array): Array, Segment(svm): Segment) -> Answered {
    happen(array, Happening::NfsRestart { svm }).await
}

pub(super) async fn expire_leases(State(array): Array, Segment(svm): Segment) -> Answered {
    happen(array, Happening::NfsLeasesExpire { svm }).await
}

pub(super) async fn arm_power_cut(State(array): Array) -> Answered {
    happen(array, Happening::PowerCutArmed).await
}

pub(super) async fn cut_power(State(array): Array) -> Answered {
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
#[serde(deny_unknown_fields)]
pub(super) struct ModeBody {
    mode: Mode,
}

pub(super) async fn set_mode(State(array): Array, Input(ModeBody { mode }): Input<ModeBody>) -> Answered {
    array.levers().gate().set_mode(mode);
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Steps {
    count: usize,
}

pub(super) async fn mode(State(array): Array) -> Response {
    let gate = array.levers().gate();
    let mode = if gate.is_stepping() { Mode::Step } else { Mode::Auto };
    Json(json!({ "mode": mode, "waiting": gate.waiting() })).into_response()
}

pub(super) async fn step(State(array): Array, Input(Steps { count }): Input<Steps>) -> Answered {
    let gate = array.levers().gate();
    gate.step(count);
    Ok(Json(json!({ "waiting": gate.waiting() })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    trigger: Trigger,
    action: Action,
}

pub(super) async fn schedule(
    State(array): Array,
    Input(Planned { trigger, action }): Input<Planned>,
) -> Answered {
    array.schedule().plan(trigger, action);
    Ok(Json(json!({ "pending": array.schedule().pending() })).into_response())
}

pub(super) async fn api_rules(State(array): Array) -> Response {
    Json(array.levers().api().rules()).into_response()
}

pub(super) async fn add_api_rule(State(array): Array, Input(rule): Input<ApiRule>) -> Answered {
    let id = array.levers().api().add(rule.clone()).map_err(|error| {
        Refused::new(StatusCode::CONFLICT, error.to_string()).cure("DELETE /sim/v1/api/faults removes all")
    })?;
    array.event_log().record("api.rule", json!({ "id": id, "rule": rule }));
    Ok(Json(json!({ "id": id })).into_response())
}

pub(super) async fn clear_api_rules(State(array): Array) -> Response {
    array.levers().api().clear();
    array.event_log().record("api.rules_cleared", json!({}));
    done()
}

pub(super) async fn remove_api_rule(State(array): Array, Segment(id): Segment) -> Answered {
    let no_number = |_| Refused::bad(format!("`{id}` is no number of a rule")).at("path");
    let rule = RuleId(id.parse().map_err(no_number)?);
    if !array.levers().api().remove(rule) {
        let known: Vec<_> = array.levers().api().rules().iter().map(|rule| rule.id.0.to_string()).collect();
        let what = format!("there is no rule {id}; there are [{}]", known.join(", "));
        return Err(Refused::new(StatusCode::NOT_FOUND, what)
            .at("path")
            .cure("GET /sim/v1/api/faults lists them"));
    }
    array.event_log().record("api.rule_removed", json!({ "id": rule }));
    Ok(done())
}
