//! The levers of the status page that belong to no row of a table.

use levers::Mode;
use maud::{Markup, html};
use serde_json::json;

use super::tables::control;
use crate::control::Controlled;
use crate::control::portrait::{Lever, Portrait};

/// What goes wrong, to choose from: a name and the fault as JSON.
const API_FAULTS: &[(&str, &str)] = &[
    ("late by 500 ms", r#"{"latency":{"fixed":{"us":500000}}}"#),
    ("503 Service Unavailable", r#"{"refuse":{"status":503,"retry_after":5}}"#),
    ("500 Internal Server Error", r#"{"refuse":{"status":500}}"#),
    ("429 Too Many Requests", r#"{"refuse":{"status":429,"retry_after":5}}"#),
    ("403 Forbidden", r#"{"refuse":{"status":403}}"#),
    ("401: credentials expired", r#"{"expire_auth":{}}"#),
    ("connection cut, nothing done", r#"{"cut":{}}"#),
    ("done, answer lost", r#"{"lose_answer":{}}"#),
    ("job fails", r#"{"fail_job":{}}"#),
    ("job hangs", r#"{"stick_job":{}}"#),
    ("done by half", r#"{"half_done":{}}"#),
    ("made objects appear 10 s late", r#"{"appear_late":{"ms":10000}}"#),
    ("deleted objects stay 10 s", r#"{"disappear_late":{"ms":10000}}"#),
];

/// An example for the schedule.
const PLAN: &str = r#"{"trigger":{"after":{"ms":5000}},"action":{"mode":"auto"}}"#;

/// The levers that show their state, rendered anew with the tables.
pub(super) fn changing(array: &dyn Controlled) -> Markup {
    let (levers, log) = (array.levers(), array.event_log());
    let gate = levers.gate();
    let mode = if gate.is_stepping() { Mode::Step } else { Mode::Auto };
    let choice = |label, path: &str, choices: [(&'static str, serde_json::Value); 2], now| Lever {
        label,
        method: "PUT",
        path: path.to_owned(),
        choices: choices.into(),
        now,
    };
    let trace = choice(
        "Data path events",
        "/sim/v1/trace",
        [("off", json!({ "on": false })), ("on", json!({ "on": true }))],
        json!({ "on": log.traces() }),
    );
    let stepping = choice(
        "Commands pass",
        "/sim/v1/mode",
        [("as they come", json!({ "mode": "auto" })), ("step by step", json!({ "mode": "step" }))],
        json!({ "mode": mode }),
    );
    html! {
        section #levers {
            h2 { "Levers of the whole" }
            p .row {
                (control(&trace)) (control(&stepping))
                @if gate.is_stepping() {
                    button type="button" data-method="POST" data-path="/sim/v1/step" data-body=r#"{"count":1}"# { "One step" }
                    span { (gate.waiting()) " waiting" }
                }
                button type="button" data-method="PUT" data-path="/sim/v1/power-cut" { "Arm power cut" }
                button .danger type="button" data-method="POST" data-path="/sim/v1/power-cut" { "Cut the power" }
                span { (array.schedule().pending()) " scheduled" }
            }
            (rules(array))
        }
    }
}

fn rules(array: &dyn Controlled) -> Markup {
    let rules = array.levers().api().rules();
    html! {
        h3 { "Rules of the management API " small { (rules.len()) } }
        @if rules.is_empty() {
            p .empty { "No rule: every call is answered as it should be." }
        } @else {
            div .scroll { table {
                thead { tr { th { "Rule" } th { "Calls" } th { "Fault" } th { "Hit" } th { "Levers" } } }
                tbody { @for state in &rules {
                    @let rule = &state.rule;
                    @let pattern = json!([rule.method, rule.path, rule.operation]);
                    @let words: Vec<_> = pattern.as_array().into_iter().flatten().filter_map(|word| word.as_str()).collect();
                    tr data-key={ "rule-" (state.id.0) } {
                        td { (state.id.0) }
                        td { code { (words.join(" ")) } }
                        td { code title=(json!(rule)) { (json!(rule.fault)) } }
                        td .number { (state.hits) " of " (state.matched) }
                        td { button type="button" data-method="DELETE" data-path={ "/sim/v1/api/faults/" (state.id.0) } { "Remove" } }
                    }
                } }
            } }
        }
    }
}

/// The forms, which keep what is typed into them.
pub(super) fn fixed(portrait: &Portrait) -> Markup {
    let (path, operation) = match portrait.product.as_str() {
        "solidfire-sim" => ("*", "CreateVolume"),
        _ => ("/api/storage/*", "*"),
    };
    html! {
        section #new-rule {
            h2 { "Make the API misbehave" }
            form data-kind="api-rule" {
                label { "Method " input name="method" value="*"; }
                label { "Path " input name="path" value=(path); }
                label { "Operation " input name="operation" value=(operation); }
                label { "Fault "
                    select name="preset" {
                        @for (name, fault) in API_FAULTS { option value=(fault) { (name) } }
                    }
                }
                label .wide { "As JSON " textarea name="fault" rows="2" spellcheck="false" { (API_FAULTS.first().map_or("", |(_, fault)| fault)) } }
                label { "Spare first " input name="skip" type="number" min="0" value="0"; }
                label { "Then hit " input name="count" type="number" min="0" placeholder="all"; }
                label { "Probability " input name="probability" type="number" min="0" max="1" step="any" value="1"; }
                label { "After ms " input name="after_ms" type="number" min="0" value="0"; }
                button type="submit" { "Add rule" }
                button type="button" data-method="DELETE" data-path="/sim/v1/api/faults" { "Remove all" }
            }
        }
        section #plan {
            details {
                summary { "Pull a lever later" }
                form data-kind="json" data-method="POST" data-path="/sim/v1/schedule" {
                    label .wide { "Trigger and action " textarea name="body" rows="3" spellcheck="false" { (PLAN) } }
                    button type="submit" { "Schedule" }
                }
            }
        }
    }
}

/// For bodies that no choice has.
pub(super) fn dialog() -> Markup {
    html! {
        dialog #other {
            form data-kind="other" {
                h2 { "Set by hand" }
                p { code #other-target {} }
                label .wide { "Body " textarea name="body" rows="8" spellcheck="false" {} }
                p .row {
                    button type="submit" { "Set" }
                    button type="button" id="other-cancel" { "Leave as it is" }
                }
            }
        }
    }
}
