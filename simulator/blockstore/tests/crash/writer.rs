//! The child of `tests/crash.rs`: writes to a store until it is killed, and tells on standard output
//! what is durable.
//!
//! Each thread has a volume of [`STRIPES`] stripes and fills them in turn with its running number,
//! one write each. A line `THREAD NUMBER` says that this write was flushed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use blockstore::{BlockError, SnapshotId, Store, StoreError, Volume, VolumeId};

/// Threads that write.
const THREADS: u64 = 3;
/// Stripes of a volume.
const STRIPES: u64 = 8;
/// Length of a stripe in bytes: not a whole number of pages, so that neighbours share pages.
const STRIPE: usize = 4096 * 5 + 1000;

fn main() -> ExitCode {
    let Some(data_dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return ExitCode::from(2);
    };
    match run(data_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(data_dir: PathBuf) -> Result<(), StoreError> {
    let store = Store::open(data_dir)?;
    std::thread::scope(|scope| {
        let store = &store;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || work(store, thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
    })
}

fn work(store: &Store, thread: u64) -> Result<(), StoreError> {
    let id = VolumeId::from(thread);
    let failed = |source| StoreError::Volume { id, source };
    let volume = match store.find(id) {
        Some(volume) => volume,
        None => store.create(id, STRIPES * STRIPE as u64)?,
    };
    let mut number = highest(&volume).map_err(failed)?;
    loop {
        number += 1;
        let data: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(STRIPE).collect();
        volume.write_at(number % STRIPES * STRIPE as u64, &data).map_err(failed)?;
        if number % 3 == thread % 3 {
            volume.flush().map_err(failed)?;
            // One write, so that a kill leaves a whole line or none.
            let _ = io::stdout().lock().write_all(format!("{thread} {number}\n").as_bytes());
            let _ = io::stdout().flush();
        }
        if number.is_multiple_of(16) {
            let taken = SnapshotId::from(number);
            store.snapshot(id, taken)?;
            for old in store.snapshots(id).into_iter().filter(|old| *old != taken) {
                store.remove_snapshot(id, old)?;
            }
        }
    }
}

/// The number of the last write that is there.
fn highest(volume: &Volume) -> Result<u64, BlockError> {
    let mut highest = 0;
    for stripe in 0..STRIPES {
        let mut number = [0; 8];
        volume.read_at(stripe * STRIPE as u64, &mut number)?;
        highest = highest.max(u64::from_le_bytes(number));
    }
    Ok(highest)
}
