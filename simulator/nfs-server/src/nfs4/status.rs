//! `nfsstat4` (RFC 8881 §15.1, RFC 7530 §13.1, RFC 7862 §11.1): why an operation fails.

use crate::tree::TreeError;
use crate::xdr::XdrError;

/// `nfsstat4`, as far as this server has reason for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("NFS v4 status {self:?}")]
#[repr(u32)]
pub(crate) enum Status {
    Ok = 0,
    Perm = 1,
    NoEnt = 2,
    NxIo = 6,
    Access = 13,
    Exist = 17,
    CrossDevice = 18,
    NotDir = 20,
    IsDir = 21,
    Invalid = 22,
    FileTooBig = 27,
    NoSpace = 28,
    ReadOnly = 30,
    TooManyLinks = 31,
    NameTooLong = 63,
    NotEmpty = 66,
    QuotaExceeded = 69,
    Stale = 70,
    BadHandle = 10001,
    BadCookie = 10003,
    NotSupported = 10004,
    TooSmall = 10005,
    BadType = 10007,
    Delay = 10008,
    Same = 10009,
    Denied = 10010,
    Expired = 10011,
    Locked = 10012,
    Grace = 10013,
    ShareDenied = 10015,
    ClientInUse = 10017,
    Resource = 10018,
    NoFileHandle = 10020,
    MinorVersionMismatch = 10021,
    StaleClient = 10022,
    StaleStateId = 10023,
    OldStateId = 10024,
    BadStateId = 10025,
    BadSequenceId = 10026,
    NotSame = 10027,
    Symlink = 10029,
    RestoreFh = 10030,
    AttributeNotSupported = 10032,
    NoGrace = 10033,
    ReclaimBad = 10034,
    ReclaimConflict = 10035,
    BadXdr = 10036,
    LocksHeld = 10037,
    OpenMode = 10038,
    BadOwner = 10039,
    BadName = 10041,
    IllegalOperation = 10044,
    FileOpen = 10046,
    BadSession = 10052,
    BadSlot = 10053,
    CompleteAlready = 10054,
    Misordered = 10063,
    SequencePosition = 10064,
    ReplyTooBig = 10066,
    ReplyTooBigToCache = 10067,
    RetryUncachedReply = 10068,
    TooManyOperations = 10070,
    NotInSession = 10071,
    ClientBusy = 10074,
    FalseRetry = 10076,
    BadHighSlot = 10077,
    NotOnlyOperation = 10081,
    WrongType = 10083,
}

impl From<TreeError> for Status {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Stale => Self::Stale,
            TreeError::NotFound => Self::NoEnt,
            TreeError::AccessDenied => Self::Access,
            TreeError::NotPermitted => Self::Perm,
            TreeError::Exists => Self::Exist,
            TreeError::NotADirectory => Self::NotDir,
            TreeError::IsADirectory => Self::IsDir,
            TreeError::NotEmpty => Self::NotEmpty,
            TreeError::Invalid => Self::Invalid,
            TreeError::FileTooLarge => Self::FileTooBig,
            TreeError::NoSpace => Self::NoSpace,
            TreeError::NameTooLong => Self::NameTooLong,
            TreeError::TooManyLinks => Self::TooManyLinks,
            TreeError::Changed => Self::NotSame,
            TreeError::ReadOnly => Self::ReadOnly,
            TreeError::QuotaExceeded => Self::QuotaExceeded,
            TreeError::CrossDevice => Self::CrossDevice,
        }
    }
}

impl From<XdrError> for Status {
    fn from(_: XdrError) -> Self {
        Self::BadXdr
    }
}
