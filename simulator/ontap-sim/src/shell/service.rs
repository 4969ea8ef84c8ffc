//! The shell as a service of the simulator: where it listens, who may come in, which host key it shows.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::ssh_key;
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use sim_front::{ServeError, bind};
use ssh_key::{AuthorizedKeys, LineEnding};
use tokio_util::sync::CancellationToken;

use super::ssh::{Door, Proof, Serving, serve};
use crate::array::Array;
use crate::simulator::Configuration;

/// Why the shell cannot be served over SSH.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// Its port cannot be had.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The bound port does not tell its address.
    #[error("the SSH listener has no local address")]
    Local(#[from] std::io::Error),
    /// A file with keys cannot be used.
    #[error("{flag} {path}: no SSH keys can be read there", path = path.display())]
    Keys {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: ssh_key::Error,
    },
    /// No host key could be made.
    #[error("cannot make an SSH host key")]
    HostKey(#[from] ssh_key::Error),
}

/// The shell, served.
#[derive(Debug)]
pub(crate) struct Shell {
    serving: Serving,
    host_key: String,
}

impl Shell {
    /// Listens, if the configuration says where.
    ///
    /// # Errors
    /// [`SshError`].
    pub(crate) async fn open(
        configuration: &Configuration,
        array: &Array,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, SshError> {
        let Some(address) = configuration.ssh else { return Ok(None) };
        let kept = configuration.data_dir.as_ref().map(|directory| directory.join("ssh_host_ed25519_key"));
        let key = host_key(kept.as_deref())?;
        let shown = key.public_key().to_openssh()?;
        let keys = match &configuration.ssh_keys {
            Some(path) => authorized_keys(path).map_err(|source| SshError::Keys {
                flag: "--ssh-keys",
                path: path.clone(),
                source,
            })?,
            None => Vec::new(),
        };
        let listener = bind("--ssh", address).await?;
        let door = door(array, keys);
        let serving = serve(listener, key, array.clone(), door, stop.clone())?;
        Ok(Some(Self { serving, host_key: shown }))
    }

    /// Where it listens.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.serving.local_address()
    }

    /// The host key, as in `known_hosts`.
    pub(crate) fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Waits until nothing is left of it after the stop.
    pub(crate) async fn stopped(self) {
        self.serving.stopped().await;
    }
}

/// Accounts of the array by their passwords, the cluster's administrators by one of the keys too.
fn door(array: &Array, keys: Vec<PublicKey>) -> Door {
    let array = array.clone();
    Arc::new(move |name, proof| match proof {
        Proof::Password(given) => array.read(|cluster| cluster.log_in_to_shell(name, given)),
        Proof::Key(key) if keys.iter().any(|known| known.key_data() == key.key_data()) => {
            array.read(|cluster| cluster.let_into_shell(name))
        }
        Proof::Key(_) => None,
    })
}

/// The host key in `file`, where one is made if there is none yet; without a file, a new one.
fn host_key(file: Option<&Path>) -> Result<PrivateKey, SshError> {
    let new = || PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519);
    let Some(path) = file else { return Ok(new()?) };
    if path.exists() {
        let unreadable = |source| SshError::Keys { flag: "--data-dir", path: path.to_owned(), source };
        return PrivateKey::read_openssh_file(path).map_err(unreadable);
    }
    let key = new()?;
    key.write_openssh_file(path, LineEnding::LF)?;
    Ok(key)
}

/// The keys in a file as `~/.ssh/authorized_keys` is.
fn authorized_keys(path: &Path) -> Result<Vec<PublicKey>, ssh_key::Error> {
    let text = std::fs::read_to_string(path)?;
    AuthorizedKeys::new(&text).map(|entry| entry.map(|entry| entry.public_key().clone())).collect()
}
