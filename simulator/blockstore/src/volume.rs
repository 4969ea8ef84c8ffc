//! Volumes and snapshots: byte ranges over the page tree.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::RwLock;
use thiserror::Error;

use crate::tree::Tree;

/// The unit of allocation and of copy-on-write, in bytes.
pub const PAGE_SIZE: usize = 4096;

/// One page; whole pages are shared between a volume, its snapshots and their clones.
type Page = Arc<[u8; PAGE_SIZE]>;

static ZEROES: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

/// Why a volume did not read or write.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BlockError {
    /// The range does not lie in the volume. Nothing was read or written.
    #[error("{length} bytes at {offset} do not lie in a volume of {size} bytes")]
    OutOfRange {
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        length: u64,
        /// Bytes the volume has.
        size: u64,
    },
    /// [`Volume::compare_and_write`]: the volume holds something else. Nothing was written.
    #[error("the volume differs from what was expected, first at byte {offset} of the comparison")]
    Miscompare {
        /// Offset of the first differing byte, from the start of the comparison.
        offset: u64,
    },
}

/// A sparse range of bytes; what was never written reads as zero. Clones of the handle are the same
/// volume (a *copy* is [`Volume::snapshot`] + [`Snapshot::to_volume`]).
#[derive(Clone)]
pub struct Volume {
    image: Arc<RwLock<Image>>,
}

/// The content of a volume at one instant. Immutable; shares pages with the volume.
#[derive(Clone)]
pub struct Snapshot {
    image: Image,
}

#[derive(Clone)]
struct Image {
    size: u64,
    pages: Tree<Page>,
}

impl Volume {
    /// A volume of `size` bytes that reads as zero.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self::from_image(Image { size, pages: Tree::new() })
    }

    fn from_image(image: Image) -> Self {
        Self { image: Arc::new(RwLock::new(image)) }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.image.read().size
    }

    /// Bytes held in pages, shared ones included; a multiple of [`PAGE_SIZE`].
    #[must_use]
    pub fn allocated(&self) -> u64 {
        self.image.read().allocated()
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        self.image.read().read_at(offset, buffer)
    }

    /// Writes `data` at `offset`, atomically towards other reads and writes. Zeroes written where
    /// nothing is allocated allocate nothing.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`].
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), BlockError> {
        self.image.write().write_at(offset, data)
    }

    /// Writes `data` if the volume holds `expected` there, as one atomic step (SBC-3 COMPARE AND
    /// WRITE).
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`]; [`BlockError::Miscompare`].
    pub fn compare_and_write(&self, offset: u64, expected: &[u8], data: &[u8]) -> Result<(), BlockError> {
        let mut image = self.image.write();
        image.compare(offset, expected)?;
        image.write_at(offset, data)
    }

    /// Tells whether the volume holds `expected` at `offset`.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`]; [`BlockError::Miscompare`] with the first difference.
    pub fn compare(&self, offset: u64, expected: &[u8]) -> Result<(), BlockError> {
        self.image.read().compare(offset, expected)
    }

    /// Makes `length` bytes at `offset` read as zero and frees every whole page among them.
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`].
    pub fn deallocate(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.image.write().deallocate(offset, length)
    }

    /// Whether the run that starts at `offset` is allocated, and how many bytes it is long, looking
    /// no further than `limit` bytes (SBC-3 GET LBA STATUS).
    ///
    /// # Errors
    /// [`BlockError::OutOfRange`] when `offset` is past the end.
    pub fn run_at(&self, offset: u64, limit: u64) -> Result<(bool, u64), BlockError> {
        self.image.read().run_at(offset, limit)
    }

    /// Grows or shrinks the volume to `size` bytes. What is cut off is gone: grown again it reads
    /// as zero.
    pub fn resize(&self, size: u64) {
        let mut image = self.image.write();
        let old = image.size;
        if size < old {
            // In range by construction: size < old.
            let _ = image.deallocate(size, old - size);
        }
        image.size = size;
    }

    /// Makes what was written durable. In memory there is nothing to do.
    ///
    /// # Errors
    /// None today.
    pub fn flush(&self) -> Result<(), BlockError> {
        Ok(())
    }

    /// The volume as it is now, in O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { image: self.image.read().clone() }
    }
}

impl Snapshot {
    /// A new volume with this content, in O(1).
    #[must_use]
    pub fn to_volume(&self) -> Volume {
        Volume::from_image(self.image.clone())
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
}

impl std::fmt::Debug for Volume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.image.read().describe("Volume", f)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.image.describe("Snapshot", f)
    }
}

impl Image {
    fn describe(&self, name: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(name).field("size", &self.size).field("allocated", &self.allocated()).finish()
    }

    fn allocated(&self) -> u64 {
        self.pages.pages() * PAGE_SIZE as u64
    }

    fn require_range(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(BlockError::OutOfRange { offset, length, size: self.size }),
        }
    }

    fn page(&self, number: u64) -> &[u8; PAGE_SIZE] {
        self.pages.find(number).map_or(&ZEROES, |page| page)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        self.require_range(offset, buffer.len() as u64)?;
        for piece in pieces(offset, buffer.len()) {
            buffer[piece.data].copy_from_slice(&self.page(piece.page)[piece.within]);
        }
        Ok(())
    }

    fn compare(&self, offset: u64, expected: &[u8]) -> Result<(), BlockError> {
        self.require_range(offset, expected.len() as u64)?;
        for piece in pieces(offset, expected.len()) {
            let start = piece.data.start;
            let differs = self.page(piece.page)[piece.within]
                .iter()
                .zip(&expected[piece.data])
                .position(|(held, wanted)| held != wanted);
            if let Some(at) = differs {
                return Err(BlockError::Miscompare { offset: (start + at) as u64 });
            }
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), BlockError> {
        self.require_range(offset, data.len() as u64)?;
        for piece in pieces(offset, data.len()) {
            let bytes = &data[piece.data];
            if self.pages.find(piece.page).is_none() && bytes == &ZEROES[..bytes.len()] {
                continue;
            }
            self.pages.edit(piece.page, |page| {
                let page = page.get_or_insert_with(|| Arc::new(ZEROES));
                Arc::make_mut(page)[piece.within].copy_from_slice(bytes);
            });
        }
        Ok(())
    }

    fn deallocate(&mut self, offset: u64, length: u64) -> Result<(), BlockError> {
        self.require_range(offset, length)?;
        let page = PAGE_SIZE as u64;
        let end = offset + length;
        // The last page of the volume may be short: nothing of it is kept when the range reaches the end.
        let past = if end == self.size { end.div_ceil(page) } else { end / page };
        let (first, head_end) = (offset.div_ceil(page), end.min(offset.next_multiple_of(page)));
        self.zero_within_page(offset, head_end);
        if first < past {
            self.pages.remove(first, past);
        }
        if end > head_end && past * page < end {
            self.zero_within_page(past * page, end);
        }
        Ok(())
    }

    /// Zeroes `from..to`, which lie in one page, if that page is allocated.
    fn zero_within_page(&mut self, from: u64, to: u64) {
        let number = from / PAGE_SIZE as u64;
        if from < to && self.pages.find(number).is_some() {
            let start = (from % PAGE_SIZE as u64) as usize;
            let length = (to - from) as usize;
            self.pages.edit(number, |page| {
                if let Some(page) = page {
                    Arc::make_mut(page)[start..start + length].fill(0);
                }
            });
        }
    }

    fn run_at(&self, offset: u64, limit: u64) -> Result<(bool, u64), BlockError> {
        self.require_range(offset, 1)?;
        let end = self.size.min(offset.saturating_add(limit.max(1)));
        let page = PAGE_SIZE as u64;
        let allocated = self.pages.find(offset / page).is_some();
        let mut past = (offset / page + 1) * page;
        while past < end && self.pages.find(past / page).is_some() == allocated {
            past += page;
        }
        Ok((allocated, past.min(end) - offset))
    }
}

/// The part of a transfer that falls into one page.
struct Piece {
    page: u64,
    within: Range<usize>,
    data: Range<usize>,
}

fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let start = (at % PAGE_SIZE as u64) as usize;
        let take = (PAGE_SIZE - start).min(length - done);
        let piece =
            Piece { page: at / PAGE_SIZE as u64, within: start..start + take, data: done..done + take };
        done += take;
        Some(piece)
    })
}
