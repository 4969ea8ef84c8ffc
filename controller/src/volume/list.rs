//! ListVolumes, ListSnapshots, ControllerGetVolume: what the store has, a page at a time. The time of
//! a page grows with its own length only.

use contract::{NodeId, VolumeId};

use super::VolumeError;
use crate::controller::Controller;
use crate::store::{Record, SnapshotRecord, StoreError, VolumePhase, VolumeRecord};

/// What makes a token ours: what follows is the key at which the next page begins.
const TOKEN: &str = "from:";
/// A page when none is asked for; well below gRPC's 4 MiB of a message.
const MOST: usize = 5000;

/// Which part of a list.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// `starting_token`; empty: from the beginning.
    pub token: String,
    /// At most so many; zero: as many as fit.
    pub most: usize,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    /// The records.
    pub records: Vec<T>,
    /// Where the next page begins; empty: this is the last one.
    pub next: String,
}

impl Controller {
    /// Volumes that are created completely, with the nodes they are published to.
    ///
    /// # Errors
    /// [`VolumeError::Token`], or when the store fails.
    pub async fn list_volumes(
        &self,
        page: &Page,
    ) -> Result<Listed<(VolumeRecord, Vec<NodeId>)>, VolumeError> {
        let found = self.page_of::<VolumeRecord>(page, |volume| volume.phase == VolumePhase::Ready).await?;
        let mut records = Vec::with_capacity(found.records.len());
        for volume in found.records {
            let nodes = self.nodes_of(&volume.id).await?;
            records.push((volume, nodes));
        }
        Ok(Listed { records, next: found.next })
    }

    /// A volume and the nodes it is published to.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub async fn get_volume(&self, id: &VolumeId) -> Result<(VolumeRecord, Vec<NodeId>), VolumeError> {
        Ok((self.require_ready(id).await?, self.nodes_of(id).await?))
    }

    /// Snapshots that are taken completely, of one volume or of all.
    ///
    /// # Errors
    /// [`VolumeError::Token`], or when the store fails.
    pub async fn list_snapshots(
        &self,
        page: &Page,
        of: Option<&VolumeId>,
    ) -> Result<Listed<SnapshotRecord>, VolumeError> {
        self.page_of(page, |snapshot: &SnapshotRecord| {
            snapshot.phase == VolumePhase::Ready && of.is_none_or(|of| *of == snapshot.volume)
        })
        .await
    }

    async fn nodes_of(&self, volume: &VolumeId) -> Result<Vec<NodeId>, StoreError> {
        let publications = self.publications_of(volume).await?;
        Ok(publications.into_iter().map(|publication| publication.node).collect())
    }

    async fn page_of<R: Record>(
        &self,
        page: &Page,
        shown: impl Fn(&R) -> bool,
    ) -> Result<Listed<R>, VolumeError> {
        let mut first = match page.token.as_str() {
            "" => String::new(),
            token => token
                .strip_prefix(TOKEN)
                .filter(|key| !key.is_empty())
                .ok_or_else(|| VolumeError::Token(token.to_owned()))?
                .to_owned(),
        };
        let most = if page.most == 0 { MOST } else { page.most.min(MOST) };
        let mut records = Vec::new();
        loop {
            // One more than is wanted tells whether there is a next page, and where it begins.
            let wanted = most - records.len() + 1;
            let found = self.store.page::<R>(&first, wanted).await?;
            let last = found.len() < wanted;
            for record in found {
                first = record.key();
                if !shown(&record) {
                    continue;
                }
                if records.len() == most {
                    return Ok(Listed { records, next: format!("{TOKEN}{first}") });
                }
                records.push(record);
            }
            if last {
                return Ok(Listed { records, next: String::new() });
            }
            // The smallest key that comes after the last one looked at.
            first.push('\0');
        }
    }
}
