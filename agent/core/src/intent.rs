//! What the orchestrator wants of one volume on this node.
//!
//! Built by the agent's CSI front from a parsed request; read by [`crate::plan`].

use contract::{FsType, PublishContext, VolumeId};
use serde::{Deserialize, Serialize};

use crate::path::HostPath;

/// One wish about one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// NodeStageVolume: attach, and mount at the staging path (filesystem volumes).
    Stage(Stage),
    /// NodeUnstageVolume: nothing of the volume is left on this node.
    Unstage(Unstage),
    /// NodePublishVolume: the staged volume appears at the target path.
    Publish(Publish),
    /// NodeUnpublishVolume: the target path is gone.
    Unpublish(Unpublish),
}

impl Intent {
    /// The volume concerned.
    pub fn volume(&self) -> &VolumeId {
        match self {
            Self::Stage(stage) => &stage.volume,
            Self::Unstage(unstage) => &unstage.volume,
            Self::Publish(publish) => &publish.volume,
            Self::Unpublish(unpublish) => &unpublish.volume,
        }
    }

    /// One word for logs and metrics.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Stage(_) => "stage",
            Self::Unstage(_) => "unstage",
            Self::Publish(_) => "publish",
            Self::Unpublish(_) => "unpublish",
        }
    }
}

impl core::fmt::Display for Intent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {}", self.verb(), self.volume())?;
        match self {
            Self::Stage(stage) => write!(f, " at {} as {}", stage.staging, stage.usage),
            Self::Unstage(unstage) => write!(f, " from {}", unstage.staging),
            Self::Publish(publish) => {
                let access = if publish.read_only { "read-only" } else { "read-write" };
                write!(f, " from {} at {} as {}, {access}", publish.staging, publish.target, publish.usage)
            }
            Self::Unpublish(unpublish) => write!(f, " from {}", unpublish.target),
        }
    }
}

/// See [`Intent::Stage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The volume.
    pub volume: VolumeId,
    /// How the controller says it is reached.
    pub attachment: PublishContext,
    /// Where a filesystem is mounted once for this node; for raw block, the orchestrator's
    /// directory, left empty.
    pub staging: HostPath,
    /// Filesystem or raw block.
    pub usage: Usage,
}

/// See [`Intent::Unstage`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstage {
    /// The volume.
    pub volume: VolumeId,
    /// Where it was staged.
    pub staging: HostPath,
}

/// See [`Intent::Publish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The volume.
    pub volume: VolumeId,
    /// How it is reached, where the request repeats it; otherwise the record of its stage says.
    pub attachment: Option<PublishContext>,
    /// Where it is staged.
    pub staging: HostPath,
    /// Where it shall appear.
    pub target: HostPath,
    /// Filesystem or raw block.
    pub usage: Usage,
    /// Only reads through this target.
    pub read_only: bool,
}

/// See [`Intent::Unpublish`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpublish {
    /// The volume.
    pub volume: VolumeId,
    /// Where it appeared.
    pub target: HostPath,
}

/// How a volume is used (CSI VolumeCapability.access_type).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "lowercase")]
pub enum Usage {
    /// Mounted.
    Filesystem {
        /// The claim's own choice; without it the backend's default decides. Meaningless for NFS.
        fs: Option<FsType>,
        /// The claim's mount options, in order; they come after the backend's.
        mount_options: Vec<String>,
    },
    /// A device node.
    Block,
}

impl core::fmt::Display for Usage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Filesystem { fs, mount_options } => {
                f.write_str(fs.map_or("filesystem", FsType::as_str))?;
                if mount_options.is_empty() {
                    return Ok(());
                }
                write!(f, " ({})", mount_options.join(","))
            }
            Self::Block => f.write_str("block"),
        }
    }
}
