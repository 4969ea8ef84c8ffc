//! Taking a map away so that it stays away (hazard H03).
//!
//! Order of a teardown: stop queueing (else a probe of the map blocks and holds it open), delete every
//! disk of the LUN, then remove the map by its uuid. With no disk left multipathd has nothing to make
//! it from again; that it removes the map itself at the same time is as good.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use agent_core::facts::DeviceNumber;
use contract::Wwid;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::map::{self, Control, MapError};
use crate::root::HostRoot;
use crate::sys;
use crate::sysfs::{SysfsError, block};
use crate::uevent::{UeventError, Uevents};

/// The count falls a moment after the event that a descriptor was closed; and openers through
/// another node of the same device send none.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// udev's probes take well under this, even on a busy node; whoever stays longer is a user.
const TRANSIENT: Duration = Duration::from_secs(10);
/// multipathd may make the map again from a path it learnt of late. It cannot do so often.
const ATTEMPTS: usize = 4;

/// Why a map is still there.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// Somebody keeps it open.
    #[error("map with WWID {wwid} is still open ({open_count} times): end what holds /dev/{kernel_name}")]
    Open {
        /// WWID.
        wwid: Wwid,
        /// Openers.
        open_count: u32,
        /// `dm-0`.
        kernel_name: String,
    },
    /// It comes back again and again.
    #[error("map with WWID {0} is made again whenever it is removed: multipathd still sees a path of it")]
    ComesBack(Wwid),
    /// The map could not be read or told.
    #[error("cannot remove the map")]
    Map(#[from] MapError),
    /// sysfs.
    #[error("cannot see the map")]
    Sysfs(#[from] SysfsError),
    /// No events.
    #[error("cannot wait for the map to go")]
    Uevent(#[from] UeventError),
}

/// Makes I/O without a usable path fail instead of wait. `false`: there is no map.
///
/// # Errors
/// [`MapError`].
pub fn stop_queueing(root: &HostRoot, wwid: &Wwid) -> Result<bool, MapError> {
    match Control::open(root)?.message(wwid, "fail_if_no_path") {
        Ok(()) => Ok(true),
        Err(MapError::Gone(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until nobody has the map open. `false`: nobody had.
///
/// # Errors
/// [`RemovalError::Open`] when somebody stays.
pub async fn await_idle(root: &HostRoot, wwid: &Wwid, deadline: Instant) -> Result<bool, RemovalError> {
    let deadline = deadline.min(Instant::now() + TRANSIENT);
    let Some(first) = map::find(root, wwid)? else { return Ok(false) };
    let mut closes = Closes::of(&root.dev(first.kernel_name()));
    let mut waited = false;
    loop {
        let Some(map) = map::find(root, wwid)? else { return Ok(waited) };
        if map.open_count == 0 {
            return Ok(waited);
        }
        if Instant::now() >= deadline {
            let kernel_name = map.kernel_name();
            return Err(RemovalError::Open { wwid: wwid.clone(), open_count: map.open_count, kernel_name });
        }
        waited = true;
        closes.next(deadline.min(Instant::now() + HEARTBEAT)).await;
    }
}

/// Removes the map until it is gone and stays gone; `number` is the one it was seen with. `false`:
/// it was gone.
///
/// # Errors
/// [`RemovalError`].
pub async fn remove(
    root: &HostRoot,
    wwid: &Wwid,
    number: DeviceNumber,
    deadline: Instant,
) -> Result<bool, RemovalError> {
    let kernel_name = format!("dm-{}", number.minor);
    let is_gone = || -> Result<Option<()>, RemovalError> {
        let gone = map::find(root, wwid)?.is_none() && !block::is_going(root, &kernel_name)?;
        Ok(gone.then_some(()))
    };
    let mut changed = false;
    for _ in 0..ATTEMPTS {
        let mut uevents = Uevents::subscribe()?;
        if is_gone()?.is_some() {
            return Ok(changed);
        }
        changed = true;
        let control = Control::open(root)?;
        stop_queueing(root, wwid)?;
        match control.remove_when_closed(wwid) {
            Ok(()) | Err(MapError::Gone(_)) => {}
            Err(error) => return Err(error.into()),
        }
        // Still there only while somebody has it open: the kernel removes it at the last close and
        // says so with an event.
        let until = deadline.min(Instant::now() + TRANSIENT);
        if uevents.await_until(until, HEARTBEAT, is_gone).await?.is_none() {
            return Err(give_up(root, &control, wwid)?);
        }
    }
    if is_gone()?.is_some() { Ok(true) } else { Err(RemovalError::ComesBack(wwid.clone())) }
}

/// A user that stays keeps the map: it must not vanish under a later user at some later close.
fn give_up(root: &HostRoot, control: &Control, wwid: &Wwid) -> Result<RemovalError, RemovalError> {
    match control.keep(wwid) {
        Ok(()) | Err(MapError::Gone(_) | MapError::Refused { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let map = map::find(root, wwid)?;
    let open_count = map.as_ref().map_or(0, |map| map.open_count);
    let kernel_name = map.map_or_else(|| format!("dm-uuid-{}", wwid.dm_uuid()), |map| map.kernel_name());
    Ok(RemovalError::Open { wwid: wwid.clone(), open_count, kernel_name })
}

/// Events that a descriptor of a device node was closed. Without inotify there are none, and the
/// heartbeat has to do.
struct Closes(Option<AsyncFd<OwnedFd>>);

impl Closes {
    fn of(node: &Path) -> Self {
        let watch = || {
            let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
            inotify::add_watch(&descriptor, node, WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE)
                .ok()?;
            sys::readable(descriptor).ok()
        };
        Self(watch())
    }

    /// The next close, or `until`.
    async fn next(&mut self, until: Instant) {
        let event = async {
            match &self.0 {
                Some(events) => drain(events).await,
                None => std::future::pending().await,
            }
        };
        let _either = tokio::time::timeout_at(until.into(), event).await;
    }
}

/// Waits until it is readable and reads everything.
async fn drain(events: &AsyncFd<OwnedFd>) {
    let Ok(mut ready) = events.readable().await else { return };
    let mut buffer = [0_u8; 1024];
    let mut read = || ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer)?));
    while let Ok(Ok(1..)) = read() {}
}
