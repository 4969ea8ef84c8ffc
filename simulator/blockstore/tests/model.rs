//! Volumes against the plainest model there is: bytes in a vector.

// Code of tests alone: what cannot be read fails the test.
#![allow(clippy::unwrap_used)]

use blockstore::{BlockError, PAGE_SIZE, Snapshot, Volume};
use proptest::prelude::*;

/// Not a multiple of the page size, so that the last page is short.
const SIZE: u64 = 40 * PAGE_SIZE as u64 + 512;

#[derive(Clone, Debug)]
enum Step {
    Write {
        at: u64,
        length: usize,
        byte: u8,
    },
    Deallocate {
        at: u64,
        length: u64,
    },
    CompareAndWrite {
        at: u64,
        byte: u8,
    },
    Resize {
        size: u64,
    },
    Snapshot,
    /// Go on with a clone of a snapshot; the volume so far must stay as it is.
    Clone {
        which: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let at = 0..SIZE + 1000;
    prop_oneof![
        6 => (at.clone(), 0usize..20_000, any::<u8>()).prop_map(|(at, length, byte)| Step::Write { at, length, byte }),
        3 => (at.clone(), 0..60_000u64).prop_map(|(at, length)| Step::Deallocate { at, length }),
        1 => (at, any::<u8>()).prop_map(|(at, byte)| Step::CompareAndWrite { at, byte }),
        1 => (0..2 * SIZE).prop_map(|size| Step::Resize { size }),
        2 => Just(Step::Snapshot),
        1 => any::<usize>().prop_map(|which| Step::Clone { which }),
    ]
}

fn content(volume: &Volume) -> Vec<u8> {
    let mut bytes = vec![0xee; volume.size() as usize];
    volume.read_at(0, &mut bytes).unwrap();
    bytes
}

/// A volume and what it must hold.
struct Pair {
    volume: Volume,
    model: Vec<u8>,
}

impl Pair {
    /// The model's range, or what the volume must answer instead.
    fn range(&mut self, at: u64, length: u64) -> Result<&mut [u8], BlockError> {
        let size = self.model.len() as u64;
        let error = BlockError::OutOfRange { offset: at, length, size };
        self.model.get_mut(at as usize..(at + length) as usize).ok_or(error)
    }

    fn write(&mut self, at: u64, length: usize, byte: u8) {
        let data: Vec<u8> = (0..length).map(|n| byte.wrapping_mul((n / 100) as u8)).collect();
        let expected = self.range(at, length as u64).map(|range| range.copy_from_slice(&data));
        assert_eq!(self.volume.write_at(at, &data), expected);
    }

    fn deallocate(&mut self, at: u64, length: u64) {
        let expected = self.range(at, length).map(|range| range.fill(0));
        assert_eq!(self.volume.deallocate(at, length), expected);
    }

    fn compare_and_write(&mut self, at: u64, byte: u8) {
        let expected = self.range(at, 2).and_then(|range| match range {
            [0, 0] => {
                range.fill(byte);
                Ok(())
            }
            [0, _] => Err(BlockError::Miscompare { offset: 1 }),
            _ => Err(BlockError::Miscompare { offset: 0 }),
        });
        assert_eq!(self.volume.compare_and_write(at, &[0, 0], &[byte, byte]), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_volume_its_snapshots_and_their_clones_hold_what_was_written(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut now = Pair { volume: Volume::new(SIZE), model: vec![0; SIZE as usize] };
        let mut left: Vec<Pair> = Vec::new();
        let mut snapshots: Vec<(Snapshot, Vec<u8>)> = vec![(now.volume.snapshot(), now.model.clone())];
        for step in steps {
            match step {
                Step::Write { at, length, byte } => now.write(at, length, byte),
                Step::Deallocate { at, length } => now.deallocate(at, length),
                Step::CompareAndWrite { at, byte } => now.compare_and_write(at, byte),
                Step::Resize { size } => {
                    now.volume.resize(size);
                    now.model.resize(size as usize, 0);
                }
                Step::Snapshot => snapshots.push((now.volume.snapshot(), now.model.clone())),
                Step::Clone { which } => {
                    let (snapshot, model) = &snapshots[which % snapshots.len()];
                    let clone = Pair { volume: snapshot.to_volume(), model: model.clone() };
                    left.push(std::mem::replace(&mut now, clone));
                }
            }
        }
        left.push(now);
        for pair in &left {
            prop_assert!(content(&pair.volume) == pair.model);
            prop_assert!(pair.volume.allocated() <= pair.volume.size().next_multiple_of(PAGE_SIZE as u64));
        }
        for (snapshot, model) in &snapshots {
            prop_assert!(content(&snapshot.to_volume()) == *model);
        }
    }
}

#[test]
fn only_written_pages_take_memory() {
    let volume = Volume::new(1 << 50);
    assert_eq!(volume.allocated(), 0);
    volume.write_at((1 << 50) - 1, &[1]).unwrap();
    volume.write_at(4095, &[1, 1]).unwrap();
    volume.write_at(1 << 30, &[0; 1 << 16]).unwrap();
    assert_eq!(volume.allocated(), 3 * PAGE_SIZE as u64);
    volume.deallocate(0, 1 << 50).unwrap();
    assert_eq!(volume.allocated(), 0);
}

#[test]
fn runs_of_pages_are_told_with_their_length() {
    let volume = Volume::new(SIZE);
    volume.write_at(8192, &[1; 8192]).unwrap();
    assert_eq!(volume.run_at(0, SIZE), Ok((false, 8192)));
    assert_eq!(volume.run_at(8704, SIZE), Ok((true, 8192 - 512)));
    assert_eq!(volume.run_at(16_384, SIZE), Ok((false, SIZE - 16_384)));
    assert_eq!(volume.run_at(0, 512), Ok((false, 512)));
    assert!(volume.run_at(SIZE, 1).is_err());
}
