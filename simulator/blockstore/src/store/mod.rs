//! A store: volumes and snapshots with names, in memory or in a data directory.

pub(crate) mod catalog;
pub(crate) mod checkpoint;
pub(crate) mod frame;
pub(crate) mod journal;
pub(crate) mod medium;
mod open;
pub(crate) mod pagefile;
pub(crate) mod record;
mod replay;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use self::catalog::Catalog;
use self::journal::Journal;
use self::record::Record;
use crate::error::{BlockError, StoreError};
use crate::image::{Image, Medium};
use crate::page::{PAGE_SIZE, Pool};
use crate::tree::Tree;
use crate::unflushed::{Lost, PowerCut};
use crate::volume::{Snapshot, Volume};

/// Bytes of commits after which the journal begins anew, unless its checkpoint is longer.
const CHECKPOINT_AFTER: u64 = 4 << 20;

/// The name of a volume: what its owner says, a UUID or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VolumeId(pub u128);

/// The name of a snapshot among those of one volume: what its owner says, a UUID or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(pub u128);

/// Volumes and snapshots by name. Clones of the handle are the same store.
///
/// With a data directory, what these methods change is durable when they return; they block for
/// the time of a disk synchronisation. What volumes write is durable after [`Volume::flush`].
/// The directory is free for another when the last handle of the store and the last volume and
/// snapshot of it is gone.
#[derive(Clone, Debug)]
pub struct Store {
    catalog: Arc<Mutex<Catalog>>,
    /// `None` in memory.
    journal: Option<Arc<Journal>>,
    pool: Arc<Pool>,
    recovery: Recovery,
}

/// What was found at opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of an unfinished commit that a crash left at the end of the journal. Nothing in them
    /// was ever acknowledged.
    pub cut_off: u64,
}

/// Space a store takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// In pages, each counted once however many share it.
    pub used: u64,
    /// What `used` may reach ([`Store::set_limit`]).
    pub limit: Option<u64>,
    /// Length the page file needs; what is free in it is used again. 0 in memory.
    pub page_file: u64,
    /// Length of the journal. 0 in memory.
    pub journal: u64,
}

impl Store {
    /// A store in memory, gone with its last handle.
    #[must_use]
    pub fn memory() -> Self {
        Self { catalog: Arc::default(), journal: None, pool: Pool::new(), recovery: Recovery::default() }
    }

    /// The store in a data directory, which is made if need be. A crash of process or machine left
    /// everything there that was acknowledged, and no write in part.
    ///
    /// # Errors
    /// [`StoreError::Locked`]; [`StoreError::Damaged`] or [`StoreError::Format`], in which case
    /// nothing was changed; [`StoreError::Io`].
    pub fn open(data_dir: impl AsRef<Path>) -> Result<Self, StoreError> {
        open::open_path(data_dir.as_ref(), CHECKPOINT_AFTER)
    }

    /// What opening the data directory found.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// A new volume of `size` bytes that reads as zero.
    ///
    /// # Errors
    /// [`StoreError::VolumeExists`]; [`StoreError::Stopped`].
    pub fn create(&self, id: VolumeId, size: u64) -> Result<Volume, StoreError> {
        let medium = match &self.journal {
            Some(journal) => Medium::Disk(journal.clone()),
            None => Medium::Memory(Some(self.pool.clone())),
        };
        self.add(id, |_| {
            self.record(&Record::Create { volume: id, size }).map_err(of(id))?;
            Ok(Image { size, pages: Tree::new(), medium })
        })
    }

    /// The volume of this id.
    #[must_use]
    pub fn find(&self, id: VolumeId) -> Option<Volume> {
        self.catalog.lock().volumes.get(&id).cloned()
    }

    /// Ids of all volumes, in order.
    #[must_use]
    pub fn list(&self) -> Vec<VolumeId> {
        self.catalog.lock().volumes.keys().copied().collect()
    }

    /// Removes a volume; its space returns when the last handle of it goes. Its snapshots stay, and
    /// so do clones. Who still holds a handle may read and write, and nothing of it is kept.
    ///
    /// # Errors
    /// [`StoreError::NoVolume`]; [`StoreError::Stopped`].
    pub fn remove(&self, id: VolumeId) -> Result<(), StoreError> {
        let mut catalog = self.catalog.lock();
        let volume = catalog.volumes.get(&id).ok_or(StoreError::NoVolume { id })?;
        let record = || self.record(&Record::Remove { volume: id });
        volume.replace(None, record).map_err(of(id))?;
        let gone = catalog.volumes.remove(&id);
        drop(catalog);
        drop(gone);
        self.commit(id)
    }

    /// A copy of a volume as it is now, in O(1): pages are shared until one of the two is written.
    ///
    /// # Errors
    /// [`StoreError::NoVolume`]; [`StoreError::VolumeExists`]; [`StoreError::Stopped`].
    pub fn clone_volume(&self, from: VolumeId, to: VolumeId) -> Result<Volume, StoreError> {
        self.add(to, |catalog| {
            let source = catalog.volumes.get(&from).ok_or(StoreError::NoVolume { id: from })?;
            source.capture(|| self.record(&Record::Copy { from, to })).map_err(of(from))
        })
    }

    /// A volume with the content of a snapshot, in O(1).
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`]; [`StoreError::VolumeExists`]; [`StoreError::Stopped`].
    pub fn clone_snapshot(
        &self,
        volume: VolumeId,
        snapshot: SnapshotId,
        to: VolumeId,
    ) -> Result<Volume, StoreError> {
        self.add(to, |catalog| {
            let source = catalog.snapshots.get(&(volume, snapshot));
            let image = source.ok_or(StoreError::NoSnapshot { volume, snapshot })?.image().clone();
            self.record(&Record::Clone { from: volume, snapshot, to }).map_err(of(to))?;
            Ok(image)
        })
    }

    /// Keeps a volume as it is now, in O(1). Several volumes may have a snapshot of the same id.
    ///
    /// # Errors
    /// [`StoreError::NoVolume`]; [`StoreError::SnapshotExists`]; [`StoreError::Stopped`].
    pub fn snapshot(&self, volume: VolumeId, snapshot: SnapshotId) -> Result<Snapshot, StoreError> {
        let mut catalog = self.catalog.lock();
        let source = catalog.volumes.get(&volume).cloned().ok_or(StoreError::NoVolume { id: volume })?;
        let Entry::Vacant(entry) = catalog.snapshots.entry((volume, snapshot)) else {
            return Err(StoreError::SnapshotExists { volume, snapshot });
        };
        let image = source.capture(|| self.record(&Record::Snapshot { volume, snapshot }));
        let taken = entry.insert(Snapshot::of(image.map_err(of(volume))?)).clone();
        drop(catalog);
        self.commit(volume)?;
        Ok(taken)
    }

    /// Keeps several volumes as they are at one instant, each under its snapshot id, while `meanwhile`
    /// runs: no write to any of them happens between the first and the last, nor during `meanwhile`.
    /// All are kept or none.
    ///
    /// # Errors
    /// Those of [`Store::snapshot`]; `meanwhile` has not run then. What it answers otherwise.
    pub fn snapshot_all<T>(
        &self,
        kept: &BTreeMap<VolumeId, SnapshotId>,
        meanwhile: impl FnOnce() -> T,
    ) -> Result<T, StoreError> {
        let mut catalog = self.catalog.lock();
        let mut sources = Vec::with_capacity(kept.len());
        for (volume, snapshot) in kept.iter().map(|(volume, snapshot)| (*volume, *snapshot)) {
            let source = catalog.volumes.get(&volume).cloned().ok_or(StoreError::NoVolume { id: volume })?;
            if catalog.snapshots.contains_key(&(volume, snapshot)) {
                return Err(StoreError::SnapshotExists { volume, snapshot });
            }
            sources.push(source);
        }
        let noted = |(volume, snapshot): (&VolumeId, &SnapshotId)| Record::Snapshot {
            volume: *volume,
            snapshot: *snapshot,
        };
        let records: Vec<_> = kept.iter().map(noted).collect();
        let record = || match &self.journal {
            Some(journal) if !records.is_empty() => journal.append(&records).map(drop),
            _ => Ok(()),
        };
        let (images, outcome) =
            Volume::capture_all(&sources, record, meanwhile).map_err(|error| match error {
                BlockError::Stopped { reason } => StoreError::Stopped { reason },
                source => {
                    StoreError::Volume { id: kept.keys().next().copied().unwrap_or(VolumeId(0)), source }
                }
            })?;
        for ((volume, snapshot), image) in kept.iter().zip(images) {
            catalog.snapshots.insert((*volume, *snapshot), Snapshot::of(image));
        }
        drop(catalog);
        kept.keys().next().map_or(Ok(()), |first| self.commit(*first))?;
        Ok(outcome)
    }

    /// The snapshot of this id.
    #[must_use]
    pub fn find_snapshot(&self, volume: VolumeId, snapshot: SnapshotId) -> Option<Snapshot> {
        self.catalog.lock().snapshots.get(&(volume, snapshot)).cloned()
    }

    /// Ids of the snapshots of a volume, which may be gone itself; in order.
    #[must_use]
    pub fn snapshots(&self, volume: VolumeId) -> Vec<SnapshotId> {
        let range = (volume, SnapshotId(0))..=(volume, SnapshotId(u128::MAX));
        self.catalog.lock().snapshots.range(range).map(|((_, id), _)| *id).collect()
    }

    /// Every snapshot and the volume it was taken of, which may be gone itself; in order.
    #[must_use]
    pub fn list_snapshots(&self) -> Vec<(VolumeId, SnapshotId)> {
        self.catalog.lock().snapshots.keys().copied().collect()
    }

    /// Removes a snapshot. Clones of it stay.
    ///
    /// # Errors
    /// [`StoreError::NoSnapshot`]; [`StoreError::Stopped`].
    pub fn remove_snapshot(&self, volume: VolumeId, snapshot: SnapshotId) -> Result<(), StoreError> {
        let mut catalog = self.catalog.lock();
        let Entry::Occupied(entry) = catalog.snapshots.entry((volume, snapshot)) else {
            return Err(StoreError::NoSnapshot { volume, snapshot });
        };
        self.record(&Record::RemoveSnapshot { volume, snapshot }).map_err(of(volume))?;
        let gone = entry.remove();
        drop(catalog);
        drop(gone);
        self.commit(volume)
    }

    /// Gives a volume the content and size of a snapshot of it, in O(1); handles of the volume see
    /// it at once.
    ///
    /// # Errors
    /// [`StoreError::NoVolume`]; [`StoreError::NoSnapshot`]; [`StoreError::Stopped`].
    pub fn restore(&self, volume: VolumeId, snapshot: SnapshotId) -> Result<(), StoreError> {
        let catalog = self.catalog.lock();
        let target = catalog.volumes.get(&volume).ok_or(StoreError::NoVolume { id: volume })?;
        let source = catalog.snapshots.get(&(volume, snapshot));
        let image = source.ok_or(StoreError::NoSnapshot { volume, snapshot })?.image();
        let record = || self.record(&Record::Restore { volume, snapshot });
        target.replace(Some(image), record).map_err(of(volume))?;
        drop(catalog);
        self.commit(volume)
    }

    /// Makes everything durable that was written to any volume so far. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Stopped`].
    pub fn flush(&self) -> Result<(), StoreError> {
        self.volumes().into_iter().try_for_each(|(id, volume)| volume.flush().map_err(of(id)))
    }

    /// Space taken.
    #[must_use]
    pub fn usage(&self) -> StoreUsage {
        let journal = self.journal.as_ref();
        StoreUsage {
            used: self.pool.used() * PAGE_SIZE as u64,
            limit: self.pool.limit().map(|pages| pages * PAGE_SIZE as u64),
            page_file: journal.map_or(0, |journal| journal.pages().extent()),
            journal: journal.map_or(0, |journal| journal.length()),
        }
    }

    /// Limits what all volumes and snapshots may take together to `bytes`, rounded down to whole
    /// pages; writes past it get [`BlockError::NoSpace`]. What is there stays. A limit is not kept
    /// in the data directory.
    pub fn set_limit(&self, bytes: Option<u64>) {
        self.pool.set_limit(bytes.map(|bytes| bytes / PAGE_SIZE as u64));
    }

    /// [`Volume::arm_power_cut`] for every volume, those to come as well.
    pub fn arm_power_cut(&self) {
        let mut catalog = self.catalog.lock();
        catalog.armed = true;
        catalog.volumes.values().for_each(Volume::arm_power_cut);
    }

    /// [`Volume::power_cut`] for every volume that is armed; what came of it in total. A seed
    /// chooses anew for each volume.
    ///
    /// # Errors
    /// [`StoreError::Volume`]; [`StoreError::Stopped`].
    pub fn power_cut(&self, cut: PowerCut) -> Result<Lost, StoreError> {
        let mut total = Lost::default();
        for (id, volume) in self.volumes() {
            let cut = match cut {
                PowerCut::All => PowerCut::All,
                PowerCut::Seeded(seed) => PowerCut::Seeded(seed ^ (id.0 as u64) ^ ((id.0 >> 64) as u64)),
            };
            let lost = volume.power_cut(cut).map_err(of(id))?.unwrap_or_default();
            total.lost += lost.lost;
            total.kept += lost.kept;
        }
        Ok(total)
    }

    fn volumes(&self) -> Vec<(VolumeId, Volume)> {
        self.catalog.lock().volumes.iter().map(|(id, volume)| (*id, volume.clone())).collect()
    }

    /// Puts a new volume into the catalog. `content` records it.
    fn add(
        &self,
        id: VolumeId,
        content: impl FnOnce(&Catalog) -> Result<Image, StoreError>,
    ) -> Result<Volume, StoreError> {
        let mut catalog = self.catalog.lock();
        if catalog.volumes.contains_key(&id) {
            return Err(StoreError::VolumeExists { id });
        }
        let volume = Volume::with_image(content(&catalog)?, Some(id));
        if catalog.armed {
            volume.arm_power_cut();
        }
        catalog.volumes.insert(id, volume.clone());
        drop(catalog);
        self.commit(id)?;
        Ok(volume)
    }

    fn record(&self, record: &Record) -> Result<(), BlockError> {
        match &self.journal {
            Some(journal) => journal.append(std::slice::from_ref(record)).map(drop),
            None => Ok(()),
        }
    }

    fn commit(&self, id: VolumeId) -> Result<(), StoreError> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.commit_all()).map_err(of(id))
    }
}

/// What a failure of a volume is for the store.
fn of(id: VolumeId) -> impl FnOnce(BlockError) -> StoreError {
    move |error| match error {
        BlockError::Stopped { reason } => StoreError::Stopped { reason },
        source => StoreError::Volume { id, source },
    }
}

impl From<u64> for VolumeId {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}

impl From<u64> for SnapshotId {
    fn from(number: u64) -> Self {
        Self(number.into())
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(self.0, f)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(self.0, f)
    }
}

/// A number as a number, anything longer as a UUID.
fn describe(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if id <= u64::MAX.into() {
        return write!(f, "{id}");
    }
    let part = |shift: u32, bits: u32| (id >> shift) & ((1 << bits) - 1);
    write!(
        f,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 16),
        part(48, 16),
        part(0, 48)
    )
}
