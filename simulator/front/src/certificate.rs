//! Certificates of others: what a client shows in the TLS handshake, and what an administrator installs.
//!
//! The handshake takes whatever certificate a client shows, if the client has its key; whether it is trusted is
//! decided at the request ([`is_issued_by`]), since the authorities that are trusted change while connections
//! stand.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The certificates a client showed: its own, then those in between.
#[derive(Debug, Clone, Default)]
pub struct ClientCertificates(pub Arc<[CertificateDer<'static>]>);

/// A certificate that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is not PEM of an X.509 certificate with a common name")]
pub struct UnreadableCertificate;

/// What is written in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Common name of the subject.
    pub common_name: String,
    /// Common name of the issuer.
    pub issuer: String,
    /// Serial number, hexadecimal, upper case.
    pub serial: String,
    /// End of its validity, seconds since 1970.
    pub not_after: i64,
}

/// Reads a certificate in PEM.
///
/// # Errors
/// [`UnreadableCertificate`].
pub fn read_certificate(pem: &str) -> Result<CertificateFacts, UnreadableCertificate> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| UnreadableCertificate)?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| UnreadableCertificate)?;
    let common = |name: &x509_parser::x509::X509Name<'_>| {
        let first = name.iter_common_name().next();
        first.and_then(|name| name.as_str().ok()).map(str::to_owned)
    };
    let common_name = common(certificate.subject()).ok_or(UnreadableCertificate)?;
    let serial = certificate.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(CertificateFacts {
        issuer: common(certificate.issuer()).unwrap_or_else(|| common_name.clone()),
        common_name,
        serial,
        not_after: certificate.validity().not_after.timestamp(),
    })
}

/// The common name that a client's certificate bears.
pub fn common_name_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let first = certificate.subject().iter_common_name().next()?;
    first.as_str().ok().map(str::to_owned)
}

/// Whether the first of `shown` is a client certificate that one of the `authorities` (PEM) vouches for, now.
pub fn is_issued_by(shown: &ClientCertificates, authorities: &[String]) -> bool {
    let Some((own, between)) = shown.0.split_first() else { return false };
    let mut roots = RootCertStore::empty();
    for pem in authorities {
        let parsed = CertificateDer::from_pem_slice(pem.as_bytes());
        // One that is no authority vouches for nobody.
        let _added = parsed.ok().and_then(|authority| roots.add(authority).ok());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.is_ok_and(|verifier| verifier.verify_client_cert(own, between, UnixTime::now()).is_ok())
}

/// Asks for a certificate, takes any that the client has the key of, and does without one.
#[derive(Debug)]
pub(crate) struct Asking {
    provider: Arc<CryptoProvider>,
}

impl Asking {
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
