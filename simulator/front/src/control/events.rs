//! The event log over HTTP: pages of it, and a stream that neither loses nor reorders.
//!
//! A stream holds nothing for its reader: each time the reader has taken what it was sent, it gets
//! the next page of the log. One that is so slow that the log has forgotten what comes next is told
//! so with a last event, `events.lost`, and cut.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use levers::{Event, Page, Pattern};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use super::error::Refused;
use super::input::Asked;
use super::{Array, Controlled};
use crate::serve::Stopping;

/// Events sent at a time.
const BATCH: usize = 256;
/// How long a stream is silent before it says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    since: Option<u64>,
    #[serde(default)]
    kind: Pattern,
    #[serde(default)]
    text: String,
    limit: Option<usize>,
}

impl Wanted {
    fn accepts(&self, event: &Event) -> bool {
        self.kind.fits(&event.kind) && (self.text.is_empty() || json!(event).to_string().contains(&self.text))
    }
}

pub(super) async fn list(State(array): Array, Asked(wanted): Asked<Wanted>) -> Response {
    let events = array.event_log().since(wanted.since.unwrap_or(0)).into_iter();
    let limit = wanted.limit.unwrap_or(usize::MAX);
    let chosen: Vec<_> = events.filter(|event| wanted.accepts(event)).take(limit).collect();
    Json(chosen).into_response()
}

pub(super) async fn stream(
    State(array): Array,
    stopping: Option<Extension<Stopping>>,
    headers: HeaderMap,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Refused> {
    if wanted.limit.is_some() {
        return Err(Refused::bad("a stream has no limit").at("query limit").cure("leave it out"));
    }
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let form = match text(header::ACCEPT) {
        Some(accept) if accept.contains("text/event-stream") => Form::ServerSent,
        _ => Form::Lines,
    };
    let resumed = headers.get("last-event-id").map(|id| {
        let number = id.to_str().ok().and_then(|id| id.parse::<u64>().ok());
        number.map(|id| id.saturating_add(1)).ok_or_else(|| {
            Refused::bad("this is no number of an event").at("header Last-Event-ID").cure("leave it out")
        })
    });
    let asked = resumed.transpose()?.or(wanted.since);
    let log = array.event_log();
    // Who does not say where to begin begins with what there is.
    let next = asked.filter(|asked| *asked > 0).unwrap_or_else(|| log.page(0, 0).next);
    let feed = Feed {
        news: log.watch(),
        stopping: stopping.map(|Extension(stopping)| stopping),
        ended: false,
        array,
        next,
        wanted,
        form,
    };
    let body = Body::from_stream(stream::unfold(feed, async |mut feed| {
        let text = feed.more().await?;
        Some((Ok::<_, Infallible>(text), feed))
    }));
    let headers = [(header::CONTENT_TYPE, form.content_type()), (header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::OK, headers, body).into_response())
}

/// How events are written.
#[derive(Clone, Copy)]
enum Form {
    /// A JSON object a line.
    Lines,
    /// Server-sent events (WHATWG HTML §9.2), what a browser reads.
    ServerSent,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::ServerSent => "text/event-stream",
        }
    }

    fn write(self, event: &Event) -> String {
        let data = json!(event);
        match self {
            Self::Lines => format!("{data}\n"),
            Self::ServerSent => format!("id: {}\ndata: {data}\n\n", event.sequence),
        }
    }

    /// What ends a stream whose reader is too slow. A browser that comes again goes on behind the gap.
    fn farewell(self, asked: u64, lost: u64) -> String {
        let first = asked.saturating_add(lost);
        let cure = format!("read faster or filter by kind; go on with since={first}");
        let fields = json!({ "from": asked, "lost": lost, "cure": cure });
        let kind = "events.lost".to_owned();
        self.write(&Event { sequence: first.saturating_sub(1), at: SystemTime::now(), kind, fields })
    }

    fn heartbeat(self) -> &'static str {
        match self {
            Self::Lines => "\n",
            Self::ServerSent => ":\n\n",
        }
    }
}

struct Feed {
    array: Arc<dyn Controlled>,
    news: watch::Receiver<u64>,
    stopping: Option<Stopping>,
    next: u64,
    wanted: Wanted,
    form: Form,
    ended: bool,
}

impl Feed {
    /// What is sent next; none when the stream is at its end.
    async fn more(&mut self) -> Option<String> {
        while !self.ended {
            // Marked before the look, lest an event between look and wait be missed.
            self.news.mark_unchanged();
            let Page { lost, next, events } = self.array.event_log().page(self.next, BATCH);
            if lost > 0 {
                self.ended = true;
                return Some(self.form.farewell(self.next, lost));
            }
            self.next = next;
            let chosen = events.iter().filter(|event| self.wanted.accepts(event));
            let text: String = chosen.map(|event| self.form.write(event)).collect();
            if !text.is_empty() {
                return Some(text);
            }
            if events.is_empty() && self.idle().await {
                return Some(self.form.heartbeat().to_owned());
            }
        }
        None
    }

    /// Waits for news; true: there were none for long.
    async fn idle(&mut self) -> bool {
        let stopped = async {
            match &self.stopping {
                Some(stopping) => stopping.0.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.news.changed() => false,
            () = stopped => {
                self.ended = true;
                false
            }
            () = tokio::time::sleep(HEARTBEAT) => true,
        }
    }
}
