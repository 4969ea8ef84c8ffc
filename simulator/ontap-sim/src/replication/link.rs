//! Asking a peered cluster.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Denial, NONCE, PATH, PROOF, nonce, proof, proves};
use crate::state::peer::ClusterPeer;

/// How long a peer may take to be reached, and to say something more.
const PATIENCE: Duration = Duration::from_secs(15);
/// Where the management API listens unless a peer's address says otherwise.
const PORT: u16 = 443;

/// Why a peer gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The relation has none.
    #[error("cluster peer \"{0}\" has no passphrase")]
    NoPassphrase(String),
    /// No address of it answers.
    #[error("cluster peer \"{peer}\" cannot be reached at {address}")]
    Unreachable {
        /// Its name here.
        peer: String,
        /// The last address that was tried.
        address: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// The answer broke off.
    #[error("cluster peer \"{0}\" broke off")]
    BrokeOff(String, #[source] reqwest::Error),
    /// The peer has another passphrase, or none for this cluster.
    #[error("cluster peer \"{0}\" does not accept this cluster: the passphrases differ")]
    NotAccepted(String),
    /// Somebody else answered.
    #[error("what answers as cluster peer \"{0}\" does not know the passphrase")]
    Unproved(String),
    /// The peer refused.
    #[error("{message}")]
    Refused {
        /// Its reason.
        message: String,
    },
    /// The question or the answer is none.
    #[error("cluster peer \"{0}\" speaks another version")]
    Malformed(String, #[source] serde_json::Error),
    /// There is no TLS.
    #[error("no connection can be made")]
    Client(#[source] reqwest::Error),
}

/// Asks peers.
#[derive(Debug, Clone)]
pub(super) struct Link(Client);

impl Link {
    /// # Errors
    /// [`LinkError::Client`].
    pub(super) fn new() -> Result<Self, LinkError> {
        // Whoever runs the simulator within a program may have chosen one already.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        // Peers prove themselves by the passphrase, not by certificates that nobody installed.
        let builder = Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
        let builder = builder.connect_timeout(PATIENCE).read_timeout(PATIENCE);
        builder.build().map(Self).map_err(LinkError::Client)
    }

    /// Asks, and reads the answer.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        peer: &ClusterPeer,
        call: &str,
        question: &impl Serialize,
    ) -> Result<T, LinkError> {
        let answer = self.ask_raw(peer, call, question).await?;
        serde_json::from_slice(&answer).map_err(|error| LinkError::Malformed(peer.name.clone(), error))
    }

    /// Asks; the answer as it is.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(super) async fn ask_raw(
        &self,
        peer: &ClusterPeer,
        call: &str,
        question: &impl Serialize,
    ) -> Result<Vec<u8>, LinkError> {
        let name = || peer.name.clone();
        let passphrase = peer.passphrase.as_deref().ok_or_else(|| LinkError::NoPassphrase(name()))?;
        let body = serde_json::to_vec(question).map_err(|error| LinkError::Malformed(name(), error))?;
        let nonce = nonce();
        let proof = proof(passphrase, &[b"question", nonce.as_bytes(), call.as_bytes(), &body]);
        let mut response = self.send(peer, call, &[(NONCE, &nonce), (PROOF, &proof)], body).await?;
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return Err(LinkError::NotAccepted(name()));
        }
        let given = response.headers().get(PROOF).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| LinkError::BrokeOff(name(), error))? {
            answer.extend_from_slice(&chunk);
        }
        let proved = |given: String| proves(passphrase, &[b"answer", nonce.as_bytes(), &answer], &given);
        if !given.is_some_and(proved) {
            return Err(LinkError::Unproved(name()));
        }
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let denial: Denial =
            serde_json::from_slice(&answer).map_err(|error| LinkError::Malformed(name(), error))?;
        Err(LinkError::Refused { message: denial.message })
    }

    /// Sends to the first address that can be reached.
    async fn send(
        &self,
        peer: &ClusterPeer,
        call: &str,
        headers: &[(&str, &String)],
        body: Vec<u8>,
    ) -> Result<Response, LinkError> {
        let mut failure = LinkError::NoPassphrase(peer.name.clone());
        for address in &peer.addresses {
            let host = match address.parse::<IpAddr>() {
                Ok(IpAddr::V6(bare)) => format!("[{bare}]:{PORT}"),
                Ok(bare) => format!("{bare}:{PORT}"),
                Err(_) => address.clone(),
            };
            let mut request = self.0.post(format!("https://{host}{PATH}{call}")).body(body.clone());
            for (header, value) in headers {
                request = request.header(*header, *value);
            }
            match request.send().await {
                Ok(response) => return Ok(response),
                Err(source) => {
                    let (peer, address) = (peer.name.clone(), address.clone());
                    failure = LinkError::Unreachable { peer, address, source };
                }
            }
        }
        Err(failure)
    }
}
