//! ControllerUnpublishVolume: the array lets a node in no longer. OK is said only after the array
//! has been asked (hazard H07): the volume may be attached elsewhere a moment later.

use contract::{NodeId, VolumeId};

use super::VolumeError;
use crate::array::Guest;
use crate::controller::Controller;
use crate::store::{PublicationRecord, VolumeRecord};

impl Controller {
    /// Takes back the leave of `node`, or of every node. What a node was let in with is in the
    /// publication, so that the node itself need not be known any more.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn unpublish_volume(&self, id: VolumeId, node: Option<NodeId>) -> Result<(), VolumeError> {
        let Some(volume) = self.store.find::<VolumeRecord>(id.as_str()).await? else { return Ok(()) };
        let mut publications = self.publications_of(&id).await?;
        let leaving =
            |publication: &PublicationRecord| node.as_ref().is_none_or(|node| *node == publication.node);
        while let Some(place) = publications.iter().position(leaving) {
            let publication = publications.remove(place);
            let array = self.backends.require(&volume.backend)?.require_online().await?;
            let others: Vec<_> = publications.iter().map(Guest::from).collect();
            array.ensure_no_access(&volume, &Guest::from(&publication), &others).await?;
            let key = PublicationRecord::key_of(&id, &publication.node);
            self.store.remove::<PublicationRecord>(&key).await?;
            self.announce_publications();
            tracing::info!(volume = %id, node = %publication.node, "volume unpublished");
        }
        Ok(())
    }
}
