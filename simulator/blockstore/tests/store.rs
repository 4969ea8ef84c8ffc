//! Stores, in memory and in a data directory, against bytes in vectors.

// Code of tests alone: what cannot be read fails the test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Barrier;

use blockstore::{
    BlockError, PAGE_SIZE, PowerCut, SnapshotId, Store, StoreError, StoreUsage, Usage, Volume, VolumeId,
};
use proptest::prelude::*;

const PAGE: u64 = PAGE_SIZE as u64;
/// Not a multiple of the page size, so that the last page is short. More than a leaf of the index.
const SIZE: u64 = 70 * PAGE + 512;

#[derive(Clone, Debug)]
enum Step {
    Clone,
    Cut(PowerCut),
    Deallocate { at: u64, length: u64 },
    Flush,
    Reopen,
    Resize { size: u64 },
    Restore,
    Snapshot,
    Write { at: u64, length: u64, byte: u8 },
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        12 => (0..SIZE, 0..60_000u64, any::<u8>())
            .prop_map(|(at, length, byte)| Step::Write { at, length, byte }),
        4 => (0..SIZE, 0..100_000u64).prop_map(|(at, length)| Step::Deallocate { at, length }),
        4 => Just(Step::Flush),
        1 => (1..SIZE + 9000).prop_map(|size| Step::Resize { size }),
        2 => Just(Step::Snapshot),
        1 => Just(Step::Restore),
        1 => Just(Step::Clone),
        1 => Just(Step::Reopen),
        1 => Just(Step::Cut(PowerCut::All)),
        2 => any::<u64>().prop_map(|seed| Step::Cut(PowerCut::Seeded(seed))),
    ];
    (any::<usize>(), step)
}

/// A change that was not flushed: zeroes are deallocated or written, which is the same to a reader.
#[derive(Clone, Debug)]
struct Unflushed {
    at: usize,
    end: usize,
    byte: u8,
}

/// What a volume must hold.
#[derive(Clone, Debug)]
struct Model {
    now: Vec<u8>,
    durable: Vec<u8>,
    unflushed: Vec<Unflushed>,
}

impl Model {
    fn new(now: Vec<u8>) -> Self {
        Self { durable: now.clone(), now, unflushed: Vec::new() }
    }

    fn settle(&mut self) {
        *self = Self::new(std::mem::take(&mut self.now));
    }

    /// Fills a range that may end past the end, and says where it really ends.
    fn fill(&mut self, at: u64, length: u64, byte: u8) -> Option<u64> {
        let end = (at + length).min(self.now.len() as u64);
        self.now.get_mut(at as usize..end as usize)?.fill(byte);
        self.unflushed.push(Unflushed { at: at as usize, end: end as usize, byte });
        Some(end)
    }

    /// Whether `found` is what a cut may leave: some of the unflushed changes, each wholly.
    fn may_leave(&self, found: &[u8], cut: PowerCut, kept: u64) -> bool {
        if cut == PowerCut::All {
            return kept == 0 && found == self.durable;
        }
        (0..1u32 << self.unflushed.len()).filter(|chosen| u64::from(chosen.count_ones()) == kept).any(
            |chosen| {
                let mut bytes = self.durable.clone();
                for (index, change) in self.unflushed.iter().enumerate() {
                    if chosen & (1 << index) != 0 {
                        bytes[change.at..change.end].fill(change.byte);
                    }
                }
                bytes == found
            },
        )
    }
}

fn content(volume: &Volume) -> Vec<u8> {
    let mut bytes = vec![0xee; volume.size() as usize];
    volume.read_at(0, &mut bytes).unwrap();
    let mut appended = Vec::new();
    volume.read_into(0, bytes.len(), &mut appended).unwrap();
    assert!(bytes == appended);
    bytes
}

/// A store with what it must hold.
struct Pair {
    store: Store,
    volumes: BTreeMap<VolumeId, Model>,
    snapshots: BTreeMap<(VolumeId, SnapshotId), Vec<u8>>,
}

impl Pair {
    fn new(store: Store) -> Self {
        store.arm_power_cut();
        store.create(VolumeId(1), SIZE).unwrap();
        let volumes = [(VolumeId(1), Model::new(vec![0; SIZE as usize]))].into();
        Self { store, volumes, snapshots: BTreeMap::new() }
    }

    /// Takes a step with the volume or snapshot that `which` chooses; `new` is a fresh id.
    fn take(&mut self, step: &Step, which: usize, new: u128) {
        let id = *self.volumes.keys().nth(which % self.volumes.len()).unwrap();
        let snapshot = self.snapshots.keys().nth(which % self.snapshots.len().max(1)).copied();
        let volume = self.store.find(id).unwrap();
        let model = self.volumes.get_mut(&id).unwrap();
        // More would make too many subsets to try.
        if model.unflushed.len() == 6 {
            volume.flush().unwrap();
            model.settle();
        }
        match *step {
            Step::Write { at, length, byte } => {
                if let Some(end) = model.fill(at, length, byte) {
                    volume.write_at(at, &vec![byte; (end - at) as usize]).unwrap();
                }
            }
            Step::Deallocate { at, length } => {
                if let Some(end) = model.fill(at, length, 0) {
                    volume.deallocate(at, end - at).unwrap();
                }
            }
            Step::Flush => {
                volume.flush().unwrap();
                model.settle();
            }
            Step::Resize { size } => {
                volume.set_size(size).unwrap();
                model.now.resize(size as usize, 0);
                model.settle();
            }
            Step::Snapshot => {
                self.store.snapshot(id, SnapshotId(new)).unwrap();
                self.snapshots.insert((id, SnapshotId(new)), model.now.clone());
            }
            Step::Restore => {
                if let Some((id, snapshot)) = snapshot {
                    self.store.restore(id, snapshot).unwrap();
                    self.volumes.insert(id, Model::new(self.snapshots[&(id, snapshot)].clone()));
                }
            }
            Step::Clone => {
                let source = match snapshot {
                    Some((id, snapshot)) if which.is_multiple_of(2) => {
                        self.store.clone_snapshot(id, snapshot, VolumeId(new)).unwrap();
                        self.snapshots[&(id, snapshot)].clone()
                    }
                    _ => {
                        self.store.clone_volume(id, VolumeId(new)).unwrap();
                        model.now.clone()
                    }
                };
                self.volumes.insert(VolumeId(new), Model::new(source));
            }
            Step::Cut(cut) => {
                let lost = volume.power_cut(cut).unwrap().unwrap();
                assert_eq!(lost.lost + lost.kept, model.unflushed.len() as u64);
                let found = content(&volume);
                assert!(model.may_leave(&found, cut, lost.kept), "not what {cut:?} may leave");
                *model = Model::new(found);
            }
            Step::Reopen => {}
        }
    }

    fn verify(&self) {
        assert_eq!(self.store.list(), self.volumes.keys().copied().collect::<Vec<_>>());
        for (id, model) in &self.volumes {
            assert!(content(&self.store.find(*id).unwrap()) == model.now, "volume {id}");
        }
        for ((volume, id), held) in &self.snapshots {
            let snapshot = self.store.find_snapshot(*volume, *id).unwrap();
            assert!(content(&snapshot.to_volume()) == *held, "snapshot {id} of {volume}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_store_in_memory_holds_what_was_written(steps in proptest::collection::vec(step(), 1..50)) {
        let mut pair = Pair::new(Store::memory());
        for (new, (which, step)) in (2..).zip(steps) {
            pair.take(&step, which, new);
        }
        pair.verify();
    }

    #[test]
    fn a_data_directory_holds_what_was_written(steps in proptest::collection::vec(step(), 1..50)) {
        let directory = tempfile::tempdir().unwrap();
        let mut pair = Pair::new(Store::open(directory.path()).unwrap());
        for (new, (which, step)) in (2..).zip(steps) {
            pair.take(&step, which, new);
            if matches!(step, Step::Reopen) {
                // An orderly end keeps what was not flushed as well.
                let used = pair.store.usage().used;
                // What a cut could bring back takes space.
                let armed = pair.volumes.values().any(|model| !model.unflushed.is_empty());
                pair.store = Store::memory();
                pair.store = Store::open(directory.path()).unwrap();
                pair.store.arm_power_cut();
                let found = pair.store.usage().used;
                assert!(found == used || armed && found < used, "{used} bytes became {found}");
                pair.volumes.values_mut().for_each(Model::settle);
                pair.verify();
            }
        }
        pair.verify();
    }
}

/// The test, in memory and in a data directory.
fn in_both(test: impl Fn(Store)) {
    test(Store::memory());
    let directory = tempfile::tempdir().unwrap();
    test(Store::open(directory.path()).unwrap());
}

#[test]
fn usage_tells_what_is_shared_and_what_removal_gives_back() {
    in_both(|store| {
        let volume = store.create(VolumeId(1), SIZE).unwrap();
        volume.write_at(0, &[1; 10 * PAGE_SIZE]).unwrap();
        assert_eq!(volume.usage(), Usage { allocated: 10 * PAGE, unshared: 10 * PAGE });
        store.snapshot(VolumeId(1), SnapshotId(1)).unwrap();
        assert_eq!(volume.usage(), Usage { allocated: 10 * PAGE, unshared: 0 });
        volume.write_at(0, &[2; 3 * PAGE_SIZE]).unwrap();
        volume.deallocate(9 * PAGE, PAGE).unwrap();
        assert_eq!(volume.usage(), Usage { allocated: 9 * PAGE, unshared: 3 * PAGE });
        assert_eq!(store.usage().used, 13 * PAGE);
        store.remove_snapshot(VolumeId(1), SnapshotId(1)).unwrap();
        assert_eq!(store.usage().used, 9 * PAGE);
        store.remove(VolumeId(1)).unwrap();
        drop(volume);
        assert_eq!(store.usage().used, 0);
    });
}

#[test]
fn a_limit_refuses_what_does_not_fit_and_nothing_else() {
    in_both(|store| {
        let volume = store.create(VolumeId(1), SIZE).unwrap();
        let other = store.create(VolumeId(2), SIZE).unwrap();
        volume.set_limit(Some(4 * PAGE));
        volume.write_at(0, &[1; 3 * PAGE_SIZE]).unwrap();
        let refused = Err(BlockError::NoSpace { needed: 2 * PAGE, available: PAGE });
        assert_eq!(volume.write_at(2 * PAGE, &[2; 3 * PAGE_SIZE]), refused);
        assert!(content(&volume)[2 * PAGE_SIZE..].iter().all(|byte| *byte < 2), "a refused write was made");
        volume.write_at(0, &[2; 4 * PAGE_SIZE]).unwrap();
        volume.write_at(5 * PAGE, &[0; 9000]).unwrap();
        store.set_limit(Some(5 * PAGE));
        other.write_at(0, &[1]).unwrap();
        assert_eq!(other.write_at(PAGE, &[1]), Err(BlockError::NoSpace { needed: PAGE, available: 0 }));
        // A write to what a snapshot shares takes space as well.
        store.snapshot(VolumeId(1), SnapshotId(1)).unwrap();
        assert!(matches!(volume.write_at(0, &[3]), Err(BlockError::NoSpace { .. })));
        other.deallocate(0, PAGE).unwrap();
        volume.write_at(0, &[3]).unwrap();
    });
}

#[test]
fn freed_space_is_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let volume = store.create(VolumeId(1), 64 * PAGE).unwrap();
    for round in 0..50u8 {
        volume.write_at(0, &[round; 64 * PAGE_SIZE]).unwrap();
        volume.flush().unwrap();
    }
    volume.deallocate(0, 64 * PAGE).unwrap();
    volume.flush().unwrap();
    volume.write_at(0, &[1; 64 * PAGE_SIZE]).unwrap();
    let StoreUsage { used, page_file, .. } = store.usage();
    assert_eq!(used, 64 * PAGE);
    assert!(page_file <= 3 * 64 * PAGE, "the page file grew to {page_file} bytes");
}

#[test]
fn copies_of_a_tebibyte_are_one_record() {
    in_both(|store| {
        let volume = store.create(VolumeId(1), 1 << 40).unwrap();
        (0..1 << 10).for_each(|n| volume.write_at(n << 30, &[1; 10_000]).unwrap());
        volume.flush().unwrap();
        let journal = store.usage().journal;
        let clone = store.clone_volume(VolumeId(1), VolumeId(2)).unwrap();
        store.snapshot(VolumeId(1), SnapshotId(1)).unwrap();
        assert!(store.usage().journal <= journal + 200);
        assert_eq!(clone.usage(), Usage { allocated: (3 * PAGE) << 10, unshared: 0 });
    });
}

#[test]
fn a_data_directory_belongs_to_one_store_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let volume = store.create(VolumeId(1), SIZE).unwrap();
    drop(store);
    let error = Store::open(directory.path()).unwrap_err();
    assert!(matches!(&error, StoreError::Locked { path } if path == directory.path()), "{error}");
    volume.write_at(0, &[7]).unwrap();
    drop(volume);
    let volume = Store::open(directory.path()).unwrap().find(VolumeId(1)).unwrap();
    assert_eq!(content(&volume)[0], 7);
}

#[test]
fn what_is_named_must_be_there_and_what_is_made_must_not() {
    in_both(|store| {
        let (one, two, taken) = (VolumeId(1), VolumeId(2), SnapshotId(1));
        store.create(one, SIZE).unwrap();
        store.snapshot(one, taken).unwrap();
        assert!(matches!(store.create(one, 1), Err(StoreError::VolumeExists { id }) if id == one));
        assert!(matches!(store.clone_volume(one, one), Err(StoreError::VolumeExists { .. })));
        assert!(
            matches!(store.clone_volume(two, VolumeId(3)), Err(StoreError::NoVolume { id }) if id == two)
        );
        assert!(matches!(store.clone_snapshot(two, taken, two), Err(StoreError::NoSnapshot { .. })));
        assert!(matches!(store.snapshot(one, taken), Err(StoreError::SnapshotExists { .. })));
        assert!(matches!(store.restore(one, SnapshotId(2)), Err(StoreError::NoSnapshot { .. })));
        assert!(matches!(store.remove(two), Err(StoreError::NoVolume { .. })));
        assert!(matches!(store.remove_snapshot(one, SnapshotId(2)), Err(StoreError::NoSnapshot { .. })));
        // A snapshot outlives its volume, and a handle of a removed volume still works.
        let volume = store.find(one).unwrap();
        store.remove(one).unwrap();
        volume.write_at(0, &[1]).unwrap();
        assert_eq!(content(&store.clone_snapshot(one, taken, one).unwrap())[0], 0);
        assert_eq!(store.list(), [one]);
    });
}

#[test]
fn writes_and_flushes_of_many_threads_are_all_there() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let volume = store.create(VolumeId(1), 64 << 20).unwrap();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (volume, store, start) = (&volume, &store, &start);
            scope.spawn(move || {
                start.wait();
                for n in 0..40 {
                    volume.write_at((thread * 40 + n) * PAGE, &[thread as u8 + 1; PAGE_SIZE]).unwrap();
                    volume.flush().unwrap();
                    if n == 20 {
                        store.snapshot(VolumeId(1), SnapshotId(thread.into())).unwrap();
                    }
                }
            });
        }
    });
    let commits = store.usage().journal;
    drop((store, volume));
    let store = Store::open(directory.path()).unwrap();
    let bytes = content(&store.find(VolumeId(1)).unwrap());
    for (page, bytes) in bytes.chunks(PAGE_SIZE).take(320).enumerate() {
        assert!(bytes.iter().all(|byte| usize::from(*byte) == page / 40 + 1), "page {page}");
    }
    println!("journal after 320 flushes of 8 threads: {commits} bytes");
}

#[test]
fn a_volume_that_is_not_armed_tells_that_a_cut_took_nothing() {
    in_both(|store| {
        let volume = store.create(VolumeId(1), SIZE).unwrap();
        volume.write_at(0, &[1]).unwrap();
        assert_eq!(volume.power_cut(PowerCut::All), Ok(None));
        assert_eq!(content(&volume)[0], 1);
        store.arm_power_cut();
        volume.write_at(0, &[2]).unwrap();
        assert_eq!(store.power_cut(PowerCut::All).unwrap().lost, 1);
        assert_eq!(content(&volume)[0], 1);
    });
}

#[test]
fn a_copy_that_is_in_no_store_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let volume = store.create(VolumeId(1), SIZE).unwrap();
    volume.write_at(0, &[1; 4 * PAGE_SIZE]).unwrap();
    let copy = volume.snapshot().to_volume();
    copy.write_at(PAGE, &[2; 8 * PAGE_SIZE]).unwrap();
    copy.flush().unwrap();
    volume.write_at(0, &[3; 2 * PAGE_SIZE]).unwrap();
    volume.flush().unwrap();
    assert_eq!(content(&copy)[..PAGE_SIZE], [1; PAGE_SIZE]);
    assert_eq!(content(&copy)[PAGE_SIZE..9 * PAGE_SIZE], [2; 8 * PAGE_SIZE]);
    drop((copy, volume, store));
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.usage().used, 4 * PAGE);
    let bytes = content(&store.find(VolumeId(1)).unwrap());
    assert_eq!((bytes[0], bytes[2 * PAGE_SIZE], bytes[4 * PAGE_SIZE]), (3, 1, 0));
}
