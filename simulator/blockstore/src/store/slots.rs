//! Which slots of the page file are free.
//!
//! ```text
//! in use ── last page reference goes ──► freed ── the journal that no longer names it is durable ──► free
//! ```
//!
//! The stop in between is what makes a crash harmless: until then the journal on disk may still
//! name the slot, and its content has to stay.

use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// Slots the file has, used or not.
    end: u32,
    /// Free runs: first slot and length, never adjacent.
    free: BTreeMap<u32, u32>,
    /// Freed since the last commit began.
    freed: Vec<u32>,
    /// Where the search for a free run goes on, so that runs are used in the file's order.
    cursor: u32,
}

impl Slots {
    /// Everything below `end` is free but `used`, which is in order.
    pub(crate) fn with_used(used: &[u32]) -> Self {
        let mut slots = Self::default();
        for slot in used {
            if *slot > slots.end {
                slots.free.insert(slots.end, *slot - slots.end);
            }
            slots.end = slot.saturating_add(1);
        }
        slots
    }

    /// Takes `count` slots, in as few runs as come by; `None` when the file cannot have as many.
    pub(crate) fn take(&mut self, count: u32) -> Option<Vec<Range<u32>>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        let mut wanted = count;
        while wanted > 0 {
            let next = self.free.range(self.cursor..).next().or_else(|| self.free.iter().next());
            let run = match next.map(|(first, length)| (*first, *length)) {
                Some((first, length)) => {
                    self.free.remove(&first);
                    let taken = length.min(wanted);
                    if taken < length {
                        self.free.insert(first + taken, length - taken);
                    }
                    self.cursor = first + taken;
                    first..first + taken
                }
                None => {
                    let first = self.end;
                    match first.checked_add(wanted).filter(|past| *past < u32::MAX) {
                        Some(past) => self.end = past,
                        None => {
                            self.release(runs.into_iter().flatten().collect());
                            return None;
                        }
                    }
                    first..self.end
                }
            };
            wanted -= run.end - run.start;
            runs.push(run);
        }
        Some(runs)
    }

    /// A slot no page is in any more.
    pub(crate) fn free(&mut self, slot: u32) {
        self.freed.push(slot);
    }

    /// How many wait for the journal.
    pub(crate) fn freed(&self) -> usize {
        self.freed.len()
    }

    /// What was freed so far, to be released once the journal up to now is durable.
    pub(crate) fn take_freed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.freed)
    }

    /// Slots that can be written again.
    pub(crate) fn release(&mut self, mut slots: Vec<u32>) {
        slots.sort_unstable();
        for run in slots.chunk_by(|one, next| *next == one + 1) {
            let Some(mut first) = run.first().copied() else { continue };
            let mut length = run.len() as u32;
            if let Some((before, held)) = self.free.range(..first).next_back().map(|(k, v)| (*k, *v))
                && before + held == first
            {
                self.free.remove(&before);
                first = before;
                length += held;
            }
            if let Some(held) = self.free.remove(&(first + length)) {
                length += held;
            }
            self.free.insert(first, length);
        }
    }

    /// Slots the file has.
    pub(crate) fn end(&self) -> u32 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and past of each run.
    fn taken(slots: &mut Slots, count: u32) -> Vec<(u32, u32)> {
        slots.take(count).unwrap().into_iter().map(|run| (run.start, run.end)).collect()
    }

    #[test]
    fn a_freed_slot_is_used_again_only_after_its_release() {
        let mut slots = Slots::default();
        assert_eq!(taken(&mut slots, 4), [(0, 4)]);
        slots.free(1);
        assert_eq!(taken(&mut slots, 1), [(4, 5)]);
        let freed = slots.take_freed();
        assert_eq!(taken(&mut slots, 1), [(5, 6)]);
        slots.release(freed);
        assert_eq!(taken(&mut slots, 2), [(1, 2), (6, 7)]);
    }

    #[test]
    fn neighbouring_runs_become_one() {
        let mut slots = Slots::with_used(&[0, 1, 5, 9]);
        slots.release(vec![5, 1]);
        assert_eq!(taken(&mut slots, 8), [(1, 9)]);
        assert_eq!((slots.end(), taken(&mut slots, 1)), (10, vec![(10, 11)]));
    }
}
