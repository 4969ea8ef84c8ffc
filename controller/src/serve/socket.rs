//! Unix sockets only their owner may open.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{UnixListener, UnixStream};

/// A socket's address, `unix:///PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPath(PathBuf);

impl SocketPath {
    /// The path alone.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for SocketPath {
    type Err = SocketError;
    fn from_str(text: &str) -> Result<Self, SocketError> {
        match text.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') => Ok(Self(path.into())),
            _ => Err(SocketError::Address { address: text.to_owned() }),
        }
    }
}

impl fmt::Display for SocketPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

/// Why a socket is not there.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Not an address of a Unix socket.
    #[error("`{address}` is not a socket address: write unix:///absolute/path")]
    Address {
        /// The text given.
        address: String,
    },
    /// Another process serves it.
    #[error("{socket} is served by another process: stop it, or give another path")]
    Taken {
        /// The socket.
        socket: SocketPath,
    },
    /// It cannot be made.
    #[error("{socket} cannot be made: give a path in a writable directory")]
    Create {
        /// The socket.
        socket: SocketPath,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// Listens on `socket`, mode 0600 from its first moment: it is bound under another name, and gets
/// its own when its mode is set. One that a dead process left behind is replaced.
pub(super) async fn listen(socket: &SocketPath) -> Result<UnixListener, SocketError> {
    let unusable = |source| SocketError::Create { socket: socket.clone(), source };
    let path = socket.as_path();
    if UnixStream::connect(path).await.is_ok() {
        return Err(SocketError::Taken { socket: socket.clone() });
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(unusable)?;
    }
    let mut unnamed = path.as_os_str().to_owned();
    unnamed.push(format!(".{}", std::process::id()));
    let unnamed = PathBuf::from(unnamed);
    let listener = UnixListener::bind(&unnamed).map_err(unusable)?;
    std::fs::set_permissions(&unnamed, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| std::fs::rename(&unnamed, path))
        .map_err(unusable)?;
    Ok(listener)
}

/// Removes the socket's name; that it is gone already is no fault.
pub(super) fn remove(socket: &SocketPath) {
    if let Err(error) = std::fs::remove_file(socket.as_path()) {
        tracing::debug!(%socket, %error, "socket not removed");
    }
}
