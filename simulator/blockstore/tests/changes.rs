//! What changed between two states of a volume.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that called them")]

use blockstore::{PAGE_SIZE, Volume};
use proptest::prelude::*;

const SIZE: u64 = 3 << 20;

#[derive(Debug, Clone)]
enum Op {
    Write(u64, Vec<u8>),
    Deallocate(u64, u64),
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = proptest::collection::vec(any::<u8>(), 1..20_000);
    prop_oneof![
        (0..SIZE - 20_000, bytes).prop_map(|(offset, bytes)| Op::Write(offset, bytes)),
        (0..SIZE - 400_000, 1..400_000_u64).prop_map(|(offset, length)| Op::Deallocate(offset, length)),
    ]
}

fn apply(volume: &Volume, op: &Op) {
    match op {
        Op::Write(offset, bytes) => volume.write_at(*offset, bytes).unwrap(),
        Op::Deallocate(offset, length) => volume.deallocate(*offset, *length).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_changed_makes_of_the_earlier_state_the_later_one(
        first in proptest::collection::vec(op(), 0..6),
        then in proptest::collection::vec(op(), 0..6),
        based in any::<bool>(),
    ) {
        let volume = Volume::new(SIZE);
        first.iter().for_each(|op| apply(&volume, op));
        let earlier = volume.snapshot();
        then.iter().for_each(|op| apply(&volume, op));
        let later = volume.snapshot();
        let copy = if based { earlier.to_volume() } else { Volume::new(SIZE) };
        for range in later.changed_since(based.then_some(&earlier)) {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            later.read_at(range.start, &mut bytes).unwrap();
            copy.write_at(range.start, &bytes).unwrap();
        }
        let (mut wanted, mut made) = (vec![0; SIZE as usize], vec![0; SIZE as usize]);
        later.read_at(0, &mut wanted).unwrap();
        copy.read_at(0, &mut made).unwrap();
        prop_assert!(wanted == made);
    }
}

#[test]
fn what_is_shared_did_not_change() {
    let volume = Volume::new(1 << 40);
    volume.write_at(0, &vec![1; 1 << 20]).unwrap();
    let earlier = volume.snapshot();
    assert_eq!(earlier.changed_since(None), vec![std::ops::Range { start: 0, end: 1 << 20 }]);
    assert!(volume.snapshot().changed_since(Some(&earlier)).is_empty());
    let page = PAGE_SIZE as u64;
    volume.write_at(5 * page, b"other").unwrap();
    volume.write_at((1 << 40) - 1, b"l").unwrap();
    let changed = volume.snapshot().changed_since(Some(&earlier));
    assert_eq!(changed, [5 * page..6 * page, (1 << 40) - page..1 << 40]);
}
