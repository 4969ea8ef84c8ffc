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
    #[error("a snapshot cannot be changed")]
    ReadOnly,
    #[error("the quota of the qtree is used up")]
    QuotaExceeded,
    #[error("the names lie in different qtrees")]
    CrossDevice,
}

/// Why an administrator's change of a tree was refused.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// A size smaller than what is held. Nothing changed.
    #[error("{wanted} bytes are less than the {used} bytes in use")]
    BelowUsed {
        /// The size asked for, in bytes.
        wanted: u64,
        /// What is held, in bytes, snapshots beyond their reserve included.
        used: u64,
    },
    /// The name, or the id, is taken.
    #[error("{0:?} exists already")]
    Exists(String),
    /// No snapshot has this name.
    #[error("there is no snapshot {0:?}")]
    NoSnapshot(String),
    /// No qtree has this name.
    #[error("there is no qtree {0:?}")]
    NoQtree(String),
    /// A name that no entry of a directory can have.
    #[error("{0:?} cannot be a name: at most 255 bytes, no slash, neither . nor ..")]
    BadName(String),
    /// Bytes that make no replica here.
    #[error("the replica cannot be taken: {0}")]
    Replica(&'static str),
    /// More snapshots than a volume may have, or ids used up.
    #[error("the tree can have no more snapshots")]
    TooManySnapshots,
    /// The tree itself refused.
    #[error("the tree refuses")]
    Tree(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The change could not be made durable.
    #[error("the change is not on disk")]
    Store(#[from] crate::tree::StoreError),
}

impl From<TreeError> for AdminError {
    fn from(error: TreeError) -> Self {
        Self::Tree(Box::new(error))
    }
}
