//! CreateVolume: a claim becomes a volume on a pool that has what its class asks for.

use std::collections::{BTreeMap, BTreeSet};

use contract::{FsType, VolumeId};

use super::VolumeError;
use crate::array::{Array, ArrayError, Origin, Protocol, VolumeSpec};
use crate::controller::Controller;
use crate::scheduling::{self, Candidate, Class, Request};
use crate::store::{SourceRecord, UseRecord, VolumePhase, VolumeRecord};

/// A claim, parsed.
#[derive(Debug, Clone)]
pub struct CreateIntent {
    /// As CSI is to name it.
    pub id: VolumeId,
    /// The idempotency key.
    pub name: String,
    /// Least bytes; absent: the backend's default size.
    pub required: Option<u64>,
    /// Most bytes.
    pub limit: Option<u64>,
    /// How it is to be used; not empty.
    pub uses: Vec<UseRecord>,
    /// Filesystem the capabilities name.
    pub filesystem: Option<FsType>,
    /// Class parameters as they came.
    pub parameters: BTreeMap<String, String>,
    /// The same, understood.
    pub class: Class,
    /// What it is to begin as; absent: empty.
    pub source: Option<SourceRecord>,
}

impl Controller {
    /// Creates the volume, or finds it created.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn create_volume(&self, intent: CreateIntent) -> Result<VolumeRecord, VolumeError> {
        if let Some(found) = self.store.find::<VolumeRecord>(intent.id.as_str()).await? {
            return self.resume(found, &intent).await;
        }
        let origin = match &intent.source {
            Some(source) => Some(self.origin(source).await?),
            None => None,
        };
        if let (Some(origin), Some(wanted)) = (&origin, intent.required)
            && wanted < origin.size()
        {
            let (what, has) = (format!("what volume {} is to be a copy of", intent.id), origin.size());
            return Err(VolumeError::Size { what, has, wanted, cure: "ask for as many or more" });
        }
        let mut last = None;
        for candidate in self.candidates(&intent, origin.as_ref()).await? {
            let record = self.place(&intent, &candidate, origin.as_ref()).await?;
            match self.provision(&candidate.array, record).await {
                Err(VolumeError::Array(error @ ArrayError::Full { .. })) => {
                    tracing::info!(pool = candidate.pool, "pool is full, trying the next");
                    last = Some(error.into());
                }
                other => return other,
            }
        }
        Err(last.unwrap_or(VolumeError::Interrupted))
    }

    /// What a volume is to begin as; both must be there completely.
    async fn origin(&self, source: &SourceRecord) -> Result<Origin, VolumeError> {
        match source {
            SourceRecord::Volume(id) => Ok(Origin { volume: self.require_ready(id).await?, snapshot: None }),
            SourceRecord::Snapshot(id) => {
                let found = self.find_snapshot(id).await?;
                let snapshot = found.ok_or_else(|| VolumeError::NoSnapshot(id.clone()))?;
                if snapshot.phase != VolumePhase::Ready {
                    return Err(VolumeError::SnapshotUnsettled(id.clone()));
                }
                let volume = self.require_ready(&snapshot.volume).await?;
                Ok(Origin { volume, snapshot: Some(snapshot) })
            }
        }
    }

    async fn candidates(
        &self,
        intent: &CreateIntent,
        origin: Option<&Origin>,
    ) -> Result<Vec<Candidate>, VolumeError> {
        self.backends.asked().await;
        let mut load = BTreeMap::new();
        for volume in self.store.all::<VolumeRecord>().await? {
            *load.entry((volume.backend, volume.pool)).or_default() += 1;
        }
        let request = Request {
            class: &intent.class,
            uses: &intent.uses,
            required: intent.required,
            limit: intent.limit,
            origin,
        };
        Ok(scheduling::candidates(&request, &self.backends.all(), &load)?)
    }

    /// Records the decision: from here on a retry goes on with the same pool.
    async fn place(
        &self,
        intent: &CreateIntent,
        candidate: &Candidate,
        origin: Option<&Origin>,
    ) -> Result<VolumeRecord, VolumeError> {
        let _settled = self.backends.settled().await;
        let backend = self.backends.require(&candidate.backend.name)?;
        let array = &candidate.array;
        let record = VolumeRecord {
            id: intent.id.clone(),
            name: intent.name.clone(),
            phase: VolumePhase::Creating,
            backend: backend.name.clone(),
            pool: candidate.pool.clone(),
            internal_name: array.internal_name(&backend.config.prefix, &intent.name),
            array_id: None,
            size: candidate.size,
            parameters: intent.parameters.clone(),
            uses: intent.uses.clone(),
            filesystem: filesystem(intent, array, origin)?,
            source: intent.source.clone(),
        };
        self.store.put(&record).await?;
        Ok(record)
    }

    async fn resume(&self, found: VolumeRecord, intent: &CreateIntent) -> Result<VolumeRecord, VolumeError> {
        if let Some(difference) = difference(&found, intent) {
            return Err(VolumeError::Exists { volume: found.id, difference });
        }
        match found.phase {
            VolumePhase::Ready => Ok(found),
            VolumePhase::Deleting => Err(VolumeError::Deleting(found.id)),
            VolumePhase::Creating => {
                let array = self.backends.require(&found.backend)?.require_online().await?;
                self.provision(&array, found).await
            }
        }
    }

    async fn provision(&self, array: &Array, mut record: VolumeRecord) -> Result<VolumeRecord, VolumeError> {
        let spec = VolumeSpec {
            id: record.id.clone(),
            internal_name: record.internal_name.clone(),
            pool: record.pool.clone(),
            size: record.size,
            filesystem: record.filesystem,
        };
        let made = match &record.source {
            None => array.ensure_volume(&spec).await,
            Some(source) => match self.origin(source).await {
                Ok(origin) => array.ensure_copy(&spec, &origin).await,
                Err(gone @ (VolumeError::NotFound(_) | VolumeError::NoSnapshot(_))) => {
                    self.abandon(array, &record, false).await?;
                    return Err(gone);
                }
                Err(other) => return Err(other),
            },
        };
        match made {
            Ok(made) => {
                record.array_id = Some(made.array_id);
                record.size = made.size;
                record.phase = VolumePhase::Ready;
                self.store.put(&record).await?;
                tracing::info!(volume = %record.id, backend = record.backend, pool = record.pool, "volume created");
                Ok(record)
            }
            Err(error) => {
                if error.is_final() {
                    let foreign = matches!(error, ArrayError::Foreign { .. });
                    self.abandon(array, &record, foreign).await?;
                }
                Err(error.into())
            }
        }
    }

    /// After a final refusal the orchestrator will not ask for a deletion: leave nothing behind. An
    /// array that cannot be asked now keeps the record, and the next attempt goes on from it.
    async fn abandon(&self, array: &Array, record: &VolumeRecord, foreign: bool) -> Result<(), VolumeError> {
        if !foreign && let Err(error) = array.ensure_no_volume(record).await {
            tracing::warn!(volume = %record.id, error = %telemetry::chain(&error), "half-made volume not removed yet");
            return Ok(());
        }
        Ok(self.store.remove::<VolumeRecord>(record.id.as_str()).await?)
    }
}

/// The filesystem a node will make: the claim's, the class's, the backend's. A copy has that of what
/// it is a copy of, and cannot be asked for with another.
fn filesystem(
    intent: &CreateIntent,
    array: &Array,
    origin: Option<&Origin>,
) -> Result<Option<FsType>, VolumeError> {
    let raw = intent.uses.iter().any(|r#use| r#use.block);
    if raw || array.protocol() == Protocol::File {
        return Ok(None);
    }
    let asked = intent.filesystem.or(intent.class.filesystem);
    let Some(origin) = origin else { return Ok(Some(asked.unwrap_or_else(|| array.default_filesystem()))) };
    let why = match (origin.volume.filesystem, asked) {
        (Some(has), Some(asked)) if has != asked => format!("what it is to be a copy of has {has}"),
        (None, _) => "what it is to be a copy of is a raw device".to_owned(),
        (has, _) => return Ok(has),
    };
    let wanted = asked.map_or_else(|| "a filesystem".to_owned(), |asked| asked.to_string());
    Err(VolumeError::Unusable { volume: intent.id.clone(), wanted, why })
}

/// In what the volume is not what is asked for (CSI, CreateVolume: ALREADY_EXISTS).
fn difference(found: &VolumeRecord, intent: &CreateIntent) -> Option<String> {
    let uses = |uses: &[UseRecord]| uses.iter().cloned().collect::<BTreeSet<_>>();
    if intent.required.is_some_and(|required| found.size < required)
        || intent.limit.is_some_and(|limit| found.size > limit)
    {
        return Some(format!("size: it has {} bytes", found.size));
    }
    if found.name != intent.name {
        return Some(format!("name: it is {}", found.name));
    }
    if found.parameters != intent.parameters {
        return Some("parameters".to_owned());
    }
    if found.source != intent.source {
        return Some("source".to_owned());
    }
    if uses(&found.uses) != uses(&intent.uses) {
        return Some("capabilities".to_owned());
    }
    let asked = intent.filesystem.or(intent.class.filesystem);
    match (found.filesystem, asked) {
        (Some(found), Some(asked)) if found != asked => Some(format!("filesystem: it is {found}")),
        _ => None,
    }
}
