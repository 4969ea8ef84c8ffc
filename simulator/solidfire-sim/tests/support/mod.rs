//! A cluster in this process and a client that talks to it over real TLS.

#![allow(clippy::unwrap_used, dead_code, reason = "a test's helpers fail the test, and not each uses all")]

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser as _;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use solidfire_sim::{Arguments, Running, start};

/// A cluster and its administrator.
pub(crate) struct Bench {
    pub(crate) running: Running,
    pub(crate) client: Client,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With these flags besides.
    pub(crate) async fn with(more: &[&str]) -> Self {
        let arguments = ["solidfire-sim", "--seed", "1"].into_iter().chain(more.iter().copied());
        let running = start(Arguments::parse_from(arguments)).await.unwrap();
        // A provider can be installed once; another test of this process may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(running.ca_pem().as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([ca]).timeout(Duration::from_secs(20)).build().unwrap();
        Self { running, client }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.running.management())
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        self.post_to(&self.url(path), body).await
    }

    async fn post_to(&self, url: &str, body: impl Into<reqwest::Body>) -> Response {
        self.client.post(url).basic_auth("admin", Some("admin")).body(body).send().await.unwrap()
    }

    /// The whole envelope.
    pub(crate) async fn envelope(&self, method: &str, params: Value) -> Value {
        self.ask(self.running.management(), method, params).await
    }

    /// The whole envelope of what the API at `endpoint` answers.
    pub(crate) async fn ask(&self, endpoint: SocketAddr, method: &str, params: Value) -> Value {
        let body = json!({"method": method, "params": params, "id": 1}).to_string();
        let response = self.post_to(&format!("https://{endpoint}/json-rpc/12.5"), body).await;
        assert_eq!(response.status(), StatusCode::OK);
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let mut envelope = self.envelope(method, params).await;
        assert!(envelope.get("error").is_none(), "{method}: {envelope}");
        envelope["result"].take()
    }

    pub(crate) async fn refused(&self, method: &str, params: Value) -> (String, String) {
        let envelope = self.envelope(method, params).await;
        assert_eq!(envelope["error"]["code"], 500, "{method}: {envelope}");
        let text = |member: &str| envelope["error"][member].as_str().unwrap().to_owned();
        (text("name"), text("message"))
    }

    pub(crate) async fn control(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.running.control());
        let response = self.client.get(url).send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }
}
