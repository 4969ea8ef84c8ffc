//! Every program this crate may run, and where a host keeps it.

use std::path::PathBuf;

use crate::root::HostRoot;

/// A program. Found in fixed directories, never through `PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// open-iscsi's control program; speaks to iscsid.
    Iscsiadm,
    /// e2fsprogs.
    MkfsExt4,
    /// xfsprogs.
    MkfsXfs,
}

/// The system directories of the file hierarchy standard; `/usr/local` is not among them, because
/// what lies there is not the distribution's.
const DIRECTORIES: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

impl Program {
    /// File name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iscsiadm => "iscsiadm",
            Self::MkfsExt4 => "mkfs.ext4",
            Self::MkfsXfs => "mkfs.xfs",
        }
    }

    /// Debian's name of the package that has it, for advice.
    pub fn package(self) -> &'static str {
        match self {
            Self::Iscsiadm => "open-iscsi",
            Self::MkfsExt4 => "e2fsprogs",
            Self::MkfsXfs => "xfsprogs",
        }
    }

    /// Where it is on this host.
    pub fn find(self, root: &HostRoot) -> Option<PathBuf> {
        DIRECTORIES.iter().map(|directory| root.path(directory).join(self.name())).find(|path| path.is_file())
    }
}
