//! The bytes of a file, holes left out.
//!
//! They are kept in chunks that a snapshot, a checkpoint and a reply under way share with the file:
//! none of these copies a byte, and a write copies a chunk at most.

use std::sync::Arc;

use bytes::Bytes;

use crate::tree::radix::Radix;

/// The unit in which space is counted: WAFL's block.
pub(crate) const BLOCK: u64 = 4096;
/// The unit in which bytes are kept, and copied when a snapshot holds them too.
pub(super) const CHUNK: u64 = 64 << 10;
static ZEROS: [u8; CHUNK as usize] = [0; CHUNK as usize];

/// Sparse bytes. A chunk holds bytes from its start up to the last one written; what is missing
/// reads as zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    size: u64,
    blocks: u64,
    chunks: Radix<Arc<Chunk>>,
}

#[derive(Debug, Clone)]
pub(super) struct Chunk {
    /// The newest snapshot of the tree when this was written: those taken later hold it as well.
    born: u32,
    bytes: Vec<u8>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A chunk as the owner of bytes under way to a client.
#[derive(Debug)]
struct Lent(Arc<Chunk>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// What a change does to the space of a tree, in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SpaceChange {
    pub(super) added: u64,
    pub(super) freed: u64,
    /// Left behind in the newest snapshot, which held them together with the file.
    pub(super) retained: u64,
}

/// The part of a byte range that lies in one chunk.
#[derive(Debug, Clone, Copy)]
struct Span {
    chunk: u64,
    /// Bytes from the start of the chunk.
    start: usize,
    end: usize,
    /// Where the span lies in the caller's buffer.
    at: usize,
}

fn spans(offset: u64, length: usize) -> impl Iterator<Item = Span> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= length {
            return None;
        }
        let position = offset + at as u64;
        let start = (position % CHUNK) as usize;
        let end = (start + (length - at)).min(CHUNK as usize);
        let span = Span { chunk: position / CHUNK, start, end, at };
        at += end - start;
        Some(span)
    })
}

fn blocks_of(length: usize) -> u64 {
    (length as u64).div_ceil(BLOCK)
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Blocks of [`BLOCK`] bytes it takes.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Hands out the bytes of a range without copying them.
    pub(super) fn lend(&self, offset: u64, length: usize, mut each: impl FnMut(Bytes)) {
        for span in spans(offset, length) {
            let held = self.chunks.get(span.chunk).filter(|chunk| chunk.bytes.len() > span.start);
            let past = held.map_or(span.start, |chunk| span.end.min(chunk.bytes.len()));
            if let Some(chunk) = held {
                each(Bytes::from_owner(Lent(Arc::clone(chunk))).slice(span.start..past));
            }
            if past < span.end {
                each(Bytes::from_static(&ZEROS).slice(..span.end - past));
            }
        }
    }

    /// What a write of `length` bytes at `offset` would do, `newest` being the newest snapshot.
    pub(super) fn foresee(&self, offset: u64, length: usize, newest: u32) -> SpaceChange {
        let mut change = SpaceChange::default();
        for span in spans(offset, length) {
            let chunk = self.chunks.get(span.chunk);
            let held = chunk.map_or(0, |chunk| chunk.bytes.len());
            change.added += blocks_of(held.max(span.end)) - blocks_of(held);
            change.retained += chunk.map_or(0, |chunk| chunk.blocks_in(newest));
        }
        change
    }

    /// Writes; what is new is marked as written after snapshot `epoch`.
    pub(super) fn write(&mut self, offset: u64, data: &[u8], epoch: u32) {
        for span in spans(offset, data.len()) {
            let Some(from) = data.get(span.at..span.at + (span.end - span.start)) else { continue };
            self.blocks += self.write_span(span, from, epoch);
        }
        if !data.is_empty() {
            self.size = self.size.max(offset + data.len() as u64);
        }
    }

    /// Returns the blocks added.
    fn write_span(&mut self, span: Span, from: &[u8], epoch: u32) -> u64 {
        let held = self.chunks.get(span.chunk).map_or(0, |chunk| chunk.bytes.len());
        if span.start == 0 && span.end >= held {
            // All of it is new: what was there need not be copied first.
            self.chunks.insert(span.chunk, Arc::new(Chunk { born: epoch, bytes: from.to_vec() }));
        } else {
            if held == 0 {
                let bytes = Vec::with_capacity(span.end);
                self.chunks.insert(span.chunk, Arc::new(Chunk { born: epoch, bytes }));
            }
            let Some(chunk) = self.chunks.get_mut(span.chunk) else { return 0 };
            Arc::make_mut(chunk).put(span.start, from, epoch);
        }
        blocks_of(held.max(span.end)) - blocks_of(held)
    }

    /// Cuts, or extends with a hole.
    pub(super) fn set_size(&mut self, size: u64, epoch: u32, newest: u32) -> SpaceChange {
        let mut change = SpaceChange::default();
        if size < self.size {
            let kept = (size % CHUNK) as usize;
            let cut: Vec<u64> = self.chunks.range_from(size / CHUNK).map(|(number, _)| number).collect();
            for number in cut {
                let keeps = if number == size / CHUNK { kept } else { 0 };
                let Some(chunk) = self.chunks.get_mut(number) else { continue };
                if chunk.bytes.len() <= keeps {
                    continue;
                }
                change.freed += blocks_of(chunk.bytes.len()) - blocks_of(keeps);
                change.retained += chunk.blocks_in(newest);
                match chunk.bytes.get(..keeps).filter(|kept| !kept.is_empty()) {
                    Some(kept) => *chunk = Arc::new(Chunk { born: epoch, bytes: kept.to_vec() }),
                    None => drop(self.chunks.remove(number)),
                }
            }
        }
        self.blocks -= change.freed;
        self.size = size;
        change
    }

    /// Blocks that snapshot `newest` holds together with this file.
    pub(super) fn blocks_in(&self, newest: u32) -> u64 {
        self.chunks.iter().map(|(_, chunk)| chunk.blocks_in(newest)).sum()
    }

    /// Blocks held here and not by `later`, which came of this by changes.
    pub(super) fn blocks_besides(&self, later: &Self) -> u64 {
        self.changed_besides(later).map(|(_, chunk)| blocks_of(chunk.bytes.len())).sum()
    }

    /// The chunks that `other` does not share.
    pub(super) fn changed_besides<'content>(
        &'content self,
        other: &'content Self,
    ) -> impl Iterator<Item = (u64, &'content Chunk)> {
        let shares = |number, chunk: &Arc<Chunk>| {
            other.chunks.get(number).is_some_and(|theirs| Arc::ptr_eq(chunk, theirs))
        };
        let differing = self.chunks.iter_besides(&other.chunks);
        differing
            .filter(move |(number, chunk)| !shares(*number, chunk))
            .map(|(number, chunk)| (number, &**chunk))
    }

    /// The size to which an `earlier` state must be cut so that this one can be made of it by writes.
    pub(super) fn common_size(&self, earlier: &Self) -> u64 {
        let shorter = |(number, chunk): &(u64, &Chunk)| {
            self.chunks.get(*number).is_none_or(|ours| ours.bytes.len() < chunk.bytes.len())
        };
        let cut = earlier.changed_besides(self).find(shorter).map(|(number, _)| number * CHUNK);
        cut.map_or(earlier.size, |cut| cut.min(earlier.size))
    }
}

impl Chunk {
    fn put(&mut self, start: usize, from: &[u8], epoch: u32) {
        self.born = epoch;
        if self.bytes.len() < start {
            self.bytes.resize(start, 0);
        }
        let (over, append) = from.split_at((self.bytes.len() - start).min(from.len()));
        if let Some(to) = self.bytes.get_mut(start..start + over.len()) {
            to.copy_from_slice(over);
        }
        self.bytes.extend_from_slice(append);
    }

    fn blocks_in(&self, snapshot: u32) -> u64 {
        if self.born < snapshot { blocks_of(self.bytes.len()) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(content: &Content) -> Vec<u8> {
        let mut all = Vec::new();
        content.lend(0, content.size() as usize, |bytes| all.extend_from_slice(&bytes));
        all
    }

    #[test]
    fn a_hole_reads_as_zeros_and_takes_no_block() {
        let mut content = Content::default();
        content.write(10 << 20, b"x", 0);
        assert_eq!(content.size(), (10 << 20) + 1);
        assert_eq!(content.blocks(), 1);
        assert!(bytes(&content)[..10 << 20].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn bytes_cut_off_do_not_come_back_with_the_size() {
        let mut content = Content::default();
        content.write(0, b"secret", 0);
        content.set_size(2, 0, 0);
        content.set_size(6, 0, 0);
        assert_eq!(bytes(&content), b"se\0\0\0\0");
    }

    #[derive(Debug, Clone)]
    enum Op {
        Write(u64, Vec<u8>),
        SetSize(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let near_chunk_ends = prop_oneof![0..300_000u64, 65_500..65_600u64, 131_000..131_200u64];
        prop_oneof![
            (near_chunk_ends.clone(), 0..100_000usize, 1..255u8)
                .prop_map(|(offset, length, byte)| Op::Write(offset, vec![byte; length])),
            near_chunk_ends.prop_map(Op::SetSize),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn content_behaves_as_a_flat_array_and_foresees_its_growth(
            ops in proptest::collection::vec(op(), 1..20), at in 0..20usize,
        ) {
            let mut content = Content::default();
            let mut model: Vec<u8> = Vec::new();
            let (mut snapshot, mut held, mut retained) = (content.clone(), model.clone(), 0);
            let mut newest = 0;
            for (n, op) in ops.into_iter().enumerate() {
                if n == at {
                    (snapshot, held, newest) = (content.clone(), model.clone(), 1);
                }
                match op {
                    Op::Write(offset, data) => {
                        let foreseen = content.foresee(offset, data.len(), newest);
                        let before = content.blocks();
                        content.write(offset, &data, newest);
                        prop_assert_eq!(content.blocks(), before + foreseen.added);
                        retained += foreseen.retained;
                        let end = offset as usize + data.len();
                        if !data.is_empty() {
                            model.resize(model.len().max(end), 0);
                            model[offset as usize..end].copy_from_slice(&data);
                        }
                    }
                    Op::SetSize(size) => {
                        retained += content.set_size(size, newest, newest).retained;
                        model.resize(size as usize, 0);
                    }
                }
                let held: u64 = content.chunks.iter().map(|(_, chunk)| blocks_of(chunk.bytes.len())).sum();
                prop_assert_eq!(content.blocks(), held);
            }
            prop_assert_eq!(bytes(&content), model);
            prop_assert_eq!(bytes(&snapshot), held);
            if newest > 0 {
                prop_assert_eq!(retained, snapshot.blocks_besides(&content));
            }
        }

        #[test]
        fn a_later_state_is_made_of_an_earlier_one_by_a_cut_and_the_changed_chunks(
            ops in proptest::collection::vec(op(), 1..20), at in 0..20usize,
        ) {
            let (mut content, mut earlier) = (Content::default(), Content::default());
            for (n, op) in ops.into_iter().enumerate() {
                if n == at {
                    earlier = content.clone();
                }
                match op {
                    Op::Write(offset, data) => content.write(offset, &data, 0),
                    Op::SetSize(size) => _ = content.set_size(size, 0, 0),
                }
            }
            let mut remade = earlier.clone();
            remade.set_size(content.common_size(&earlier), 0, 0);
            for (number, chunk) in content.changed_besides(&remade.clone()) {
                remade.write(number * CHUNK, chunk.as_ref(), 0);
            }
            remade.set_size(content.size(), 0, 0);
            prop_assert_eq!(bytes(&remade), bytes(&content));
            prop_assert_eq!(remade.blocks(), content.blocks());
        }
    }
}
