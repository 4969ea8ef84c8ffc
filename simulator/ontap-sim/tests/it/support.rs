//! An array in this process and a client that talks to it over real TLS.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ontap_sim::dataplane::Ports;
use ontap_sim::state::{Blueprint, LifBlueprint};
use ontap_sim::{Configuration, OntapSim};
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::Value;
use sim_front::{Password, User};

/// The running array and its client.
pub(crate) struct Bench {
    pub(crate) sim: OntapSim,
    pub(crate) client: Client,
}

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Value,
}

fn loopback(last: u8, node: &str) -> LifBlueprint {
    LifBlueprint { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), node: Some(node.into()) }
}

pub(crate) fn configuration() -> Configuration {
    Configuration {
        blueprint: Blueprint {
            seed: 7,
            svm: "svm1".into(),
            nfs: vec![loopback(1, "sim-01")],
            iscsi: vec![loopback(1, "sim-01"), loopback(2, "sim-02")],
            management: IpAddr::V4(Ipv4Addr::LOCALHOST),
            default_export_clients: vec!["0.0.0.0/0".into()],
            addressed: true,
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
        },
        ports: Ports { nfs: 0, portmap: false, iscsi: 0 },
        management: SocketAddr::from(([127, 0, 0, 1], 0)),
        control: SocketAddr::from(([127, 0, 0, 1], 0)),
        users: vec![User { name: "admin".into(), password: Password::new("Netapp1!") }],
        version: ontap_sim::state::Version::default(),
        model: "SIMBOX".into(),
        ca_out: None,
        data_dir: None,
        ssh: None,
        ssh_keys: None,
        declaration: None,
    }
}

impl Bench {
    pub(crate) async fn start() -> Self {
        Self::with(configuration()).await
    }

    pub(crate) async fn with(configuration: Configuration) -> Self {
        // A second installation finds the first: either is the same provider.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let sim = OntapSim::start(configuration).await.unwrap();
        let ca = Certificate::from_pem(sim.ca_pem().as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
        Self { sim, client }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let url = format!("https://{}{path}", self.sim.management());
        let mut request = self.client.request(method, url).basic_auth("admin", Some("Netapp1!"));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let location =
            response.headers().get("location").map(|location| location.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text:?}"));
        Reply { status, location, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let reply = self.call(Method::GET, path, None).await;
        assert_eq!(reply.status, 200, "GET {path}: {}", reply.body);
        reply.body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call(Method::DELETE, path, None).await
    }

    /// The one record a query finds.
    pub(crate) async fn one(&self, path: &str) -> Value {
        let body = self.get(path).await;
        assert_eq!(body["num_records"], 1, "GET {path}: {body}");
        body["records"][0].clone()
    }

    /// The state of the job that a 202 names, polled as clients do; message and code with it.
    pub(crate) async fn job(&self, reply: &Reply) -> (String, Value) {
        assert_eq!(reply.status, 202, "{reply:?}");
        let href = reply.body["job"]["_links"]["self"]["href"].as_str().unwrap();
        let state = self.get(&format!("{href}?fields=state")).await;
        let job = self.get(&format!("{href}?fields=**")).await;
        assert_eq!(state["state"], job["state"]);
        (job["state"].as_str().unwrap().to_owned(), job)
    }

    pub(crate) async fn succeed(&self, reply: Reply) {
        let (state, job) = self.job(&reply).await;
        assert_eq!(state, "success", "{job}");
    }

    /// A request to the control endpoint.
    pub(crate) async fn control(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let (status, text) = self.control_raw(method, path, body).await;
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text:?}")))
    }

    /// The same, where the answer need not be JSON.
    pub(crate) async fn control_raw(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, String) {
        let url = format!("http://{}{path}", self.sim.control());
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }
}
