//! Backend files as administrators have them: parsed into types that say only what can be done.
//!
//! ```text
//! bytes ─ document (syntax, positions) ─ section (fields, leftovers) ─ ontap | solidfire ─► BackendConfig
//! ```
//!
//! A setting is acted on, or has its default, or is an error: nothing an administrator wrote is
//! dropped in silence.

mod document;
mod ontap;
mod quantity;
mod section;
mod solidfire;

use std::collections::BTreeMap;

use contract::FsType;
use serde_json::{Map, Value};

use document::Document;
pub use document::{ConfigError, Fault, Position};
pub use ontap::{
    ExportAccess, NasOptions, OntapChap, OntapConnection, OntapDefaults, OntapProtocol, SpaceReserve,
};
pub use quantity::format_bytes;
pub(crate) use section::nearest;
use section::{Inert, Section};
pub use solidfire::{QosType, SolidFireConfig};

/// A backend file, understood.
#[derive(Debug, Clone)]
pub struct BackendConfig {
    document: Document,
    /// `backendName`, if one is written.
    pub name: Option<String>,
    /// Prefix of the names of volumes on the array.
    pub prefix: String,
    /// Largest volume the backend takes, bytes.
    pub limit_volume_size: Option<u64>,
    /// Size of a volume whose request names none, bytes.
    pub default_size: u64,
    /// Offered attributes an administrator wrote: region, zone, labels.
    pub offered: BTreeMap<String, String>,
    /// What the driver needs.
    pub driver: DriverConfig,
}

/// The part of a backend file that belongs to its driver.
#[derive(Debug, Clone)]
pub enum DriverConfig {
    /// `ontap-nas` and `ontap-san`.
    Ontap(Box<OntapConnection>, OntapProtocol),
    /// `solidfire-san`.
    SolidFire(Box<SolidFireConfig>),
}

impl BackendConfig {
    /// Reads a backend file; `file` names it in errors.
    ///
    /// # Errors
    /// One line that says where, what and the cure.
    pub fn parse(file: &str, content: &[u8]) -> Result<Self, ConfigError> {
        let (document, fields) = Document::parse(file, content)?;
        let mut section = Section::new(&document, "", "", fields);
        let name = section.require_text("storageDriverName", "name the driver, e.g. \"ontap-nas\"")?;
        let driver = match name.as_str() {
            "ontap-nas" | "ontap-san" | "solidfire-san" => name,
            "ontap-nas-economy" | "ontap-nas-flexgroup" | "ontap-san-economy" | "eseries-iscsi" => {
                return Err(section.error("storageDriverName", Fault::UnsupportedDriver { name }));
            }
            _ => return Err(section.error("storageDriverName", Fault::UnknownDriver { name })),
        };
        if section.require::<u64>("version", "write \"version\": 1")? != 1 {
            return Err(section.invalid("version", "is not 1: write 1, the only version there is".into()));
        }
        let name = section.text("backendName")?;
        let prefix = section.take::<String>("storagePrefix")?;
        let limit_volume_size = section.parsed("limitVolumeSize", quantity::parse_bytes)?;
        let offered = offered(&mut section)?;
        let (driver, default_size) = match driver.as_str() {
            "ontap-nas" => ontap::nas(section, &document)?,
            "ontap-san" => ontap::san(section, &document)?,
            _ => solidfire::san(section, &document)?,
        };
        let prefix = prefix.unwrap_or_else(|| "trident_".to_owned());
        if !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
            || prefix.starts_with(|first: char| first.is_ascii_digit())
        {
            let problem =
                "must hold only letters, digits, `_`, `-`, `.`, and not start with a digit".to_owned();
            let fault = Fault::Invalid { field: "storagePrefix".to_owned(), problem };
            return Err(document.error_at("/storagePrefix", fault));
        }
        Ok(Self { document, name, prefix, limit_volume_size, default_size, offered, driver })
    }

    /// The driver's name as the file spells it.
    pub fn driver_name(&self) -> &'static str {
        match &self.driver {
            DriverConfig::Ontap(_, OntapProtocol::Nas(_)) => "ontap-nas",
            DriverConfig::Ontap(_, OntapProtocol::San(_)) => "ontap-san",
            DriverConfig::SolidFire(_) => "solidfire-san",
        }
    }

    /// An error about `field` (a dotted path) that the array gave reason for.
    pub fn fault_at(&self, field: &str, problem: String) -> ConfigError {
        let pointer = format!("/{}", field.replace('.', "/"));
        self.document.error_at(&pointer, Fault::Invalid { field: field.to_owned(), problem })
    }
}

/// Region, zone and labels: shown with the pools, and region and zone matched by classes.
fn offered(section: &mut Section<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut offered = BTreeMap::new();
    for field in ["region", "zone"] {
        if let Some(text) = section.text(field)? {
            offered.insert(field.to_owned(), text);
        }
    }
    if let Some(labels) = section.take::<Map<String, Value>>("labels")? {
        let mut shown = Vec::new();
        for (label, value) in &labels {
            match value.as_str() {
                Some(text) => shown.push(format!("{label}={text}")),
                None => {
                    return Err(section.invalid(
                        "labels",
                        format!("label {label} is {}: write a string", document::kind_of(value)),
                    ));
                }
            }
        }
        if !shown.is_empty() {
            offered.insert("labels".to_owned(), shown.join(";"));
        }
    }
    Ok(offered)
}

/// Filesystems that may be asked for.
fn filesystem(text: &str) -> Result<FsType, String> {
    text.parse().map_err(|_| format!("`{text}` is not supported: write ext4 or xfs"))
}

/// Documented fields of every driver that this build does not act on.
const COMMON: &[Inert] = &[
    Inert::anything("debugTraceFlags"),
    Inert::default("disableDelete", &["false"]),
    Inert::unset("credentials"),
    Inert::default("userState", &["normal"]),
    Inert::unset("supportedTopologies"),
    Inert::unset("storage"),
];
