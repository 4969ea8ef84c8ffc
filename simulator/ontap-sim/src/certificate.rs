//! What a certificate says, as the state keeps it.

use sim_front::{UnreadableCertificate, read_certificate};

use crate::state::SvmId;
use crate::state::account::{Certificate, CertificateKind};

/// Reads a certificate in PEM. Without a name it gets one from its common name and serial number.
///
/// # Errors
/// [`UnreadableCertificate`].
pub(crate) fn read(
    svm: Option<SvmId>,
    name: Option<String>,
    kind: CertificateKind,
    pem: String,
) -> Result<Certificate, UnreadableCertificate> {
    let facts = read_certificate(&pem)?;
    Ok(Certificate {
        id: uuid::Uuid::nil(),
        svm,
        name: name.unwrap_or_else(|| format!("{}_{}", facts.common_name, facts.serial)),
        kind,
        common_name: facts.common_name,
        serial: facts.serial,
        authority: facts.issuer,
        expires: jiff::Timestamp::from_second(facts.not_after).map_err(|_| UnreadableCertificate)?,
        pem,
    })
}
