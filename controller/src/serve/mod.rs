//! The three listeners, from the command line to SIGTERM.

mod arguments;
mod socket;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contract::Secret;
use csi_proto::v1::controller_server::ControllerServer;
use csi_proto::v1::identity_server::IdentityServer;
use fleet_proto::admin::admin_server::AdminServer;
use fleet_proto::fleet::fleet_server::FleetServer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::admin::AdminService;
use crate::backend::BackendError;
use crate::controller::Controller;
use crate::csi::{ControllerService, IdentityService};
use crate::fleet::FleetService;
use crate::fleet::tls::{ServerIdentity, TlsError};
use crate::store::{Store, StoreError};

pub use arguments::Arguments;
pub use socket::{SocketError, SocketPath};

/// Calls that run at SIGTERM get this long to end.
const GRACE: Duration = Duration::from_secs(10);
/// A silent agent's connection is probed after this time, and given up after [`PROBE_TIMEOUT`].
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A backend file.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The fleet certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A file named on the command line cannot be read.
    #[error("{flag} {path}: cannot be read; give a readable file")]
    Unreadable {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The join token file is empty.
    #[error("--join-token-file {path}: its first line is empty; write a long random text there")]
    EmptyToken {
        /// The file.
        path: PathBuf,
    },
    /// The fleet address cannot be listened on.
    #[error("--fleet {address}: cannot listen there; give a free address of this machine")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A listener failed.
    #[error("a listener failed")]
    Transport(#[from] tonic::transport::Error),
    /// Signals, or standard output.
    #[error("the process cannot be set up")]
    Process(#[from] std::io::Error),
}

/// Runs until SIGTERM or SIGINT. Everything that can be wrong with the command line is found
/// before the first socket is there.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(arguments: Arguments) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let join_token = join_token(&arguments.join_token_file)?;
    let mut files = Vec::new();
    for path in &arguments.backend {
        files.push((path.display().to_string(), read("--backend", path)?));
    }
    // reqwest and tonic find the provider here; a second call in one process changes nothing.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let store = Store::open(&arguments.state).await?;
    let controller = Controller::load(store.clone(), arguments.driver_name.clone()).await?;
    for (name, content) in &files {
        controller.backends.ensure(name, content).await?;
    }
    let identity = ServerIdentity::load(&store, arguments.fleet.ip()).await?;
    let unavailable = |source| ServeError::Listen { address: arguments.fleet, source };
    let fleet = TcpListener::bind(arguments.fleet).await.map_err(unavailable)?;
    let fleet_address = fleet.local_addr().map_err(unavailable)?;
    let csi = socket::listen(&arguments.csi).await?;
    let admin = socket::listen(&arguments.admin).await?;
    identity.export_authority(&arguments.fleet_ca_out)?;

    let stop = CancellationToken::new();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&identity.certificate, &identity.key));
    let fleet_service = FleetService::new(Arc::clone(&controller), join_token, stop.clone());
    let fleet = Server::builder()
        .tls_config(tls)?
        .http2_keepalive_interval(Some(PROBE_INTERVAL))
        .http2_keepalive_timeout(Some(PROBE_TIMEOUT))
        .add_service(FleetServer::new(fleet_service))
        .serve_with_incoming_shutdown(TcpListenerStream::new(fleet), stop.clone().cancelled_owned());
    let csi = Server::builder()
        .add_service(IdentityServer::new(IdentityService::new(arguments.driver_name.clone())))
        .add_service(ControllerServer::new(ControllerService::new(Arc::clone(&controller))))
        .serve_with_incoming_shutdown(UnixListenerStream::new(csi), stop.clone().cancelled_owned());
    let admin = Server::builder()
        .add_service(AdminServer::new(AdminService::new(Arc::clone(&controller))))
        .serve_with_incoming_shutdown(UnixListenerStream::new(admin), stop.clone().cancelled_owned());
    let upkeep = tokio::spawn(Arc::clone(&controller).keep_backends_online());

    announce(&arguments, fleet_address)?;
    tracing::info!(fleet = %fleet_address, csi = %arguments.csi, admin = %arguments.admin, "serving");
    let mut serving = tokio::spawn(async move { tokio::try_join!(fleet, csi, admin).map(drop) });
    let outcome = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        outcome = &mut serving => Some(outcome),
    };
    stop.cancel();
    upkeep.abort();
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => match tokio::time::timeout(GRACE, serving).await {
            Ok(outcome) => outcome,
            Err(_) => {
                tracing::warn!("calls still run after {} s: stopping without them", GRACE.as_secs());
                Ok(Ok(()))
            }
        },
    };
    socket::remove(&arguments.csi);
    socket::remove(&arguments.admin);
    tracing::info!("stopped");
    Ok(outcome.unwrap_or(Ok(()))?)
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, ServeError> {
    std::fs::read(path).map_err(|source| ServeError::Unreadable { flag, path: path.to_owned(), source })
}

fn join_token(path: &Path) -> Result<Secret, ServeError> {
    let text = String::from_utf8_lossy(&read("--join-token-file", path)?).into_owned();
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        _ => Err(ServeError::EmptyToken { path: path.to_owned() }),
    }
}

/// The one line on standard output: everything listens.
fn announce(arguments: &Arguments, fleet: std::net::SocketAddr) -> Result<(), std::io::Error> {
    let line = serde_json::json!({
        "ready": true,
        "product": "tine-controller",
        "csi": arguments.csi.to_string(),
        "admin": arguments.admin.to_string(),
        "fleet": fleet.to_string(),
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
