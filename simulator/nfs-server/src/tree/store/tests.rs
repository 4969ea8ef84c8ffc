//! What is left of a tree when its process dies.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{Durability, StoreError, await_durable, take_barriers};
use crate::tree::namespace::Creation;
use crate::tree::properties::{CAPACITY, Op, ROOT, apply, describe, op};
use crate::tree::{FileTree, InodeNumber, RootAttributes, SetAttributes, Tree};

const OPEN: RootAttributes = RootAttributes { mode: 0o777, uid: 0, gid: 0 };

fn create(dir: &Path) -> FileTree {
    FileTree::create_in(dir, Durability::Process, CAPACITY, OPEN).unwrap()
}

/// Makes a change durable as its caller would.
fn settle(tree: &FileTree) {
    take_barriers();
    tree.set_root(OPEN).unwrap();
}

fn flush(tree: &FileTree) {
    take_barriers();
    tree.log.as_ref().unwrap().flush().unwrap();
}

fn make_file(tree: &FileTree, name: &str, data: &[u8]) -> InodeNumber {
    let how = Creation::Guarded(SetAttributes::default());
    let mut change = tree.change();
    let file = change.create(InodeNumber::ROOT, &ROOT, name.as_bytes(), how).unwrap();
    change.write(file, &ROOT, 0, data).unwrap();
    file
}

fn bytes_of(tree: &FileTree, file: InodeNumber) -> Vec<u8> {
    let mut all = Vec::new();
    tree.look().read(file, &ROOT, 0, u32::MAX).unwrap().lend(|bytes| all.extend_from_slice(&bytes));
    all
}

/// A directory as it stands, for another process to open.
fn copy_of(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn open(dir: &Path) -> Result<FileTree, StoreError> {
    FileTree::open(dir, Durability::Process)
}

/// All that a tree says, in words; what a restart may change left out.
fn words(tree: &Tree) -> Vec<String> {
    let mut words = describe(&tree.image);
    words.push(format!("{:?} next {}", tree.settings, tree.next_inode));
    for ((id, taken), info) in tree.snapshots.iter().zip(tree.snapshot_infos()) {
        words.push(format!("snapshot {id} {info:?}"));
        words.extend(describe(&taken.image));
    }
    words
}

/// The last log of a tree, and its length.
fn last_log(dir: &Path) -> (std::path::PathBuf, u64) {
    let listing = super::files::Listing::read(dir).unwrap();
    let path = super::files::log_path(dir, *listing.logs.last().unwrap());
    let length = fs::metadata(&path).unwrap().len();
    (path, length)
}

#[derive(Debug, Clone)]
enum Step {
    Do(Op),
    Checkpoint,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![20 => op().prop_map(Step::Do), 1 => Just(Step::Checkpoint), 1 => Just(Step::Reopen)]
}

/// After a death now, and after one while the change just made was being written.
fn assert_survives(
    dir: &Path,
    before: (&[String], u64),
    now: &[String],
    cut: usize,
) -> Result<(), TestCaseError> {
    let whole = copy_of(dir);
    prop_assert_eq!(words(&open(whole.path()).unwrap().look()), now);
    let (log, length) = last_log(dir);
    let (words_before, length_before) = before;
    if length > length_before {
        let torn = copy_of(dir);
        let place = length_before + cut as u64 % (length - length_before);
        let log = torn.path().join(log.file_name().unwrap());
        fs::File::options().write(true).open(log).unwrap().set_len(place).unwrap();
        prop_assert_eq!(words(&open(torn.path()).unwrap().look()), words_before);
        // What was cut off stays away.
        prop_assert_eq!(words(&open(torn.path()).unwrap().look()), words_before);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_death_at_any_moment_loses_at_most_the_change_being_written(
        steps in proptest::collection::vec((step(), any::<usize>()), 1..40),
    ) {
        let dir = TempDir::new().unwrap();
        let mut tree = create(dir.path());
        for (step, cut) in steps {
            let mut before = (words(&tree.look()), last_log(dir.path()).1);
            match step {
                Step::Do(op) => apply(&mut tree.change(), &op),
                Step::Checkpoint => {
                    tree.log.as_ref().unwrap().checkpoint().unwrap();
                    before.1 = u64::MAX;
                }
                Step::Reopen => {
                    drop(tree);
                    tree = open(dir.path()).unwrap();
                    prop_assert_eq!(words(&tree.look()), before.0.clone());
                    before.1 = u64::MAX;
                }
            }
            flush(&tree);
            assert_survives(dir.path(), (&before.0, before.1), &words(&tree.look()), cut)?;
        }
    }
}

#[test]
fn handles_and_identity_are_the_same_after_a_restart_and_the_write_verifier_is_not() {
    let dir = TempDir::new().unwrap();
    let tree = create(dir.path());
    let file = make_file(&tree, "f", b"data");
    let (fsid, node, verifier) = (tree.fsid(), tree.look().node(file).unwrap(), tree.look().write_verifier());
    flush(&tree);
    drop(tree);
    let tree = open(dir.path()).unwrap();
    assert_eq!(tree.fsid(), fsid);
    assert_eq!(tree.look().require_node(node), Ok(file));
    assert_ne!(tree.look().write_verifier(), verifier);
    assert_eq!(bytes_of(&tree, file), b"data");
}

#[test]
fn a_flipped_bit_is_an_error_that_says_where_unless_it_is_in_the_last_change() {
    let dir = TempDir::new().unwrap();
    let tree = create(dir.path());
    make_file(&tree, "first", b"data");
    flush(&tree);
    let (log, whole_until) = last_log(dir.path());
    let before = words(&tree.look());
    make_file(&tree, "last", b"more");
    flush(&tree);
    drop(tree);
    let good = fs::read(&log).unwrap();
    let header = whole_until as usize + super::frame::HEADER;
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x10;
        fs::write(&log, &bad).unwrap();
        match open(dir.path()) {
            Err(StoreError::Damaged { file, offset, .. }) => {
                assert!(place < header, "byte {place}: torn and damaged are mistaken for each other");
                assert_eq!(file, log);
                assert!(offset <= place as u64, "byte {place} is not at or behind {offset}");
            }
            Ok(tree) => {
                assert!(place >= header, "the damage at byte {place} went by unseen");
                assert_eq!(words(&tree.look()), before);
            }
            Err(other) => panic!("byte {place}: {other:?}"),
        }
    }
}

#[test]
fn a_log_that_is_missing_or_of_another_tree_is_not_passed_over() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    for dir in &dirs {
        let tree = create(dir.path());
        make_file(&tree, "f", b"data");
        flush(&tree);
    }
    let [one, other] = dirs.map(|dir| (last_log(dir.path()).0, dir));
    fs::copy(&other.0, &one.0).unwrap();
    assert!(matches!(open(one.1.path()), Err(StoreError::Damaged { .. })));
    fs::rename(&other.0, other.1.path().join("log-2")).unwrap();
    assert!(matches!(open(other.1.path()), Err(StoreError::Damaged { .. })));
}

#[test]
fn one_process_has_a_tree_and_a_directory_has_one_tree() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::NoTree(_))));
    let tree = create(dir.path());
    assert!(matches!(open(dir.path()), Err(StoreError::Locked(_))));
    drop(tree);
    let again = FileTree::create_in(dir.path(), Durability::Process, CAPACITY, OPEN);
    assert!(matches!(again, Err(StoreError::TreeExists(_))));
    assert!(open(dir.path()).is_ok());
}

#[test]
fn a_power_cut_takes_whole_unstable_writes_since_the_commit_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let tree = create(dir.path());
    let (stable, committed, lost) =
        (make_file(&tree, "s", b"stable"), make_file(&tree, "c", b"old"), make_file(&tree, "l", &[1; 9000]));
    tree.change().write_unstable(committed, &ROOT, 0, b"new").unwrap();
    tree.change().commit(committed).unwrap();
    tree.change().write_unstable(lost, &ROOT, 0, &[2; 5000]).unwrap();
    tree.change().write_unstable(lost, &ROOT, 200_000, &[3; 5000]).unwrap();
    let (verifier, used) = (tree.look().write_verifier(), tree.used());
    assert_eq!(tree.cut_power().unwrap(), 1);
    assert_ne!(tree.look().write_verifier(), verifier);
    assert!(tree.used() < used);
    settle(&tree);
    drop(tree);
    let tree = open(dir.path()).unwrap();
    assert_eq!((bytes_of(&tree, stable), bytes_of(&tree, committed)), (b"stable".to_vec(), b"new".to_vec()));
    assert_eq!(bytes_of(&tree, lost), [1; 9000]);
}

#[test]
fn a_checkpoint_replaces_the_log_and_keeps_what_snapshots_share() {
    let dir = TempDir::new().unwrap();
    let tree = FileTree::create_in(dir.path(), Durability::Host, 64 << 20, OPEN).unwrap();
    let file = make_file(&tree, "big", &vec![7; 8 << 20]);
    for n in 0..4u8 {
        tree.take_snapshot(&format!("s{n}")).unwrap();
        tree.change().write(file, &ROOT, 0, &[n; 4096]).unwrap();
    }
    tree.log.as_ref().unwrap().checkpoint().unwrap();
    take_barriers();
    let sizes: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).collect();
    assert!(sizes.iter().sum::<u64>() < 10 << 20, "{sizes:?}");
    let (now, kept) = (words(&tree.look()), tree.snapshot_used());
    drop(tree);
    let tree = open(dir.path()).unwrap();
    assert_eq!((words(&tree.look()), tree.snapshot_used()), (now, kept));
    assert_eq!(kept, 4 * (64 << 10), "four times the chunk that was overwritten");
}

#[tokio::test]
async fn replies_of_many_callers_are_let_go_by_few_writes() {
    let dir = TempDir::new().unwrap();
    let tree = Arc::new(FileTree::create_in(dir.path(), Durability::Host, 64 << 20, OPEN).unwrap());
    let mut barriers = Vec::new();
    for n in 0..200 {
        make_file(&tree, &format!("f{n}"), b"x");
        barriers.push(take_barriers());
    }
    assert!(barriers.iter().all(|barriers| barriers.len() == 1));
    for barrier in &barriers {
        await_durable(barrier).await.unwrap();
    }
    let copy = copy_of(dir.path());
    assert_eq!(words(&open(copy.path()).unwrap().look()), words(&tree.look()));
}

/// What a replica must have of its source: all but the limits of qtrees.
fn contents(tree: &Tree) -> Vec<String> {
    let mut lines = describe(&tree.image);
    lines.pop();
    lines.push(format!("{} blocks", tree.image.used_blocks));
    lines
}

/// Keeps the source as it is, and sends what is new since `base`.
fn sent(source: &FileTree, base: Option<&str>, name: &str) -> Vec<u8> {
    take_barriers();
    source.take_snapshot(name).unwrap();
    let mut bytes = Vec::new();
    source.send_snapshots(base, &[name.to_owned()], &mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_replica_is_its_source_after_every_transfer_and_after_a_death(
        transfers in proptest::collection::vec(proptest::collection::vec(op(), 0..15), 1..6),
    ) {
        let source = FileTree::new(CAPACITY, OPEN);
        let dir = TempDir::new().unwrap();
        let replica = create(dir.path());
        for (number, ops) in transfers.iter().enumerate() {
            ops.iter().for_each(|op| apply(&mut source.change(), op));
            let held: Vec<_> = replica.snapshots().into_iter().map(|info| info.name).collect();
            let there = |name: &&String| source.snapshots().iter().any(|info| info.name == **name);
            let base = held.iter().rfind(there);
            let bytes = sent(&source, base.map(String::as_str), &format!("replica-{number}"));
            replica.receive_snapshots(base.map(String::as_str), &bytes).unwrap();
            prop_assert_eq!(contents(&replica.look()), contents(&source.look()));
            flush(&replica);
            let copy = copy_of(dir.path());
            prop_assert_eq!(words(&open(copy.path()).unwrap().look()), words(&replica.look()));
        }
    }
}

#[test]
fn a_transfer_that_breaks_off_or_is_damaged_changes_nothing() {
    let source = FileTree::new(CAPACITY, OPEN);
    let replica = FileTree::new(CAPACITY, OPEN);
    let file = make_file(&source, "f", b"first");
    replica.receive_snapshots(None, &sent(&source, None, "one")).unwrap();
    source.change().write(file, &ROOT, 0, b"other").unwrap();
    let bytes = sent(&source, Some("one"), "two");
    let before = words(&replica.look());
    for length in 0..bytes.len() {
        replica.receive_snapshots(Some("one"), &bytes[..length]).unwrap_err();
    }
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    replica.receive_snapshots(Some("one"), &flipped).unwrap_err();
    assert_eq!(words(&replica.look()), before);
    replica.receive_snapshots(Some("one"), &bytes).unwrap();
    assert_eq!(bytes_of(&replica, file), b"other");
}

#[test]
fn only_what_differs_is_sent() {
    let source = FileTree::new(CAPACITY, OPEN);
    let file = make_file(&source, "f", &vec![7; 400 << 10]);
    let whole = sent(&source, None, "one");
    source.change().write(file, &ROOT, 0, b"a few bytes").unwrap();
    let part = sent(&source, Some("one"), "two");
    assert!(whole.len() > 400 << 10 && part.len() < 70 << 10, "{} and {} bytes", whole.len(), part.len());
}
