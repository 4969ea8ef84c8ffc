//! What ControllerPublishVolume hands to NodeStageVolume, versioned, readable, free of secrets.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{DeviceIdentity, FsType, Iqn, LunNumber, Portal};

/// Version this build writes. A reader refuses a version it does not know: a guess could mount the
/// wrong thing.
pub const CONTRACT_VERSION: &str = "1";

const VERSION_KEY: &str = "tine.dev/contract";
const ATTACHMENT_KEY: &str = "tine.dev/attachment";

/// How a published volume is reached from the node it is published to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "lowercase")]
pub enum PublishContext {
    /// A file volume.
    Nfs(NfsAttachment),
    /// A block volume.
    Iscsi(IscsiAttachment),
}

/// An NFS export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NfsAttachment {
    /// Data LIF.
    pub server: IpAddr,
    /// Export path, from the server's root: `/trident_pvc_1`.
    pub export: String,
    /// Mount options of the backend (`nfsMountOptions`), in order; the claim's own come after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
}

impl NfsAttachment {
    /// What a mount table shows as the source of a mount of it: `192.168.0.121:/trident_pvc_1`, an
    /// IPv6 address in brackets.
    pub fn source(&self) -> String {
        match self.server {
            IpAddr::V4(address) => format!("{address}:{}", self.export),
            IpAddr::V6(address) => format!("[{address}]:{}", self.export),
        }
    }

    /// Whether `source` of a mount table is this export. A slash at the end makes no other export.
    pub fn is_source(&self, source: &str) -> bool {
        source.trim_end_matches('/') == self.source().trim_end_matches('/')
    }
}

/// A LUN behind one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IscsiAttachment {
    /// Target name.
    pub target: Iqn,
    /// Portals that can reach the LUN, best first; never empty (checked by [`PublishContext::decode`]).
    pub portals: Vec<Portal>,
    /// Number under which the LUN is mapped to this node.
    pub lun: LunNumber,
    /// What the device must show before it is used.
    pub identity: DeviceIdentity,
    /// Bytes the device must show before it is used.
    pub size: u64,
    /// The target asks for CHAP: fetch the credentials with `Fleet.GetAccess`.
    pub authenticated: bool,
    /// Filesystem of the backend's defaults, where the claim names none.
    pub default_fs: FsType,
}

/// Why a publish context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublishContextError {
    /// A key is missing: the map was not written by this product's controller.
    #[error("publish context has no `{0}`: the volume was not published by this driver's controller")]
    Missing(&'static str),
    /// Written by another version.
    #[error(
        "publish context has contract version `{0}`, this agent knows only {CONTRACT_VERSION}: upgrade the agent"
    )]
    UnknownVersion(String),
    /// Not what its version promises.
    #[error("publish context `{ATTACHMENT_KEY}` is malformed")]
    Malformed(#[source] serde_json::Error),
    /// A list that must not be empty is.
    #[error("publish context names no portal for target {0}")]
    NoPortal(Iqn),
    /// An export path that is not absolute.
    #[error("publish context export `{0}` is not an absolute path")]
    RelativeExport(String),
}

impl PublishContext {
    /// As the orchestrator carries it.
    ///
    /// # Errors
    /// Never for values of this type; the signature is serde_json's.
    pub fn encode(&self) -> Result<HashMap<String, String>, PublishContextError> {
        let attachment = serde_json::to_string(self).map_err(PublishContextError::Malformed)?;
        Ok([(VERSION_KEY.to_owned(), CONTRACT_VERSION.to_owned()), (ATTACHMENT_KEY.to_owned(), attachment)]
            .into())
    }

    /// Reads what [`PublishContext::encode`] wrote; foreign keys are ignored, since sidecars may add some.
    ///
    /// # Errors
    /// When a key is missing, the version is unknown, or a value breaks its type's rules.
    pub fn decode(map: &HashMap<String, String>) -> Result<Self, PublishContextError> {
        let version = map.get(VERSION_KEY).ok_or(PublishContextError::Missing(VERSION_KEY))?;
        if version != CONTRACT_VERSION {
            return Err(PublishContextError::UnknownVersion(version.clone()));
        }
        let attachment = map.get(ATTACHMENT_KEY).ok_or(PublishContextError::Missing(ATTACHMENT_KEY))?;
        let context = serde_json::from_str(attachment).map_err(PublishContextError::Malformed)?;
        match &context {
            Self::Iscsi(iscsi) if iscsi.portals.is_empty() => {
                Err(PublishContextError::NoPortal(iscsi.target.clone()))
            }
            Self::Nfs(nfs) if !nfs.export.starts_with('/') => {
                Err(PublishContextError::RelativeExport(nfs.export.clone()))
            }
            _ => Ok(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iscsi() -> PublishContext {
        PublishContext::Iscsi(IscsiAttachment {
            target: "iqn.1992-08.com.netapp:sn.1:vs.2".parse().unwrap(),
            portals: vec![Portal { address: "192.168.0.131".parse().unwrap(), port: 3260, tag: 1030 }],
            lun: LunNumber(3),
            identity: DeviceIdentity {
                wwid: "3600a098038314461522451712f316969".parse().unwrap(),
                serial: "81DaR$Qq/1ii".parse().unwrap(),
            },
            size: 1 << 30,
            authenticated: true,
            default_fs: FsType::Ext4,
        })
    }

    #[test]
    fn a_publish_context_survives_the_orchestrator() {
        let nfs = PublishContext::Nfs(NfsAttachment {
            server: "192.168.0.121".parse().unwrap(),
            export: "/trident_pvc_1".into(),
            mount_options: vec!["nconnect=4".into()],
        });
        for context in [iscsi(), nfs] {
            let mut map = context.encode().unwrap();
            map.insert("storage.kubernetes.io/csiProvisionerIdentity".into(), "x".into());
            assert_eq!(PublishContext::decode(&map).unwrap(), context);
        }
    }

    #[test]
    fn a_newer_or_damaged_context_is_refused_and_says_why() {
        let good = iscsi().encode().unwrap();
        let change = |key: &str, value: &str| {
            let mut map = good.clone();
            map.insert(key.to_owned(), value.to_owned());
            PublishContext::decode(&map).unwrap_err().to_string()
        };
        assert!(change(VERSION_KEY, "2").contains("upgrade the agent"));
        assert!(change(ATTACHMENT_KEY, "{").contains("malformed"));
        let no_portal =
            good[ATTACHMENT_KEY].replacen(r#"[{"address":"192.168.0.131","port":3260,"tag":1030}]"#, "[]", 1);
        assert!(change(ATTACHMENT_KEY, &no_portal).contains("no portal"));
        assert!(PublishContext::decode(&HashMap::new()).unwrap_err().to_string().contains("not published"));
    }
}
