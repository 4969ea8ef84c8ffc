//! ControllerPublishVolume: the array lets a node in.

use contract::{NodeId, PublishContext, VolumeId};

use super::VolumeError;
use crate::array::{Array, Guest};
use crate::controller::Controller;
use crate::store::{NodeRecord, PublicationRecord, UseRecord, VolumePhase, VolumeRecord};
use crate::uses;

/// A volume is to be usable on a node.
#[derive(Debug, Clone)]
pub struct PublishIntent {
    /// The volume.
    pub volume: VolumeId,
    /// The node.
    pub node: NodeId,
    /// How.
    pub r#use: UseRecord,
}

impl Controller {
    /// Lets the node in. Every call asserts the access on the array anew, also where the node has
    /// it already: it may have been lost there.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn publish_volume(&self, intent: PublishIntent) -> Result<PublishContext, VolumeError> {
        let found = self.store.find::<VolumeRecord>(intent.volume.as_str()).await?;
        let volume = found.ok_or_else(|| VolumeError::NotFound(intent.volume.clone()))?;
        let node = self.store.find::<NodeRecord>(intent.node.as_str()).await?;
        let node = node.ok_or_else(|| VolumeError::UnknownNode(intent.node.clone()))?;
        match volume.phase {
            VolumePhase::Ready => {}
            VolumePhase::Creating => return Err(VolumeError::NotReady(volume.id)),
            VolumePhase::Deleting => return Err(VolumeError::Deleting(volume.id)),
        }
        let array = self.backends.require(&volume.backend)?.require_online().await?;
        let why = match uses::refusal(array.protocol(), array.shares_devices(), &intent.r#use) {
            Some(why) => Some(why),
            None if volume.uses.iter().all(|made_for| made_for.block != intent.r#use.block) => {
                Some("it was created for the other volume mode")
            }
            None => None,
        };
        if let Some(why) = why {
            let (wanted, why) = (intent.r#use.to_string(), why.to_owned());
            return Err(VolumeError::Unusable { volume: volume.id, wanted, why });
        }
        let publications = self.publications_of(&volume.id).await?;
        require_compatible(&intent, &publications)?;

        let publication = PublicationRecord {
            volume: volume.id.clone(),
            node: node.id,
            r#use: intent.r#use,
            iqn: node.iqn,
            addresses: node.addresses,
        };
        self.store.put(&publication).await?;
        let others: Vec<_> =
            publications.iter().filter(|other| other.node != publication.node).map(Guest::from).collect();
        let guest = Guest::from(&publication);
        let context = match array.ensure_access(&volume, &guest, &others).await {
            Ok(context) => context,
            Err(error) => {
                let is_new = publications.iter().all(|other| other.node != publication.node);
                if is_new && error.is_final() {
                    self.retract(&array, &volume, &publication, &others).await?;
                }
                return Err(error.into());
            }
        };
        self.announce_publications();
        tracing::info!(volume = %volume.id, node = %publication.node, "volume published");
        Ok(context)
    }

    /// After a final refusal the node has no leave, and others are not to wait for it to give one
    /// up. An array that cannot be asked now keeps the record: unpublish will see to it.
    async fn retract(
        &self,
        array: &Array,
        volume: &VolumeRecord,
        publication: &PublicationRecord,
        others: &[Guest],
    ) -> Result<(), VolumeError> {
        if let Err(error) = array.ensure_no_access(volume, &Guest::from(publication), others).await {
            tracing::warn!(volume = %volume.id, error = %telemetry::chain(&error), "half-granted access not revoked yet");
            return Ok(());
        }
        let key = PublicationRecord::key_of(&publication.volume, &publication.node);
        Ok(self.store.remove::<PublicationRecord>(&key).await?)
    }
}

fn require_compatible(intent: &PublishIntent, publications: &[PublicationRecord]) -> Result<(), VolumeError> {
    for other in publications {
        let (volume, node) = (intent.volume.clone(), other.node.clone());
        let r#use = other.r#use.to_string();
        if other.node == intent.node {
            if other.r#use != intent.r#use {
                let wanted = intent.r#use.to_string();
                return Err(VolumeError::PublishedOtherwise { volume, node, r#use, wanted });
            }
        } else if other.r#use.is_exclusive() || intent.r#use.is_exclusive() {
            return Err(VolumeError::Exclusive { volume, node, r#use });
        }
    }
    Ok(())
}
