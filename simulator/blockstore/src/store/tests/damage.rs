//! A data directory that somebody or something changed.

use super::power::PowerDirectory;
use super::{content, open_in};
use crate::error::{BlockError, StoreError};
use crate::page::PAGE_SIZE;
use crate::store::frame::{self, HEADER, Header};
use crate::store::{SnapshotId, VolumeId};

const SIZE: u64 = 16 * PAGE_SIZE as u64;
const ID: VolumeId = VolumeId(7);

/// A directory with one volume, written `commits` times, and its content after each commit of the
/// journal that is there now; where each of these ends in the file.
struct Written {
    directory: PowerDirectory,
    journal: String,
    contents: Vec<Option<Vec<u8>>>,
    ends: Vec<usize>,
    checkpoint_end: usize,
}

fn written(commits: u8) -> Written {
    let directory = PowerDirectory::default();
    let store = open_in(&directory).unwrap();
    let volume = store.create(ID, SIZE).unwrap();
    // Taken when frames were counted: in a new generation the checkpoint is the first state.
    let mut contents = vec![None, Some(content(&volume))];
    let mut journal = directory.journals();
    // Keeps the pages of every state: a cut further back than a crash can cut finds them.
    let mut held = Vec::new();
    for commit in 1..=commits {
        let at = u64::from(commit) * 3000 % (SIZE - 9000);
        volume.write_at(at, &[commit; 9000]).unwrap();
        held.push(volume.snapshot());
        volume.flush().unwrap();
        if directory.journals() != journal {
            journal = directory.journals();
            contents.clear();
        }
        contents.push(Some(content(&volume)));
    }
    let journal = journal.pop().unwrap();
    let bytes = directory.bytes(&journal);
    let header = Header::decode(&bytes).unwrap();
    let frames = frame::walk(&bytes, header).unwrap();
    let checkpoint_end = header.checkpoint_end as usize;
    let ends = frames.payloads.iter().map(|payload| payload.end).filter(|end| *end > checkpoint_end);
    let ends: Vec<usize> = [checkpoint_end].into_iter().chain(ends).collect();
    assert_eq!(ends.len(), contents.len());
    assert!(ends.len() > 1, "all is in the checkpoint");
    Written { directory: directory.clone(), journal, contents, ends, checkpoint_end }
}

impl Written {
    /// What the store holds when the journal is these bytes instead.
    fn with_journal(&self, bytes: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let directory = self.directory.with(&self.journal, Some(bytes));
        let outcome = open_in(&directory).map(|store| store.find(ID).map(|volume| content(&volume)));
        if outcome.is_err() {
            assert_eq!(directory.bytes(&self.journal), bytes, "a refused journal was changed");
        }
        outcome
    }

    /// The content after the last commit that ends at `at` or before.
    fn content_at(&self, at: usize) -> &Option<Vec<u8>> {
        &self.contents[self.ends.iter().rposition(|end| *end <= at).unwrap()]
    }
}

#[test]
fn a_journal_cut_at_any_byte_is_read_to_its_last_whole_commit() {
    // The first has no checkpoint of consequence, the second begins with one.
    for commits in [4, 25] {
        let written = written(commits);
        let bytes = written.directory.bytes(&written.journal);
        for length in 0..bytes.len() {
            match written.with_journal(&bytes[..length]) {
                Ok(found) => assert!(found == *written.content_at(length), "cut to {length} bytes"),
                Err(StoreError::Damaged { offset, .. }) if length < written.checkpoint_end => {
                    assert!(offset <= length as u64);
                }
                Err(error) => panic!("cut to {length} bytes: {error}"),
            }
        }
    }
}

#[test]
fn a_changed_byte_is_an_error_that_tells_the_place_unless_a_crash_may_have_left_it() {
    for commits in [4, 25] {
        let written = written(commits);
        let bytes = written.directory.bytes(&written.journal);
        let last = written.ends[written.ends.len() - 2];
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            let outcome = written.with_journal(&bytes);
            if at >= last && last > written.checkpoint_end {
                assert!(outcome.unwrap() == *written.content_at(last), "byte {at} changed");
                continue;
            }
            match outcome {
                Err(StoreError::Damaged { offset, path, .. }) => {
                    assert!(offset <= at as u64 && at as u64 - offset < 1000, "{offset} told, {at} changed");
                    assert!(path.ends_with(&written.journal));
                }
                outcome => panic!("byte {at} changed: {outcome:?}"),
            }
        }
    }
}

#[test]
fn garbage_behind_the_last_commit_is_cut_off_and_told() {
    let written = written(3);
    let mut bytes = written.directory.bytes(&written.journal);
    bytes.extend_from_slice(&[0x5a; 100]);
    let directory = written.directory.with(&written.journal, Some(&bytes));
    let store = open_in(&directory).unwrap();
    assert_eq!(store.recovery().cut_off, 100);
    assert_eq!(Some(content(&store.find(ID).unwrap())), *written.content_at(bytes.len()));
    drop(store);
    assert_eq!(open_in(&directory).unwrap().recovery().cut_off, 0);
}

#[test]
fn another_format_is_refused_by_name() {
    let written = written(1);
    let mut bytes = written.directory.bytes(&written.journal);
    bytes[8] = 9;
    let crc = crc32c::crc32c(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
    let error = written.with_journal(&bytes).unwrap_err();
    assert!(matches!(error, StoreError::Format { found: 9, supported: 1, .. }), "{error}");
}

#[test]
fn a_page_that_is_not_what_was_written_is_a_medium_error_of_that_page_alone() {
    let directory = PowerDirectory::default();
    let volume = open_in(&directory).unwrap().create(ID, SIZE).unwrap();
    volume.write_at(0, &[1; 3 * PAGE_SIZE]).unwrap();
    volume.flush().unwrap();
    drop(volume);
    let mut pages = directory.bytes("pages");
    pages[PAGE_SIZE + 5] ^= 1;
    let volume = open_in(&directory.with("pages", Some(&pages))).unwrap().find(ID).unwrap();
    let damaged = Err(BlockError::Damaged { offset: PAGE_SIZE as u64 });
    let mut page = [0; PAGE_SIZE];
    assert_eq!(volume.read_at(PAGE_SIZE as u64, &mut page), damaged);
    assert_eq!(volume.read_at(0, &mut [0; 3 * PAGE_SIZE]), damaged);
    assert_eq!(volume.write_at(PAGE_SIZE as u64 + 9, &[3]), damaged);
    assert_eq!(volume.read_at(2 * PAGE_SIZE as u64, &mut page), Ok(()));
    assert_eq!(volume.write_at(PAGE_SIZE as u64, &[3; PAGE_SIZE]), Ok(()));
    assert_eq!(volume.read_at(PAGE_SIZE as u64, &mut page), Ok(()));
}

#[test]
fn missing_and_short_files_are_told_apart_from_an_empty_directory() {
    let written = written(2);
    let without = |name: &str| open_in(&written.directory.with(name, None)).unwrap_err();
    assert!(matches!(without("pages"), StoreError::Damaged { offset: 0, .. }));
    let error = without(&written.journal);
    assert!(matches!(&error, StoreError::Damaged { path, .. } if path.ends_with("pages")), "{error}");
    let pages = written.directory.bytes("pages");
    let short = open_in(&written.directory.with("pages", Some(&pages[..pages.len() - 1]))).unwrap_err();
    assert!(matches!(short, StoreError::Damaged { offset, .. } if offset == pages.len() as u64 - 1));
}

#[test]
fn a_failed_write_stops_the_store_and_nothing_acknowledged_is_lost() {
    let directory = PowerDirectory::default();
    let store = open_in(&directory).unwrap();
    let volume = store.create(ID, SIZE).unwrap();
    volume.write_at(0, &[1; 100]).unwrap();
    volume.flush().unwrap();
    volume.write_at(0, &[2; 100]).unwrap();
    directory.fail_after(0);
    let stopped = volume.flush().unwrap_err();
    assert!(matches!(stopped, BlockError::Stopped { .. }));
    assert_eq!(volume.write_at(0, &[3; 100]), Err(stopped.clone()));
    assert_eq!(volume.flush(), Err(stopped));
    assert!(matches!(store.snapshot(ID, SnapshotId(1)), Err(StoreError::Stopped { .. })));
    let found = content(&open_in(&directory.after_power_loss(1)).unwrap().find(ID).unwrap());
    assert!(found.starts_with(&[1; 100]) || found.starts_with(&[2; 100]));
}
