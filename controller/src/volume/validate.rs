//! ValidateVolumeCapabilities: can this volume be used like that?

use std::collections::BTreeMap;

use contract::VolumeId;

use super::VolumeError;
use crate::controller::Controller;
use crate::store::{UseRecord, VolumeRecord};
use crate::uses;

impl Controller {
    /// Why the volume cannot be used in all of these ways; absent when it can.
    ///
    /// # Errors
    /// See [`VolumeError`]; an offline backend cannot say how it serves.
    pub async fn validate_volume(
        &self,
        id: &VolumeId,
        uses: &[UseRecord],
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, VolumeError> {
        let found = self.store.find::<VolumeRecord>(id.as_str()).await?;
        let volume = found.ok_or_else(|| VolumeError::NotFound(id.clone()))?;
        if !parameters.is_empty() && *parameters != volume.parameters {
            return Ok(Some("the volume was created with other parameters".to_owned()));
        }
        let array = self.backends.require(&volume.backend)?.require_online().await?;
        for wanted in uses {
            if let Some(why) = uses::refusal(array.protocol(), array.shares_devices(), wanted) {
                return Ok(Some(format!("{wanted}: {why}")));
            }
            if volume.uses.iter().all(|made_for| made_for.block != wanted.block) {
                return Ok(Some(format!("{wanted}: the volume was created for the other volume mode")));
            }
        }
        Ok(None)
    }
}
