//! Volumes and snapshots: the handles through which others read and write.

use std::ops::Range;
use std::sync::Arc;

use bytes::BufMut;
use parking_lot::{RwLock, RwLockUpgradableReadGuard};

use crate::change::Change;
use crate::error::BlockError;
use crate::image::{Image, Medium};
use crate::page::{PAGE_SIZE, Page, Reservation};
use crate::store::VolumeId;
use crate::store::journal::Journal;
use crate::store::record::Record;
use crate::tree::Tree;
use crate::unflushed::{Lost, Op, PowerCut, Unflushed};

/// A sparse range of bytes; what was never written reads as zero. Clones of the handle are the same
/// volume (a *copy* is [`Volume::snapshot`] + [`Snapshot::to_volume`]).
///
/// A volume of a [`Store`](crate::Store) with a data directory reads and writes files: calls block
/// as file I/O does, and [`Volume::flush`] for as long as the disk takes.
#[derive(Clone)]
pub struct Volume {
    shared: Arc<Shared>,
}

/// The content of a volume at one instant. Immutable; shares pages with the volume.
#[derive(Clone)]
pub struct Snapshot {
    image: Image,
}

/// Space a volume takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In pages, shared ones included (what the host of the volume has used).
    pub allocated: u64,
    /// Of these, in pages that no snapshot and no other volume shares: what removal gives back.
    pub unshared: u64,
}

struct Shared {
    state: RwLock<State>,
    /// Where changes are recorded; `None` in memory.
    journal: Option<Arc<Journal>>,
}

struct State {
    image: Image,
    /// The name of the volume in the journal; `None` for a copy that is not in a store, and after
    /// the removal from it.
    id: Option<VolumeId>,
    /// Pages it may have.
    limit: Option<u64>,
    /// The number of the last change in the journal.
    recorded: u64,
    unflushed: Option<Unflushed>,
}

impl Volume {
    /// A volume of `size` bytes in memory that reads as zero.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self::with_image(Image { size, pages: Tree::new(), medium: Medium::Memory(None) }, None)
    }

    pub(crate) fn with_image(image: Image, id: Option<VolumeId>) -> Self {
        let journal = match &image.medium {
            Medium::Disk(journal) => Some(journal.clone()),
            Medium::Memory(_) => None,
        };
        let state = State { image, id, limit: None, recorded: 0, unflushed: None };
        Self { shared: Arc::new(Shared { state: RwLock::new(state), journal }) }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shared.state.read().image.size
    }

    /// Bytes held in pages, shared ones included; a multiple of [`PAGE_SIZE`].
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.shared.state.read().image.allocated()
    }

    /// Space the volume takes, alone and shared. Takes time in proportion to what is unshared.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.shared.state.read();
        Usage { allocated: state.image.allocated(), unshared: state.image.unshared() }
    }

    /// Limits what the volume may allocate to `bytes`, rounded down to whole pages. What it has
    /// stays. A limit is not kept in the data directory.
    pub fn set_limit(&self, bytes: Option<u64>) {
        self.shared.state.write().limit = bytes.map(|bytes| bytes / PAGE_SIZE as u64);
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`]; [`BlockError::Damaged`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        self.shared.state.read().image.read_at(offset, buffer)
    }

    /// Appends `length` bytes from `offset` to `out`, which need not be zeroed first.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`]: nothing was appended. [`BlockError::Damaged`]: what was appended
    /// is to be discarded.
    pub fn read_into(&self, offset: u64, length: usize, out: &mut impl BufMut) -> Result<(), BlockError> {
        self.shared.state.read().image.read_into(offset, length, out)
    }

    /// Writes `data` at `offset`, atomically towards other reads and writes and towards a crash.
    /// Zeroes written where nothing is allocated allocate nothing.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`]; [`BlockError::NoSpace`]; [`BlockError::Stopped`];
    /// [`BlockError::Damaged`] when a page must be read to write a part of it.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), BlockError> {
        self.write(offset, None, data)
    }

    /// Writes `data` if the volume holds `expected` there, as one atomic step (SBC-3 COMPARE AND
    /// WRITE).
    ///
    /// # Errors
    /// Those of [`Volume::write_at`]; [`BlockError::Miscompare`].
    pub fn compare_and_write(&self, offset: u64, expected: &[u8], data: &[u8]) -> Result<(), BlockError> {
        self.write(offset, Some(expected), data)
    }

    /// Tells whether the volume holds `expected` at `offset`.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`]; [`BlockError::Damaged`]; [`BlockError::Miscompare`] with the first
    /// difference.
    pub fn compare(&self, offset: u64, expected: &[u8]) -> Result<(), BlockError> {
        self.shared.state.read().image.compare(offset, expected)
    }

    /// Makes `length` bytes at `offset` read as zero and frees every whole page among them. No limit
    /// stands in its way.
    ///
    /// # Errors
    /// Those of [`Volume::write_at`], `NoSpace` only when the disk of the data directory is full.
    pub fn deallocate(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        match &self.shared.journal {
            None => self.shared.state.write().deallocate(None, offset, length),
            Some(journal) => {
                self.shared.state.write().deallocate(Some(journal), offset, length)?;
                journal.commit_if_due()
            }
        }
    }

    /// Whether the run that starts at `offset` is allocated, and how many bytes it is long, looking
    /// no further than `limit` bytes (SBC-3 GET LBA STATUS).
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`] when `offset` is past the end.
    pub fn run_at(&self, offset: u64, limit: u64) -> Result<(bool, u64), BlockError> {
        self.shared.state.read().image.run_at(offset, limit)
    }

    /// [`Volume::set_size`] for a volume in memory, where it cannot fail. On disk the size stays as
    /// it is when it fails.
    pub fn resize(&self, size: u64) {
        let _ = self.set_size(size);
    }

    /// Grows or shrinks the volume to `size` bytes. What is cut off is gone: grown again it reads
    /// as zero. A power cut does not undo it, nor what was written before.
    ///
    /// # Errors
    /// [`BlockError::Damaged`] when the new last page cannot be read; [`BlockError::NoSpace`] when
    /// the disk of the data directory is full; [`BlockError::Stopped`].
    pub fn set_size(&self, size: u64) -> Result<(), BlockError> {
        let mut state = self.shared.state.write();
        if let Some(journal) = &self.shared.journal {
            let change = Change::resize(journal.pages(), &state.image, size)?;
            state.change(journal, change)?;
        } else {
            if let Some(cut) = state.image.size.checked_sub(size) {
                state.image.deallocate_memory(size, cut);
            }
            state.image.size = size;
        }
        state.settle();
        drop(state);
        // Management is not undone by a crash either.
        self.shared.journal.as_ref().map_or(Ok(()), |_| self.flush())
    }

    /// Makes everything written so far durable: neither a power cut nor, with a data directory, a
    /// crash of process or machine loses it. Blocks for the time of a disk synchronisation; flushes
    /// from several threads share one. In memory there is nothing to wait for.
    ///
    /// # Errors
    /// [`BlockError::Stopped`].
    pub fn flush(&self) -> Result<(), BlockError> {
        let (recorded, mark) = {
            let state = self.shared.state.read();
            (state.recorded, state.unflushed.as_ref().map(|unflushed| unflushed.mark(&state.image)))
        };
        if let Some(journal) = &self.shared.journal {
            journal.commit(recorded)?;
        }
        if let Some(mark) = mark
            && let Some(unflushed) = &mut self.shared.state.write().unflushed
        {
            unflushed.flushed(mark);
        }
        Ok(())
    }

    /// Whether [`Volume::flush`] waits for a disk: one who must not wait calls it from a thread that
    /// may.
    #[must_use]
    pub fn waits_for_disk(&self) -> bool {
        self.shared.journal.is_some()
    }

    /// The volume as it is now, in O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { image: self.shared.state.read().image.clone() }
    }

    /// From now on [`Volume::power_cut`] finds what is not flushed; what was written before counts
    /// as flushed. Costs a copy of what is written until the next flush, 64 MiB at most.
    pub fn arm_power_cut(&self) {
        let mut state = self.shared.state.write();
        if state.unflushed.is_none() {
            state.unflushed = Some(Unflushed::new(state.image.clone()));
        }
    }

    /// Loses the writes since the last flush, all or some; each is lost or kept wholly. `None` when
    /// the volume is not armed ([`Volume::arm_power_cut`]).
    ///
    /// # Errors
    /// Those of [`Volume::write_at`].
    pub fn power_cut(&self, cut: PowerCut) -> Result<Option<Lost>, BlockError> {
        let journal = self.shared.journal.as_ref();
        let mut state = self.shared.state.write();
        let Some(unflushed) = state.unflushed.take() else { return Ok(None) };
        let (durable, ops, lost) = unflushed.cut(cut);
        match journal {
            None => state.image = durable,
            Some(journal) => {
                let change = Change::between(&state.image, &durable);
                state.change(journal, change)?;
            }
        }
        for op in &ops {
            match op {
                Op::Deallocate { offset, length } => state.deallocate(journal, *offset, *length)?,
                Op::Write { offset, data } => match journal {
                    None => state.write_memory(*offset, data),
                    Some(journal) => {
                        let change = Change::write(journal.pages(), &state.image, *offset, data)?;
                        state.change(journal, change)?;
                    }
                },
            }
        }
        state.unflushed = Some(Unflushed::new(state.image.clone()));
        drop(state);
        self.flush()?;
        Ok(Some(lost))
    }

    fn write(&self, offset: u64, expected: Option<&[u8]>, data: &[u8]) -> Result<(), BlockError> {
        let Some(journal) = &self.shared.journal else {
            let mut state = self.shared.state.write();
            let _promised = state.admit(offset, expected, data)?;
            state.write_memory(offset, data);
            state.note(|| Op::Write { offset, data: data.to_vec() });
            return Ok(());
        };
        // Readers go on until the new pages are written.
        let state = self.shared.state.upgradable_read();
        let _promised = state.admit(offset, expected, data)?;
        let change = Change::write(journal.pages(), &state.image, offset, data)?;
        let mut state = RwLockUpgradableReadGuard::upgrade(state);
        state.change(journal, change)?;
        state.note(|| Op::Write { offset, data: data.to_vec() });
        drop(state);
        journal.commit_if_due()
    }

    /// For the store: calls `record` for what is to be in the journal, while nothing changes, and
    /// returns the content at that moment.
    pub(crate) fn capture(
        &self,
        record: impl FnOnce() -> Result<(), BlockError>,
    ) -> Result<Image, BlockError> {
        let state = self.shared.state.read();
        record()?;
        Ok(state.image.clone())
    }

    /// For the store: as [`Volume::capture`], of several different volumes at one instant; `meanwhile`
    /// runs while nothing changes. Who calls it holds the store's lock: two such calls at once could
    /// wait for each other.
    pub(crate) fn capture_all<T>(
        volumes: &[Self],
        record: impl FnOnce() -> Result<(), BlockError>,
        meanwhile: impl FnOnce() -> T,
    ) -> Result<(Vec<Image>, T), BlockError> {
        let states: Vec<_> = volumes.iter().map(|volume| volume.shared.state.read()).collect();
        record()?;
        let outcome = meanwhile();
        Ok((states.iter().map(|state| state.image.clone()).collect(), outcome))
    }

    /// For the store: gives the volume another content, or (`None`) takes it out of the journal.
    pub(crate) fn replace(
        &self,
        image: Option<&Image>,
        record: impl FnOnce() -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        let mut state = self.shared.state.write();
        record()?;
        match image {
            Some(image) => state.image = image.clone(),
            None => state.id = None,
        }
        state.settle();
        Ok(())
    }
}

impl State {
    /// Whether the write may be: in range, expected, and with space for it. What is returned keeps
    /// the space until the write has it.
    fn admit(
        &self,
        offset: u64,
        expected: Option<&[u8]>,
        data: &[u8],
    ) -> Result<Option<Reservation>, BlockError> {
        self.image.require_range(offset, data.len() as u64)?;
        if let Some(expected) = expected {
            self.image.compare(offset, expected)?;
        }
        let pool = self.image.medium.pool().filter(|pool| pool.limit().is_some());
        if self.limit.is_none() && pool.is_none() {
            return Ok(None);
        }
        let (added, owned) = self.image.growth(offset, data);
        let no_space = |needed: u64, available: u64| {
            let page = PAGE_SIZE as u64;
            BlockError::NoSpace { needed: needed * page, available: available * page }
        };
        if let Some(limit) = self.limit
            && added > limit.saturating_sub(self.image.pages.pages())
            && added > 0
        {
            return Err(no_space(added, limit.saturating_sub(self.image.pages.pages())));
        }
        match pool {
            Some(pool) if owned > 0 => {
                pool.reserve(owned).map(Some).map_err(|available| no_space(owned, available))
            }
            _ => Ok(None),
        }
    }

    fn write_memory(&mut self, offset: u64, data: &[u8]) {
        let pool = self.image.medium.pool().cloned();
        self.image.write_memory(offset, data, pool.as_ref());
    }

    fn deallocate(
        &mut self,
        journal: Option<&Arc<Journal>>,
        offset: u64,
        length: u64,
    ) -> Result<(), BlockError> {
        self.image.require_range(offset, length)?;
        match journal {
            None => self.image.deallocate_memory(offset, length),
            Some(journal) => {
                let change = Change::deallocate(journal.pages(), &self.image, offset, length)?;
                self.change(journal, change)?;
            }
        }
        self.note(|| Op::Deallocate { offset, length });
        Ok(())
    }

    /// Records a change and makes it, in this order (see [`Journal::append`]).
    fn change(&mut self, journal: &Journal, change: Change) -> Result<(), BlockError> {
        if change.is_empty() {
            return Ok(());
        }
        if let Some(id) = self.id {
            let records: Vec<Record> = change.records(id);
            self.recorded = journal.append(&records)?;
        }
        change.apply(&mut self.image);
        Ok(())
    }

    fn note(&mut self, op: impl FnOnce() -> Op) {
        if let Some(unflushed) = &mut self.unflushed {
            unflushed.note(op(), &self.image);
        }
    }

    fn settle(&mut self) {
        if let Some(unflushed) = &mut self.unflushed {
            unflushed.settle(&self.image);
        }
    }
}

impl Snapshot {
    pub(crate) fn of(image: Image) -> Self {
        Self { image }
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    pub(crate) fn into_image(self) -> Image {
        self.image
    }

    /// A new volume with this content, in O(1). It is in no store: what is written to it is gone
    /// with the last handle (a durable one is [`Store::clone_snapshot`](crate::Store::clone_snapshot)).
    #[must_use]
    pub fn to_volume(&self) -> Volume {
        Volume::with_image(self.image.clone(), None)
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.image.size
    }

    /// Bytes held in pages, shared ones included.
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.image.allocated()
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`]; [`BlockError::Damaged`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        self.image.read_at(offset, buffer)
    }

    /// Bytes that may differ from an earlier state of the same volume, as ranges within this one, in order;
    /// `None`: from nothing. What the two share is passed over without being read.
    #[must_use]
    pub fn changed_since(&self, earlier: Option<&Self>) -> Vec<Range<u64>> {
        let nothing = Tree::new();
        let earlier = earlier.map_or(&nothing, |earlier| &earlier.image.pages);
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for number in self.image.pages.differing(earlier, Page::is) {
            let start = number.saturating_mul(PAGE_SIZE as u64);
            let end = start.saturating_add(PAGE_SIZE as u64).min(self.image.size);
            match ranges.last_mut() {
                _ if start >= end => {}
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        ranges
    }
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.shared.state.read().image.describe("Volume", f)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.image.describe("Snapshot", f)
    }
}
