//! The fields of `ontap-nas` and `ontap-san`.

use std::net::{IpAddr, Ipv6Addr};

use base64::Engine as _;
use contract::{ChapCredentials, ChapPair, FsType, Secret};
use ipnet::IpNet;
use serde_json::{Map, Value};
use url::Url;

use super::document::{ConfigError, Document};
use super::section::{Inert, Section};
use super::{COMMON, DriverConfig, filesystem, quantity};

/// How the SVM is reached, and where its data is.
#[derive(Debug, Clone)]
pub struct OntapConnection {
    /// `managementLIF` as written, for messages.
    pub management_lif: String,
    /// Base of the REST API.
    pub api: Url,
    /// `dataLIF`, if one is written.
    pub data_lif: Option<IpAddr>,
    /// `svm`; absent: the only one the user may see.
    pub svm: Option<String>,
    /// Login name.
    pub username: String,
    /// Its password.
    pub password: Secret,
    /// Certificate to trust, PEM; absent: any certificate is accepted, as arrays sign their own.
    pub trusted_ca: Option<String>,
    /// The one aggregate to use; absent: all that are assigned to the SVM.
    pub aggregate: Option<String>,
    /// What new volumes are made like.
    pub defaults: OntapDefaults,
}

/// What new volumes are made like, from the `defaults` object.
#[derive(Debug, Clone)]
pub struct OntapDefaults {
    /// `spaceAllocation`: LUNs report thin provisioning and take UNMAP.
    pub space_allocation: bool,
    /// `spaceReserve`.
    pub space_reserve: SpaceReserve,
    /// `snapshotPolicy`.
    pub snapshot_policy: String,
    /// `snapshotReserve`, percent.
    pub snapshot_reserve: u8,
    /// `snapshotDir`.
    pub snapshot_dir: bool,
    /// `unixPermissions` as the API takes them: octal digits read as a decimal number.
    pub unix_permissions: u32,
    /// `exportPolicy`.
    pub export_policy: String,
    /// `fileSystemType`.
    pub filesystem: FsType,
}

/// Whether space is set aside when a volume is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceReserve {
    /// Thin.
    None,
    /// Thick.
    Volume,
}

/// What differs between the two drivers.
#[derive(Debug, Clone)]
pub enum OntapProtocol {
    /// `ontap-nas`.
    Nas(NasOptions),
    /// `ontap-san`: credentials where `useCHAP` is set.
    San(Option<OntapChap>),
}

/// Options of `ontap-nas`.
#[derive(Debug, Clone)]
pub struct NasOptions {
    /// `nfsMountOptions`, one item an option.
    pub mount_options: Vec<String>,
    /// Who keeps the export rules.
    pub access: ExportAccess,
}

/// Who keeps the export rules.
#[derive(Debug, Clone)]
pub enum ExportAccess {
    /// The administrator, in the policy `defaults.exportPolicy`.
    Administrator,
    /// We do, a policy a volume, for node addresses within these networks.
    Automatic(Vec<IpNet>),
}

/// Mutual CHAP of a whole SVM.
#[derive(Debug, Clone)]
pub struct OntapChap(pub ChapCredentials);

pub(super) fn nas(mut section: Section<'_>, document: &Document) -> Result<(DriverConfig, u64), ConfigError> {
    let (connection, size) = connection(&mut section, document, "ontap-nas")?;
    let mount_options = section.text("nfsMountOptions")?.map(|text| mount_options(&text)).unwrap_or_default();
    let automatic = section.take::<bool>("autoExportPolicy")?.unwrap_or_default();
    let networks = section.take::<Vec<String>>("autoExportCIDRs")?;
    let access = match (automatic, networks) {
        (false, None) => ExportAccess::Administrator,
        (false, Some(_)) => {
            let problem = "needs \"autoExportPolicy\": true: set it, or delete autoExportCIDRs";
            return Err(section.invalid("autoExportCIDRs", problem.to_owned()));
        }
        (true, networks) => {
            let networks = networks.unwrap_or_else(|| vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()]);
            let parse = |text: &String| text.parse::<IpNet>().map_err(|_| text.clone());
            let networks = networks.iter().map(parse).collect::<Result<Vec<_>, _>>().map_err(|text| {
                let problem = format!("`{text}` is not a network: write it like 10.0.0.0/8");
                section.invalid("autoExportCIDRs", problem)
            })?;
            ExportAccess::Automatic(networks)
        }
    };
    section.finish("ontap-nas", &[COMMON, ONTAP, NAS])?;
    let protocol = OntapProtocol::Nas(NasOptions { mount_options, access });
    Ok((DriverConfig::Ontap(Box::new(connection), protocol), size))
}

pub(super) fn san(mut section: Section<'_>, document: &Document) -> Result<(DriverConfig, u64), ConfigError> {
    let (connection, size) = connection(&mut section, document, "ontap-san")?;
    let chap = match section.take::<bool>("useCHAP")?.unwrap_or_default() {
        true => Some(chap(&mut section)?),
        false => {
            // Written with useCHAP off, a secret would protect nothing.
            for field in CHAP_FIELDS {
                if section.text(field)?.is_some() {
                    let problem = "needs \"useCHAP\": true: set it, or delete the CHAP fields";
                    return Err(section.invalid(field, problem.to_owned()));
                }
            }
            None
        }
    };
    section.finish("ontap-san", &[COMMON, ONTAP, SAN])?;
    Ok((DriverConfig::Ontap(Box::new(connection), OntapProtocol::San(chap)), size))
}

const CHAP_FIELDS: [&str; 4] =
    ["chapUsername", "chapInitiatorSecret", "chapTargetUsername", "chapTargetInitiatorSecret"];

fn chap(section: &mut Section<'_>) -> Result<OntapChap, ConfigError> {
    let cure = "useCHAP needs all four CHAP fields: write it";
    let username = section.require_text("chapUsername", cure)?;
    let secret = section.require::<Secret>("chapInitiatorSecret", cure)?;
    let target_username = section.require_text("chapTargetUsername", cure)?;
    let target_secret = section.require::<Secret>("chapTargetInitiatorSecret", cure)?;
    if secret == target_secret {
        let problem = "equals chapInitiatorSecret: the array refuses equal secrets, write another";
        return Err(section.invalid("chapTargetInitiatorSecret", problem.to_owned()));
    }
    Ok(OntapChap(ChapCredentials {
        initiator: ChapPair { username, secret },
        target: Some(ChapPair { username: target_username, secret: target_secret }),
    }))
}

fn connection(
    section: &mut Section<'_>,
    document: &Document,
    driver: &'static str,
) -> Result<(OntapConnection, u64), ConfigError> {
    let management_lif =
        section.require_text("managementLIF", "write the address of the SVM's management LIF")?;
    let api = api_base(&management_lif).map_err(|problem| section.invalid("managementLIF", problem))?;
    let data_lif = section.parsed("dataLIF", |text| {
        text.trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .map_err(|_| format!("`{text}` is not an IP address: write the address of a data LIF"))
    })?;
    let svm = section.text("svm")?;
    let username = section.require_text("username", "write the name of an SVM administrator")?;
    let password = section.require::<Secret>("password", "write the password of username")?;
    let trusted_ca = section.parsed("trustedCACertificate", certificate)?;
    if section.take::<bool>("useREST")? == Some(false) {
        return Err(section.unsupported("useREST", "only REST is spoken: write true or delete the field"));
    }
    let aggregate = section.text("aggregate")?;
    let defaults = section.take::<Map<String, Value>>("defaults")?.unwrap_or_default();
    let (defaults, size) = defaults_of(document, driver, defaults)?;
    let connection = OntapConnection {
        management_lif,
        api,
        data_lif,
        svm,
        username,
        password,
        trusted_ca,
        aggregate,
        defaults,
    };
    Ok((connection, size))
}

/// `host`, `host:port`, a bare or bracketed IPv6 address.
fn api_base(lif: &str) -> Result<Url, String> {
    let host = if lif.parse::<Ipv6Addr>().is_ok() { format!("[{lif}]") } else { lif.to_owned() };
    let bad = || format!("`{lif}` is not an address: write an IP address or host name, without https://");
    if host.contains(['/', '@', '?', '#', ' ']) {
        return Err(bad());
    }
    let url = Url::parse(&format!("https://{host}/api/")).map_err(|_| bad())?;
    url.host_str().ok_or_else(bad)?;
    Ok(url)
}

/// The base64 of a PEM certificate, as the documented field holds it, or the PEM itself.
pub(super) fn certificate(text: &str) -> Result<String, String> {
    let pem = if text.contains("-----BEGIN") {
        text.to_owned()
    } else {
        let compact: String = text.split_whitespace().collect();
        base64::engine::general_purpose::STANDARD
            .decode(compact)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default()
    };
    if pem.contains("-----BEGIN CERTIFICATE-----") && reqwest::Certificate::from_pem(pem.as_bytes()).is_ok() {
        return Ok(pem);
    }
    Err("is not a certificate: write the base64 of a PEM file".to_owned())
}

/// `-o a,b -o c` and `a,b` alike.
fn mount_options(text: &str) -> Vec<String> {
    text.split([' ', ','])
        .filter(|item| !item.is_empty() && *item != "-o")
        .map(|item| item.strip_prefix("-o").unwrap_or(item).to_owned())
        .collect()
}

fn defaults_of(
    document: &Document,
    driver: &'static str,
    fields: Map<String, Value>,
) -> Result<(OntapDefaults, u64), ConfigError> {
    let mut section = Section::new(document, "/defaults", "defaults.", fields);
    let snapshot_policy = section.text("snapshotPolicy")?.unwrap_or_else(|| "none".to_owned());
    let snapshot_reserve = match section.parsed("snapshotReserve", percent)? {
        Some(percent) => percent,
        None if snapshot_policy == "none" => 0,
        None => 5,
    };
    let space_reserve = section.parsed("spaceReserve", |text| match text {
        "none" => Ok(SpaceReserve::None),
        "volume" => Ok(SpaceReserve::Volume),
        _ => Err(format!("`{text}` is not known: write none or volume")),
    })?;
    let defaults = OntapDefaults {
        space_allocation: section.take("spaceAllocation")?.unwrap_or(true),
        space_reserve: space_reserve.unwrap_or(SpaceReserve::None),
        snapshot_policy,
        snapshot_reserve,
        snapshot_dir: section.take("snapshotDir")?.unwrap_or_default(),
        unix_permissions: section.parsed("unixPermissions", unix_permissions)?.unwrap_or(777),
        export_policy: section.text("exportPolicy")?.unwrap_or_else(|| "default".to_owned()),
        filesystem: section.parsed("fileSystemType", filesystem)?.unwrap_or(FsType::Ext4),
    };
    let size = section.parsed("size", quantity::parse_bytes)?.unwrap_or(1_000_000_000);
    section.finish(driver, &[DEFAULTS])?;
    Ok((defaults, size))
}

fn percent(text: &str) -> Result<u8, String> {
    let cure = || format!("`{text}` is not a percentage from 0 to 90");
    text.parse().ok().filter(|percent| *percent <= 90).ok_or_else(cure)
}

/// `---rwxr-xr-x`, `0755` or `755`, each as the number 755.
fn unix_permissions(text: &str) -> Result<u32, String> {
    let cure = || format!("`{text}` is not a mode: write it like ---rwxrwxrwx or 0777");
    if text.len() == 12 && text.starts_with("---") {
        let mut number = 0;
        for triple in text.as_bytes().get(3..).unwrap_or_default().chunks(3) {
            let mut digit = 0;
            for (bit, (letter, expected)) in [4, 2, 1].into_iter().zip(triple.iter().zip(b"rwx")) {
                match letter {
                    letter if letter == expected => digit += bit,
                    b'-' => {}
                    _ => return Err(cure()),
                }
            }
            number = number * 10 + digit;
        }
        return Ok(number);
    }
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if octal { text.parse().map_err(|_| cure()) } else { Err(cure()) }
}

const ONTAP: &[Inert] = &[
    Inert::unset("clientCertificate"),
    Inert::unset("clientPrivateKey"),
    Inert::unset("aws"),
    Inert::unset("gcnv"),
    Inert::unset("flexgroupAggregateList"),
    Inert::unset("limitAggregateUsage"),
    Inert::unset("limitVolumePoolSize"),
    Inert::default("denyNewVolumePools", &["false"]),
    Inert::anything("usageHeartbeat"),
    Inert::unset("cloneSplitDelay"),
    Inert::unset("replicationPolicy"),
    Inert::unset("replicationSchedule"),
    Inert::default("useBalancedPlacement", &["false"]),
];

const NAS: &[Inert] = &[
    Inert::default("nasType", &["nfs"]),
    Inert::unset("smbShare"),
    Inert::default("qtreesPerFlexvol", &["200"]),
    Inert::default("qtreePruneFlexvolsPeriod", &["600"]),
    Inert::default("qtreeQuotaResizePeriod", &["60"]),
    Inert::default("emptyFlexvolDeferredDeletePeriod", &["28800"]),
];

const SAN: &[Inert] = &[
    Inert::default("sanType", &["iscsi"]),
    Inert::unset("igroupName"),
    Inert::default("lunsPerFlexvol", &["100"]),
];

const DEFAULTS: &[Inert] = &[
    Inert::default("securityStyle", &["unix"]),
    Inert::default("splitOnClone", &["false"]),
    Inert::default("encryption", &["false"]),
    Inert::default("LUKSEncryption", &["false"]),
    Inert::default("mirroring", &["false"]),
    Inert::default("tieringPolicy", &["none"]),
    Inert::unset("qosPolicy"),
    Inert::unset("adaptiveQosPolicy"),
    Inert::unset("formatOptions"),
    Inert::default("skipRecoveryQueue", &["false"]),
    Inert::unset("adAdminUser"),
    Inert::unset("nameTemplate"),
];
