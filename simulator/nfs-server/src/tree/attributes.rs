//! Attributes of an inode, and the wish to change them.

use std::time::{Duration, SystemTime};

use crate::tree::InodeNumber;

/// A point in time as NFS v3 carries it (RFC 1813 §2.6 nfstime3): seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Timestamp {
    pub(crate) seconds: u32,
    pub(crate) nanoseconds: u32,
}

impl Timestamp {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            seconds: u32::try_from(since.as_secs()).unwrap_or(u32::MAX),
            nanoseconds: since.subsec_nanos(),
        }
    }

    /// The next nanosecond.
    pub(crate) fn successor(self) -> Self {
        if self.nanoseconds < 999_999_999 {
            Self { nanoseconds: self.nanoseconds + 1, ..self }
        } else {
            Self { seconds: self.seconds.saturating_add(1), nanoseconds: 0 }
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        Self::UNIX_EPOCH + Duration::new(time.seconds.into(), time.nanoseconds)
    }
}

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Regular,
    Directory,
    BlockDevice,
    CharacterDevice,
    Symlink,
    Socket,
    Fifo,
}

/// What GETATTR tells of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) kind: FileKind,
    /// Permission bits, at most 0o7777.
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// Bytes of storage taken.
    pub(crate) used: u64,
    /// Major and minor number of a device, else zeros.
    pub(crate) device: (u32, u32),
    pub(crate) fsid: u64,
    pub(crate) inode: InodeNumber,
    pub(crate) accessed: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) changed: Timestamp,
}

/// How to set a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum SetTime {
    #[default]
    Keep,
    ToServerTime,
    To(Timestamp),
}

/// Attributes to set; what is `None` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SetAttributes {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) accessed: SetTime,
    pub(crate) modified: SetTime,
}
