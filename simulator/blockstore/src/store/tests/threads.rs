//! Power loss while several threads write, flush, snapshot and clone, and the journal begins anew
//! under them every few commits.

use std::sync::Mutex;

use super::power::PowerDirectory;
use super::{content, open_in};
use crate::error::StoreError;
use crate::store::{SnapshotId, Store, VolumeId};

const THREADS: u64 = 3;
/// Stripes of a region, which are written in turn, each with the number of the write.
const STRIPES: u64 = 4;
/// Not a whole number of pages: neighbours share pages.
const STRIPE: usize = 5000;
const REGION: u64 = STRIPES * STRIPE as u64;
/// Every thread has a region in it, and a volume of its own besides.
const COMMON: VolumeId = VolumeId(100);
/// Clones of the volume of a thread.
const CLONES: u128 = 1000;

/// Writes until the power fails; the number of the last write that was flushed goes to `flushed`.
fn work(store: &Store, thread: u64, flushed: &Mutex<u64>) -> Result<(), StoreError> {
    let id = VolumeId::from(thread);
    let of = |id| move |source| StoreError::Volume { id, source };
    let own = store.create(id, REGION)?;
    let common = store.find(COMMON).unwrap();
    for number in 1.. {
        let data: Vec<u8> = u64::to_le_bytes(number).into_iter().cycle().take(STRIPE).collect();
        let stripe = number % STRIPES * STRIPE as u64;
        own.write_at(stripe, &data).map_err(of(id))?;
        common.write_at(thread * REGION + stripe, &data).map_err(of(COMMON))?;
        if number % 2 == thread % 2 {
            own.flush().map_err(of(id))?;
            common.flush().map_err(of(COMMON))?;
            *flushed.lock().unwrap() = number;
        }
        if number.is_multiple_of(5) {
            store.snapshot(id, SnapshotId::from(number))?;
            if number > 10 {
                store.remove_snapshot(id, SnapshotId::from(number - 10))?;
            }
        }
        if number.is_multiple_of(7) {
            let clone = VolumeId(u128::from(thread + 1) * CLONES + u128::from(number));
            store.clone_volume(id, clone)?.flush().map_err(of(clone))?;
            if number > 7 {
                store.remove(VolumeId(clone.0 - 7))?;
            }
        }
    }
    Ok(())
}

/// The number of the last write to a region, every stripe of which must be that of this moment.
fn moment(region: &[u8]) -> u64 {
    let number = |stripe: &[u8]| {
        let number: [u8; 8] = stripe[..8].try_into().unwrap();
        assert!(stripe.chunks(8).all(|part| part == &number[..part.len()]), "a write in part");
        u64::from_le_bytes(number)
    };
    let numbers: Vec<u64> = region.chunks(STRIPE).map(number).collect();
    let last = *numbers.iter().max().unwrap();
    for (stripe, number) in (0..).zip(&numbers) {
        let expected = (0..STRIPES).filter_map(|back| last.checked_sub(back)).find(|n| n % STRIPES == stripe);
        assert_eq!(*number, expected.unwrap_or(0), "a moment that never was: {numbers:?}");
    }
    last
}

#[test]
fn power_loss_under_many_threads_leaves_each_volume_at_a_moment_since_its_last_flush() {
    let mut checkpoints = 0;
    for seed in 0..60 {
        let directory = PowerDirectory::default();
        let store = open_in(&directory).unwrap();
        store.create(COMMON, THREADS * REGION).unwrap();
        directory.fail_after(20 + seed * 7);
        let flushed = [const { Mutex::new(0) }; THREADS as usize];
        std::thread::scope(|scope| {
            for (thread, flushed) in (0..).zip(&flushed) {
                let store = &store;
                scope.spawn(move || work(store, thread, flushed).unwrap_err());
            }
        });
        let directory = directory.after_power_loss(seed);
        drop(store);
        let store = open_in(&directory).unwrap();
        let common = content(&store.find(COMMON).unwrap());
        for (thread, flushed) in (0..).zip(flushed.map(|flushed| flushed.into_inner().unwrap())) {
            let id = VolumeId::from(thread);
            let region = common.chunks(REGION as usize).nth(thread as usize).unwrap();
            assert!(moment(region) >= flushed, "{flushed} was flushed to the common volume");
            let Some(own) = store.find(id) else {
                assert_eq!(flushed, 0);
                continue;
            };
            assert!(moment(&content(&own)) >= flushed, "{flushed} was flushed to {id}");
            for snapshot in store.snapshots(id) {
                let taken = content(&store.find_snapshot(id, snapshot).unwrap().to_volume());
                assert_eq!(u128::from(moment(&taken)), snapshot.0);
            }
        }
        for clone in store.list().into_iter().filter(|id| id.0 > CLONES) {
            assert_eq!(u128::from(moment(&content(&store.find(clone).unwrap()))), clone.0 % CLONES);
        }
        checkpoints += u32::from(directory.journals() != ["journal.1"]);
    }
    assert!(checkpoints > 10, "hardly a journal began anew");
}
