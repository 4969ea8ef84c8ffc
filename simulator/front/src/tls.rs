//! The certificate a simulator presents: a certification authority of its own, made at start, and a
//! server certificate under it that names every address the simulator listens on. Clients that
//! verify (Cinder, Manila, ours) are given the authority's PEM file; the others need nothing.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::certificate::Asking;

/// Why a TLS identity could not be made or exported.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key or certificate could not be generated.
    #[error("could not generate the simulator's certificate")]
    Generate(#[from] rcgen::Error),
    /// rustls refused the generated certificate.
    #[error("could not build the TLS server configuration")]
    Configure(#[from] rustls::Error),
    /// The authority's certificate could not be written.
    #[error("could not write the CA certificate to {path}; give --ca-out a writable file path")]
    Export {
        /// The file that was asked for.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// A certification authority with one server certificate under it. The private keys live only in
/// the rustls configuration and are never printed.
#[derive(Clone)]
pub struct TlsIdentity {
    ca_pem: String,
    authority: Arc<Authority>,
    server: Arc<ServerConfig>,
    server_pem: String,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    common_name: String,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsIdentity").field("ca_pem", &self.ca_pem).finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// Generates a fresh authority and a certificate for `common_name`, `localhost`, the loopback
    /// addresses and every one of `addresses` as subject alternative names (RFC 5280 §4.2.1.6).
    ///
    /// # Errors
    /// [`TlsError::Generate`] or [`TlsError::Configure`] when the crypto provider refuses.
    pub fn generate(common_name: &str, addresses: &[IpAddr]) -> Result<Self, TlsError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name = named(&format!("{common_name} simulator CA"));
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        span_the_century(&mut ca);
        let ca_certificate = ca.self_signed(&ca_key)?;
        let ca_pem = ca_certificate.pem();
        let certificate = ca_certificate.der().clone();
        let issuer = Issuer::new(ca, ca_key);
        let authority = Authority { issuer, certificate, common_name: common_name.to_owned() };
        let (server, server_pem) = authority.server_config(addresses)?;
        Ok(Self { ca_pem, authority: Arc::new(authority), server, server_pem })
    }

    /// An identity under the same authority, for an address that came later.
    ///
    /// # Errors
    /// As for [`Self::generate`].
    pub fn at(&self, address: IpAddr) -> Result<Self, TlsError> {
        let (server, server_pem) = self.authority.server_config(&[address])?;
        let (ca_pem, authority) = (self.ca_pem.clone(), Arc::clone(&self.authority));
        Ok(Self { ca_pem, authority, server, server_pem })
    }

    /// The authority's certificate, PEM, for a client's trust store.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The certificate that the server shows, PEM.
    pub fn server_pem(&self) -> &str {
        &self.server_pem
    }

    /// Writes [`Self::ca_pem`] to `path` (the `--ca-out` flag).
    ///
    /// # Errors
    /// [`TlsError::Export`] with the path when it cannot be written.
    pub fn write_ca_pem(&self, path: &Path) -> Result<(), TlsError> {
        std::fs::write(path, &self.ca_pem)
            .map_err(|source| TlsError::Export { path: path.display().to_string(), source })
    }

    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

impl Authority {
    /// How to serve at these addresses, and the certificate that is shown, PEM.
    fn server_config(&self, addresses: &[IpAddr]) -> Result<(Arc<ServerConfig>, String), TlsError> {
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()])?;
        leaf.distinguished_name = named(&self.common_name);
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        for address in loopback.iter().chain(addresses) {
            let name = SanType::IpAddress(*address);
            if !leaf.subject_alt_names.contains(&name) {
                leaf.subject_alt_names.push(name);
            }
        }
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        span_the_century(&mut leaf);
        let certificate = leaf.signed_by(&key, &self.issuer)?;

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // The defaults of rustls are TLS 1.2 and 1.3, which is what the clients ask for at least.
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(Asking::new(provider)))
            .with_single_cert(vec![certificate.der().clone(), self.certificate.clone()], key)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Arc::new(server), certificate.pem()))
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// Fixed dates: a test machine whose clock is off must still be able to connect.
fn span_the_century(certificate: &mut CertificateParams) {
    certificate.not_before = date_time_ymd(2000, 1, 1);
    certificate.not_after = date_time_ymd(2049, 12, 31);
}
