//! The bytes of a file, holes left out.

use std::collections::BTreeMap;

/// The unit in which space is counted: WAFL's block.
pub(crate) const BLOCK: u64 = 4096;
/// The unit in which bytes are kept.
const CHUNK: u64 = 64 << 10;

/// Sparse bytes. A chunk holds bytes from its start up to the last one written; what is missing
/// reads as zeros.
#[derive(Debug, Default)]
pub(super) struct Content {
    size: u64,
    blocks: u64,
    chunks: BTreeMap<u64, Vec<u8>>,
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

    /// Fills `room`, which must be zeroed, from `offset` on.
    pub(super) fn read(&self, offset: u64, room: &mut [u8]) {
        for span in spans(offset, room.len()) {
            let Some(chunk) = self.chunks.get(&span.chunk) else { continue };
            let end = span.end.min(chunk.len());
            if let Some(from) = chunk.get(span.start..end)
                && let Some(to) = room.get_mut(span.at..span.at + from.len())
            {
                to.copy_from_slice(from);
            }
        }
    }

    /// Blocks that a write of `length` bytes at `offset` would add.
    pub(super) fn growth(&self, offset: u64, length: usize) -> u64 {
        let grown = |span: Span| {
            let held = self.chunks.get(&span.chunk).map_or(0, Vec::len);
            blocks_of(held.max(span.end)) - blocks_of(held)
        };
        spans(offset, length).map(grown).sum()
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        for span in spans(offset, data.len()) {
            let chunk = self.chunks.entry(span.chunk).or_default();
            let before = blocks_of(chunk.len());
            if chunk.len() < span.end {
                chunk.resize(span.end, 0);
            }
            self.blocks += blocks_of(chunk.len()) - before;
            let from = data.get(span.at..span.at + (span.end - span.start));
            if let (Some(to), Some(from)) = (chunk.get_mut(span.start..span.end), from) {
                to.copy_from_slice(from);
            }
        }
        if !data.is_empty() {
            self.size = self.size.max(offset + data.len() as u64);
        }
    }

    /// Cuts, or extends with a hole.
    pub(super) fn set_size(&mut self, size: u64) {
        if size < self.size {
            let last = size / CHUNK;
            let kept = (size % CHUNK) as usize;
            for chunk in self.chunks.split_off(&(last + 1)).values() {
                self.blocks -= blocks_of(chunk.len());
            }
            if let Some(chunk) = self.chunks.get_mut(&last) {
                self.blocks -= blocks_of(chunk.len());
                chunk.truncate(kept);
                chunk.shrink_to_fit();
                self.blocks += blocks_of(chunk.len());
            }
            if kept == 0 {
                self.chunks.remove(&last);
            }
        }
        self.size = size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(content: &Content) -> Vec<u8> {
        let mut room = vec![0; content.size() as usize];
        content.read(0, &mut room);
        room
    }

    #[test]
    fn a_hole_reads_as_zeros_and_takes_no_block() {
        let mut content = Content::default();
        content.write(10 << 20, b"x");
        assert_eq!(content.size(), (10 << 20) + 1);
        assert_eq!(content.blocks(), 1);
        assert!(bytes(&content)[..10 << 20].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn bytes_cut_off_do_not_come_back_with_the_size() {
        let mut content = Content::default();
        content.write(0, b"secret");
        content.set_size(2);
        content.set_size(6);
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
            ops in proptest::collection::vec(op(), 1..20),
        ) {
            let mut content = Content::default();
            let mut model: Vec<u8> = Vec::new();
            for op in ops {
                match op {
                    Op::Write(offset, data) => {
                        let foreseen = content.blocks() + content.growth(offset, data.len());
                        content.write(offset, &data);
                        prop_assert_eq!(content.blocks(), foreseen);
                        let end = offset as usize + data.len();
                        if !data.is_empty() {
                            model.resize(model.len().max(end), 0);
                            model[offset as usize..end].copy_from_slice(&data);
                        }
                    }
                    Op::SetSize(size) => {
                        content.set_size(size);
                        model.resize(size as usize, 0);
                    }
                }
                let held: u64 = content.chunks.values().map(|chunk| blocks_of(chunk.len())).sum();
                prop_assert_eq!(content.blocks(), held);
            }
            prop_assert_eq!(bytes(&content), model);
        }
    }
}
