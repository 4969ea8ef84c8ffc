//! DeleteVolume: the volume and everything made for it leave the array, then the store.

use contract::VolumeId;

use super::VolumeError;
use crate::controller::Controller;
use crate::store::{VolumePhase, VolumeRecord};

impl Controller {
    /// Deletes the volume, or finds it gone.
    ///
    /// # Errors
    /// See [`VolumeError`]; a volume that a node may use, or that has snapshots, is not deleted.
    pub async fn delete_volume(&self, id: VolumeId) -> Result<(), VolumeError> {
        let Some(mut volume) = self.store.find::<VolumeRecord>(id.as_str()).await? else { return Ok(()) };
        let publications = self.publications_of(&id).await?;
        if !publications.is_empty() {
            let nodes = publications.into_iter().map(|publication| publication.node.to_string()).collect();
            return Err(VolumeError::Published { volume: id, nodes });
        }
        let snapshots = self.snapshots_of(&id).await?;
        if let Some(first) = snapshots.first() {
            let (first, snapshots) = (first.id.clone(), snapshots.len());
            return Err(VolumeError::Snapshots { volume: id, snapshots, first });
        }
        volume.phase = VolumePhase::Deleting;
        self.store.put(&volume).await?;
        let array = self.backends.require(&volume.backend)?.require_online().await?;
        array.ensure_no_volume(&volume).await?;
        self.store.remove::<VolumeRecord>(id.as_str()).await?;
        tracing::info!(volume = %id, backend = volume.backend, "volume deleted");
        Ok(())
    }
}
