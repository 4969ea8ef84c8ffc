//! Why a tree operation fails.

/// Why a tree operation fails; each has its errno and its NFS status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TreeError {
    #[error("the inode is gone")]
    Stale,
    #[error("no such entry")]
    NotFound,
    #[error("the mode bits forbid it")]
    AccessDenied,
    #[error("only the owner may do that")]
    NotPermitted,
    #[error("the name is taken")]
    Exists,
    #[error("not a directory")]
    NotADirectory,
    #[error("a directory")]
    IsADirectory,
    #[error("the directory is not empty")]
    NotEmpty,
    #[error("the argument makes no sense for this inode")]
    Invalid,
    #[error("beyond the largest file size")]
    FileTooLarge,
    #[error("the tree is full")]
    NoSpace,
    #[error("the name exceeds 255 bytes")]
    NameTooLong,
    #[error("the inode has too many links")]
    TooManyLinks,
    #[error("the inode changed since the caller looked")]
    Changed,
}
