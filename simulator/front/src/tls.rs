//! The certificate a simulator presents: a certification authority of its own, made at start or kept in a
//! data directory, and a
//! server certificate under it that names every address the simulator listens on. Clients that
//! verify (Cinder, Manila, ours) are given the authority's PEM file; the others need nothing.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, date_time_ymd,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::certificate::Asking;

/// Where the certificate ends in the file of an authority.
const KEY_BEGINS: &str = "-----BEGIN PRIVATE KEY-----";

/// Why a TLS identity could not be made or exported.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A key or certificate could not be generated.
    #[error("could not generate the simulator's certificate")]
    Generate(#[from] rcgen::Error),
    /// rustls refused the generated certificate.
    #[error("could not build the TLS server configuration")]
    Configure(#[from] rustls::Error),
    /// The authority that was kept cannot be used.
    #[error(
        "{} is not the authority that was kept there ({reason}); bring the file back from a copy, or remove it: \
         then clients must be given a new certificate to trust",
        path.display()
    )]
    Kept {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The authority cannot be kept.
    #[error("the authority cannot be kept in {}; make room there, or give a directory that can be written", path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
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
        Self::under(fresh(common_name)?, common_name, addresses)
    }

    /// The same under the authority that is kept in the file `path`; a new one is made and kept there when there
    /// is none. The file holds its key: its owner alone may read it.
    ///
    /// # Errors
    /// As for [`Self::generate`]; [`TlsError::Kept`] when the file holds something else, [`TlsError::Keep`] when
    /// it cannot be read or written.
    pub fn kept(path: &Path, common_name: &str, addresses: &[IpAddr]) -> Result<Self, TlsError> {
        let unusable = |source| TlsError::Keep { path: path.to_owned(), source };
        let kept = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = fresh(common_name)?;
                write_durably(path, &format!("{}{}", made.1, made.0.serialize_pem())).map_err(unusable)?;
                made
            }
            text => {
                let kept = read_authority(&text.map_err(unusable)?);
                kept.map_err(|reason| TlsError::Kept { path: path.to_owned(), reason })?
            }
        };
        // A copy may have come with a wider mode.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(unusable)?;
        Self::under(kept, common_name, addresses)
    }

    fn under(
        (key, ca_pem): (KeyPair, String),
        common_name: &str,
        addresses: &[IpAddr],
    ) -> Result<Self, TlsError> {
        let certificate = CertificateDer::from_pem_slice(ca_pem.as_bytes());
        let certificate = certificate.map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        let issuer = Issuer::new(authority_params(common_name), key);
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

fn authority_params(common_name: &str) -> CertificateParams {
    let mut ca = CertificateParams::default();
    ca.distinguished_name = named(&format!("{common_name} simulator CA"));
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    span_the_century(&mut ca);
    ca
}

/// A new authority: its key, and its certificate as PEM.
fn fresh(common_name: &str) -> Result<(KeyPair, String), TlsError> {
    let key = KeyPair::generate()?;
    let certificate = authority_params(common_name).self_signed(&key)?;
    Ok((key, certificate.pem()))
}

/// The key and the certificate, PEM, in a file that [`TlsIdentity::kept`] wrote.
fn read_authority(text: &str) -> Result<(KeyPair, String), &'static str> {
    let end = text.find(KEY_BEGINS).ok_or("it has no private key")?;
    let (certificate, key) = text.split_at(end);
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| "it has no certificate")?;
    let key = KeyPair::from_pem(key).map_err(|_| "its key is not readable")?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| "its certificate is not readable")?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err("its key is not that of its certificate");
    }
    Ok((key, certificate.to_owned()))
}

/// All of the file or none of it, whenever the process or the machine dies.
fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
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
