//! Clones and copies of volumes, and the jobs that made them. A copy shares its blocks with what it
//! was made of: the job is over before its handle is told.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::account::require_small;
use super::limits::ASYNC_RESULTS_KEPT;
use super::machine::{State, grown};
use super::volume::require_name;
use super::{
    Access, AccountId, ApiError, AsyncHandle, CloneId, DataPlaneChange, LogicalBlock, QosChoice, Reply,
    SnapshotId, Source, Volume, VolumeId, VolumeNames,
};

/// Parameters of `CloneVolume`; what is absent is as with the original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewClone {
    /// The original.
    pub volume: VolumeId,
    /// The snapshot of it that is cloned; its present content when there is none.
    pub snapshot: Option<SnapshotId>,
    /// Name of the clone.
    pub name: String,
    /// Owner.
    pub account: Option<AccountId>,
    /// Bytes, not below the original's.
    pub size: Option<i64>,
    /// What initiators may do.
    pub access: Option<Access>,
    /// What initiators address.
    pub block: Option<LogicalBlock>,
    /// Rates over the original's.
    pub qos: QosChoice,
    /// The client's own notes.
    pub attributes: Option<Map<String, Value>>,
}

/// What a client may ask about copies and jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyRequest {
    /// `CloneVolume`.
    Clone(NewClone),
    /// `CopyVolume`: one volume's content becomes another's.
    Copy {
        /// From where.
        from: VolumeId,
        /// Of a snapshot of it.
        snapshot: Option<SnapshotId>,
        /// The volume that is overwritten.
        to: VolumeId,
    },
    /// `GetAsyncResult`; told once, unless it is to be kept.
    Result {
        /// The job.
        handle: AsyncHandle,
        /// Whether it can be asked again.
        keep: bool,
    },
    /// `ListAsyncResults`.
    Results,
}

records::untagged!(Job);

/// What a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// It made a volume.
    Clone,
    /// It overwrote one.
    Copy,
}

impl JobKind {
    /// As `resultType` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clone => "Clone",
            Self::Copy => "Copy",
        }
    }
}

/// A job that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its handle.
    pub handle: AsyncHandle,
    /// The clone's number.
    pub clone: CloneId,
    /// What was made or overwritten.
    pub volume: VolumeId,
    /// What it did.
    pub kind: JobKind,
    /// When it ran.
    pub at: Timestamp,
}

impl State {
    pub(super) fn copies(
        &mut self,
        request: CopyRequest,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Reply, ApiError> {
        match request {
            CopyRequest::Clone(new) => {
                let volume = self.clone_volume(new, now, changes)?;
                let job = self.finish_job(JobKind::Clone, volume.id, now);
                Ok(Reply::Cloned(volume, job))
            }
            CopyRequest::Copy { from, snapshot, to } => {
                let (source, size) = self.require_source(from, snapshot)?;
                if self.require_active(to)?.size < size {
                    let reason = format!("volume {to} is smaller than what is copied, {size} bytes");
                    return Err(ApiError::InvalidParameter { reason });
                }
                self.fill(to, source, changes);
                Ok(Reply::Copied(self.finish_job(JobKind::Copy, to, now)))
            }
            CopyRequest::Result { handle, keep } => {
                let job = self.jobs.get(&handle).cloned().ok_or(ApiError::NoSuchJob(handle))?;
                if !keep {
                    self.jobs.remove(&handle);
                }
                Ok(Reply::Job(job))
            }
            CopyRequest::Results => Ok(Reply::Jobs(self.jobs.values().cloned().collect())),
        }
    }

    /// What a copy begins with, and how many bytes that are.
    fn require_source(
        &self,
        volume: VolumeId,
        snapshot: Option<SnapshotId>,
    ) -> Result<(Source, u64), ApiError> {
        match snapshot {
            Some(snapshot) => self
                .require_snapshot_of(volume, snapshot)
                .map(|snapshot| (Source::Snapshot(snapshot.kept()), snapshot.size)),
            None => self.require_active(volume).map(|volume| (Source::Content(volume.content), volume.size)),
        }
    }

    fn clone_volume(
        &mut self,
        new: NewClone,
        now: Timestamp,
        changes: &mut Vec<DataPlaneChange>,
    ) -> Result<Volume, ApiError> {
        require_name(&new.name)?;
        let (source, least) = self.require_source(new.volume, new.snapshot)?;
        let original = self.require_active(new.volume)?.clone();
        let attributes = new.attributes.unwrap_or(original.attributes);
        require_small(&attributes)?;
        let (qos, policy) = self.rates((original.qos, original.policy), new.qos)?;
        let account = self.require_account(new.account.unwrap_or(original.account))?.id;
        let size = new.size.map_or(Ok(least), |bytes| grown(least, bytes))?;
        self.require_room()?;
        self.require_room_in(account)?;
        let last = self.last.edit();
        let (id, content) = (last.volume.advance(), last.content.advance());
        let volume = Volume {
            id,
            uuid: self.mint.edit().uuid(),
            consistency_group: self.mint.edit().uuid(),
            names: VolumeNames::of(self.identity().unique_id, &new.name, id),
            name: new.name,
            account,
            created_at: now,
            access: new.access.unwrap_or(original.access),
            block: new.block.unwrap_or(original.block),
            size,
            content,
            qos,
            policy,
            attributes,
            groups: Vec::new(),
            open_to: BTreeSet::new(),
            deletion: None,
        };
        self.volumes.insert(id, volume.clone());
        changes.push(DataPlaneChange::Hold { volume: id, content, source });
        changes.extend(self.publication(id));
        Ok(volume)
    }

    /// The volume's content becomes what the source holds now; initiators see it with their next
    /// command.
    pub(super) fn fill(&mut self, volume: VolumeId, source: Source, changes: &mut Vec<DataPlaneChange>) {
        let content = self.last.edit().content.advance();
        let Some(mut filled) = self.volumes.get_mut(&volume) else { return };
        let before = std::mem::replace(&mut filled.content, content);
        drop(filled);
        changes.push(DataPlaneChange::Hold { volume, content, source });
        changes.extend(self.publication(volume));
        changes.push(DataPlaneChange::Discard(before));
    }

    fn finish_job(&mut self, kind: JobKind, volume: VolumeId, at: Timestamp) -> Job {
        let last = self.last.edit();
        let (handle, clone) = (last.job.advance(), last.clone.advance());
        let job = Job { handle, clone, volume, kind, at };
        self.jobs.insert(handle, job.clone());
        // Most clients look at the volume instead and never ask for the result.
        let excess = self.jobs.len().saturating_sub(ASYNC_RESULTS_KEPT);
        let oldest: Vec<_> = self.jobs.keys().take(excess).copied().collect();
        for handle in oldest {
            self.jobs.remove(&handle);
        }
        job
    }
}
