//! A control endpoint over an array that has one of everything.

// Each test file uses its part of this.
#![allow(dead_code)]

use std::sync::Arc;

use levers::{EventLog, Levers, Schedule};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use sim_front::{
    Cell, ControlError, Controlled, Digest, Happening, PortalFault, PortalSelector, Portrait, Row, Section,
    Serving, bind, control_router, serve_http, unit_levers,
};
use tokio_util::sync::CancellationToken;

/// A name that must be escaped wherever it is shown.
pub(crate) const EVIL: &str = "<script>alert('1')</script>\"&";

/// LUN `a`, SVM `s`, portals on 10.0.0.1.
pub(crate) struct Fake {
    events: EventLog,
    levers: Levers,
    schedule: Schedule,
}

impl Fake {
    pub(crate) fn new(events: EventLog) -> Self {
        let levers = Levers::seeded(1);
        let schedule = Schedule::new(levers.clone(), events.clone());
        Self { events, levers, schedule }
    }

    /// Records something.
    pub(crate) fn record(&self, kind: &str, fields: Value) {
        self.events.record(kind, fields);
    }

    fn require(&self, known: &str, name: &str) -> Result<(), ControlError> {
        if name == known {
            return Ok(());
        }
        Err(ControlError::NotFound { message: format!("no `{name}`; there is {known}") })
    }
}

impl Controlled for Fake {
    fn event_log(&self) -> &EventLog {
        &self.events
    }

    fn levers(&self) -> &Levers {
        &self.levers
    }

    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn state(&self) -> Value {
        json!({ "luns": ["a"] })
    }

    fn portrait(&self) -> Portrait {
        let cells = vec![Cell::Code(EVIL.into()), Cell::Share { used: 1, of: 4 }];
        let row = Row { key: EVIL.into(), cells, levers: unit_levers("a", &self.levers.lun("A")) };
        let luns = Section {
            id: "luns",
            title: "LUNs",
            columns: &["Path", "Used"],
            rows: vec![row],
            total: 1,
            empty: "No LUN.",
        };
        Portrait {
            product: "a-sim".into(),
            name: EVIL.into(),
            facts: vec![("Fact", EVIL.into())],
            sections: vec![luns],
        }
    }

    fn digest(&self, name: &str) -> Result<Digest, ControlError> {
        self.require("a", name)?;
        Ok(Digest { sha256: "0".repeat(64), bytes: 0 })
    }

    fn serial_of(&self, name: &str) -> Result<String, ControlError> {
        self.require("a", name).map(|()| "A".to_owned())
    }

    fn set_portal_fault(&self, portal: PortalSelector, _: PortalFault) -> Result<(), ControlError> {
        self.require("10.0.0.1", &portal.address.to_string())
    }

    fn require_nfs(&self, name: &str) -> Result<(), ControlError> {
        self.require("s", name)
    }

    fn happen(&self, happening: Happening) -> Result<(), ControlError> {
        match happening {
            Happening::NfsRestart { svm } | Happening::NfsLeasesExpire { svm } => self.require("s", &svm),
            Happening::PortalMigrates { portal, .. } => self.require("10.0.0.1", &portal.address.to_string()),
            Happening::PowerCutArmed | Happening::PowerCut => Ok(()),
        }
    }
}

pub(crate) struct Bench {
    pub(crate) array: Arc<Fake>,
    pub(crate) client: Client,
    pub(crate) serving: Serving,
    pub(crate) stop: CancellationToken,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::over(EventLog::new()).await
    }

    pub(crate) async fn over(events: EventLog) -> Self {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let array = Arc::new(Fake::new(events));
        let listener = bind("--control", "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        let router = control_router(Arc::clone(&array) as _);
        let serving = serve_http(listener, router, stop.clone()).unwrap();
        Self { array, client: Client::builder().no_proxy().build().unwrap(), serving, stop }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.serving.local_address())
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<String>) -> Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, self.url(path));
        if let Some(body) = body {
            request = request.body(body);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let response = self.send(method, path, body.map(|body| body.to_string())).await;
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: no JSON: {text:?}")))
    }
}
