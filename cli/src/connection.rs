//! The way to the controller: its admin socket.

use std::path::PathBuf;
use std::time::Duration;

use fleet_proto::admin::admin_client::AdminClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

use crate::Refusal;

/// Registering a backend asks its array many things; a wrong address is found within seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Opens the socket now, so that a controller that is not there is told from one that refuses.
pub(crate) async fn connect(address: &str) -> Result<AdminClient<Channel>, Refusal> {
    let path = match address.strip_prefix("unix://") {
        Some(path) if path.starts_with('/') => PathBuf::from(path),
        _ => return Err(Refusal::Address { address: address.to_owned() }),
    };
    let unreachable = |source| Refusal::Unreachable { address: address.to_owned(), source };
    UnixStream::connect(&path).await.map_err(unreachable)?;
    let connector = tower::service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The address is a formality: the connector knows the way.
    let channel = Endpoint::from_static("http://controller")
        .timeout(CALL_TIMEOUT)
        .connect_with_connector(connector)
        .await
        .map_err(|source| Refusal::Transport { address: address.to_owned(), source })?;
    Ok(AdminClient::new(channel))
}
