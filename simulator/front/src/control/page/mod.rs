//! The status page: the array's [`Portrait`] as HTML, the levers as controls, the event log live.
//!
//! The server renders every word; the script (`page.js`) puts newer renderings in place, turns
//! counters into rates and sends what a control says. Everything from outside passes through maud,
//! which escapes it; the script sets text only, never markup of its own making.

mod controls;
mod tables;

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use levers::Event;
use maud::{DOCTYPE, Markup, html};
use serde_json::{Value, json};

use super::error::Refused;
use super::{Array, Controlled, off_the_reactor};
use crate::control::portrait::Portrait;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Events shown before the stream brings more.
const EVENTS_SHOWN: usize = 60;

/// Nothing is fetched from elsewhere, nothing runs that is not ours, and nobody frames the page.
const GUARDED: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
];

pub(super) async fn page(State(array): Array) -> Result<Response, Refused> {
    off_the_reactor(move || {
        let log = array.event_log().since(0);
        let next = log.last().map_or(0, |event| event.sequence.saturating_add(1));
        let shown = log.get(log.len().saturating_sub(EVENTS_SHOWN)..).unwrap_or_default();
        let body = whole(&array.portrait(), array.as_ref(), shown, next);
        Ok((GUARDED, axum::response::Html(body.into_string())).into_response())
    })
    .await
}

pub(super) async fn sections(State(array): Array) -> Result<Response, Refused> {
    off_the_reactor(move || {
        let body = changing(&array.portrait(), array.as_ref());
        Ok((GUARDED, axum::response::Html(body.into_string())).into_response())
    })
    .await
}

pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

pub(super) async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

fn whole(portrait: &Portrait, array: &dyn Controlled, events: &[Event], next: u64) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (portrait.name) " · " (portrait.product) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/status/page.css";
                script src="/status/page.js" defer {}
            }
            body {
                header {
                    h1 { (portrait.name) " " small { (portrait.product) } }
                    nav {
                        @for section in &portrait.sections { a href={ "#" (section.id) } { (section.title) } }
                        a href="#levers" { "Levers" }
                        a href="/openapi.json" { "API" }
                    }
                    span #live .live data-live="no" title="Whether the event stream is connected" { "not live" }
                }
                div #notice role="alert" hidden {}
                div .columns {
                    main #sections { (changing(portrait, array)) }
                    aside {
                        (controls::fixed(portrait))
                        (event_panel(events, next))
                    }
                }
                (controls::dialog())
            }
        }
    }
}

fn changing(portrait: &Portrait, array: &dyn Controlled) -> Markup {
    html! {
        (tables::facts(portrait))
        (controls::changing(array))
        @for section in &portrait.sections { (tables::section(section)) }
    }
}

fn event_panel(events: &[Event], next: u64) -> Markup {
    html! {
        section #events data-next=(next) {
            h2 { "Events" }
            p .tools {
                input #event-filter type="search" placeholder="filter by text" aria-label="Filter events by text";
                label { input #event-pause type="checkbox"; " hold" }
            }
            ol #event-list {
                @for event in events.iter().rev() { (event_line(event)) }
            }
        }
    }
}

fn event_line(event: &Event) -> Markup {
    let at = json!(event).get("at").and_then(Value::as_str).unwrap_or_default().to_owned();
    let time = at.get(11..23).unwrap_or_default();
    let fields = match event.fields.as_object() {
        Some(fields) => {
            let said = fields.iter().filter(|(_, value)| *value != "");
            said.map(|(name, value)| format!("{name}={}", short(value))).collect()
        }
        None => vec![short(&event.fields)],
    };
    html! {
        li {
            time datetime=(at) { (time) } " "
            b { (event.kind) } " "
            span { (fields.join(" ")) }
        }
    }
}

fn short(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
