//! The page file: an array of 4 KiB slots. A slot is written once and then only read, until it is
//! free again (see [`super::slots`]); every page is checked against its CRC32C when it is read.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::medium::RawFile;
use super::slots::Slots;
use crate::error::{BlockError, StoreError};
use crate::page::{Bytes, DiskPage, PAGE_SIZE, Page, Pool};

/// Name of the page file in the data directory.
pub(crate) const PAGES: &str = "pages";

/// Slots freed beyond which a commit is due, so that they can be used again: 256 MiB.
const FREED_LIMIT: usize = 1 << 16;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct PageFile {
    file: Box<dyn RawFile>,
    path: PathBuf,
    slots: Mutex<Slots>,
    pub(crate) pool: Arc<Pool>,
    /// Written since it was last synchronised.
    dirty: AtomicBool,
    /// While the index is built, a page that goes does not free its slot: who uses which slot is
    /// told at the end.
    loading: AtomicBool,
    /// Why the store writes no more.
    stopped: OnceLock<Arc<str>>,
}

/// What goes into a page.
#[derive(Debug)]
pub(crate) enum Source {
    /// A whole page of the caller's data, from this byte on.
    Given(usize),
    /// A page put together from what was there and what is new.
    Made(Box<Bytes>),
}

impl PageFile {
    /// The page file, with every slot in use until [`PageFile::settle`].
    pub(crate) fn new(file: Box<dyn RawFile>, path: PathBuf, pool: Arc<Pool>) -> Self {
        Self {
            file,
            path,
            slots: Mutex::default(),
            pool,
            dirty: AtomicBool::new(false),
            loading: AtomicBool::new(true),
            stopped: OnceLock::new(),
        }
    }

    /// Ends the building of the index: `used`, in order, are the slots that hold pages.
    pub(crate) fn settle(&self, used: &[u32]) -> Result<(), StoreError> {
        let length = self.file.length().map_err(|source| self.io("examine", source))?;
        let needed = used.last().map_or(0, |slot| (u64::from(*slot) + 1) * PAGE_SIZE as u64);
        if length < needed {
            let what = "the journal names pages past the end of the file";
            return Err(StoreError::Damaged { path: self.path.clone(), offset: length, what });
        }
        self.pool.count(used.len() as u64);
        *self.slots.lock() = Slots::with_used(used);
        self.loading.store(false, Ordering::Release);
        Ok(())
    }

    /// The page that is in a slot.
    pub(crate) fn adopt(self: &Arc<Self>, slot: u32, crc: u32) -> Arc<DiskPage> {
        if !self.loading.load(Ordering::Acquire) {
            self.pool.count(1);
        }
        Arc::new(DiskPage { slot, crc, file: self.clone() })
    }

    /// Reads one page and checks it.
    pub(crate) fn read(&self, page: &DiskPage, bytes: &mut Bytes) -> Result<(), BlockError> {
        self.read_run(page.slot, bytes)?;
        page.verify(bytes)
    }

    /// Reads consecutive slots, unchecked.
    pub(crate) fn read_run(&self, first: u32, buffer: &mut [u8]) -> Result<(), BlockError> {
        let offset = offset_of(first);
        self.file.read_exact_at(buffer, offset).map_err(|_| BlockError::Damaged { offset })
    }

    /// Writes pages to slots of their own. `sources` are what each page becomes; whole pages are
    /// taken from `data`. Not durable before [`PageFile::sync`].
    pub(crate) fn store(
        self: &Arc<Self>,
        data: &[u8],
        sources: &[(u64, Source)],
    ) -> Result<Vec<(u64, Page)>, BlockError> {
        self.require_running()?;
        let full = || BlockError::NoSpace { needed: (sources.len() * PAGE_SIZE) as u64, available: 0 };
        let count = u32::try_from(sources.len()).map_err(|_| full())?;
        let runs = self.slots.lock().take(count).ok_or_else(full)?;
        let mut pages = Vec::with_capacity(sources.len());
        // Every slot has its page before anything is written: whatever fails, they are freed.
        for ((number, source), slot) in sources.iter().zip(runs.iter().cloned().flatten()) {
            pages.push((*number, Page::Disk(self.adopt(slot, crc32c::crc32c(source.bytes(data))))));
        }
        let mut rest = sources;
        for run in runs {
            let (these, later) = rest.split_at((run.end - run.start) as usize);
            rest = later;
            self.write_run(run.start, data, these).map_err(|error| {
                if error.kind() == std::io::ErrorKind::StorageFull {
                    full()
                } else {
                    self.stop("write", &error)
                }
            })?;
        }
        self.dirty.store(true, Ordering::Release);
        Ok(pages)
    }

    /// Writes pages to consecutive slots; what is contiguous in `data` goes in one call.
    fn write_run(&self, first: u32, data: &[u8], mut pages: &[(u64, Source)]) -> std::io::Result<()> {
        let mut slot = first;
        while let Some((_, source)) = pages.first() {
            let count = match source {
                Source::Made(bytes) => {
                    self.file.write_all_at(bytes.as_slice(), offset_of(slot))?;
                    1
                }
                Source::Given(start) => {
                    let follows = |(n, (_, page)): &(usize, &(u64, Source))| matches!(page, Source::Given(at) if *at == start + n * PAGE_SIZE);
                    let count = pages.iter().enumerate().take_while(follows).count();
                    self.file.write_all_at(&data[*start..start + count * PAGE_SIZE], offset_of(slot))?;
                    count
                }
            };
            slot += count as u32;
            pages = &pages[count..];
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> Result<(), BlockError> {
        self.require_running()?;
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.file.sync().map_err(|error| self.stop("synchronise", &error))?;
        }
        Ok(())
    }

    pub(crate) fn free(&self, slot: u32) {
        if !self.loading.load(Ordering::Acquire) {
            self.pool.discount(1);
            self.slots.lock().free(slot);
        }
    }

    pub(crate) fn take_freed(&self) -> Vec<u32> {
        self.slots.lock().take_freed()
    }

    pub(crate) fn release(&self, slots: Vec<u32>) {
        self.slots.lock().release(slots);
    }

    /// Whether so many slots wait for a commit that one is due.
    pub(crate) fn wants_commit(&self) -> bool {
        self.slots.lock().freed() >= FREED_LIMIT
    }

    /// Bytes of the file that were ever in use at the same time.
    pub(crate) fn extent(&self) -> u64 {
        offset_of(self.slots.lock().end())
    }

    pub(crate) fn require_running(&self) -> Result<(), BlockError> {
        match self.stopped.get() {
            None => Ok(()),
            Some(reason) => Err(BlockError::Stopped { reason: reason.clone() }),
        }
    }

    /// Ends all writing: what the system did with a failed write or sync is not known, so nothing
    /// is built on it.
    fn stop(&self, action: &str, error: &std::io::Error) -> BlockError {
        self.stop_because(format!("cannot {action} {}: {error}", self.path.display()))
    }

    pub(crate) fn stop_because(&self, reason: String) -> BlockError {
        BlockError::Stopped { reason: self.stopped.get_or_init(|| reason.into()).clone() }
    }

    fn io(&self, action: &'static str, source: std::io::Error) -> StoreError {
        StoreError::Io { action, path: self.path.clone(), source }
    }
}

impl DiskPage {
    /// Checks what was read of the page.
    pub(crate) fn verify(&self, bytes: &[u8]) -> Result<(), BlockError> {
        if crc32c::crc32c(bytes) == self.crc {
            Ok(())
        } else {
            Err(BlockError::Damaged { offset: offset_of(self.slot) })
        }
    }
}

impl Source {
    fn bytes<'a>(&'a self, data: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Given(start) => &data[*start..start + PAGE_SIZE],
            Self::Made(bytes) => bytes.as_slice(),
        }
    }
}

fn offset_of(slot: u32) -> u64 {
    u64::from(slot) * PAGE_SIZE as u64
}
