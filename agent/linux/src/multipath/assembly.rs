//! Waiting for a map and its paths (hazard H05).

use std::time::{Duration, Instant};

use agent_core::facts::MapFact;
use contract::Wwid;

use super::map::{self, MapError};
use super::socket::{self, MultipathdError};
use crate::root::HostRoot;
use crate::sysfs::{SysfsError, scsi};
use crate::uevent::{UeventError, Uevents};

/// A path's state in the map, or the disk's, can change without an event of its own.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// Enough for a daemon that lives; it is only asked to explain a failure.
const DAEMON_LIMIT: Duration = Duration::from_secs(1);

/// Why there is no usable map.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// Nobody makes maps.
    #[error("no map with WWID {wwid} can come")]
    NoDaemon {
        /// WWID.
        wwid: Wwid,
        /// What multipathd (did not) answer.
        #[source]
        source: MultipathdError,
    },
    /// There is nothing to make one of.
    #[error("no disk of this node shows WWID {0}: the LUN mapped under its number is another")]
    NoDisk(Wwid),
    /// multipathd made none.
    #[error(
        "multipathd made no map with WWID {0} in time: does its configuration (blacklist, find_multipaths) leave this array's disks out?"
    )]
    NoMap(Wwid),
    /// It is there and nothing goes through it.
    #[error("map {name} has no usable path: {paths} are down")]
    NoPath {
        /// Its name.
        name: String,
        /// Disks in it.
        paths: String,
    },
    /// sysfs.
    #[error("cannot see the disks of this node")]
    Sysfs(#[from] SysfsError),
    /// The map could not be read.
    #[error("cannot see the map")]
    Map(#[from] MapError),
    /// No events.
    #[error("cannot wait for the map")]
    Uevent(#[from] UeventError),
}

/// Waits for one usable path, and from then on for `window` at most until there are `paths`.
///
/// # Errors
/// [`AssemblyError`] without a usable path at the deadline.
pub async fn await_map(
    root: &HostRoot,
    wwid: &Wwid,
    paths: usize,
    window: Duration,
    deadline: Instant,
) -> Result<MapFact, AssemblyError> {
    let mut uevents = Uevents::subscribe()?;
    let look = |wanted: usize| Ok::<_, AssemblyError>(map::find_usable(root, wwid, wanted)?);
    let soon = deadline.min(Instant::now() + window);
    let mut first = uevents.await_until(soon, HEARTBEAT, || look(1)).await?;
    if first.is_none() && !may_come(root, wwid)? {
        return Err(AssemblyError::NoDisk(wwid.clone()));
    }
    if first.is_none() {
        first = uevents.await_until(deadline, HEARTBEAT, || look(1)).await?;
    }
    let Some(first) = first else { return Err(explain(root, wwid).await?) };
    let until = deadline.min(Instant::now() + window);
    Ok(uevents.await_until(until, HEARTBEAT, || look(paths.max(1))).await?.unwrap_or(first))
}

/// Whether some disk could be a path of the map: one of which the kernel knows this WWID, or no WWID
/// of this kind at all. Without such a disk no map can come, however long one waits.
fn may_come(root: &HostRoot, wwid: &Wwid) -> Result<bool, AssemblyError> {
    let carries = |disk: &scsi::Disk| disk.remembered_wwid.as_ref().is_none_or(|shown| shown == wwid);
    Ok(map::find(root, wwid)?.is_some() || scsi::disks(root)?.iter().any(carries))
}

async fn explain(root: &HostRoot, wwid: &Wwid) -> Result<AssemblyError, AssemblyError> {
    if let Some(map) = map::find(root, wwid)? {
        return Ok(AssemblyError::NoPath { name: map.name, paths: map.paths.join(", ") });
    }
    match socket::ask("show daemon", Instant::now() + DAEMON_LIMIT).await {
        Ok(_lives) => Ok(AssemblyError::NoMap(wwid.clone())),
        Err(source) => Ok(AssemblyError::NoDaemon { wwid: wwid.clone(), source }),
    }
}
