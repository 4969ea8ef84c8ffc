//! Byte-range locks of one file: who holds what, and what stands in the way.
//!
//! The rules are POSIX's as RFC 8881 §9.1 and §18.10 take them over: an owner never conflicts with
//! itself, a new lock replaces what the owner held in its range, and unlocking the middle of a range
//! splits it.

use std::collections::BTreeMap;

/// A range of bytes, both ends included: the last byte of a range "to the end of the file" is
/// `u64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ByteRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl ByteRange {
    /// From offset and length on the wire, where the length of all ones means to the end of the
    /// file. `None` for no length and for a range that passes the end of all files (RFC 8881
    /// §18.10.3: NFS4ERR_INVAL).
    pub(crate) fn from_wire(offset: u64, length: u64) -> Option<Self> {
        let last = match length {
            0 => return None,
            u64::MAX => u64::MAX,
            _ => offset.checked_add(length - 1)?,
        };
        Some(Self { first: offset, last })
    }

    /// The length on the wire.
    pub(crate) fn wire_length(self) -> u64 {
        if self.last == u64::MAX { u64::MAX } else { self.last - self.first + 1 }
    }

    fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// What a lock keeps others from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LockKind {
    /// Shared: others may share, none may write.
    Read,
    /// Exclusive.
    Write,
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldLock<Owner> {
    pub(crate) owner: Owner,
    pub(crate) range: ByteRange,
    pub(crate) kind: LockKind,
}

/// The locks of one file.
#[derive(Debug)]
pub(crate) struct FileLocks<Owner> {
    /// Of each owner the ranges by their first byte; they do not overlap, and two that touch differ
    /// in kind.
    by_owner: BTreeMap<Owner, BTreeMap<u64, (u64, LockKind)>>,
}

impl<Owner> Default for FileLocks<Owner> {
    fn default() -> Self {
        Self { by_owner: BTreeMap::new() }
    }
}

impl<Owner: Ord + Clone> FileLocks<Owner> {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_owner.is_empty()
    }

    /// Does the owner hold any lock?
    pub(crate) fn holds(&self, owner: &Owner) -> bool {
        self.by_owner.contains_key(owner)
    }

    /// A lock of another owner that keeps `owner` from taking `range`.
    pub(crate) fn find_conflict(
        &self,
        owner: &Owner,
        range: ByteRange,
        kind: LockKind,
    ) -> Option<HeldLock<Owner>> {
        let others = self.by_owner.iter().filter(|(other, _)| *other != owner);
        others
            .flat_map(|(other, ranges)| ranges.range(..=range.last).map(move |held| (other, held)))
            .map(|(other, (first, (last, held)))| HeldLock {
                owner: other.clone(),
                range: ByteRange { first: *first, last: *last },
                kind: *held,
            })
            .find(|held| {
                held.range.overlaps(range) && (kind == LockKind::Write || held.kind == LockKind::Write)
            })
    }

    /// Takes a lock, in place of what the owner held there.
    ///
    /// # Errors
    /// A lock of another owner that stands in the way.
    pub(crate) fn lock(
        &mut self,
        owner: Owner,
        range: ByteRange,
        kind: LockKind,
    ) -> Result<(), HeldLock<Owner>> {
        if let Some(conflict) = self.find_conflict(&owner, range, kind) {
            return Err(conflict);
        }
        let ranges = self.by_owner.entry(owner).or_default();
        cut(ranges, range);
        let mut merged = range;
        let before = ranges.range(..range.first).next_back();
        if let Some((first, (last, _))) =
            before.filter(|(_, (last, held))| *held == kind && last.checked_add(1) == Some(range.first))
        {
            debug_assert!(*last < range.first);
            merged.first = *first;
        }
        let after = range.last.checked_add(1);
        if let Some((last, _)) = after.and_then(|next| ranges.get(&next)).filter(|(_, held)| *held == kind) {
            merged.last = *last;
        }
        if let Some(next) = after.filter(|_| merged.last != range.last) {
            ranges.remove(&next);
        }
        ranges.insert(merged.first, (merged.last, kind));
        Ok(())
    }

    /// Gives up what the owner holds in a range, if anything.
    pub(crate) fn unlock(&mut self, owner: &Owner, range: ByteRange) {
        if let Some(ranges) = self.by_owner.get_mut(owner) {
            cut(ranges, range);
            if ranges.is_empty() {
                self.by_owner.remove(owner);
            }
        }
    }

    /// Gives up all locks of an owner.
    pub(crate) fn release(&mut self, owner: &Owner) {
        self.by_owner.remove(owner);
    }

    /// Gives up the locks of every owner that `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Owner) -> bool) {
        self.by_owner.retain(|owner, _| keep(owner));
    }

    /// Every lock held.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = HeldLock<Owner>> + '_ {
        self.by_owner.iter().flat_map(|(owner, ranges)| {
            ranges.iter().map(|(first, (last, kind))| HeldLock {
                owner: owner.clone(),
                range: ByteRange { first: *first, last: *last },
                kind: *kind,
            })
        })
    }
}

/// Takes `range` out of ranges that do not overlap.
fn cut(ranges: &mut BTreeMap<u64, (u64, LockKind)>, range: ByteRange) {
    let touched: Vec<_> = ranges
        .range(..=range.last)
        .rev()
        .take_while(|(_, (last, _))| *last >= range.first)
        .map(|(first, (last, kind))| (*first, *last, *kind))
        .collect();
    for (first, last, kind) in touched {
        ranges.remove(&first);
        if first < range.first {
            ranges.insert(first, (range.first - 1, kind));
        }
        if last > range.last {
            ranges.insert(range.last + 1, (last, kind));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const END: u64 = 40;

    fn range(first: u64, last: u64) -> ByteRange {
        ByteRange { first, last }
    }

    #[test]
    fn a_length_of_all_ones_reaches_the_end_and_none_or_too_much_is_refused() {
        assert_eq!(ByteRange::from_wire(5, u64::MAX), Some(range(5, u64::MAX)));
        assert_eq!(ByteRange::from_wire(5, 1), Some(range(5, 5)));
        assert_eq!(ByteRange::from_wire(5, 0), None);
        assert_eq!(ByteRange::from_wire(5, u64::MAX - 4), Some(range(5, u64::MAX)));
        assert_eq!(ByteRange::from_wire(5, u64::MAX - 3), None);
        assert_eq!(range(5, u64::MAX).wire_length(), u64::MAX);
        assert_eq!(range(5, 9).wire_length(), 5);
    }

    #[test]
    fn unlocking_the_middle_leaves_both_ends_and_the_conflict_names_the_holder() {
        let mut locks = FileLocks::default();
        locks.lock("a", range(0, 99), LockKind::Write).unwrap();
        locks.unlock(&"a", range(40, 59));
        assert_eq!(locks.find_conflict(&"b", range(40, 59), LockKind::Write), None);
        let conflict = locks.lock("b", range(50, 60), LockKind::Read).unwrap_err();
        assert_eq!((conflict.owner, conflict.range), ("a", range(60, 99)));
    }

    #[derive(Debug, Clone)]
    enum Op {
        Lock(u8, ByteRange, LockKind),
        Unlock(u8, ByteRange),
        Release(u8),
    }

    /// Where a byte of the model lies: at the ends of the 64 bits, and, for the last one, between
    /// them. No range begins or ends there, so one stands for all.
    fn place(byte: u64) -> u64 {
        match byte {
            END => u64::MAX / 2,
            _ if byte < END / 2 => byte,
            _ => u64::MAX - (END - 1 - byte),
        }
    }

    fn ranges() -> impl Strategy<Value = ByteRange> {
        (0..END, 0..END).prop_map(|(a, b)| range(place(a.min(b)), place(a.max(b))))
    }

    fn bytes_of(range: ByteRange) -> impl Iterator<Item = usize> {
        (0..=END)
            .filter(move |byte| range.first <= place(*byte) && place(*byte) <= range.last)
            .map(|byte| byte as usize)
    }

    fn op() -> impl Strategy<Value = Op> {
        let kind = prop_oneof![Just(LockKind::Read), Just(LockKind::Write)];
        prop_oneof![
            5 => (0..3u8, ranges(), kind).prop_map(|(owner, range, kind)| Op::Lock(owner, range, kind)),
            3 => (0..3u8, ranges()).prop_map(|(owner, range)| Op::Unlock(owner, range)),
            1 => (0..3u8).prop_map(Op::Release),
        ]
    }

    const BYTES: usize = END as usize + 1;

    type Model = [[Option<LockKind>; BYTES]; 3];

    fn model_conflicts(model: &Model, owner: u8, range: ByteRange, kind: LockKind) -> bool {
        bytes_of(range).any(|byte| {
            (0..3).filter(|other| *other != usize::from(owner)).any(|other| {
                model[other][byte].is_some_and(|held| held == LockKind::Write || kind == LockKind::Write)
            })
        })
    }

    fn assert_agrees(locks: &FileLocks<u8>, model: &Model) {
        let mut seen: Model = [[None; BYTES]; 3];
        for held in locks.all() {
            for byte in bytes_of(held.range) {
                assert_eq!(seen[usize::from(held.owner)][byte].replace(held.kind), None, "overlap");
            }
        }
        assert_eq!(&seen, model);
        for ranges in locks.by_owner.values() {
            assert!(!ranges.is_empty());
            let list: Vec<_> = ranges.iter().collect();
            for pair in list.windows(2) {
                let ((_, (last, kind)), (first, (_, next))) = (pair[0], pair[1]);
                assert!(last.checked_add(1) != Some(*first) || kind != next, "not merged");
            }
        }
    }

    proptest! {
        #[test]
        fn locks_behave_as_if_every_byte_were_locked_by_itself(
            ops in proptest::collection::vec(op(), 1..40),
        ) {
            let mut locks = FileLocks::default();
            let mut model: Model = [[None; BYTES]; 3];
            for op in ops {
                match op {
                    Op::Lock(owner, range, kind) => {
                        let conflicts = model_conflicts(&model, owner, range, kind);
                        prop_assert_eq!(locks.lock(owner, range, kind).is_err(), conflicts);
                        if !conflicts {
                            bytes_of(range).for_each(|byte| model[usize::from(owner)][byte] = Some(kind));
                        }
                    }
                    Op::Unlock(owner, range) => {
                        locks.unlock(&owner, range);
                        bytes_of(range).for_each(|byte| model[usize::from(owner)][byte] = None);
                    }
                    Op::Release(owner) => {
                        locks.release(&owner);
                        model[usize::from(owner)] = [None; BYTES];
                    }
                }
                assert_agrees(&locks, &model);
            }
        }
    }
}
