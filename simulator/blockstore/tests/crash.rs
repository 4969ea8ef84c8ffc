//! A process that writes to a data directory is killed (SIGKILL) again and again: nothing it said
//! to be durable is lost, and no write is there in part.

// Code of tests alone: what cannot be read fails the test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use blockstore::{Snapshot, Store, VolumeId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const KILLS: u64 = 15;
const STRIPES: u64 = 8;
const STRIPE: usize = 4096 * 5 + 1000;

/// What was acknowledged: the highest number of each thread.
type Acknowledged = BTreeMap<u64, u64>;

/// Lets the writer write, kills it after `lines` acknowledgements, and notes these and the ones that
/// were still under way.
fn write_and_kill(data_dir: &Path, lines: usize, acknowledged: &mut Acknowledged) {
    let mut writer = Command::new(env!("CARGO_BIN_EXE_blockstore-crash-writer"))
        .arg(data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut seen: Vec<String> = output.by_ref().take(lines).collect();
    assert_eq!(seen.len(), lines, "the writer ended by itself: {:?}", writer.wait());
    writer.kill().unwrap();
    writer.wait().unwrap();
    seen.extend(output);
    for line in seen {
        let (thread, number) = line.split_once(' ').unwrap();
        acknowledged.insert(thread.parse().unwrap(), number.parse().unwrap());
    }
}

/// The number each stripe holds. A write in part shows as a stripe with two.
fn stripes(content: &Snapshot) -> Vec<u64> {
    let stripe = |index: u64| {
        let mut bytes = vec![0; STRIPE];
        content.read_at(index * STRIPE as u64, &mut bytes).unwrap();
        let number: [u8; 8] = bytes[..8].try_into().unwrap();
        assert!(bytes.chunks(8).all(|part| part == &number[..part.len()]), "stripe {index} is torn");
        u64::from_le_bytes(number)
    };
    (0..STRIPES).map(stripe).collect()
}

/// The content is that after some write: each stripe has its last number up to it.
fn require_moment(content: &Snapshot) -> u64 {
    let numbers = stripes(content);
    let last = *numbers.iter().max().unwrap();
    for (stripe, number) in (0..).zip(&numbers) {
        let expected = (0..STRIPES).filter_map(|back| last.checked_sub(back)).find(|n| n % STRIPES == stripe);
        assert_eq!(*number, expected.unwrap_or(0), "stripe {stripe} of {numbers:?}");
    }
    last
}

#[test]
fn a_killed_process_loses_nothing_it_acknowledged_and_tears_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(0x7e57);
    let mut acknowledged = Acknowledged::new();
    let (mut total, mut snapshots) = (0, 0);
    for _ in 0..KILLS {
        write_and_kill(directory.path(), random.random_range(1..60), &mut acknowledged);
        let store = Store::open(directory.path()).unwrap();
        total = 0;
        for (thread, number) in &acknowledged {
            let id = VolumeId::from(*thread);
            let last = require_moment(&store.find(id).unwrap().snapshot());
            assert!(last >= *number, "thread {thread} was told {number}, and {last} is there");
            total += last;
            for snapshot in store.snapshots(id) {
                let taken = require_moment(&store.find_snapshot(id, snapshot).unwrap());
                assert_eq!(u128::from(taken), snapshot.0, "a snapshot of another moment");
                snapshots += 1;
            }
        }
    }
    println!("{KILLS} kills, {total} writes, {snapshots} snapshots examined");
    assert!(snapshots > 0);
}
