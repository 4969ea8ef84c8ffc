//! Where the data of volumes and snapshots is: in memory, or in the data directory. Contents have
//! numbers of their own, so that a volume that is rolled back holds a new content and the old one goes
//! when the state that names the new one is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use blockstore::{SnapshotId as Block, Store, StoreError, Volume, VolumeId as Place};
use tracing::{info, warn};

use crate::state::{ContentId, DataPlaneChange, Kept, Source, State};

/// A content that cannot be made, found or removed. The words are for an operator.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The block store.
    #[error("the content of volumes in {} cannot be used", path.display())]
    Store {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The state has an object whose content is gone.
    #[error(
        "{what} has no content in {}; bring the data directory back from a copy, or move it away to begin \
         with an empty cluster",
        path.display()
    )]
    Missing {
        /// Whose.
        what: String,
        /// Where it should be.
        path: PathBuf,
    },
}

/// The data of volumes and snapshots.
#[derive(Debug)]
pub struct Contents {
    store: Store,
    path: PathBuf,
}

impl Default for Contents {
    fn default() -> Self {
        Self { store: Store::memory(), path: "memory".into() }
    }
}

impl Contents {
    /// Contents in a data directory, as `state` names them. What it does not name was being made or
    /// removed when the last process died, and is removed.
    ///
    /// # Errors
    /// [`ContentError`] when a content cannot be read or is missing.
    pub fn in_directory(dir: &Path, state: &State) -> Result<Self, ContentError> {
        let path = dir.join("volumes");
        let store =
            Store::open(&path).map_err(|source| ContentError::Store { path: path.clone(), source })?;
        let contents = Self { store, path };
        contents.adopt(state)?;
        Ok(contents)
    }

    fn adopt(&self, state: &State) -> Result<(), ContentError> {
        let (contents, snapshots) = state.contents();
        let places: BTreeSet<_> = contents.iter().copied().map(place).collect();
        for found in self.store.list() {
            if !places.contains(&found) {
                info!(content = found.0, "a content that no volume has is removed");
                self.store.remove(found).map_err(|source| self.failed(source))?;
            }
        }
        let kept: BTreeSet<_> = snapshots.iter().copied().map(places_of).collect();
        for (holder, snapshot) in self.store.list_snapshots() {
            if !kept.contains(&(holder, snapshot)) {
                info!(snapshot = snapshot.0, "what no snapshot keeps is removed");
                self.store.remove_snapshot(holder, snapshot).map_err(|source| self.failed(source))?;
            }
        }
        let lost = contents.iter().find(|content| self.store.find(place(**content)).is_none());
        let volume = lost.and_then(|lost| state.volumes().find(|volume| volume.content == *lost));
        if let Some(volume) = volume {
            return Err(self.missing(format!("volume {} ({})", volume.id, volume.name)));
        }
        let lost =
            kept.iter().find(|(holder, snapshot)| self.store.find_snapshot(*holder, *snapshot).is_none());
        lost.map_or(Ok(()), |(_, snapshot)| Err(self.missing(format!("snapshot {}", snapshot.0))))
    }

    fn failed(&self, source: StoreError) -> ContentError {
        ContentError::Store { path: self.path.clone(), source }
    }

    fn missing(&self, what: String) -> ContentError {
        ContentError::Missing { what, path: self.path.clone() }
    }

    /// Makes every content and snapshot that changes ask for, all or none. Snapshots that follow each
    /// other are taken at one instant.
    ///
    /// # Errors
    /// [`ContentError`]; then nothing was made.
    pub(crate) fn make(&self, changes: &[DataPlaneChange]) -> Result<(), ContentError> {
        let mut done = 0;
        while let Some(rest) = changes.get(done..).filter(|rest| !rest.is_empty()) {
            let together = first_snapshots(rest);
            let outcome = match (together.len(), rest.first()) {
                (0, Some(change)) => self.make_one(change),
                _ => self.store.snapshot_all(&together, || ()),
            };
            if let Err(source) = outcome {
                self.unmake(changes.get(..done).unwrap_or_default());
                return Err(self.failed(source));
            }
            done += together.len().max(1);
        }
        Ok(())
    }

    fn make_one(&self, change: &DataPlaneChange) -> Result<(), StoreError> {
        match change {
            DataPlaneChange::Hold { content, source, .. } if self.find(*content).is_none() => {
                let to = place(*content);
                match *source {
                    Source::Zeroes(bytes) => self.store.create(to, bytes),
                    Source::Content(from) => self.store.clone_volume(place(from), to),
                    Source::Snapshot(from) => {
                        let (holder, snapshot) = places_of(from);
                        self.store.clone_snapshot(holder, snapshot, to)
                    }
                }
                .map(drop)
            }
            // A snapshot of a snapshot: of a volume that is there for as long as it takes.
            DataPlaneChange::Keep { kept, source: Source::Snapshot(from) } => {
                let ((holder, snapshot), (to, new)) = (places_of(*from), places_of(*kept));
                self.store.clone_snapshot(holder, snapshot, to)?;
                let taken = self.store.snapshot(to, new).map(drop);
                taken.and(self.store.remove(to))
            }
            _ => Ok(()),
        }
    }

    /// Takes back what [`Self::make`] made.
    pub(crate) fn unmake(&self, changes: &[DataPlaneChange]) {
        for change in changes.iter().rev() {
            match change {
                DataPlaneChange::Hold { content, .. } => self.remove(*content),
                DataPlaneChange::Keep { kept, .. } => self.remove_snapshot(*kept),
                _ => {}
            }
        }
    }

    /// A content.
    pub(crate) fn find(&self, content: ContentId) -> Option<Volume> {
        self.store.find(place(content))
    }

    /// Removes a content. What stays is removed by the next start.
    pub(crate) fn remove(&self, content: ContentId) {
        match self.store.remove(place(content)) {
            Ok(()) | Err(StoreError::NoVolume { .. }) => {}
            Err(error) => warn!(%content, %error, "a content stays until the next start"),
        }
    }

    /// Removes a snapshot. What stays is removed by the next start.
    pub(crate) fn remove_snapshot(&self, kept: Kept) {
        let (holder, snapshot) = places_of(kept);
        if let Err(error) = self.store.remove_snapshot(holder, snapshot) {
            warn!(snapshot = %kept.snapshot, %error, "a snapshot stays until the next start");
        }
    }

    /// The store itself, for what happens to all of it.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

/// The snapshots of contents that changes begin with, up to the second of one content.
fn first_snapshots(changes: &[DataPlaneChange]) -> BTreeMap<Place, Block> {
    let mut first = BTreeMap::new();
    for change in changes {
        let DataPlaneChange::Keep { kept, source: Source::Content(_) } = change else { break };
        let (holder, snapshot) = places_of(*kept);
        if first.contains_key(&holder) {
            break;
        }
        first.insert(holder, snapshot);
    }
    first
}

/// Numbers count up from 1: the cast loses nothing.
fn place(content: ContentId) -> Place {
    Place(u128::from(content.0.unsigned_abs()))
}

fn places_of(kept: Kept) -> (Place, Block) {
    (place(kept.content), Block(u128::from(kept.snapshot.0.unsigned_abs())))
}
