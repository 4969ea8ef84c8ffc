//! Starting and stopping the whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use levers::{EventLog, Levers};
use records::{DataDir, DataDirError};
use serde_json::{Map, Value, json};
use sim_front::{
    ServeError, Serving, TlsError, TlsIdentity, User, bind, control_router, serve_http, serve_https,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::array::{Array, CarryOutError};
use crate::certificate;
use crate::dataplane::{BringUpError, ContentError, Contents, DataPlanes, Ports};
use crate::declaration::{Declaration, DeclarationError};
use crate::door::Doorkeeper;
use crate::http;
use crate::replication::Courier;
use crate::shell::service::{Shell, SshError};
use crate::state::account::CertificateKind;
use crate::state::lif::Lif;
use crate::state::{Blueprint, BlueprintError, Cluster, Version};

/// Whose data directory it is.
const PRODUCT: &str = "ontap-sim";
/// The certification authority in a data directory: clients that trust it go on doing so.
const AUTHORITY: &str = "authority.pem";

/// Everything there is to choose.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The array.
    pub blueprint: Blueprint,
    /// Ports of the data LIFs; 0 takes free ones.
    pub ports: Ports,
    /// Where the management API listens.
    pub management: SocketAddr,
    /// Where the control endpoint listens.
    pub control: SocketAddr,
    /// Who may log in.
    pub users: Vec<User>,
    /// The release the array says it runs.
    pub version: Version,
    /// The model its nodes say they are.
    pub model: String,
    /// Where the CA certificate is written.
    pub ca_out: Option<PathBuf>,
    /// Where state and contents are kept; in memory when absent.
    pub data_dir: Option<PathBuf>,
    /// Where the shell listens for SSH; nowhere when absent.
    pub ssh: Option<SocketAddr>,
    /// Public keys that let every user of the configuration in, as in `~/.ssh/authorized_keys`.
    pub ssh_keys: Option<PathBuf>,
    /// What a file declares, in place of what the blueprint says of SVMs and LIFs.
    pub declaration: Option<Declaration>,
}

/// Why the simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No such array can be built.
    #[error(transparent)]
    Blueprint(#[from] BlueprintError),
    /// No such array can be declared.
    #[error(transparent)]
    Declaration(#[from] DeclarationError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The contents in it cannot.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// What the array is at first cannot be carried out.
    #[error(transparent)]
    CarryOut(#[from] CarryOutError),
    /// A data LIF cannot be served.
    #[error(transparent)]
    BringUp(#[from] BringUpError),
    /// The management API or the control endpoint cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The shell cannot be served over SSH.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running simulator. Dropping it without [`OntapSim::stop`] leaves its listeners to the runtime.
#[derive(Debug)]
pub struct OntapSim {
    array: Array,
    identity: TlsIdentity,
    management: Serving,
    control: Serving,
    ssh: Option<Shell>,
    courier: JoinHandle<()>,
    stop: CancellationToken,
    configuration: Configuration,
}

impl OntapSim {
    /// Boots the array and listens everywhere.
    ///
    /// # Errors
    /// [`StartError`]: what, where, and the cure.
    pub async fn start(configuration: Configuration) -> Result<Self, StartError> {
        let data = configuration.data_dir.as_deref().map(|dir| DataDir::open(dir, PRODUCT)).transpose()?;
        let kept = data.as_ref().map(DataDir::load::<Cluster>).transpose()?.flatten();
        let kept_before = kept.is_some();
        let (mut cluster, contents) = match kept {
            Some(mut cluster) => {
                cluster.readdress(&configuration.blueprint)?;
                cluster.revive();
                let dir = data.as_ref().map(DataDir::path);
                let contents = dir.map(|dir| Contents::in_directory(dir, &cluster)).transpose()?;
                (cluster, contents)
            }
            None => {
                let dir = data.as_ref().map(DataDir::path);
                // What a death before the first answer left is nobody's.
                let contents = dir.map(|dir| Contents::in_directory(dir, &Cluster::default())).transpose()?;
                let cluster = match &configuration.declaration {
                    Some(declaration) => declaration.build(&configuration.blueprint)?,
                    None => Cluster::boot(&configuration.blueprint)?,
                };
                (cluster, contents)
            }
        };
        if kept_before && configuration.declaration.is_some() {
            tracing::info!("the data directory has an array: of --config only version and model count");
        }
        let contents = contents.unwrap_or_default();
        cluster.set_release(configuration.version, &configuration.model);
        for user in &configuration.users {
            // A password that was changed since the array was made is not changed back.
            if !kept_before || cluster.find_administrator(&user.name).is_none() {
                cluster.seat_administrator(&user.name, user.password.expose());
            }
        }
        let addresses: Vec<_> = cluster.lifs.values().map(|lif| lif.address).collect();
        let identity = match data.as_ref().map(DataDir::path) {
            Some(dir) => TlsIdentity::kept(&dir.join(AUTHORITY), "ontap-sim", &addresses)?,
            None => TlsIdentity::generate("ontap-sim", &addresses)?,
        };
        let shown = (Some("ontap-sim".to_owned()), identity.server_pem().to_owned());
        match certificate::read(None, shown.0, CertificateKind::Server, shown.1) {
            Ok(shown) => cluster.put_server_certificate(shown),
            Err(error) => tracing::warn!(%error, "the API does not tell its own certificate"),
        }
        let management = bind("--management", configuration.management).await?;
        let control = bind("--control", configuration.control).await?;
        let (events, levers) = (EventLog::new(), Levers::seeded(configuration.blueprint.seed));
        let planes = {
            let declared = configuration.declaration.as_ref().filter(|_| !kept_before);
            let must_rise = |lif: &Lif| declared.is_some() || lif.is_of_flags();
            DataPlanes::bring_up(&cluster, configuration.ports, contents, &events, &levers, must_rise)
                .await
                .map_err(|error| unserved(declared, error))?
        };
        let (errands, courier) = Courier::new();
        planes.set_courier(errands);
        let array = Array::new(cluster, planes, data, events, levers)?;
        let stop = CancellationToken::new();
        let courier = courier.run(&array, stop.clone());
        let port = management.local_addr().map_err(ServeError::from)?.port();
        let api = http::router(array.clone(), None);
        array.planes().set_doorkeeper(Doorkeeper::new(&array, &identity, port));
        let listening: Vec<_> =
            array.read(|cluster| cluster.lifs.values().filter_map(|lif| cluster.listening(lif)).collect());
        array.planes().open_doors(&listening).await;
        let management = serve_https(management, &identity, api, stop.clone())?;
        let control = serve_http(control, control_router(Arc::new(array.clone())), stop.clone())?;
        let ssh = Shell::open(&configuration, &array, &stop).await?;
        if let Some(path) = &configuration.ca_out {
            identity.write_ca_pem(path)?;
        }
        Ok(Self { array, identity, management, control, ssh, courier, stop, configuration })
    }

    /// Where the management API listens.
    pub fn management(&self) -> SocketAddr {
        self.management.local_address()
    }

    /// Where the control endpoint listens.
    pub fn control(&self) -> SocketAddr {
        self.control.local_address()
    }

    /// Where the shell listens for SSH.
    pub fn ssh(&self) -> Option<SocketAddr> {
        self.ssh.as_ref().map(Shell::local_address)
    }

    /// The SSH host key, as in `known_hosts`.
    pub fn ssh_host_key(&self) -> Option<&str> {
        self.ssh.as_ref().map(Shell::host_key)
    }

    /// The certificate that clients must trust, PEM.
    pub fn ca_pem(&self) -> &str {
        self.identity.ca_pem()
    }

    /// The array: its state, data planes and event log.
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// What a client and a test harness need to know, for the ready line.
    pub fn particulars(&self) -> Map<String, Value> {
        let planes = self.array.planes();
        let nfs: Vec<_> = planes.nfs_lifs().iter().map(|lif| lif.address.to_string()).collect();
        let iscsi: Vec<_> = planes
            .portals()
            .iter()
            .map(|portal| {
                json!({ "address": portal.address.to_string(), "tag": portal.tag, "node": portal.node })
            })
            .collect();
        let (svm, target) = self.array.read(|cluster| {
            let svm = cluster.svms.first();
            (
                svm.map(|svm| svm.name.clone()),
                svm.and_then(|svm| svm.iscsi.as_ref()).map(|service| service.target.clone()),
            )
        });
        let mut particulars = Map::new();
        particulars.insert("management".into(), self.management().to_string().into());
        particulars.insert("control".into(), self.control().to_string().into());
        if let Some(ssh) = self.ssh() {
            particulars.insert("ssh".into(), ssh.to_string().into());
        }
        particulars.insert("svm".into(), json!(svm));
        particulars.insert("nfs".into(), json!(nfs));
        particulars.insert("iscsi".into(), json!(iscsi));
        particulars.insert("target".into(), json!(target));
        particulars.insert("ca".into(), json!(self.configuration.ca_out));
        particulars.insert("seed".into(), self.configuration.blueprint.seed.into());
        particulars
    }

    /// Stops listening, lets running requests end, and returns when nothing is left.
    pub async fn stop(self) {
        self.stop.cancel();
        self.management.stopped().await;
        self.control.stopped().await;
        if let Some(ssh) = self.ssh {
            ssh.stopped().await;
        }
        // It can only end by returning, or by a panic that was reported.
        let _ended = self.courier.await;
        self.array.planes().take_down().await;
    }
}

/// A LIF that could not be raised: told with its place in the file, if it comes from one.
fn unserved(declaration: Option<&Declaration>, error: BringUpError) -> StartError {
    let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    let placed = declaration.and_then(|file| file.lif_cannot_be_served(error.address(), &reason));
    placed.map_or_else(|| error.into(), StartError::from)
}
