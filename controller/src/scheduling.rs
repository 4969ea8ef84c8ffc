//! From what a class asks for to the pools that have it, and for each other pool the reason why not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use contract::FsType;

use crate::array::{Array, Origin, Pool, Protocol};
use crate::backend::config::{format_bytes, nearest};
use crate::backend::{Backend, BackendState};
use crate::store::UseRecord;
use crate::uses;

/// Attributes of pools that a class may ask for by value.
const ATTRIBUTES: [&str; 9] = [
    "backendType",
    "media",
    "provisioningType",
    "snapshots",
    "clones",
    "encryption",
    "region",
    "zone",
    "replication",
];
/// Known parameters that cannot be honoured yet: better refused than dropped.
const NOT_YET: [&str; 6] = [
    "labels",
    "selector",
    "storagePools",
    "additionalStoragePools",
    "excludeStoragePools",
    "requiredStorage",
];
/// Spellings of the filesystem parameter.
const FILESYSTEM: [&str; 3] = ["csi.storage.k8s.io/fsType", "csi.storage.k8s.io/fstype", "fsType"];
/// Parameters under this prefix speak to sidecars.
const SIDECAR_PREFIX: &str = "csi.storage.k8s.io/";

/// What a class asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Class {
    attributes: BTreeMap<String, String>,
    iops: Option<u64>,
    protocol: Option<Protocol>,
    /// `fsType`, if it names one.
    pub filesystem: Option<FsType>,
}

/// A parameter that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// Nobody knows it.
    #[error("parameter {name} is not known{}", .nearest.map(|name| format!(": did you mean {name}?")).unwrap_or_default())]
    Unknown {
        /// The parameter.
        name: String,
        /// The known one it may have been meant to be.
        nearest: Option<&'static str>,
    },
    /// Known, not supported yet.
    #[error("parameter {name} is not supported yet: remove it from the class")]
    NotYet {
        /// The parameter.
        name: String,
    },
    /// A value that breaks the parameter's rule.
    #[error("parameter {name} is `{value}`: {rule}")]
    Invalid {
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
        /// The rule.
        rule: &'static str,
    },
}

impl Class {
    /// Reads class parameters; all values arrive as text.
    ///
    /// # Errors
    /// When a parameter is unknown, unsupported or malformed.
    pub fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, ClassError> {
        let mut class = Self::default();
        for (name, value) in parameters {
            let invalid = |rule| ClassError::Invalid { name: name.clone(), value: value.clone(), rule };
            match name.as_str() {
                name if FILESYSTEM.contains(&name) => {
                    class.filesystem = Some(value.parse().map_err(|_| invalid("write ext4 or xfs"))?);
                }
                name if name.starts_with(SIDECAR_PREFIX) => {}
                "IOPS" => class.iops = Some(value.parse().map_err(|_| invalid("write a whole number"))?),
                "nasType" if value == "nfs" => class.protocol = Some(Protocol::File),
                "nasType" => return Err(invalid("only nfs is supported")),
                "sanType" if value == "iscsi" => class.protocol = Some(Protocol::Block),
                "sanType" => return Err(invalid("only iscsi is supported")),
                name if ATTRIBUTES.contains(&name) => {
                    class.attributes.insert(name.to_owned(), value.clone());
                }
                name if NOT_YET.contains(&name) => {
                    return Err(ClassError::NotYet { name: name.to_owned() });
                }
                name => {
                    let known = ATTRIBUTES.into_iter().chain(["IOPS", "nasType", "sanType", "fsType"]);
                    return Err(ClassError::Unknown { name: name.to_owned(), nearest: nearest(name, known) });
                }
            }
        }
        Ok(class)
    }

    /// Why `pool` does not offer what the class asks for.
    fn mismatch(&self, pool: &Pool, protocol: Protocol) -> Option<String> {
        for (name, wanted) in &self.attributes {
            match pool.attributes.get(name) {
                Some(offered) if offered == wanted => {}
                // Not offering something is the same as offering "false".
                None if wanted == "false" => {}
                Some(offered) => return Some(format!("{name} is {offered}, not {wanted}")),
                None => return Some(format!("it offers no {name}")),
            }
        }
        if self.protocol.is_some_and(|wanted| wanted != protocol) {
            return Some(format!("it serves {}", spoken(protocol)));
        }
        match (self.iops, &pool.iops) {
            (Some(wanted), Some(range)) if !range.contains(&wanted) => {
                Some(format!("IOPS are {} to {}, not {wanted}", range.start(), range.end()))
            }
            (Some(_), None) => Some("it promises no IOPS".to_owned()),
            _ => None,
        }
    }
}

fn spoken(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::File => "files (nfs)",
        Protocol::Block => "blocks (iscsi)",
    }
}

/// A pool that has what is asked for.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its backend.
    pub backend: Arc<Backend>,
    /// The backend's array.
    pub array: Arc<Array>,
    /// The pool's name.
    pub pool: String,
    /// The size the volume would have there, bytes.
    pub size: u64,
}

/// What is asked of a pool.
#[derive(Debug)]
pub struct Request<'r> {
    /// The class.
    pub class: &'r Class,
    /// How the volume is to be used.
    pub uses: &'r [UseRecord],
    /// Least bytes; absent: the backend's default size.
    pub required: Option<u64>,
    /// Most bytes.
    pub limit: Option<u64>,
    /// What the volume is to be a copy of.
    pub origin: Option<&'r Origin>,
}

/// Which kind of reason kept a pool out, from the hardest to the one nearest to a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// It does not offer what the class asks for.
    Offer,
    /// It offers that and cannot be used that way.
    Use,
    /// Its array is away: what it offers, nobody can tell now.
    Away,
    /// Only the size does not fit.
    Size,
}

/// No pool has what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPool {
    reasons: Vec<(Obstacle, String)>,
}

impl NoPool {
    /// The obstacle of the pool that came nearest; absent when there is no pool at all.
    pub fn nearest_obstacle(&self) -> Option<Obstacle> {
        self.reasons.iter().map(|(obstacle, _)| *obstacle).max()
    }
}

impl std::error::Error for NoPool {}

impl fmt::Display for NoPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reasons.is_empty() {
            return f
                .write_str("no backend is registered: register one with `tinectl create backend -f FILE`");
        }
        f.write_str("no pool has what is asked for: ")?;
        for (index, (_, reason)) in self.reasons.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{reason}")?;
        }
        Ok(())
    }
}

/// The pools that have what is asked for; those with fewest volumes (`load`, by backend and pool) first.
///
/// # Errors
/// [`NoPool`] with the reason of every pool.
pub fn candidates(
    request: &Request<'_>,
    backends: &[Arc<Backend>],
    load: &BTreeMap<(String, String), usize>,
) -> Result<Vec<Candidate>, NoPool> {
    let (mut found, mut reasons) = (Vec::new(), Vec::new());
    for backend in backends {
        let array = match backend.state() {
            BackendState::Online(array) => array,
            BackendState::Unasked => {
                reasons.push((Obstacle::Away, format!("backend {} has not answered yet", backend.name)));
                continue;
            }
            BackendState::Offline(reason) => {
                reasons.push((Obstacle::Away, format!("backend {} is offline: {reason}", backend.name)));
                continue;
            }
        };
        for pool in array.pools() {
            match fit(request, backend, &array, pool) {
                Ok(size) => found.push(Candidate {
                    backend: Arc::clone(backend),
                    array: Arc::clone(&array),
                    pool: pool.name.clone(),
                    size,
                }),
                Err((obstacle, why)) => {
                    reasons.push((obstacle, format!("{}/{}: {why}", backend.name, pool.name)));
                }
            }
        }
    }
    if found.is_empty() {
        return Err(NoPool { reasons });
    }
    found.sort_by_key(|candidate| {
        load.get(&(candidate.backend.name.clone(), candidate.pool.clone())).copied().unwrap_or_default()
    });
    Ok(found)
}

/// The size the volume would have in `pool`, or why it cannot be there.
fn fit(
    request: &Request<'_>,
    backend: &Backend,
    array: &Array,
    pool: &Pool,
) -> Result<u64, (Obstacle, String)> {
    let protocol = array.protocol();
    // The class first: a pool that it leaves out says nothing about how the one it means can be used.
    if let Some(why) = request.class.mismatch(pool, protocol) {
        return Err((Obstacle::Offer, why));
    }
    for r#use in request.uses {
        if let Some(why) = uses::refusal(protocol, array.shares_devices(), r#use) {
            return Err((Obstacle::Use, why.to_owned()));
        }
    }
    if let Some(Origin { volume, .. }) = request.origin {
        if volume.backend != backend.name {
            let why = format!("what it is to be a copy of is on backend {}", volume.backend);
            return Err((Obstacle::Offer, why));
        }
        if array.copies_stay_in_pool() && volume.pool != pool.name {
            let why = format!("what it is to be a copy of is in pool {}", volume.pool);
            return Err((Obstacle::Offer, why));
        }
    }
    let config = &backend.config;
    let default = config.default_size.min(request.limit.unwrap_or(u64::MAX));
    let least = request.origin.map_or(default, Origin::size);
    let wanted = request.required.unwrap_or(least);
    let size = array.rounded(wanted);
    let too_big = |limit: u64, whose: &str| {
        let why = format!("it would make {} of it, over {whose} {}", format_bytes(size), format_bytes(limit));
        Err((Obstacle::Size, why))
    };
    let largest = array.largest();
    match (request.limit, config.limit_volume_size) {
        _ if size > largest => too_big(largest, "the array's maximum of"),
        (Some(limit), _) if size > limit => too_big(limit, "the request's limit of"),
        (_, Some(limit)) if size > limit => too_big(limit, "the backend's limitVolumeSize of"),
        _ => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn pool(attributes: &[(&str, &str)], iops: Option<std::ops::RangeInclusive<u64>>) -> Pool {
        Pool { name: "p".to_owned(), attributes: parameters(attributes), iops }
    }

    #[test]
    fn a_class_matches_a_pool_or_names_the_attribute_that_differs() {
        let gold = Class::parse(&parameters(&[("media", "ssd"), ("IOPS", "8000")])).unwrap();
        let reason = |pool: Pool| gold.mismatch(&pool, Protocol::Block);
        assert_eq!(reason(pool(&[("media", "ssd")], Some(6000..=8000))), None);
        assert_eq!(reason(pool(&[("media", "hdd")], None)).unwrap(), "media is hdd, not ssd");
        assert_eq!(reason(pool(&[], None)).unwrap(), "it offers no media");
        assert_eq!(
            reason(pool(&[("media", "ssd")], Some(1000..=2000))).unwrap(),
            "IOPS are 1000 to 2000, not 8000"
        );
        assert_eq!(reason(pool(&[("media", "ssd")], None)).unwrap(), "it promises no IOPS");
    }

    #[test]
    fn a_parameter_is_understood_or_refused_by_name() {
        let refusal = |pairs: &[(&str, &str)]| Class::parse(&parameters(pairs)).unwrap_err().to_string();
        assert_eq!(
            refusal(&[("backendtype", "ontap-nas")]),
            "parameter backendtype is not known: did you mean backendType?"
        );
        assert_eq!(refusal(&[("IOPS", "many")]), "parameter IOPS is `many`: write a whole number");
        assert_eq!(refusal(&[("fsType", "ext3")]), "parameter fsType is `ext3`: write ext4 or xfs");
        assert!(refusal(&[("selector", "a=b")]).contains("not supported yet"));
        let class = Class::parse(&parameters(&[
            ("csi.storage.k8s.io/fstype", "xfs"),
            ("csi.storage.k8s.io/pvc/name", "data"),
        ]));
        assert_eq!(class.unwrap().filesystem, Some(FsType::Xfs));
    }
}
