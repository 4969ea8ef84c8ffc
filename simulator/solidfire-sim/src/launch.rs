//! Command line and start: bind everything first, say "ready" only when everything listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use iscsi_target::{IscsiServer, PortalError};
use levers::{EventLog, Levers};
use rand::RngExt as _;
use records::{DataDir, DataDirError};
use serde_json::{Map, Value, json};
use sim_front::{
    ArgumentError, BasicAuth, FrontArguments, ServeError, Serving, TlsError, TlsIdentity, bind,
    control_router, serve_http, serve_https,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::cluster::{CarryOutError, Cluster};
use crate::contents::{ContentError, Contents};
use crate::dataplane::DataPlane;
use crate::declaration::{Declaration, DeclarationError};
use crate::nodes::{Bound, NodeArguments, NodeError, bind_svip};
use crate::rpc::{self, Endpoint};
use crate::state::State;
use crate::state::limits::VOLUME_COUNT_MAX;

/// Whose data directory it is.
const PRODUCT: &str = "solidfire-sim";
/// The certification authority in a data directory: clients that trust it go on doing so.
const AUTHORITY: &str = "authority.pem";
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
    #[command(flatten)]
    nodes: NodeArguments,
    /// Name of the cluster
    #[arg(long, value_name = "NAME", default_value = "solidfire-sim")]
    name: String,
    /// Volumes the cluster may have, deleted ones included
    #[arg(long, value_name = "NUMBER", default_value_t = VOLUME_COUNT_MAX)]
    max_volumes: usize,
    /// Operations of 4 KiB a second that all volumes together do at most
    #[arg(long, value_name = "IOPS", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(100..))]
    cluster_iops: u32,
    /// Where state and volumes are kept, made if need be; without it they are gone with the process
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// A YAML file that declares accounts, volumes and more, made at the first start
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The volumes in it cannot.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// What is there at first cannot be carried out.
    #[error(transparent)]
    CarryOut(#[from] CarryOutError),
    /// No such cluster can be declared.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
    /// A listener could not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A node's addresses cannot be used.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// iSCSI could not listen.
    #[error("--svip: iSCSI could not listen")]
    Svip(#[from] PortalError),
}

/// A running cluster.
#[derive(Debug)]
pub struct Running {
    cluster: Arc<Cluster>,
    api: Serving,
    node_apis: Vec<Serving>,
    control: Serving,
    clock: JoinHandle<()>,
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
    let Arguments { front, svip, nodes, name, max_volumes, cluster_iops, data_dir, config } = arguments;
    let mut administrators = vec![front.administrator(DEFAULT_PASSWORD)?];
    let declared = config.as_deref().map(Declaration::read).transpose()?;
    let (name, management, svip) = match &declared {
        Some(file) => {
            let others = file.admins.iter().filter(|admin| admin.name != front.user);
            administrators.extend(others.cloned());
            let management = file.mvip.unwrap_or(front.management);
            (file.name.clone().unwrap_or(name), management, file.svip.unwrap_or(svip))
        }
        None => (name, front.management, svip),
    };
    let data = data_dir.as_deref().map(|dir| DataDir::open(dir, PRODUCT)).transpose()?;
    let kept = data.as_ref().map(DataDir::load::<State>).transpose()?.flatten();
    let contents = match data.as_ref().map(DataDir::path) {
        Some(dir) => Contents::in_directory(dir, kept.as_ref().unwrap_or(&State::default()))?,
        None => Contents::default(),
    };
    let addresses = [management.ip()];
    let identity = match data.as_ref().map(DataDir::path) {
        Some(dir) => TlsIdentity::kept(&dir.join(AUTHORITY), PRODUCT, &addresses)?,
        None => TlsIdentity::generate(PRODUCT, &addresses)?,
    };
    if let Some(path) = &front.ca_out {
        identity.write_ca_pem(path)?;
    }
    let stop = CancellationToken::new();
    let api = bind("--management", management).await?;
    let control = bind("--control", front.control).await?;
    let seed = front.seed.unwrap_or_else(|| rand::rng().random());
    let (events, levers) = (EventLog::new(), Levers::seeded(seed));
    let server = IscsiServer::with_levers(events.clone(), levers.clone());
    let svip = bind_svip(&server, svip).await?;
    let nodes = Bound::new(&server, &nodes).await?;

    let mvip = api.local_addr().map_err(ServeError::Local)?;
    let state = match kept {
        Some(mut kept) => {
            kept.readdress(mvip, svip);
            if declared.is_some() {
                tracing::info!(
                    "the data directory has a cluster: of --config only addresses and admins count"
                );
            }
            kept
        }
        None => {
            let mut new = State::new(&name, mvip, svip, seed).with_volume_count_max(max_volumes);
            declared.as_ref().map_or(Ok(()), |file| file.build(&mut new))?;
            new
        }
    };
    let state = state.with_nodes(&nodes.addresses(svip)?).with_volume_count_max(max_volumes);
    let data_plane =
        DataPlane::new(server.clone(), svip, cluster_iops).with_nodes(nodes.portals).with_contents(contents);
    let cluster = Arc::new(Cluster::new(state, data_plane, events, levers).revived(data)?);
    let router =
        |endpoint| rpc::router(Arc::clone(&cluster), endpoint, BasicAuth::new(administrators.clone()));
    let node_apis = (1..)
        .zip(nodes.listeners)
        .map(|(id, listener)| serve_https(listener, &identity, router(Endpoint::Node(id)), stop.clone()));
    let node_apis = node_apis.collect::<Result<Vec<_>, _>>()?;
    let clock = tokio::spawn(clock::run(Arc::clone(&cluster), stop.clone()));
    Ok(Running {
        clock,
        api: serve_https(api, &identity, router(Endpoint::Cluster), stop.clone())?,
        control: serve_http(control, control_router(Arc::clone(&cluster) as _), stop.clone())?,
        node_apis,
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

    /// Where the nodes' own API listens, one address a node.
    pub fn node_managements(&self) -> Vec<SocketAddr> {
        self.node_apis.iter().map(Serving::local_address).collect()
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
        fields.insert("nodeManagement".into(), json!(self.node_managements()));
        fields.insert("uniqueID".into(), unique_id.into());
        fields.insert("ca".into(), json!(self.ca_out));
        fields.insert("seed".into(), self.seed.into());
        fields
    }

    /// Stops listening and drops every session.
    pub async fn stop(self) {
        self.stop.cancel();
        for portal in self.cluster.data_plane().portals() {
            self.server.unbind_portal(portal).await;
        }
        self.api.stopped().await;
        for node in self.node_apis {
            node.stopped().await;
        }
        self.control.stopped().await;
        // It can only end by returning, or by a panic that was reported.
        let _ended = self.clock.await;
    }
}
