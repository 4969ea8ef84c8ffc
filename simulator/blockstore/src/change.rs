//! A change to an image on disk: first its pages go to slots of their own, then it is recorded, then
//! the index turns to them. Until the last step nobody sees it, and a failure before leaves no trace.

use std::ops::Range;
use std::sync::Arc;

use crate::error::BlockError;
use crate::image::{Cut, Image, is_zero, pieces, within};
use crate::page::{PAGE_SIZE, Page, ZEROES};
use crate::store::VolumeId;
use crate::store::pagefile::{PageFile, Source};
use crate::store::record::{Place, Record};
use crate::tree::{FANOUT, place};

/// What becomes different.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Pages that go. They go before the others come.
    absent: Vec<Range<u64>>,
    /// Pages that come or are replaced, by number, in order.
    pages: Vec<(u64, Page)>,
    size: Option<u64>,
}

impl Change {
    /// `data` at `offset`, which lie in the image.
    pub(crate) fn write(
        file: &Arc<PageFile>,
        image: &Image,
        offset: u64,
        data: &[u8],
    ) -> Result<Self, BlockError> {
        let mut sources = Vec::with_capacity(data.len() / PAGE_SIZE + 2);
        for piece in pieces(offset, data.len()) {
            let held = image.pages.find(piece.page);
            let bytes = &data[piece.data.clone()];
            if held.is_none() && is_zero(bytes) {
                continue;
            }
            let source = if bytes.len() == PAGE_SIZE {
                Source::Given(piece.data.start)
            } else {
                let mut whole = Box::new(held.map_or(Ok(ZEROES), |page| page.show(|held| *held))?);
                whole[piece.within].copy_from_slice(bytes);
                Source::Made(whole)
            };
            sources.push((piece.page, source));
        }
        Ok(Self { pages: file.store(data, &sources)?, ..Self::default() })
    }

    /// Zeroes in a range of the image.
    pub(crate) fn deallocate(
        file: &Arc<PageFile>,
        image: &Image,
        offset: u64,
        length: u64,
    ) -> Result<Self, BlockError> {
        let cut = Cut::new(offset, length, image.size);
        let mut sources = Vec::new();
        for part in cut.partial {
            let number = part.start / PAGE_SIZE as u64;
            if let Some(page) = image.pages.find(number) {
                let mut whole = Box::new(page.show(|held| *held)?);
                whole[within(&part)].fill(0);
                sources.push((number, Source::Made(whole)));
            }
        }
        let pages = file.store(&[], &sources)?;
        let any = image.pages.seek(cut.whole.start, cut.whole.end, true) < cut.whole.end;
        Ok(Self { absent: any.then_some(cut.whole).into_iter().collect(), pages, size: None })
    }

    /// Another size; what is cut off reads as zero if the image grows again.
    pub(crate) fn resize(file: &Arc<PageFile>, image: &Image, size: u64) -> Result<Self, BlockError> {
        let shrunk = image.size.saturating_sub(size);
        let change = match shrunk {
            0 => Self::default(),
            shrunk => Self::deallocate(file, image, size, shrunk)?,
        };
        Ok(Self { size: Some(size), ..change })
    }

    /// What makes `from` the same as `to`, which has pages of the same page file.
    pub(crate) fn between(from: &Image, to: &Image) -> Self {
        let mut change = Self { size: (from.size != to.size).then_some(to.size), ..Self::default() };
        let mut at = from.pages.seek(0, u64::MAX, true);
        while at < u64::MAX {
            if to.pages.find(at).is_none() {
                change.absent.push(at..at + 1);
            }
            at = from.pages.seek(at + 1, u64::MAX, true);
        }
        let mut at = to.pages.seek(0, u64::MAX, true);
        while at < u64::MAX {
            match (from.pages.find(at), to.pages.find(at)) {
                (Some(Page::Disk(from)), Some(Page::Disk(to))) if Arc::ptr_eq(from, to) => {}
                (_, Some(page)) => change.pages.push((at, page.clone())),
                (_, None) => {}
            }
            at = to.pages.seek(at + 1, u64::MAX, true);
        }
        change
    }

    /// Whether nothing becomes different.
    pub(crate) fn is_empty(&self) -> bool {
        self.absent.is_empty() && self.pages.is_empty() && self.size.is_none()
    }

    /// The change as the journal tells it.
    pub(crate) fn records(&self, volume: VolumeId) -> Vec<Record> {
        let absent = |range: &Range<u64>| Record::Unmap { volume, first: range.start, past: range.end };
        let mut records: Vec<Record> = self.absent.iter().map(absent).collect();
        records.extend(self.size.map(|size| Record::Resize { volume, size }));
        for run in self.pages.chunk_by(|(one, _), (next, _)| *next == one + 1) {
            let place = |(_, page): &(u64, Page)| match page {
                Page::Disk(page) => Some(Place { slot: page.slot, crc: page.crc }),
                Page::Memory(_) => None,
            };
            if let Some((first, _)) = run.first() {
                let places = run.iter().filter_map(place).collect();
                records.push(Record::Map { volume, first: *first, places });
            }
        }
        records
    }

    /// Makes it so.
    pub(crate) fn apply(self, image: &mut Image) {
        for range in self.absent {
            image.pages.remove(range.start, range.end);
        }
        image.size = self.size.unwrap_or(image.size);
        let mut pages = self.pages.into_iter().peekable();
        while let Some((number, _)) = pages.peek() {
            let leaf_number = number / FANOUT as u64;
            image.pages.edit_leaf(*number, |leaf| {
                let mut added = 0;
                while let Some((number, page)) = pages.next_if(|(n, _)| n / FANOUT as u64 == leaf_number) {
                    added += u64::from(leaf[place(number)].replace(page).is_none());
                }
                added
            });
        }
    }
}
