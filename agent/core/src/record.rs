//! What the agent writes down before its first effect, so that any later process can undo it.

use contract::{PublishContext, VolumeId};
use serde::{Deserialize, Serialize};

use crate::intent::{Stage, Usage};
use crate::path::HostPath;

/// Version of the record this build writes and reads.
pub const RECORD_VERSION: u32 = 1;

/// One staged, or perhaps half staged, volume. Holds no secret: credentials are fetched again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// The volume.
    pub volume: VolumeId,
    /// Where it is staged.
    pub staging: HostPath,
    /// How it is reached: target, portals, LUN number, identity; or server and export.
    pub attachment: PublishContext,
    /// Filesystem or raw block.
    pub usage: Usage,
}

impl StageRecord {
    /// What to write before staging.
    pub fn of(stage: &Stage) -> Self {
        Self {
            version: RECORD_VERSION,
            volume: stage.volume.clone(),
            staging: stage.staging.clone(),
            attachment: stage.attachment.clone(),
            usage: stage.usage.clone(),
        }
    }
}
