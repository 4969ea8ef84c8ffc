//! Waiting for a file to appear, by inotify.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

/// Waits until `find` finds something; asks anew whenever an entry appears in `directory`.
pub(crate) fn await_entry(
    directory: &CStr,
    deadline: Duration,
    mut find: impl FnMut() -> Option<PathBuf>,
) -> anyhow::Result<PathBuf> {
    let until = Instant::now() + deadline;
    // Watch, then look, then wait: nothing that appears in between is missed.
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, directory, inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO)
        .with_context(|| format!("cannot watch {directory:?}"))?;
    loop {
        if let Some(found) = find() {
            return Ok(found);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("nothing suitable appeared in {directory:?} within {deadline:?}");
        }
        let timeout = Timespec::try_from(left)?;
        match poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = [0; 4096];
        // What appeared is looked up by name again; EAGAIN is a time-out of the poll above.
        let _seen = rustix::io::read(&watch, &mut events);
    }
}

/// Waits for one path.
pub(crate) fn await_path(directory: &CStr, path: &Path, deadline: Duration) -> anyhow::Result<()> {
    await_entry(directory, deadline, || path.symlink_metadata().is_ok().then(|| path.to_owned()))
        .with_context(|| format!("waiting for {}", path.display()))
        .map(|_| ())
}
