//! ControllerExpandVolume: the volume grows on the array; nodes that have it see to the rest.

use contract::VolumeId;

use super::VolumeError;
use crate::array::Protocol;
use crate::controller::Controller;
use crate::store::VolumeRecord;

impl Controller {
    /// Makes the volume at least `required` bytes. The answer says whether nodes have to grow what
    /// they made on it.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn expand_volume(
        &self,
        id: &VolumeId,
        required: u64,
        limit: Option<u64>,
    ) -> Result<(VolumeRecord, bool), VolumeError> {
        let mut volume = self.require_ready(id).await?;
        let backend = self.backends.require(&volume.backend)?;
        let array = backend.require_online().await?;
        let on_node = array.protocol() == Protocol::Block;
        if volume.size >= required {
            // Asked again, the nodes may not have grown yet.
            return match limit {
                Some(limit) if volume.size > limit => {
                    Err(too_large(&volume, limit, volume.size, "a volume does not shrink"))
                }
                _ => Ok((volume, on_node)),
            };
        }
        let size = array.rounded(required);
        let limits = [
            (Some(array.largest()), "the array makes none larger"),
            (limit, "ask for a limit that the array's rounding fits in"),
            (backend.config.limit_volume_size, "the backend's limitVolumeSize allows no more"),
        ];
        for (limit, cure) in limits {
            if let Some(limit) = limit.filter(|limit| size > *limit) {
                return Err(too_large(&volume, limit, size, cure));
            }
        }
        volume.size = array.ensure_size(&volume, size).await?;
        self.store.put(&volume).await?;
        tracing::info!(volume = %id, bytes = volume.size, "volume expanded");
        Ok((volume, on_node))
    }
}

fn too_large(volume: &VolumeRecord, has: u64, wanted: u64, cure: &'static str) -> VolumeError {
    VolumeError::Size { what: format!("the limit of volume {}", volume.id), has, wanted, cure }
}
