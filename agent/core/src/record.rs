//! What the agent writes down before its first effect, so that any later process can undo it.

use contract::{FsType, IscsiAttachment, PublishContext, VolumeId};
use serde::{Deserialize, Serialize};

use crate::facts::{Facts, MountFact, Query};
use crate::intent::{Stage, Unstage, Usage};
use crate::outcome::Disposition;
use crate::path::HostPath;
use crate::refusal::{Hazard, Refusal};

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

/// The record of a volume that is staged although nothing was written down about it (hazard H06):
/// what the device mounted at the staging path says about itself. To be written before unstaging
/// it, since after the unmount nothing would lead to its disks and sessions any more.
///
/// `None` when no device is mounted there, or when none of its paths answers for its identity.
pub fn reconstruct(unstage: &Unstage, facts: &Facts) -> Option<StageRecord> {
    let map = facts.map.present()?;
    let at_staging = |mount: &&MountFact| mount.mount_point == unstage.staging.as_str();
    facts.mounts.iter().rfind(at_staging).filter(|mount| mount.device == map.number)?;
    let path = facts
        .paths
        .iter()
        .find(|path| path.identity.present().is_some_and(|shown| shown.wwid == map.wwid))?;
    let session = facts.sessions.iter().find(|session| Some(session.sid) == path.sid)?;
    let same_target = facts.sessions.iter().filter(|other| other.target == session.target);
    Some(StageRecord {
        version: RECORD_VERSION,
        volume: unstage.volume.clone(),
        staging: unstage.staging.clone(),
        attachment: PublishContext::Iscsi(IscsiAttachment {
            target: session.target.clone(),
            portals: same_target.map(|session| session.portal).collect(),
            lun: path.hctl.lun,
            identity: path.identity.present()?.clone(),
            size: map.size,
            // Neither is needed for a teardown.
            authenticated: false,
            default_fs: FsType::Ext4,
        }),
        usage: Usage::Filesystem { fs: None, mount_options: Vec::new() },
    })
}

/// What must be known to tell [`is_staged`].
pub fn query(record: &StageRecord) -> Query {
    Query {
        attachment: Some(record.attachment.clone()),
        staging: Some(record.staging.clone()),
        ..Query::default()
    }
}

/// Whether the recorded volume is staged, as far as mount table and maps tell. Neither array nor
/// device is asked: a later call that uses the volume asks them.
pub fn is_staged(record: &StageRecord, facts: &Facts) -> bool {
    let at_staging = |mount: &&MountFact| mount.mount_point == record.staging.as_str();
    let mount = facts.mounts.iter().rfind(at_staging);
    match (&record.attachment, &record.usage) {
        (PublishContext::Nfs(nfs), _) => mount.is_some_and(|mount| nfs.is_source(&mount.source)),
        (PublishContext::Iscsi(_), Usage::Block) => facts.map.present().is_some(),
        (PublishContext::Iscsi(_), Usage::Filesystem { .. }) => {
            facts.map.present().is_some_and(|map| mount.is_some_and(|mount| mount.device == map.number))
        }
    }
}

/// Checks that a volume of which `record` exists may be staged as `stage` asks.
///
/// # Errors
/// [`Disposition::Conflict`] when it is (or may be) staged elsewhere or in another way;
/// [`Disposition::Refused`] (H02) when the same volume id now means another device or export.
pub fn require_compatible(record: &StageRecord, stage: &Stage) -> Result<(), Refusal> {
    let conflict = |what: String| {
        Refusal::refused(Hazard::H13, what, "unstage it there first").with(Disposition::Conflict)
    };
    if record.staging != stage.staging {
        return Err(conflict(format!("volume {} is staged at {}", stage.volume, record.staging)));
    }
    if record.usage != stage.usage {
        return Err(conflict(format!("volume {} is staged as {}", stage.volume, record.usage)));
    }
    let same = match (&record.attachment, &stage.attachment) {
        (PublishContext::Nfs(old), PublishContext::Nfs(new)) => {
            (old.server, &old.export) == (new.server, &new.export)
        }
        (PublishContext::Iscsi(old), PublishContext::Iscsi(new)) => {
            (&old.target, &old.identity) == (&new.target, &new.identity)
        }
        _ => false,
    };
    if same {
        return Ok(());
    }
    Err(Refusal::refused(
        Hazard::H02,
        format!(
            "volume {} was staged from another device or export than it is published with now",
            stage.volume
        ),
        "unstage it first; then see on the array what became of the volume",
    ))
}
