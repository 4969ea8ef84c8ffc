//! Where this host's files begin.
//!
//! Production reads the real tree; tests point the same readers at a tree captured from a host.

use std::path::{Path, PathBuf};

/// The directory that holds `proc`, `sys`, `dev`, `etc`.
#[derive(Debug, Clone)]
pub struct HostRoot {
    base: PathBuf,
}

impl HostRoot {
    /// The running host.
    pub fn host() -> Self {
        Self { base: PathBuf::from("/") }
    }

    /// A tree somewhere else.
    pub fn at(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// A path below the root; `relative` has no leading `/`.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.base.join(relative)
    }

    /// Below `/proc`.
    pub fn proc(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.base.join("proc").join(relative)
    }

    /// Below `/sys`.
    pub fn sys(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.base.join("sys").join(relative)
    }

    /// Below `/dev`.
    pub fn dev(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.base.join("dev").join(relative)
    }

    /// Where open-iscsi keeps its node records. A choice of its packager at build time: the Red Hat
    /// family has `/var/lib/iscsi`, Debian and SUSE `/etc/iscsi`.
    pub fn iscsi_nodes(&self) -> PathBuf {
        let red_hat = self.path("var/lib/iscsi/nodes");
        if red_hat.is_dir() { red_hat } else { self.path("etc/iscsi/nodes") }
    }
}
