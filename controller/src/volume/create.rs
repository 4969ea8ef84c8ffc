//! CreateVolume: a claim becomes a volume on a pool that has what its class asks for.

use std::collections::{BTreeMap, BTreeSet};

use contract::{FsType, VolumeId};

use super::VolumeError;
use crate::array::{Array, ArrayError, Protocol, VolumeSpec};
use crate::controller::Controller;
use crate::scheduling::{self, Candidate, Class, Request};
use crate::store::{UseRecord, VolumePhase, VolumeRecord};

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
        let mut last = None;
        for candidate in self.candidates(&intent).await? {
            let record = self.place(&intent, &candidate).await?;
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

    async fn candidates(&self, intent: &CreateIntent) -> Result<Vec<Candidate>, VolumeError> {
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
        };
        Ok(scheduling::candidates(&request, &self.backends.all(), &load)?)
    }

    /// Records the decision: from here on a retry goes on with the same pool.
    async fn place(&self, intent: &CreateIntent, candidate: &Candidate) -> Result<VolumeRecord, VolumeError> {
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
            filesystem: filesystem(intent, array),
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
        match array.ensure_volume(&spec).await {
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
                    self.abandon(array, &record, &error).await?;
                }
                Err(error.into())
            }
        }
    }

    /// After a final refusal the orchestrator will not ask for a deletion: leave nothing behind. An
    /// array that cannot be asked now keeps the record, and the next attempt goes on from it.
    async fn abandon(
        &self,
        array: &Array,
        record: &VolumeRecord,
        reason: &ArrayError,
    ) -> Result<(), VolumeError> {
        let foreign = matches!(reason, ArrayError::Foreign { .. });
        if !foreign && let Err(error) = array.ensure_no_volume(record).await {
            tracing::warn!(volume = %record.id, error = %telemetry::chain(&error), "half-made volume not removed yet");
            return Ok(());
        }
        Ok(self.store.remove::<VolumeRecord>(record.id.as_str()).await?)
    }
}

/// The filesystem a node will make: the claim's, the class's, the backend's.
fn filesystem(intent: &CreateIntent, array: &Array) -> Option<FsType> {
    let raw = intent.uses.iter().any(|r#use| r#use.block);
    if raw || array.protocol() == Protocol::File {
        return None;
    }
    Some(intent.filesystem.or(intent.class.filesystem).unwrap_or_else(|| array.default_filesystem()))
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
    if uses(&found.uses) != uses(&intent.uses) {
        return Some("capabilities".to_owned());
    }
    let asked = intent.filesystem.or(intent.class.filesystem);
    match (found.filesystem, asked) {
        (Some(found), Some(asked)) if found != asked => Some(format!("filesystem: it is {found}")),
        _ => None,
    }
}
