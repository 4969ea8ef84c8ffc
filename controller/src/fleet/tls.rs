//! The certificate agents trust: a certification authority of the controller's own, made at the
//! first start and kept in the store, and under it a server certificate made at every start for
//! the addresses listened on.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nix::sys::socket::SockaddrStorage;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::store::{Authority, Store, StoreError};

/// The name in every server certificate, whatever address an agent dials.
pub const SERVER_NAME: &str = "tine-controller";

/// Why there is no TLS identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key or certificate cannot be made.
    #[error("the fleet certificate cannot be made")]
    Generate(#[from] rcgen::Error),
    /// The authority cannot be kept.
    #[error("the fleet certificate cannot be kept")]
    Store(#[from] StoreError),
    /// The authority's certificate cannot be written.
    #[error("--fleet-ca-out {path}: cannot be written; give a file in a writable directory")]
    Export {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// Certificate chain and key of the Fleet listener, PEM.
pub struct ServerIdentity {
    /// Certificate of the authority.
    pub authority: String,
    /// Server certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl core::fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ServerIdentity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl ServerIdentity {
    /// The identity of a listener on `address`: valid for it (for every address of this machine, if it
    /// is unspecified), for loopback, `localhost` and [`SERVER_NAME`].
    ///
    /// # Errors
    /// When a certificate cannot be made or the store fails.
    pub async fn load(store: &Store, address: IpAddr) -> Result<Self, TlsError> {
        let authority = match store.find::<Authority>("self").await? {
            Some(authority) => authority,
            None => {
                let key = KeyPair::generate()?;
                let certificate = authority_params().self_signed(&key)?.pem();
                let authority = Authority { certificate, key: key.serialize_pem() };
                store.put(&authority).await?;
                authority
            }
        };
        let issuer = Issuer::new(authority_params(), KeyPair::from_pem(&authority.key)?);
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(vec![SERVER_NAME.to_owned(), "localhost".to_owned()])?;
        leaf.distinguished_name = named(SERVER_NAME);
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        for address in loopback.into_iter().chain(reachable_at(address)) {
            let name = SanType::IpAddress(address);
            if !leaf.subject_alt_names.contains(&name) {
                leaf.subject_alt_names.push(name);
            }
        }
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        span_the_century(&mut leaf);
        let certificate = leaf.signed_by(&key, &issuer)?.pem();
        Ok(Self { authority: authority.certificate, certificate, key: key.serialize_pem() })
    }

    /// Writes the authority's certificate for agents to trust; it is no secret.
    ///
    /// # Errors
    /// [`TlsError::Export`].
    pub fn export_authority(&self, path: &Path) -> Result<(), TlsError> {
        // Beside it first: an agent that starts now must not read half a certificate.
        let beside = path.with_extension("partial");
        std::fs::write(&beside, &self.authority)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|source| TlsError::Export { path: path.to_owned(), source })
    }
}

/// Addresses at which a listener on `address` is reached.
fn reachable_at(address: IpAddr) -> Vec<IpAddr> {
    if !address.is_unspecified() {
        return vec![address];
    }
    match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces.filter_map(|interface| ip_of(&interface.address?)).collect(),
        Err(error) => {
            tracing::warn!(%error, "interfaces not listed: agents must dial {SERVER_NAME} or localhost");
            Vec::new()
        }
    }
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(v4.ip().into()),
        (_, Some(v6)) => Some(v6.ip().into()),
        _ => None,
    }
}

/// The same at every start: with the stored key they name the stored certificate as issuer.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("tine-controller fleet CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    span_the_century(&mut params);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Fixed dates: a node whose clock is off must be able to register all the same.
fn span_the_century(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 12, 31);
}
