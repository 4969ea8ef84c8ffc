//! What a tree of pages holds: 4 KiB in memory, or the place of 4 KiB in the page file.
//!
//! Pages are shared by reference count. The last reference that goes returns the space, in memory
//! to the allocator, on disk to the free slots of the page file.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::BlockError;
use crate::store::pagefile::PageFile;

/// The unit of allocation and of copy-on-write, in bytes.
pub const PAGE_SIZE: usize = 4096;

/// The content of a page.
pub(crate) type Bytes = [u8; PAGE_SIZE];

pub(crate) static ZEROES: Bytes = [0; PAGE_SIZE];

/// One page; shared between a volume, its snapshots and their clones.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    Disk(Arc<DiskPage>),
    Memory(Arc<MemoryPage>),
}

/// A page in memory.
pub(crate) struct MemoryPage {
    pub(crate) bytes: Bytes,
    /// The store that counts it; `None` for a volume without a store.
    pool: Option<Arc<Pool>>,
}

/// A page in a slot of the page file. Never written again: a write goes to another slot.
#[derive(Debug)]
pub(crate) struct DiskPage {
    pub(crate) slot: u32,
    /// CRC32C of the content.
    pub(crate) crc: u32,
    pub(crate) file: Arc<PageFile>,
}

/// Pages of one store, and how many there may be.
#[derive(Debug)]
pub(crate) struct Pool {
    used: AtomicU64,
    /// Promised to writes that are under way.
    reserved: AtomicU64,
    /// `u64::MAX`: no limit.
    limit: AtomicU64,
}

/// Pages promised to one write; given back when dropped, for then the write counts by itself.
#[derive(Debug)]
pub(crate) struct Reservation {
    pool: Arc<Pool>,
    pages: u64,
}

impl Page {
    /// Whether nothing shares the page.
    pub(crate) fn alone(&self) -> bool {
        match self {
            Self::Disk(page) => Arc::strong_count(page) == 1,
            Self::Memory(page) => Arc::strong_count(page) == 1,
        }
    }

    /// Whether the two are one page, shared.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Disk(one), Self::Disk(other)) => Arc::ptr_eq(one, other),
            (Self::Memory(one), Self::Memory(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Copies a part of the page to where it is wanted (both of the same length).
    pub(crate) fn copy_to(&self, within: Range<usize>, to: &mut [u8]) -> Result<(), BlockError> {
        match self {
            Self::Memory(page) => to.copy_from_slice(&page.bytes[within]),
            Self::Disk(page) => {
                let mut bytes = ZEROES;
                page.file.read(page, &mut bytes)?;
                to.copy_from_slice(&bytes[within]);
            }
        }
        Ok(())
    }

    /// Shows the whole page.
    pub(crate) fn show<T>(&self, see: impl FnOnce(&Bytes) -> T) -> Result<T, BlockError> {
        match self {
            Self::Memory(page) => Ok(see(&page.bytes)),
            Self::Disk(page) => {
                let mut bytes = ZEROES;
                page.file.read(page, &mut bytes)?;
                Ok(see(&bytes))
            }
        }
    }
}

impl MemoryPage {
    pub(crate) fn new(bytes: Bytes, pool: Option<&Arc<Pool>>) -> Arc<Self> {
        if let Some(pool) = pool {
            pool.used.fetch_add(1, Ordering::Relaxed);
        }
        Arc::new(Self { bytes, pool: pool.cloned() })
    }
}

impl Clone for MemoryPage {
    fn clone(&self) -> Self {
        if let Some(pool) = &self.pool {
            pool.used.fetch_add(1, Ordering::Relaxed);
        }
        Self { bytes: self.bytes, pool: self.pool.clone() }
    }
}

impl Drop for MemoryPage {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.used.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for MemoryPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryPage").finish_non_exhaustive()
    }
}

impl Drop for DiskPage {
    fn drop(&mut self) {
        self.file.free(self.slot);
    }
}

impl Pool {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, pages: u64) {
        self.used.fetch_add(pages, Ordering::Relaxed);
    }

    pub(crate) fn discount(&self, pages: u64) {
        self.used.fetch_sub(pages, Ordering::Relaxed);
    }

    /// The limit in pages, if there is one.
    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|limit| *limit != u64::MAX)
    }

    pub(crate) fn set_limit(&self, pages: Option<u64>) {
        self.limit.store(pages.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Promises `pages`, or tells how many are left.
    pub(crate) fn reserve(self: &Arc<Self>, pages: u64) -> Result<Reservation, u64> {
        let limit = self.limit.load(Ordering::Relaxed);
        // Promised before it is compared: two writes at the same moment see each other's promise.
        let reserved = self.reserved.fetch_add(pages, Ordering::AcqRel);
        let taken = self.used().saturating_add(reserved);
        let reservation = Reservation { pool: self.clone(), pages };
        if taken.saturating_add(pages) > limit {
            return Err(limit.saturating_sub(taken));
        }
        Ok(reservation)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.reserved.fetch_sub(self.pages, Ordering::AcqRel);
    }
}
