//! From a configuration to a served socket and a clean stop.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use csi_proto::v1::identity_server::IdentityServer;
use csi_proto::v1::node_server::NodeServer;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

use crate::coordinator::Host;
use crate::csi::{IdentityService, NodeService};

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file operation on the socket failed.
    #[error("cannot {action} {}", path.display())]
    Socket {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// gRPC ended.
    #[error("the CSI server failed")]
    Grpc(#[from] tonic::transport::Error),
}

/// Binds the socket, mode 0600, in place of one a dead agent left behind.
///
/// # Errors
/// When the directory or the socket cannot be made.
pub fn bind(path: &Path) -> Result<UnixListener, ServeError> {
    let error = |action| move |source| ServeError::Socket { action, path: path.to_owned(), source };
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)
            .map_err(error("make the directory of"))?;
    }
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(error("replace")(source)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(error("listen on"))?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(error("protect"))?;
    Ok(listener)
}

/// Serves CSI until `stop` resolves. Calls that are under way are answered first.
///
/// # Errors
/// When the server fails.
pub async fn serve<H: Host>(
    listener: UnixListener,
    identity: IdentityService,
    node: NodeService<H>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    tonic::transport::Server::builder()
        .add_service(IdentityServer::new(identity))
        .add_service(NodeServer::new(node))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
        .await?;
    Ok(())
}
