//! CreateSnapshot and DeleteSnapshot. A snapshot lives in its volume, so both run alone on the volume;
//! its name is one for all volumes, so both hold that too.

use contract::{SnapshotId, VolumeId};

use super::VolumeError;
use crate::array::{Array, ArrayError, SnapshotSpec};
use crate::controller::Controller;
use crate::store::{SnapshotRecord, StoreError, VolumePhase, VolumeRecord};

/// A volume is to be kept as it is now.
#[derive(Debug, Clone)]
pub struct SnapshotIntent {
    /// As CSI is to name the snapshot.
    pub id: SnapshotId,
    /// The idempotency key.
    pub name: String,
    /// The volume.
    pub volume: VolumeId,
}

impl Controller {
    /// Takes the snapshot, or finds it taken.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn create_snapshot(&self, intent: SnapshotIntent) -> Result<SnapshotRecord, VolumeError> {
        let _alone = self.alone_with(&intent.id).await;
        let found = self.store.find::<SnapshotRecord>(intent.id.as_str()).await?;
        if let Some(found) = &found {
            if found.volume != intent.volume || found.name != intent.name {
                let (snapshot, volume) = (intent.id, found.volume.clone());
                return Err(VolumeError::SnapshotOfOther { snapshot, volume });
            }
            match found.phase {
                VolumePhase::Ready => return Ok(found.clone()),
                VolumePhase::Deleting => return Err(VolumeError::SnapshotUnsettled(intent.id)),
                VolumePhase::Creating => {}
            }
        }
        let volume = self.require_ready(&intent.volume).await?;
        let record = match found {
            Some(found) => found,
            None => {
                let record = SnapshotRecord {
                    id: intent.id,
                    internal_name: Array::snapshot_name(&intent.name),
                    name: intent.name,
                    phase: VolumePhase::Creating,
                    volume: intent.volume,
                    array_id: None,
                    size: volume.size,
                    taken: None,
                };
                self.store.put(&record).await?;
                record
            }
        };
        self.take(&volume, record).await
    }

    async fn take(
        &self,
        volume: &VolumeRecord,
        mut record: SnapshotRecord,
    ) -> Result<SnapshotRecord, VolumeError> {
        let array = self.backends.require(&volume.backend)?.require_online().await?;
        let spec = SnapshotSpec { id: record.id.clone(), internal_name: record.internal_name.clone() };
        match array.ensure_snapshot(volume, &spec).await {
            Ok(taken) => {
                record.array_id = Some(taken.array_id);
                record.taken = Some(taken.at);
                record.phase = VolumePhase::Ready;
                self.store.put(&record).await?;
                tracing::info!(snapshot = %record.id, volume = %volume.id, "snapshot taken");
                Ok(record)
            }
            Err(error) => {
                if error.is_final() {
                    self.abandon_snapshot(&array, volume, &record, &error).await?;
                }
                Err(error.into())
            }
        }
    }

    /// After a final refusal the orchestrator will not ask for a deletion: leave nothing behind.
    async fn abandon_snapshot(
        &self,
        array: &Array,
        volume: &VolumeRecord,
        record: &SnapshotRecord,
        reason: &ArrayError,
    ) -> Result<(), VolumeError> {
        let foreign = matches!(reason, ArrayError::Foreign { .. });
        if !foreign && let Err(error) = array.ensure_no_snapshot(volume, record).await {
            tracing::warn!(snapshot = %record.id, error = %telemetry::chain(&error), "half-made snapshot not removed yet");
            return Ok(());
        }
        Ok(self.store.remove::<SnapshotRecord>(record.id.as_str()).await?)
    }

    /// Deletes the snapshot, or finds it gone. Called alone on its volume, which
    /// [`Self::find_snapshot`] has told.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn delete_snapshot(&self, id: SnapshotId) -> Result<(), VolumeError> {
        let _alone = self.alone_with(&id).await;
        let Some(mut snapshot) = self.find_snapshot(&id).await? else { return Ok(()) };
        // The volume's record stays as long as it has snapshots.
        let volume = self.store.find::<VolumeRecord>(snapshot.volume.as_str()).await?;
        if let Some(volume) = volume {
            snapshot.phase = VolumePhase::Deleting;
            self.store.put(&snapshot).await?;
            let array = self.backends.require(&volume.backend)?.require_online().await?;
            array.ensure_no_snapshot(&volume, &snapshot).await?;
        }
        self.store.remove::<SnapshotRecord>(id.as_str()).await?;
        tracing::info!(snapshot = %id, volume = %snapshot.volume, "snapshot deleted");
        Ok(())
    }

    /// The snapshot, if it is known.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_snapshot(&self, id: &SnapshotId) -> Result<Option<SnapshotRecord>, StoreError> {
        self.store.find::<SnapshotRecord>(id.as_str()).await
    }

    /// The snapshots of a volume, taken or not completely.
    pub(crate) async fn snapshots_of(&self, volume: &VolumeId) -> Result<Vec<SnapshotRecord>, StoreError> {
        let all = self.store.all::<SnapshotRecord>().await?;
        Ok(all.into_iter().filter(|snapshot| snapshot.volume == *volume).collect())
    }

    /// The volume, which must be created completely.
    pub(crate) async fn require_ready(&self, id: &VolumeId) -> Result<VolumeRecord, VolumeError> {
        let found = self.store.find::<VolumeRecord>(id.as_str()).await?;
        let volume = found.ok_or_else(|| VolumeError::NotFound(id.clone()))?;
        match volume.phase {
            VolumePhase::Ready => Ok(volume),
            VolumePhase::Creating => Err(VolumeError::NotReady(volume.id)),
            VolumePhase::Deleting => Err(VolumeError::Deleting(volume.id)),
        }
    }
}
