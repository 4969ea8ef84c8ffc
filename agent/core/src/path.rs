//! Paths the orchestrator names on this node.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Why a text is not a [`HostPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPathError {
    /// Paths of a request are absolute (CSI, NodeStageVolumeRequest.staging_target_path).
    #[error("path `{0}` is not absolute")]
    Relative(String),
    /// `.`, `..`, doubled or trailing slashes: two spellings of one path would defeat comparison
    /// with the mount table.
    #[error("path `{0}` is not in its normal form: no `.`, no `..`, no doubled or trailing `/`")]
    NotNormal(String),
    /// A NUL byte or a length beyond PATH_MAX (4096, limits.h).
    #[error("path of {length} bytes is too long or holds a NUL byte")]
    Unusable {
        /// Bytes given.
        length: usize,
    },
}

/// An absolute path in its one normal form, as the host's mount table spells it. Never `/` itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPath(String);

impl HostPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for file operations.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(&self, other: &str) -> bool {
        other.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl TryFrom<String> for HostPath {
    type Error = HostPathError;
    fn try_from(value: String) -> Result<Self, HostPathError> {
        let Some(rest) = value.strip_prefix('/') else { return Err(HostPathError::Relative(value)) };
        if value.len() > 4095 || value.contains('\0') {
            return Err(HostPathError::Unusable { length: value.len() });
        }
        if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(HostPathError::NotNormal(value));
        }
        Ok(Self(value))
    }
}

impl std::str::FromStr for HostPath {
    type Err = HostPathError;
    fn from_str(value: &str) -> Result<Self, HostPathError> {
        Self::try_from(value.to_owned())
    }
}

impl From<HostPath> for String {
    fn from(path: HostPath) -> Self {
        path.0
    }
}

impl core::fmt::Display for HostPath {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_two_spellings_is_refused() {
        for bad in ["", "a", "/", "/a/", "/a//b", "/a/./b", "/a/../b", "/..", "/a\0b"] {
            assert!(bad.parse::<HostPath>().is_err(), "{bad:?}");
        }
        assert!("/var/lib/kubelet/..data/x".parse::<HostPath>().is_ok());
    }

    #[test]
    fn a_sibling_with_the_same_prefix_is_not_below() {
        let path: HostPath = "/a/b".parse().unwrap();
        assert!(path.contains("/a/b") && path.contains("/a/b/c"));
        assert!(!path.contains("/a/bc") && !path.contains("/a"));
    }
}
