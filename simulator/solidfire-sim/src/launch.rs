//! Command line and start: bind everything first, say "ready" only when everything listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use iscsi_target::{IscsiServer, PortGroup, Portal, PortalError};
use levers::{EventLog, Levers};
use rand::RngExt as _;
use serde_json::{Map, Value, json};
use sim_front::{
    ArgumentError, BasicAuth, FrontArguments, ServeError, Serving, TlsError, TlsIdentity, bind,
    control_router, serve_http, serve_https,
};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::dataplane::DataPlane;
use crate::rpc;
use crate::state::State;

/// The administrator's password when none is given.
const DEFAULT_PASSWORD: &str = "admin";

/// A NetApp SolidFire cluster in one process: JSON-RPC API and iSCSI
#[derive(Debug, Clone, Parser)]
#[command(name = "solidfire-sim", version)]
pub struct Arguments {
    #[command(flatten)]
    front: FrontArguments,
    /// Where iSCSI listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    svip: SocketAddr,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "solidfire-sim")]
    name: String,
    /// Operations of 4 KiB a second that all volumes together do at most
    #[arg(long, value_name = "IOPS", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(100..))]
    cluster_iops: u32,
}

impl Arguments {
    /// Two lines that a person can paste, for standard error.
    pub fn usage_hint(&self, running: &Running) -> String {
        let password = match (&self.front.password, &self.front.password_file) {
            (None, None) => DEFAULT_PASSWORD,
            _ => "<password>",
        };
        let (user, management, control) = (&self.front.user, running.management(), running.control());
        format!(
            "try:  curl -sku '{user}:{password}' 'https://{management}/json-rpc/12.5?method=GetClusterInfo'\n      \
             curl -s http://{control}/sim/v1/state    (stop with Ctrl-C; --help for addresses and ports)"
        )
    }
}

/// Why the cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A flag cannot be used.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The certificate could not be made or written.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener could not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// iSCSI could not listen.
    #[error("--svip: iSCSI could not listen")]
    Svip(#[from] PortalError),
}

/// A running cluster.
#[derive(Debug)]
pub struct Running {
    cluster: Arc<Cluster>,
    api: Serving,
    control: Serving,
    svip: SocketAddr,
    server: IscsiServer,
    ca_pem: String,
    ca_out: Option<PathBuf>,
    seed: u64,
    stop: CancellationToken,
}

/// Starts a cluster. Must be called within a tokio runtime.
///
/// # Errors
/// [`LaunchError`]; then nothing listens.
pub async fn start(arguments: Arguments) -> Result<Running, LaunchError> {
    let Arguments { front, svip, name, cluster_iops } = arguments;
    let administrator = front.administrator(DEFAULT_PASSWORD)?;
    let identity = TlsIdentity::generate("solidfire-sim", &[front.management.ip()])?;
    if let Some(path) = &front.ca_out {
        identity.write_ca_pem(path)?;
    }
    let stop = CancellationToken::new();
    let api = bind("--management", front.management).await?;
    let control = bind("--control", front.control).await?;
    let seed = front.seed.unwrap_or_else(|| rand::rng().random());
    let (events, levers) = (EventLog::new(), Levers::seeded(seed));
    let server = IscsiServer::with_levers(events.clone(), levers.clone());
    let group = PortGroup { id: 1, relative_port: 1 };
    let svip = server.bind_portal(Portal { listen: svip, tag: 1, group }).await?;

    let mvip = api.local_addr().map_err(ServeError::Local)?;
    let state = State::new(&name, mvip, svip, seed);
    let cluster =
        Arc::new(Cluster::new(state, DataPlane::new(server.clone(), svip, cluster_iops), events, levers));
    let router = rpc::router(Arc::clone(&cluster), BasicAuth::new(vec![administrator]));
    Ok(Running {
        api: serve_https(api, &identity, router, stop.clone())?,
        control: serve_http(control, control_router(Arc::clone(&cluster) as _), stop.clone())?,
        cluster,
        svip,
        server,
        ca_pem: identity.ca_pem().to_owned(),
        ca_out: front.ca_out,
        seed,
        stop,
    })
}

impl Running {
    /// The cluster itself.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Where the API listens.
    pub fn management(&self) -> SocketAddr {
        self.api.local_address()
    }

    /// Where iSCSI listens.
    pub fn svip(&self) -> SocketAddr {
        self.svip
    }

    /// Where the control endpoint listens.
    pub fn control(&self) -> SocketAddr {
        self.control.local_address()
    }

    /// The certificate that clients must trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What the ready line tells besides the product.
    pub fn ready_fields(&self) -> Map<String, Value> {
        let unique_id = self.cluster.with_state(|state| state.identity().unique_id.to_string());
        let mut fields = Map::new();
        fields.insert("management".into(), self.management().to_string().into());
        fields.insert("control".into(), self.control().to_string().into());
        fields.insert("svip".into(), self.svip.to_string().into());
        fields.insert("uniqueID".into(), unique_id.into());
        fields.insert("ca".into(), json!(self.ca_out));
        fields.insert("seed".into(), self.seed.into());
        fields
    }

    /// Stops listening and drops every session.
    pub async fn stop(self) {
        self.stop.cancel();
        self.server.unbind_portal(self.svip).await;
        self.api.stopped().await;
        self.control.stopped().await;
    }
}
