//! Power loss at any operation: what is there afterwards is what was there at some moment, no
//! earlier than the last acknowledgement. The whole of it: a write in part, a clone of another
//! moment or a page reused too early is a state that never was.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::power::PowerDirectory;
use super::{content, open_in};
use crate::error::{BlockError, StoreError};
use crate::page::PAGE_SIZE;
use crate::store::{SnapshotId, Store, VolumeId};

/// Not a multiple of the page size, so that the last page is short.
const SIZE: u64 = 12 * PAGE_SIZE as u64 + 512;

/// No test makes more ids.
const NEWEST: u128 = 200;

#[derive(Clone, Debug)]
enum Step {
    CloneSnapshot,
    CloneVolume,
    Create,
    Deallocate { at: u64, length: u64 },
    Flush,
    Remove,
    RemoveSnapshot,
    Resize { size: u64 },
    Restore,
    Snapshot,
    Write { at: u64, length: u64, byte: u8 },
}

/// Everything a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    volumes: BTreeMap<u128, Vec<u8>>,
    snapshots: BTreeMap<(u128, u128), Vec<u8>>,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        12 => (0..SIZE, 1..20_000u64, 1..=255u8).prop_map(|(at, length, byte)| Step::Write { at, length, byte }),
        4 => (0..SIZE, 1..60_000u64).prop_map(|(at, length)| Step::Deallocate { at, length }),
        5 => Just(Step::Flush),
        1 => (0..SIZE + 9000).prop_map(|size| Step::Resize { size }),
        2 => Just(Step::Snapshot),
        1 => Just(Step::RemoveSnapshot),
        1 => Just(Step::Restore),
        1 => Just(Step::CloneSnapshot),
        1 => Just(Step::CloneVolume),
        1 => Just(Step::Create),
        1 => Just(Step::Remove),
    ];
    (any::<usize>(), step)
}

impl State {
    fn of(store: &Store) -> Self {
        let mut state = Self::default();
        for id in store.list() {
            state.volumes.insert(id.0, content(&store.find(id).unwrap()));
        }
        for volume in 0..=NEWEST {
            for id in store.snapshots(VolumeId(volume)) {
                let snapshot = store.find_snapshot(VolumeId(volume), id).unwrap();
                state.snapshots.insert((volume, id.0), content(&snapshot.to_volume()));
            }
        }
        state
    }

    /// Takes the step on the model and returns what takes it on the store; `None` when there is
    /// nothing to take it on. `which` chooses the volume or snapshot, `new` is a fresh id.
    fn take(&mut self, step: &Step, which: usize, new: u128) -> Option<Real> {
        fn pick<K: Copy, V>(map: &BTreeMap<K, V>, which: usize) -> Option<K> {
            map.keys().nth(which % map.len().max(1)).copied()
        }
        let volume = pick(&self.volumes, which);
        let taken = pick(&self.snapshots, which);
        Some(match *step {
            Step::Create => {
                self.volumes.insert(new, vec![0; SIZE as usize]);
                Box::new(move |store| store.create(VolumeId(new), SIZE).map(drop))
            }
            Step::Write { at, length, byte } => {
                let id = volume?;
                let held = self.volumes.get_mut(&id)?;
                let end = (at + length).min(held.len() as u64);
                held.get_mut(at as usize..end as usize)?.fill(byte);
                on_volume(id, move |volume| volume.write_at(at, &vec![byte; (end - at) as usize]))
            }
            Step::Deallocate { at, length } => {
                let id = volume?;
                let held = self.volumes.get_mut(&id)?;
                let end = (at + length).min(held.len() as u64);
                held.get_mut(at as usize..end as usize)?.fill(0);
                on_volume(id, move |volume| volume.deallocate(at, end - at))
            }
            Step::Flush => on_volume(volume?, crate::Volume::flush),
            Step::Resize { size } => {
                self.volumes.get_mut(&volume?)?.resize(size as usize, 0);
                on_volume(volume?, move |volume| volume.set_size(size))
            }
            Step::Remove => {
                let id = volume.filter(|_| self.volumes.len() > 1)?;
                self.volumes.remove(&id);
                Box::new(move |store| store.remove(VolumeId(id)))
            }
            Step::Snapshot => {
                let id = volume?;
                self.snapshots.insert((id, new), self.volumes[&id].clone());
                Box::new(move |store| store.snapshot(VolumeId(id), SnapshotId(new)).map(drop))
            }
            Step::RemoveSnapshot => {
                let (volume, id) = taken?;
                self.snapshots.remove(&(volume, id));
                Box::new(move |store| store.remove_snapshot(VolumeId(volume), SnapshotId(id)))
            }
            Step::Restore => {
                let (volume, id) = taken.filter(|(volume, _)| self.volumes.contains_key(volume))?;
                self.volumes.insert(volume, self.snapshots[&(volume, id)].clone());
                Box::new(move |store| store.restore(VolumeId(volume), SnapshotId(id)))
            }
            Step::CloneSnapshot => {
                let (volume, id) = taken?;
                self.volumes.insert(new, self.snapshots[&(volume, id)].clone());
                let (volume, id, new) = (VolumeId(volume), SnapshotId(id), VolumeId(new));
                Box::new(move |store| store.clone_snapshot(volume, id, new).map(drop))
            }
            Step::CloneVolume => {
                let id = volume?;
                self.volumes.insert(new, self.volumes[&id].clone());
                Box::new(move |store| store.clone_volume(VolumeId(id), VolumeId(new)).map(drop))
            }
        })
    }
}

/// A step as it is taken on a store.
type Real = Box<dyn FnOnce(&Store) -> Result<(), StoreError>>;

fn on_volume(id: u128, act: impl FnOnce(&crate::Volume) -> Result<(), BlockError> + 'static) -> Real {
    Box::new(move |store| {
        let id = VolumeId(id);
        act(&store.find(id).unwrap()).map_err(|source| StoreError::Volume { id, source })
    })
}

/// Whether everything before the step is acknowledged when it returns. A flush answers for its
/// volume alone, but there is one journal.
fn acknowledges(step: &Step) -> bool {
    !matches!(step, Step::Write { .. } | Step::Deallocate { .. } | Step::Flush)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn after_power_loss_the_store_is_as_it_was_at_one_moment_since_the_last_acknowledgement(
        steps in proptest::collection::vec(step(), 1..50),
        losses in proptest::collection::vec((0..120u64, any::<u64>()), 1..5),
    ) {
        let mut directory = PowerDirectory::default();
        let mut new = 1;
        let mut steps = steps.iter().cycle().take(steps.len() * 3);
        for (fuse, seed) in losses {
            let Ok(store) = open_in(&directory) else { panic!("a store that lost power does not open") };
            directory.fail_after(fuse);
            let mut history = vec![State::of(&store)];
            let mut acknowledged = 0;
            for (which, step) in steps.by_ref() {
                new += 1;
                let mut next = history.last().unwrap().clone();
                let step = if next.volumes.is_empty() { &Step::Create } else { step };
                let Some(real) = next.take(step, *which, new) else { continue };
                let flushed = match step {
                    Step::Flush => next.volumes.keys().nth(which % next.volumes.len()).copied(),
                    _ => None,
                };
                history.push(next);
                match real(&store) {
                    Ok(()) if acknowledges(step) => acknowledged = history.len() - 1,
                    Ok(()) => {
                        if let Some(id) = flushed {
                            // As far as this volume did not change since, its flush answers.
                            let now = &history[history.len() - 1].volumes[&id];
                            let same = |state: &&State| state.volumes.get(&id) == Some(now);
                            let tail = history.iter().rev().take_while(same).count();
                            acknowledged = acknowledged.max(history.len() - tail);
                        }
                    }
                    Err(_) => break,
                }
            }
            directory = directory.after_power_loss(seed);
            drop(store);
            let found = State::of(&open_in(&directory).unwrap());
            let moment = history.iter().rposition(|state| *state == found);
            prop_assert!(moment.is_some(), "a state that never was");
            prop_assert!(moment >= Some(acknowledged), "{moment:?} is older than {acknowledged}");
            prop_assert!(directory.journals().len() == 1);
        }
    }
}
