//! A controller process in a directory of its own, the two arrays, and clients of all three doors.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Parser as _;
use csi_proto::v1;
use csi_proto::v1::controller_client::ControllerClient;
use fleet_proto::admin::admin_client::AdminClient;
use fleet_proto::fleet::RegisterRequest;
use fleet_proto::fleet::fleet_client::FleetClient;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use v1::volume_capability::access_mode::Mode;
use v1::volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};

/// Starting or stopping takes well below a second; a busy machine gets this long.
const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const JOIN_TOKEN: &str = "join-canary-1";

/// A running controller; killed when dropped.
pub(crate) struct Running {
    pub(crate) directory: tempfile::TempDir,
    process: Option<Child>,
    fleet: String,
}

/// Arguments of a controller that lives in `directory`.
pub(crate) fn command(directory: &Path) -> Command {
    std::fs::write(directory.join("join-token"), format!("{JOIN_TOKEN}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tine-controller"));
    let at = |name: &str| directory.join(name);
    command
        .arg("--csi")
        .arg(format!("unix://{}", at("csi.sock").display()))
        .arg("--admin")
        .arg(format!("unix://{}", at("admin.sock").display()))
        .args(["--fleet", "127.0.0.1:0"])
        .arg("--state")
        .arg(at("state"))
        .arg("--join-token-file")
        .arg(at("join-token"))
        .arg("--fleet-ca-out")
        .arg(at("ca.pem"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn spawn(directory: &Path) -> (Child, String) {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
    let mut child = command(directory).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap();
    let line = line.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(directory.join("log")).unwrap()));
    let ready: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["ready"], true);
    (child, ready["fleet"].as_str().unwrap().to_owned())
}

impl Running {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (process, fleet) = spawn(directory.path()).await;
        Self { directory, process: Some(process), fleet }
    }

    /// Stops it by SIGTERM, which must be clean, and starts it again on the same state.
    pub(crate) async fn restart(&mut self) {
        let mut process = self.process.take().unwrap();
        let pid = process.id().unwrap().to_string();
        assert!(Command::new("/bin/kill").args(["-TERM", &pid]).status().await.unwrap().success());
        let status = tokio::time::timeout(DEADLINE, process.wait()).await.unwrap().unwrap();
        assert!(status.success(), "{status}");
        assert!(!self.path("csi.sock").exists() && !self.path("admin.sock").exists());
        self.spawn_again().await;
    }

    /// Kills it at once, and starts it again on the same state.
    pub(crate) async fn crash(&mut self) {
        self.kill().await;
        self.spawn_again().await;
    }

    /// Kills it at once.
    pub(crate) async fn kill(&mut self) {
        self.process.take().unwrap().kill().await.unwrap();
    }

    async fn spawn_again(&mut self) {
        let (process, fleet) = spawn(self.directory.path()).await;
        self.process = Some(process);
        self.fleet = fleet;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Everything the controller has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    async fn socket(&self, name: &str) -> Channel {
        let path = self.path(name);
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://controller").connect_with_connector(connector).await.unwrap()
    }

    pub(crate) async fn csi(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.socket("csi.sock").await)
    }

    pub(crate) async fn identity(&self) -> v1::identity_client::IdentityClient<Channel> {
        v1::identity_client::IdentityClient::new(self.socket("csi.sock").await)
    }

    pub(crate) async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.socket("admin.sock").await)
    }

    /// A client that trusts what `--fleet-ca-out` wrote, and nothing else.
    pub(crate) async fn fleet(&self) -> FleetClient<Channel> {
        let ca = Certificate::from_pem(std::fs::read(self.path("ca.pem")).unwrap());
        let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("tine-controller");
        let endpoint = Endpoint::from_shared(format!("https://{}", self.fleet)).unwrap();
        FleetClient::new(endpoint.tls_config(tls).unwrap().connect().await.unwrap())
    }

    /// Registers a backend; the error is the line an administrator sees.
    pub(crate) async fn create_backend(
        &self,
        content: &Value,
    ) -> Result<fleet_proto::admin::Backend, Status> {
        let request = fleet_proto::admin::CreateBackendRequest {
            file_name: "backend.json".into(),
            content: content.to_string().into_bytes(),
        };
        let created = self.admin().await.create_backend(request).await?.into_inner();
        Ok(created.backend.unwrap())
    }

    /// Registers a node; answers its token.
    pub(crate) async fn register(&self, node: &str, address: &str) -> String {
        let answer = self.fleet().await.register(registration(node, address)).await;
        answer.unwrap().into_inner().node_token
    }

    pub(crate) async fn publish(&self, volume: &str, node: &str) -> Result<contract::PublishContext, Status> {
        self.publish_as(volume, node, mount(Mode::SingleNodeWriter)).await
    }

    pub(crate) async fn publish_as(
        &self,
        volume: &str,
        node: &str,
        capability: v1::VolumeCapability,
    ) -> Result<contract::PublishContext, Status> {
        let request = v1::ControllerPublishVolumeRequest {
            volume_id: volume.into(),
            node_id: node.into(),
            volume_capability: Some(capability),
            ..Default::default()
        };
        let answer = self.csi().await.controller_publish_volume(request).await?.into_inner();
        Ok(contract::PublishContext::decode(&answer.publish_context).unwrap())
    }

    pub(crate) async fn unpublish(&self, volume: &str, node: &str) -> Result<(), Status> {
        let request = v1::ControllerUnpublishVolumeRequest {
            volume_id: volume.into(),
            node_id: node.into(),
            ..Default::default()
        };
        self.csi().await.controller_unpublish_volume(request).await.map(drop)
    }

    pub(crate) async fn create(&self, request: v1::CreateVolumeRequest) -> Result<v1::Volume, Status> {
        Ok(self.csi().await.create_volume(request).await?.into_inner().volume.unwrap())
    }

    pub(crate) async fn delete(&self, volume: &str) -> Result<(), Status> {
        let request = v1::DeleteVolumeRequest { volume_id: volume.into(), ..Default::default() };
        self.csi().await.delete_volume(request).await.map(drop)
    }
}

pub(crate) fn registration(node: &str, address: &str) -> RegisterRequest {
    RegisterRequest {
        node_id: node.into(),
        iqn: iqn(node),
        addresses: vec![address.into()],
        protocols: vec!["nfs".into(), "iscsi".into()],
        agent_version: "test".into(),
        kernel: "test".into(),
        join_token: JOIN_TOKEN.into(),
        node_key: node_key(node),
    }
}

/// The key that the agent of `node` keeps.
pub(crate) fn node_key(node: &str) -> String {
    format!("key-canary-of-{node}-0123456789abcdef0123456789")
}

pub(crate) fn iqn(node: &str) -> String {
    format!("iqn.2004-10.com.example:{node}")
}

pub(crate) fn mount(mode: Mode) -> v1::VolumeCapability {
    v1::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    }
}

pub(crate) fn block(mode: Mode) -> v1::VolumeCapability {
    v1::VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(AccessType::Block(BlockVolume {})),
    }
}

/// A claim of 1 GiB for a filesystem on one node.
pub(crate) fn claim(name: &str, parameters: &[(&str, &str)]) -> v1::CreateVolumeRequest {
    v1::CreateVolumeRequest {
        name: name.into(),
        capacity_range: Some(v1::CapacityRange { required_bytes: 1 << 30, limit_bytes: 0 }),
        volume_capabilities: vec![mount(Mode::SingleNodeWriter)],
        parameters: parameters.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..Default::default()
    }
}

/// An ONTAP array with one NFS LIF and two iSCSI LIFs, one a node.
pub(crate) struct OntapArray {
    simulator: ontap_sim::OntapSim,
    http: reqwest::Client,
}

impl OntapArray {
    /// `export_rules`: client matches of the policy `default`.
    pub(crate) async fn start(export_rules: &[&str]) -> Self {
        Self::start_seeded("7", export_rules).await
    }

    /// Arrays of different seeds are different arrays.
    pub(crate) async fn start_seeded(seed: &str, export_rules: &[&str]) -> Self {
        let mut arguments = vec!["ontap-sim", "--svm", "svm1", "--seed", seed];
        for rule in export_rules {
            arguments.extend(["--default-export-rule", rule]);
        }
        let arguments = ontap_sim::arguments::Arguments::parse_from(arguments);
        let simulator = ontap_sim::OntapSim::start(arguments.configuration().unwrap()).await.unwrap();
        Self { simulator, http: accept_any() }
    }

    /// The array goes away.
    pub(crate) async fn stop(self) {
        self.simulator.stop().await;
    }

    pub(crate) fn management(&self) -> String {
        self.simulator.management().to_string()
    }

    /// A backend file of the published form, with `changes` on top.
    pub(crate) fn backend(&self, driver: &str, changes: &Value) -> Value {
        let file = json!({
            "version": 1, "storageDriverName": driver, "backendName": driver,
            "managementLIF": self.management(), "svm": "svm1",
            "username": "admin", "password": "Netapp1!",
        });
        merged(file, changes)
    }

    /// The records of a REST collection, as another client of the array sees them.
    pub(crate) async fn records(&self, path_and_query: &str) -> Vec<Value> {
        let url = format!("https://{}/api/{path_and_query}", self.management());
        let answer = self.http.get(url).basic_auth("admin", Some("Netapp1!")).send().await.unwrap();
        assert!(answer.status().is_success(), "{path_and_query}: {}", answer.status());
        let answer: Value = answer.json().await.unwrap();
        answer["records"].as_array().unwrap().clone()
    }

    /// Changes the array behind the controller's back.
    pub(crate) async fn change(&self, method: reqwest::Method, path: &str, body: Value) {
        let url = format!("https://{}/api/{path}", self.management());
        let request = self.http.request(method, url).basic_auth("admin", Some("Netapp1!"));
        let answer = request.json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }
}

/// A SolidFire cluster.
pub(crate) struct SolidFireArray {
    running: solidfire_sim::Running,
    http: reqwest::Client,
}

impl SolidFireArray {
    pub(crate) async fn start() -> Self {
        let arguments = solidfire_sim::Arguments::parse_from(["solidfire-sim", "--seed", "7"]);
        Self { running: solidfire_sim::start(arguments).await.unwrap(), http: accept_any() }
    }

    pub(crate) fn backend(&self, changes: &Value) -> Value {
        let kind = |name: &str, min: u64, max: u64, burst: u64| json!({"Type": name, "Qos": {"minIOPS": min, "maxIOPS": max, "burstIOPS": burst}});
        let file = json!({
            "version": 1, "storageDriverName": "solidfire-san", "backendName": "solidfire-san",
            "Endpoint": format!("https://admin:admin@{}/json-rpc/8.0", self.running.management()),
            "SVIP": self.running.svip().to_string(),
            "TenantName": "tenant", "InitiatorIFace": "default", "UseCHAP": true,
            "Types": [
                kind("Bronze", 1000, 2000, 4000),
                kind("Silver", 4000, 6000, 8000),
                kind("Gold", 6001, 8000, 10000),
            ],
        });
        merged(file, changes)
    }

    /// A call as another client of the cluster makes it.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let url = format!("https://{}/json-rpc/12.5", self.running.management());
        let body = json!({"method": method, "params": params, "id": 1});
        let request = self.http.post(url).basic_auth("admin", Some("admin")).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["result"].clone()
    }

    pub(crate) async fn volumes(&self) -> Vec<Value> {
        self.call("ListVolumes", json!({})).await["volumes"].as_array().unwrap().clone()
    }
}

fn merged(mut file: Value, changes: &Value) -> Value {
    for (field, value) in changes.as_object().unwrap() {
        file[field] = value.clone();
    }
    file
}

fn accept_any() -> reqwest::Client {
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy().build().unwrap()
}
