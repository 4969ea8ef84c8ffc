//! What each failure means for the caller: one table.

use std::error::Error;

use agent_core::outcome::Disposition;

use crate::blocking::BulkheadError;
use crate::command::CommandError;
use crate::device::DeviceError;
use crate::iscsi::record::RecordError;
use crate::iscsi::scan::ScanError;
use crate::iscsi::session::SessionError;
use crate::mount::attach::MountError;
use crate::mount::detach::UnmountError;
use crate::mount::table::MountTableError;
use crate::multipath::assembly::AssemblyError;
use crate::multipath::map::MapError;
use crate::multipath::removal::RemovalError;
use crate::multipath::socket::MultipathdError;
use crate::sysfs::SysfsError;

use super::block::BlockError;
use super::mounting::MountingError;
use super::paths::PathError;

/// An error that knows.
pub(super) trait Meaning: Error + Send + Sync + 'static {
    fn disposition(&self) -> Disposition;
}

/// A failed step, before it is named.
pub(super) struct Failure {
    pub(super) cause: Box<dyn Error + Send + Sync>,
    pub(super) disposition: Disposition,
}

impl<E: Meaning> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { disposition: error.disposition(), cause: Box::new(error) }
    }
}

use Disposition::{Broken, Invalid, NotYet, Refused, Transient};

impl Meaning for BulkheadError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Overdue { .. } | Self::Occupied(_) => Transient,
            Self::NoThread { .. } => Disposition::Exhausted,
            Self::Vanished(_) => Broken,
        }
    }
}

impl Meaning for CommandError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Missing { .. } | Self::Io { .. } => Broken,
            Self::Overdue { .. } | Self::Failed { .. } => Transient,
        }
    }
}

impl Meaning for SysfsError {
    fn disposition(&self) -> Disposition {
        Broken
    }
}

impl Meaning for MountTableError {
    fn disposition(&self) -> Disposition {
        Broken
    }
}

impl Meaning for RecordError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Io { .. } => Broken,
            Self::Credentials(_) => Invalid,
        }
    }
}

impl Meaning for SessionError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Interrupted { .. }
            | Self::Command(_)
            | Self::Recovering { .. }
            | Self::NotSo(_)
            | Self::InUse { .. }
            | Self::Occupied { .. } => Transient,
            Self::Authentication { .. } => Refused,
            // The array has not let this initiator in, or has not made the target, yet.
            Self::LoginRefused { .. } => NotYet,
            Self::NoDaemon(_) => Broken,
            Self::Record(error) => error.disposition(),
            Self::Sysfs(error) => error.disposition(),
        }
    }
}

impl Meaning for ScanError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NoSuchLun { .. } => NotYet,
            Self::SessionGone { .. } | Self::Refused { .. } | Self::NoDisk { .. } => Transient,
            Self::Hung(error) => error.disposition(),
            Self::Uevent(_) => Broken,
            Self::Sysfs(error) => error.disposition(),
        }
    }
}

impl Meaning for MultipathdError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NotRunning(_) => Broken,
            Self::BrokenOff { .. } | Self::Overdue(_) => Transient,
        }
    }
}

impl Meaning for MapError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Control { .. } | Self::Malformed(_) => Broken,
            Self::Gone(_) | Self::Busy(_) | Self::Refused { .. } => Transient,
            Self::Sysfs(error) => error.disposition(),
        }
    }
}

impl Meaning for AssemblyError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NoDaemon { source, .. } => source.disposition(),
            Self::NoDisk(_) | Self::NoMap(_) | Self::NoPath { .. } => Transient,
            Self::Sysfs(error) => error.disposition(),
            Self::Map(error) => error.disposition(),
            Self::Uevent(_) => Broken,
        }
    }
}

impl Meaning for RemovalError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Open { .. } | Self::ComesBack(_) => Transient,
            Self::Map(error) => error.disposition(),
            Self::Sysfs(error) => error.disposition(),
            Self::Uevent(_) => Broken,
        }
    }
}

impl Meaning for DeviceError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Probe(_) | Self::Identity { .. } | Self::OtherMap { .. } => Transient,
            Self::Sysfs(error) => error.disposition(),
            Self::OtherLun { .. } => Refused,
        }
    }
}

impl Meaning for MountError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NoFilesystem { .. } => Broken,
            Self::Option { .. } => Invalid,
            Self::Refused { fs_type, .. } if fs_type.starts_with("nfs") => match self.errno() {
                // Export rule or junction are being made on the array.
                Some(libc::EACCES | libc::EPERM | libc::ENOENT) => NotYet,
                Some(libc::EINVAL | libc::EPROTONOSUPPORT) => Invalid,
                _ => Transient,
            },
            Self::Refused { .. } => match self.errno() {
                Some(libc::EUCLEAN | libc::EBADMSG) => Broken,
                Some(libc::EINVAL) => Invalid,
                _ => Transient,
            },
            Self::Bind { .. } | Self::Attach { .. } | Self::TooLate { .. } => Transient,
        }
    }
}

impl Meaning for UnmountError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Busy { .. } | Self::Refused { .. } | Self::StillThere { .. } => Transient,
            Self::Covered { .. } => Refused,
            Self::Hung(error) => error.disposition(),
            Self::Table(error) => error.disposition(),
        }
    }
}

impl Meaning for MountingError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Occupied { .. } => Refused,
            Self::NotMounted { .. } => Transient,
            Self::Device(error) => error.disposition(),
            Self::Mount(error) => error.disposition(),
            Self::Hung(error) => error.disposition(),
            Self::Table(error) => error.disposition(),
            Self::Sysfs(error) => error.disposition(),
        }
    }
}

impl Meaning for BlockError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::NotBlank { .. } | Self::WitnessMismatch | Self::InUse { .. } => Refused,
            Self::SizeChanged { .. } | Self::Delete { .. } | Self::Flush { .. } | Self::StillThere { .. } => {
                Transient
            }
            Self::NotMade { .. } => Broken,
            Self::Device(error) => error.disposition(),
            Self::Probe(_) => Transient,
            Self::Mkfs(error) => error.disposition(),
            Self::Map(error) => error.disposition(),
            Self::Hung(error) => error.disposition(),
            Self::Sysfs(error) => error.disposition(),
        }
    }
}

impl Meaning for PathError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::OtherKind { .. } | Self::NotEmpty { .. } | Self::HoldsData { .. } => Refused,
            Self::Busy { .. } => Transient,
            Self::Io { .. } => Broken,
            Self::Hung(error) => error.disposition(),
            Self::Table(error) => error.disposition(),
        }
    }
}
