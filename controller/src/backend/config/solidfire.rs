//! The fields of `solidfire-san`.

use std::net::SocketAddr;

use contract::Secret;
use serde_json::{Map, Value};
use url::Url;

use super::document::{ConfigError, Document};
use super::ontap::certificate;
use super::section::{Inert, Section};
use super::{COMMON, DriverConfig, quantity};

/// How the cluster is reached, and what it offers.
#[derive(Debug, Clone)]
pub struct SolidFireConfig {
    /// `Endpoint` without its user and password.
    pub endpoint: Url,
    /// Cluster administrator.
    pub username: String,
    /// The administrator's password.
    pub password: Secret,
    /// `SVIP`.
    pub svip: SocketAddr,
    /// `TenantName`: the account that owns the volumes.
    pub tenant: String,
    /// `Types`; empty: one pool with the cluster's default QoS.
    pub types: Vec<QosType>,
    /// 512-byte sectors, emulated; else 4096.
    pub emulate_512: bool,
    /// Certificate to trust, PEM; absent: any certificate is accepted.
    pub trusted_ca: Option<String>,
}

/// One entry of `Types`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QosType {
    /// Its name, the pool's name.
    pub name: String,
    /// Guaranteed I/O operations a second.
    pub min_iops: u64,
    /// Sustained ceiling.
    pub max_iops: u64,
    /// Ceiling of short bursts.
    pub burst_iops: u64,
}

pub(super) fn san(mut section: Section<'_>, document: &Document) -> Result<(DriverConfig, u64), ConfigError> {
    let endpoint =
        section.require::<Secret>("Endpoint", "write it like https://user:password@mvip/json-rpc/8.0")?;
    let (endpoint, username, password) =
        endpoint_parts(&endpoint).map_err(|problem| section.invalid("Endpoint", problem))?;
    let svip = section.require_text("SVIP", "write the cluster's storage address, like 10.0.0.5:3260")?;
    let svip = svip.parse::<SocketAddr>().map_err(|_| {
        section.invalid("SVIP", format!("`{svip}` is not address:port: write it like 10.0.0.5:3260"))
    })?;
    let tenant = section.require_text("TenantName", "write the account that is to own the volumes")?;
    if section.take::<bool>("UseCHAP")? == Some(false) {
        return Err(section.unsupported("UseCHAP", "CHAP is always used: write true or delete the field"));
    }
    let emulate_512 = match section.take::<u64>("DefaultBlockSize")? {
        None | Some(512) => true,
        Some(4096) => false,
        Some(other) => {
            return Err(section.invalid("DefaultBlockSize", format!("is {other}: write 512 or 4096")));
        }
    };
    let trusted_ca = section.parsed("TrustedCACertificate", certificate)?;
    let types = section.take::<Vec<Value>>("Types")?.unwrap_or_default();
    let types = types
        .into_iter()
        .enumerate()
        .map(|(index, value)| qos_type(document, index, value))
        .collect::<Result<Vec<_>, _>>()?;
    let size = section.parsed("size", quantity::parse_bytes)?.unwrap_or(1_000_000_000);
    section.finish("solidfire-san", &[COMMON, SOLIDFIRE])?;
    let config =
        SolidFireConfig { endpoint, username, password, svip, tenant, types, emulate_512, trusted_ca };
    Ok((DriverConfig::SolidFire(Box::new(config)), size))
}

/// The oldest version of the API whose methods are used here.
const MINIMUM_VERSION: f64 = 8.0;

/// Splits user and password off, so that the address may be printed and they are not.
fn endpoint_parts(endpoint: &Secret) -> Result<(Url, String, Secret), String> {
    const FORM: &str = "write it like https://user:password@mvip/json-rpc/8.0";
    let mut url =
        Url::parse(endpoint.expose()).map_err(|reason| format!("is not a URL ({reason}): {FORM}"))?;
    if url.scheme() != "https" || url.host_str().is_none() {
        return Err(format!("is not an https address: {FORM}"));
    }
    let version = url.path().strip_prefix("/json-rpc/").map(|rest| rest.trim_end_matches('/').parse::<f64>());
    match version {
        Some(Ok(version)) if version >= MINIMUM_VERSION => {}
        Some(Ok(version)) => {
            return Err(format!("asks for API version {version}: write {MINIMUM_VERSION:.1} or newer"));
        }
        _ => return Err(format!("has no /json-rpc/<version> path: {FORM}")),
    }
    let username = decoded(url.username());
    let password = Secret::new(decoded(url.password().unwrap_or_default()));
    if username.is_empty() || password.expose().is_empty() {
        return Err(format!("has no user and password: {FORM}"));
    }
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(format!("is not a URL that can hold a user: {FORM}"));
    }
    Ok((url, username, password))
}

/// The text behind percent-encoding (RFC 3986 §2.1).
fn decoded(text: &str) -> String {
    // The decoder at hand is that of forms, where these two mean something else.
    let form = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    let first = url::form_urlencoded::parse(form.as_bytes()).next();
    first.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn qos_type(document: &Document, index: usize, value: Value) -> Result<QosType, ConfigError> {
    let pointer = format!("/Types/{index}");
    let label = format!("Types[{index}].");
    let fields = match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    let mut section = Section::new(document, &pointer, &label, fields);
    let name = section.require_text("Type", "name the Type, e.g. \"Bronze\"")?;
    let qos = section
        .require::<Map<String, Value>>("Qos", "write {\"minIOPS\":…,\"maxIOPS\":…,\"burstIOPS\":…}")?;
    section.finish("solidfire-san", &[])?;
    let mut section = Section::new(document, &format!("{pointer}/Qos"), &format!("{label}Qos."), qos);
    let cure = "write a number of I/O operations a second";
    let min_iops = section.require("minIOPS", cure)?;
    let max_iops = section.require("maxIOPS", cure)?;
    let burst_iops = section.require("burstIOPS", cure)?;
    if !(min_iops <= max_iops && max_iops <= burst_iops) {
        let problem = "is out of order: write minIOPS ≤ maxIOPS ≤ burstIOPS".to_owned();
        return Err(section.invalid("minIOPS", problem));
    }
    section.finish("solidfire-san", &[])?;
    Ok(QosType { name, min_iops, max_iops, burst_iops })
}

const SOLIDFIRE: &[Inert] = &[
    Inert::default("InitiatorIFace", &["default"]),
    Inert::unset("AccessGroups"),
    Inert::default("LegacyNamePrefix", &["netappdvp-"]),
    Inert::unset("type"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_taken_out_of_the_endpoint_whatever_their_characters() {
        for (written, password) in
            [("a%40b%2Fc", "a@b/c"), ("a+b", "a+b"), ("a&b=c", "a&b=c"), ("100%25", "100%"), ("pä", "pä")]
        {
            let endpoint = Secret::new(format!("https://admin:{written}@10.0.0.4:8443/json-rpc/12.5/"));
            let (url, username, secret) = endpoint_parts(&endpoint).unwrap();
            assert_eq!(url.as_str(), "https://10.0.0.4:8443/json-rpc/12.5/");
            assert_eq!((username.as_str(), secret.expose().as_str()), ("admin", password));
        }
    }
}
