//! Names parsed once at the edge; past it they are types.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that is not one; says which rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty where a name is required.
    #[error("{what} is empty")]
    Empty {
        /// The kind of name.
        what: &'static str,
    },
    /// Longer than the field's limit (CSI: 128 bytes for identifiers; RFC 7143 §4.2.7.1: 223 for IQNs).
    #[error("{what} is {length} bytes long, more than {limit}")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A character or form the name must not have.
    #[error("{what} `{value}` is not valid: {rule}")]
    Malformed {
        /// The kind of name.
        what: &'static str,
        /// The text given.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
}

fn bounded(what: &'static str, value: &str, limit: usize) -> Result<(), NameError> {
    match value.len() {
        0 => Err(NameError::Empty { what }),
        length if length > limit => Err(NameError::TooLong { what, length, limit }),
        _ => Ok(()),
    }
}

/// One path segment: an identifier becomes a file name of the agent's journal.
fn is_one_path_segment(value: &str) -> bool {
    !matches!(value, "." | "..") && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(value: String) -> Result<Self, NameError> {
                value.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_name! {
    /// A volume as CSI names it: at most 128 printable bytes (CSI, "Size Limits"), one path segment.
    VolumeId, "volume id"
}

text_name! {
    /// A snapshot as CSI names it: at most 128 printable bytes (CSI, "Size Limits"), one path segment.
    SnapshotId, "snapshot id"
}

text_name! {
    /// A node as the agent names itself in NodeGetInfo: at most 256 printable bytes, one path segment.
    NodeId, "node id"
}

text_name! {
    /// An iSCSI qualified or EUI/NAA name in its normal form, lower case (RFC 7143 §4.2.7, RFC 3722).
    Iqn, "iSCSI name"
}

impl FromStr for VolumeId {
    type Err = NameError;
    fn from_str(value: &str) -> Result<Self, NameError> {
        segment("volume id", value, 128).map(Self)
    }
}

impl FromStr for SnapshotId {
    type Err = NameError;
    fn from_str(value: &str) -> Result<Self, NameError> {
        segment("snapshot id", value, 128).map(Self)
    }
}

impl FromStr for NodeId {
    type Err = NameError;
    fn from_str(value: &str) -> Result<Self, NameError> {
        segment("node id", value, 256).map(Self)
    }
}

fn segment(what: &'static str, value: &str, limit: usize) -> Result<String, NameError> {
    bounded(what, value, limit)?;
    if !is_one_path_segment(value) {
        let rule = "printable ASCII without `/`, and neither `.` nor `..`";
        return Err(NameError::Malformed { what, value: value.to_owned(), rule });
    }
    Ok(value.to_owned())
}

impl FromStr for Iqn {
    type Err = NameError;
    fn from_str(value: &str) -> Result<Self, NameError> {
        let what = "iSCSI name";
        bounded(what, value, 223)?;
        let name = value.to_ascii_lowercase();
        let rule = "it starts with iqn., eui. or naa. and holds only a-z, 0-9, `-`, `.`, `:`";
        let known_form = ["iqn.", "eui.", "naa."].iter().any(|form| name.starts_with(form));
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:_".contains(&byte));
        if known_form && plain {
            return Ok(Self(name));
        }
        Err(NameError::Malformed { what, value: value.to_owned(), rule })
    }
}

/// Where a target listens: address, TCP port and target portal group tag (RFC 7143 §4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Portal {
    /// IP address of the LIF.
    pub address: IpAddr,
    /// TCP port, 3260 by assignment.
    pub port: u16,
    /// Target portal group tag; [`Portal::UNKNOWN_TAG`] where the array's API does not tell it.
    pub tag: u16,
}

impl Portal {
    /// Neither the ONTAP REST API nor Element names a portal's group tag, and both number their
    /// groups from 1. With this value the initiator takes the tag that the target names in its
    /// login response (open-iscsi: `node.tpgt = -1`) instead of insisting on one.
    pub const UNKNOWN_TAG: u16 = 0;

    /// The tag to insist on, if it is known.
    pub fn known_tag(&self) -> Option<u16> {
        (self.tag != Self::UNKNOWN_TAG).then_some(self.tag)
    }

    /// Address and port for a connection.
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl core::fmt::Display for Portal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{},{}", self.socket_addr(), self.tag)
    }
}

/// A logical unit number; ONTAP maps up to 4095.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LunNumber(pub u16);

impl core::fmt::Display for LunNumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Filesystems the agent makes, checks, mounts and grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsType {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

impl FsType {
    /// As mount(2) spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

impl core::fmt::Display for FsType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FsType {
    type Err = NameError;
    fn from_str(value: &str) -> Result<Self, NameError> {
        match value {
            "ext4" => Ok(Self::Ext4),
            "xfs" => Ok(Self::Xfs),
            _ => Err(NameError::Malformed {
                what: "filesystem type",
                value: value.to_owned(),
                rule: "it is one of ext4, xfs",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_that_could_leave_its_directory_is_refused() {
        for bad in ["", ".", "..", "a/b", "/etc", "a\nb", "a b", &"x".repeat(129)] {
            assert!(bad.parse::<VolumeId>().is_err(), "{bad:?}");
        }
        assert!("pvc-0a1b.c_d".parse::<VolumeId>().is_ok());
    }

    #[test]
    fn an_iscsi_name_is_kept_in_its_normal_form() {
        let name: Iqn = "IQN.1994-05.com.RedHat:AbC".parse().unwrap();
        assert_eq!(name.as_str(), "iqn.1994-05.com.redhat:abc");
        assert!("1994-05.com.redhat:abc".parse::<Iqn>().is_err());
        assert!("iqn.2001-04.com.example:a b".parse::<Iqn>().is_err());
    }

    #[test]
    fn a_portal_prints_as_the_initiator_tools_spell_it() {
        let v4 = Portal { address: "192.168.0.131".parse().unwrap(), port: 3260, tag: 1030 };
        let v6 = Portal { address: "fd00::1".parse().unwrap(), port: 3260, tag: 2 };
        assert_eq!(v4.to_string(), "192.168.0.131:3260,1030");
        assert_eq!(v6.to_string(), "[fd00::1]:3260,2");
    }
}
