//! What a simulator publishes: targets, their logical units and who may reach them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use blockstore::Volume;
use zeroize::Zeroizing;

use crate::governor::Governor;

/// An iSCSI target: on ONTAP one per SVM with every LUN of it, on SolidFire one per volume.
#[derive(Clone, Debug)]
pub struct Target {
    /// `iqn.…`, as SendTargets shows it. Compared without regard to case (RFC 3722).
    pub iqn: String,
    /// TargetAlias, told at login (RFC 7143 §13.6).
    pub alias: Option<String>,
    /// The portals that serve this target: addresses as [`crate::IscsiServer::bind_portal`]
    /// returned them.
    pub portals: Vec<SocketAddr>,
    /// Who may log in, and how they prove themselves.
    pub auth: AuthPolicy,
    /// The logical units. The same volume may stand here several times, under other numbers for
    /// other initiators. Of two entries with one number an initiator sees the first it may see.
    pub luns: Vec<Lun>,
}

/// Authentication by initiator, with a default for the rest.
#[derive(Clone, Debug)]
pub struct AuthPolicy {
    /// For initiators not named in `initiators`.
    pub default: Auth,
    /// By initiator name, compared without regard to case.
    pub initiators: BTreeMap<String, Auth>,
}

/// How an initiator proves itself.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Not at all.
    Open,
    /// It cannot: login fails with "authorization failure" (0x0202) and discovery hides the target.
    Deny,
    /// By CHAP (RFC 7143 §12.1.3): login without it, or with another user or secret, fails with
    /// "authentication failure" (0x0201).
    Chap {
        /// CHAP_N the initiator must give.
        user: String,
        /// The secret the initiator must know.
        secret: ChapSecret,
        /// Name and secret with which the target proves itself to an initiator that asks for it.
        mutual: Option<(String, ChapSecret)>,
    },
}

/// A CHAP secret. Its `Debug` shows nothing, and its memory is cleared when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct ChapSecret(Zeroizing<String>);

impl ChapSecret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for ChapSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChapSecret(redacted)")
    }
}

/// A logical unit as some initiators see it.
#[derive(Clone, Debug)]
pub struct Lun {
    /// Its number, 0 to 16383 (SAM-5 §4.7.3 flat space); ONTAP gives at most 4095.
    pub number: u16,
    /// Its content.
    pub volume: Volume,
    /// Who it is, in INQUIRY and the vital product data.
    pub identity: Identity,
    /// Logical and physical block length.
    pub block_size: BlockSize,
    /// Who sees it.
    pub access: Visibility,
    /// Thin provisioning: LBPME, LBPRZ, UNMAP, WRITE SAME with UNMAP, VPD page B2h.
    pub thin: bool,
    /// Writes are refused with DATA PROTECT / WRITE PROTECTED.
    pub read_only: bool,
    /// Target port groups through which access is active/optimised; through the others it is
    /// active/non-optimised. Empty: the unit does not speak ALUA (TPGS = 0).
    pub optimized_groups: BTreeSet<u16>,
    /// Is told of every transfer, and may hold it back. None: nobody is, and nothing waits.
    pub governor: Option<Arc<dyn Governor>>,
}

/// Initiators that see a logical unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All that can log in.
    Everyone,
    /// Those named, compared without regard to case. None named: nobody.
    Initiators(BTreeSet<String>),
}

/// Block lengths in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSize {
    /// 512 logical, 4096 physical ("512e").
    Emulated512,
    /// 4096 logical and physical ("4Kn").
    Native4096,
}

impl BlockSize {
    /// Logical block length in bytes.
    #[must_use]
    pub fn logical(self) -> u32 {
        match self {
            Self::Emulated512 => 512,
            Self::Native4096 => 4096,
        }
    }

    /// LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT (SBC-3 §5.16.2).
    #[must_use]
    pub(crate) fn physical_exponent(self) -> u8 {
        match self {
            Self::Emulated512 => 3,
            Self::Native4096 => 0,
        }
    }
}

/// The identity of a logical unit, the same through every port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// T10 VENDOR IDENTIFICATION, padded or cut to 8 bytes: `NETAPP`, `SolidFir`.
    pub vendor: String,
    /// PRODUCT IDENTIFICATION, padded or cut to 16 bytes: `LUN C-Mode`, `SSD SAN`.
    pub product: String,
    /// PRODUCT REVISION LEVEL, padded or cut to 4 bytes: `9151`.
    pub revision: String,
    /// VPD page 80h, exactly these bytes.
    pub serial: String,
    /// VPD page 83h, NAA designator (IEEE Registered Extended): the WWID is `3` + these in hex.
    pub naa: [u8; 16],
    /// VPD page 83h, EUI-64 based 16-byte designator, where the array gives one.
    pub eui: Option<[u8; 16]>,
    /// VPD page 83h, T10 vendor designator: what follows the 8 bytes of vendor.
    pub t10: String,
}

/// The form in which initiator and target names are compared (RFC 3722: lower case).
pub(crate) fn normal_name(name: &str) -> String {
    name.trim().to_lowercase()
}

impl Visibility {
    pub(crate) fn includes(&self, initiator: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Initiators(names) => {
                names.contains(initiator) || names.iter().any(|name| normal_name(name) == initiator)
            }
        }
    }
}

impl Target {
    /// How the initiator (a normal name) must prove itself here.
    pub(crate) fn auth_for(&self, initiator: &str) -> &Auth {
        self.auth
            .initiators
            .iter()
            .find(|(name, _)| normal_name(name) == initiator)
            .map_or(&self.auth.default, |(_, auth)| auth)
    }

    /// Numbers of the units the initiator (a normal name) sees.
    pub(crate) fn lun_numbers(&self, initiator: &str) -> BTreeSet<u16> {
        self.luns.iter().filter(|lun| lun.access.includes(initiator)).map(|lun| lun.number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_a_debug_print() {
        let auth = Auth::Chap {
            user: "u".into(),
            secret: ChapSecret::new("open sesame"),
            mutual: Some(("m".into(), ChapSecret::new("sesame open"))),
        };
        assert!(!format!("{auth:?}").contains("sesame"));
    }

    #[test]
    fn initiator_names_are_compared_without_case() {
        let one = Visibility::Initiators(BTreeSet::from(["iqn.2026-11.Example:Node-A".to_owned()]));
        assert!(one.includes(&normal_name("IQN.2026-11.example:node-a")));
        assert!(!one.includes(&normal_name("iqn.2026-11.example:node-b")));
        assert!(!Visibility::Initiators(BTreeSet::new()).includes("iqn.2026-11.example:node-a"));
    }
}
