//! The content of a volume at one instant: a size and a tree of pages.

use std::ops::Range;
use std::sync::Arc;

use bytes::BufMut;

use crate::error::BlockError;
use crate::page::{MemoryPage, PAGE_SIZE, Page, Pool, ZEROES};
use crate::store::journal::Journal;
use crate::tree::{FANOUT, Leaf, Tree, place};

const PAGE: u64 = PAGE_SIZE as u64;

/// See the [module](self). A clone is two reference counts.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) size: u64,
    pub(crate) pages: Tree<Page>,
    pub(crate) medium: Medium,
}

/// Where new pages go. An image has pages of one kind only.
#[derive(Clone)]
pub(crate) enum Medium {
    Disk(Arc<Journal>),
    /// With the store that counts the pages, if there is one.
    Memory(Option<Arc<Pool>>),
}

impl Medium {
    pub(crate) fn pool(&self) -> Option<&Arc<Pool>> {
        match self {
            Self::Disk(journal) => Some(&journal.pages().pool),
            Self::Memory(pool) => pool.as_ref(),
        }
    }
}

impl Image {
    pub(crate) fn describe(&self, name: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(name).field("size", &self.size).field("allocated", &self.allocated()).finish()
    }

    pub(crate) fn allocated(&self) -> u64 {
        self.pages.pages() * PAGE
    }

    pub(crate) fn unshared(&self) -> u64 {
        self.pages.unshared(Page::alone) * PAGE
    }

    pub(crate) fn require_range(&self, offset: u64, length: u64) -> Result<(), BlockError> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(BlockError::OutOfRange { offset, length, size: self.size }),
        }
    }

    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
        self.require_range(offset, buffer.len() as u64)?;
        for span in leaf_spans(offset, buffer.len()) {
            let buffer = &mut buffer[span.data];
            match self.pages.leaf(span.at / PAGE) {
                None => buffer.fill(0),
                Some((leaf, _)) => read_leaf(leaf, span.at, buffer)?,
            }
        }
        Ok(())
    }

    pub(crate) fn read_into(
        &self,
        offset: u64,
        length: usize,
        out: &mut impl BufMut,
    ) -> Result<(), BlockError> {
        self.require_range(offset, length as u64)?;
        let mut scratch = Vec::new();
        for span in leaf_spans(offset, length) {
            let length = span.data.len();
            match (self.pages.leaf(span.at / PAGE), &self.medium) {
                (None, _) => out.put_bytes(0, length),
                (Some((leaf, _)), Medium::Memory(_)) => {
                    for piece in pieces(span.at, length) {
                        match &leaf[place(piece.page)] {
                            Some(Page::Memory(page)) => out.put_slice(&page.bytes[piece.within]),
                            _ => out.put_bytes(0, piece.data.len()),
                        }
                    }
                }
                (Some((leaf, _)), Medium::Disk(_)) => {
                    scratch.resize(length, 0);
                    read_leaf(leaf, span.at, &mut scratch)?;
                    out.put_slice(&scratch);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn compare(&self, offset: u64, expected: &[u8]) -> Result<(), BlockError> {
        self.require_range(offset, expected.len() as u64)?;
        for piece in pieces(offset, expected.len()) {
            let start = piece.data.start;
            let wanted = &expected[piece.data];
            let difference = |held: &[u8; PAGE_SIZE]| {
                let held = &held[piece.within];
                if held == wanted {
                    None
                } else {
                    held.iter().zip(wanted).position(|(held, wanted)| held != wanted)
                }
            };
            let found = match self.pages.find(piece.page) {
                None => difference(&ZEROES),
                Some(page) => page.show(difference)?,
            };
            if let Some(at) = found {
                return Err(BlockError::Miscompare { offset: (start + at) as u64 });
            }
        }
        Ok(())
    }

    pub(crate) fn run_at(&self, offset: u64, limit: u64) -> Result<(bool, u64), BlockError> {
        self.require_range(offset, 1)?;
        let end = self.size.min(offset.saturating_add(limit.max(1)));
        let first = offset / PAGE;
        let allocated = self.pages.find(first).is_some();
        let past = self.pages.seek(first, end.div_ceil(PAGE), !allocated);
        Ok((allocated, past.saturating_mul(PAGE).min(end) - offset))
    }

    /// Pages a write adds to the image, and pages it adds to the store: it also gets its own copy
    /// of what is shared.
    pub(crate) fn growth(&self, offset: u64, data: &[u8]) -> (u64, u64) {
        let (mut added, mut owned) = (0, 0);
        for piece in pieces(offset, data.len()) {
            let leaf = self.pages.leaf(piece.page);
            match leaf.and_then(|(leaf, alone)| Some((leaf[place(piece.page)].as_ref()?, alone))) {
                None if is_zero(&data[piece.data]) => {}
                None => (added, owned) = (added + 1, owned + 1),
                Some((page, alone)) => owned += u64::from(!alone || !page.alone()),
            }
        }
        (added, owned)
    }

    /// Writes to pages in memory. The range lies in the image.
    pub(crate) fn write_memory(&mut self, offset: u64, data: &[u8], pool: Option<&Arc<Pool>>) {
        for span in leaf_spans(offset, data.len()) {
            let first = span.at / PAGE;
            let data = &data[span.data];
            // Zeroes where nothing is make no leaf either.
            if self.pages.leaf(first).is_some() || !data.chunks(PAGE_SIZE).all(is_zero) {
                self.pages.edit_leaf(first, |leaf| write_leaf(leaf, span.at, data, pool));
            }
        }
    }

    /// Zeroes a range of pages in memory. The range lies in the image.
    pub(crate) fn deallocate_memory(&mut self, offset: u64, length: u64) {
        let cut = Cut::new(offset, length, self.size);
        for part in cut.partial {
            let number = part.start / PAGE;
            if self.pages.find(number).is_some() {
                self.pages.edit_leaf(number, |leaf| {
                    if let Some(Page::Memory(page)) = &mut leaf[place(number)] {
                        Arc::make_mut(page).bytes[within(&part)].fill(0);
                    }
                    0
                });
            }
        }
        self.pages.remove(cut.whole.start, cut.whole.end);
    }
}

/// A range to deallocate: the pages that go whole, and the parts of pages that are zeroed.
pub(crate) struct Cut {
    pub(crate) whole: Range<u64>,
    /// In bytes, each within one page.
    pub(crate) partial: Vec<Range<u64>>,
}

impl Cut {
    pub(crate) fn new(offset: u64, length: u64, size: u64) -> Self {
        let end = offset + length;
        // The last page of the volume may be short: nothing of it is kept when the range reaches the end.
        let past = if end == size { end.div_ceil(PAGE) } else { end / PAGE };
        let first = offset.div_ceil(PAGE);
        let head_end = end.min(first.saturating_mul(PAGE));
        let mut partial = Vec::new();
        if offset < head_end {
            partial.push(offset..head_end);
        }
        if end > head_end && past * PAGE < end {
            partial.push(past * PAGE..end);
        }
        Self { whole: first..past.max(first), partial }
    }
}

/// The place within its page of a range of bytes that lies in one.
pub(crate) fn within(range: &Range<u64>) -> Range<usize> {
    let start = (range.start % PAGE) as usize;
    start..start + (range.end - range.start) as usize
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    ZEROES.get(..bytes.len()) == Some(bytes)
}

fn write_leaf(leaf: &mut Leaf<Page>, offset: u64, data: &[u8], pool: Option<&Arc<Pool>>) -> u64 {
    let mut added = 0;
    for piece in pieces(offset, data.len()) {
        let held = &mut leaf[place(piece.page)];
        let bytes = &data[piece.data];
        // A whole page replaces what is shared: nothing is copied that is overwritten at once.
        if let Ok(whole) = <&[u8; PAGE_SIZE]>::try_from(bytes)
            && held.as_ref().is_none_or(|page| !page.alone())
        {
            if held.is_some() || !is_zero(bytes) {
                added += u64::from(held.replace(Page::Memory(MemoryPage::new(*whole, pool))).is_none());
            }
            continue;
        }
        match held {
            Some(Page::Memory(page)) => Arc::make_mut(page).bytes[piece.within].copy_from_slice(bytes),
            None if !is_zero(bytes) => {
                let mut whole = ZEROES;
                whole[piece.within].copy_from_slice(bytes);
                *held = Some(Page::Memory(MemoryPage::new(whole, pool)));
                added += 1;
            }
            // A page on disk is not in an image in memory.
            Some(Page::Disk(_)) | None => {}
        }
    }
    added
}

/// Reads what lies in one leaf. Pages in consecutive slots come in one read.
fn read_leaf(leaf: &Leaf<Page>, offset: u64, buffer: &mut [u8]) -> Result<(), BlockError> {
    let mut pieces = pieces(offset, buffer.len()).peekable();
    while let Some(piece) = pieces.next() {
        match &leaf[place(piece.page)] {
            None => buffer[piece.data].fill(0),
            Some(Page::Disk(first)) if piece.data.len() == PAGE_SIZE => {
                let mut run = vec![first];
                let mut end = piece.data.end;
                while let Some(next) = pieces.peek()
                    && next.data.len() == PAGE_SIZE
                    && let Some(Page::Disk(page)) = &leaf[place(next.page)]
                    && page.slot == first.slot + run.len() as u32
                {
                    end = next.data.end;
                    run.push(page);
                    pieces.next();
                }
                let buffer = &mut buffer[piece.data.start..end];
                first.file.read_run(first.slot, buffer)?;
                for (page, bytes) in run.iter().zip(buffer.chunks(PAGE_SIZE)) {
                    page.verify(bytes)?;
                }
            }
            Some(page) => page.copy_to(piece.within, &mut buffer[piece.data])?,
        }
    }
    Ok(())
}

/// The part of a transfer that falls into one page.
pub(crate) struct Piece {
    pub(crate) page: u64,
    pub(crate) within: Range<usize>,
    pub(crate) data: Range<usize>,
}

/// The part of a transfer that falls into one leaf.
struct LeafSpan {
    at: u64,
    data: Range<usize>,
}

pub(crate) fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    spans(offset, length, PAGE).map(|(at, data)| {
        let start = (at % PAGE) as usize;
        Piece { page: at / PAGE, within: start..start + data.len(), data }
    })
}

fn leaf_spans(offset: u64, length: usize) -> impl Iterator<Item = LeafSpan> {
    spans(offset, length, PAGE * FANOUT as u64).map(|(at, data)| LeafSpan { at, data })
}

/// Cuts a transfer at every multiple of `unit`.
fn spans(offset: u64, length: usize, unit: u64) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let take = ((unit - at % unit) as usize).min(length - done);
        let data = done..done + take;
        done += take;
        Some((at, data))
    })
}
