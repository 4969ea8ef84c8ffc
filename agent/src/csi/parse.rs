//! From protocol fields to intents: the only reader of CSI requests.

use agent_core::intent::{Publish, Stage, Unpublish, Unstage, Usage};
use agent_core::path::{HostPath, HostPathError};
use contract::{FsType, NameError, PublishContext, PublishContextError};
use csi_proto::v1::volume_capability::access_mode::Mode;
use csi_proto::v1::volume_capability::{AccessType, MountVolume};
use csi_proto::v1::{
    NodePublishVolumeRequest, NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest,
    VolumeCapability,
};

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum ParseError {
    /// A field that CSI marks REQUIRED is empty.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Not a volume id of ours.
    #[error("`volume_id` cannot be used")]
    VolumeId(#[source] NameError),
    /// Not a path we work with.
    #[error("`{field}` cannot be used")]
    Path {
        /// Which field.
        field: &'static str,
        /// Why.
        #[source]
        source: HostPathError,
    },
    /// A filesystem we do not make.
    #[error("`volume_capability.mount.fs_type` cannot be used")]
    FsType(#[source] NameError),
    /// A mount flag that is no single option.
    #[error(
        "`volume_capability.mount.mount_flags` holds `{0}`: one option a flag, without commas, spaces or NUL"
    )]
    MountFlag(String),
    /// An access mode this kind of volume cannot have.
    #[error("`volume_capability.access_mode` {mode} cannot be used with {usage}: {why}")]
    AccessMode {
        /// Which mode.
        mode: &'static str,
        /// What for.
        usage: &'static str,
        /// Why.
        why: &'static str,
    },
    /// The publish context is not our controller's.
    #[error("`publish_context` cannot be used")]
    PublishContext(#[source] PublishContextError),
}

pub(super) fn stage(request: NodeStageVolumeRequest) -> Result<Stage, ParseError> {
    let volume = volume_id(&request.volume_id)?;
    let staging = path("staging_target_path", request.staging_target_path)?;
    let capability = capability(request.volume_capability)?;
    if request.publish_context.is_empty() {
        return Err(ParseError::Missing("publish_context"));
    }
    let attachment = PublishContext::decode(&request.publish_context).map_err(ParseError::PublishContext)?;
    require_mode(&attachment, &capability)?;
    Ok(Stage { volume, attachment, staging, usage: staged(capability) })
}

pub(super) fn unstage(request: NodeUnstageVolumeRequest) -> Result<Unstage, ParseError> {
    Ok(Unstage {
        volume: volume_id(&request.volume_id)?,
        staging: path("staging_target_path", request.staging_target_path)?,
    })
}

pub(super) fn publish(request: NodePublishVolumeRequest) -> Result<Publish, ParseError> {
    let volume = volume_id(&request.volume_id)?;
    let target = path("target_path", request.target_path)?;
    let staging = path("staging_target_path", request.staging_target_path)?;
    let capability = capability(request.volume_capability)?;
    let attachment = match request.publish_context.is_empty() {
        true => None,
        false => Some(PublishContext::decode(&request.publish_context).map_err(ParseError::PublishContext)?),
    };
    let read_only = request.readonly || is_reader(capability.mode);
    Ok(Publish { volume, attachment, staging, target, usage: capability.usage, read_only })
}

pub(super) fn unpublish(request: NodeUnpublishVolumeRequest) -> Result<Unpublish, ParseError> {
    Ok(Unpublish {
        volume: volume_id(&request.volume_id)?,
        target: path("target_path", request.target_path)?,
    })
}

fn volume_id(value: &str) -> Result<contract::VolumeId, ParseError> {
    if value.is_empty() {
        return Err(ParseError::Missing("volume_id"));
    }
    value.parse().map_err(ParseError::VolumeId)
}

/// A trailing slash is the one other spelling orchestrators use.
fn path(field: &'static str, mut value: String) -> Result<HostPath, ParseError> {
    if value.is_empty() {
        return Err(ParseError::Missing(field));
    }
    if value.len() > 1 && value.ends_with('/') {
        value.pop();
    }
    HostPath::try_from(value).map_err(|source| ParseError::Path { field, source })
}

struct Capability {
    usage: Usage,
    mode: Mode,
}

fn capability(value: Option<VolumeCapability>) -> Result<Capability, ParseError> {
    let capability = value.ok_or(ParseError::Missing("volume_capability"))?;
    let mode = capability.access_mode.map_or(Mode::Unknown, |mode| mode.mode());
    if mode == Mode::Unknown {
        return Err(ParseError::Missing("volume_capability.access_mode"));
    }
    let usage = match capability.access_type {
        None => return Err(ParseError::Missing("volume_capability.access_type")),
        Some(AccessType::Block(_)) => Usage::Block,
        Some(AccessType::Mount(mount)) => filesystem(mount)?,
    };
    Ok(Capability { usage, mode })
}

fn filesystem(mount: MountVolume) -> Result<Usage, ParseError> {
    let fs = match mount.fs_type.as_str() {
        "" | "nfs" | "nfs4" => None,
        name => Some(name.parse::<FsType>().map_err(ParseError::FsType)?),
    };
    let single = |flag: &String| {
        !flag.is_empty() && !flag.contains(|c: char| c == ',' || c == '\0' || c.is_whitespace())
    };
    match mount.mount_flags.iter().find(|flag| !single(flag)) {
        Some(flag) => Err(ParseError::MountFlag(flag.clone())),
        None => Ok(Usage::Filesystem { fs, mount_options: mount.mount_flags }),
    }
}

fn is_reader(mode: Mode) -> bool {
    matches!(mode, Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly)
}

/// A filesystem on a LUN that two nodes write to is destroyed; raw block and NFS may be shared.
fn require_mode(attachment: &PublishContext, capability: &Capability) -> Result<(), ParseError> {
    let shared_writing = matches!(capability.mode, Mode::MultiNodeSingleWriter | Mode::MultiNodeMultiWriter);
    match (attachment, &capability.usage) {
        (PublishContext::Iscsi(_), Usage::Filesystem { .. }) if shared_writing => {
            Err(ParseError::AccessMode {
                mode: capability.mode.as_str_name(),
                usage: "a filesystem on a LUN",
                why: "two nodes writing to one ext4 or XFS destroy it; use raw block, or a file volume",
            })
        }
        _ => Ok(()),
    }
}

/// A volume that is only read is mounted read-only at stage already: a second node may have it.
fn staged(capability: Capability) -> Usage {
    let reader = is_reader(capability.mode);
    match capability.usage {
        Usage::Filesystem { fs, mut mount_options } if reader => {
            mount_options.push("ro".to_owned());
            Usage::Filesystem { fs, mount_options }
        }
        usage => usage,
    }
}
