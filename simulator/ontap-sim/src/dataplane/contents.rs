//! Where the contents of LUNs and volumes are: in memory, or in the data directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blockstore::{Store, Volume as Content};
use nfs_server::{Durability, FileTree};
use tracing::{info, warn};
use uuid::Uuid;

use super::copies::{CopyError, root_of, shape_tree};
use crate::state::{Cluster, LunId, TreeShape, VolumeId};

/// A content that cannot be made, found or removed. The words are for an operator.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The block store.
    #[error("the content of LUNs in {} cannot be used", path.display())]
    Luns {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: blockstore::StoreError,
    },
    /// A file tree.
    #[error("the files of a volume in {} cannot be used", path.display())]
    Tree {
        /// Its directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: nfs_server::StoreError,
    },
    /// A snapshot or clone.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The directory of the trees.
    #[error("{} cannot be read or written", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state has an object whose content is gone.
    #[error(
        "{what} has no content in {}; bring the data directory back from a copy, or move it away to begin \
         with an empty array",
        path.display()
    )]
    Missing {
        /// Whose.
        what: String,
        /// Where it should be.
        path: PathBuf,
    },
}

/// Where the contents are.
#[derive(Debug)]
pub struct Contents {
    luns: Store,
    stored: Option<Stored>,
}

#[derive(Debug)]
struct Stored {
    dir: PathBuf,
    /// Trees of the last run that wait for being served.
    trees: BTreeMap<VolumeId, FileTree>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { luns: Store::memory(), stored: None }
    }
}

impl Contents {
    /// Contents in memory: gone with this process.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Contents in a data directory, as `cluster` names them. What it does not name was being made
    /// or removed when the last process died, and is removed.
    ///
    /// # Errors
    /// [`ContentError`] when a content cannot be read or is missing.
    pub fn in_directory(dir: &Path, cluster: &Cluster) -> Result<Self, ContentError> {
        let path = dir.join("luns");
        let luns = Store::open(&path).map_err(|source| ContentError::Luns { path: path.clone(), source })?;
        let mut stored = Stored { dir: dir.to_owned(), trees: BTreeMap::new() };
        stored.adopt_luns(&luns, cluster)?;
        stored.adopt_trees(cluster)?;
        Ok(Self { luns, stored: Some(stored) })
    }

    /// Where the tree of a volume is kept; nowhere in memory.
    pub fn directory_of(&self, volume: VolumeId) -> Option<PathBuf> {
        self.stored.as_ref().map(|stored| stored.tree_path(volume))
    }

    /// What is durable of a tree's changes when they are answered.
    pub const fn durability() -> Durability {
        Durability::Host
    }

    /// The tree of a volume: that of the last run, or a new one.
    ///
    /// # Errors
    /// [`ContentError`] when none can be made.
    pub fn tree(&mut self, volume: VolumeId, shape: TreeShape) -> Result<FileTree, ContentError> {
        let (capacity, root) = (shape.capacity, root_of(shape));
        let kept = self.stored.as_mut().and_then(|stored| stored.trees.remove(&volume));
        let tree = match (kept, &self.stored) {
            (Some(kept), _) => kept,
            (None, None) => FileTree::new(capacity, root),
            (None, Some(stored)) => {
                let path = stored.tree_path(volume);
                FileTree::create_in(&path, Self::durability(), capacity, root)
                    .map_err(|source| ContentError::Tree { path, source })?
            }
        };
        // The last process may have died between the decision to change a tree and the change.
        if let Err(error) = shape_tree(&tree, None, shape) {
            warn!(%volume, %error, "the file tree keeps its shape");
        }
        Ok(tree)
    }

    /// The content of a LUN: that of the last run, or a new one that reads as zero.
    ///
    /// # Errors
    /// [`ContentError`] when none can be made.
    pub fn lun(&self, lun: LunId, size: u64) -> Result<Content, ContentError> {
        if let Some(content) = self.luns.find(store_id(lun)) {
            if content.size() != size {
                content.resize(size);
            }
            return Ok(content);
        }
        let path = || self.stored.as_ref().map(Stored::luns_path).unwrap_or_default();
        let made = self.luns.create(store_id(lun), size);
        made.map_err(|source| ContentError::Luns { path: path(), source })
    }

    /// The store of the LUNs, for snapshots and clones within it.
    pub fn store(&self) -> &Store {
        &self.luns
    }

    /// Removes the tree of a volume that nobody serves any more. What stays is removed by the next
    /// start.
    pub fn remove_tree(&self, volume: VolumeId) {
        let Some(stored) = &self.stored else { return };
        let path = stored.tree_path(volume);
        if let Err(error) = fs::remove_dir_all(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            warn!(path = %path.display(), %error, "the files of a deleted volume stay until the next start");
        }
    }

    /// Removes the content of a LUN. What stays is removed by the next start.
    pub fn remove_lun(&self, lun: LunId) {
        match self.luns.remove(store_id(lun)) {
            Ok(()) | Err(blockstore::StoreError::NoVolume { .. }) => {}
            Err(error) => warn!(%lun, %error, "the content of a deleted LUN stays until the next start"),
        }
    }
}

/// The name of a LUN's content in the block store: its UUID as a number.
pub(super) fn store_id(lun: LunId) -> blockstore::VolumeId {
    blockstore::VolumeId(lun.0.as_u128())
}

impl Stored {
    fn luns_path(&self) -> PathBuf {
        self.dir.join("luns")
    }

    fn tree_path(&self, volume: VolumeId) -> PathBuf {
        self.dir.join("volumes").join(volume.to_string())
    }

    fn adopt_luns(&self, luns: &Store, cluster: &Cluster) -> Result<(), ContentError> {
        let failed = |source| ContentError::Luns { path: self.luns_path(), source };
        let named: BTreeSet<_> = cluster.kept_luns().map(|lun| lun.id).collect();
        for id in luns.list() {
            let lun = LunId(Uuid::from_u128(id.0));
            if !named.contains(&lun) {
                info!(%lun, "the content of a LUN that there is not is removed");
                luns.remove(id).map_err(failed)?;
            }
        }
        let mut kept = cluster.kept_luns();
        kept.find(|lun| luns.find(store_id(lun.id)).is_none()).map_or(Ok(()), |lun| {
            let what = format!("LUN {} ({})", lun.path, lun.id);
            Err(ContentError::Missing { what, path: self.luns_path() })
        })
    }

    fn adopt_trees(&mut self, cluster: &Cluster) -> Result<(), ContentError> {
        let trees = self.dir.join("volumes");
        let unusable = |source| ContentError::Directory { path: trees.clone(), source };
        fs::create_dir_all(&trees).map_err(unusable)?;
        let named_volumes: BTreeSet<_> = cluster.kept_volumes().map(|volume| volume.id).collect();
        for entry in fs::read_dir(&trees).map_err(unusable)? {
            let entry = entry.map_err(unusable)?;
            let named = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(VolumeId);
            // What is not named like a volume is not ours.
            if let Some(volume) = named
                && !named_volumes.contains(&volume)
            {
                info!(%volume, "the files of a volume that there is not are removed");
                fs::remove_dir_all(entry.path()).map_err(unusable)?;
            }
        }
        for volume in cluster.kept_volumes() {
            let path = self.tree_path(volume.id);
            if !path.is_dir() {
                let what = format!("volume {} ({})", volume.name, volume.id);
                return Err(ContentError::Missing { what, path });
            }
            let tree = FileTree::open(&path, Contents::durability())
                .map_err(|source| ContentError::Tree { path, source })?;
            self.trees.insert(volume.id, tree);
        }
        Ok(())
    }
}
