//! [`Query`] → [`Facts`]: everything read now, nothing remembered, nothing changed.
//!
//! ```text
//! mount table ─┐
//! dm map       ├→ which mounts, sessions, disks are the volume's ─→ ask each disk who it is (in parallel,
//! sessions     │                                                     each behind its own bulkhead)
//! disks ───────┘                                                  ─→ read what is on the map
//! ```

mod content;
mod host;
mod identity;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use agent_core::facts::{
    DeviceNumber, Facts, MapFact, MountFact, PathFact, PathKind, Probe, Query, SessionFact,
};
use agent_core::outcome::ObserveError;
use agent_core::path::HostPath;
use contract::{Iqn, LunNumber, PublishContext, Wwid};

use crate::blocking::Bulkheads;
use crate::error_text::{chain, unknown};
use crate::mount::table::{self, Mount};
use crate::multipath::map::{self, MapError};
use crate::root::HostRoot;
use crate::sysfs::iscsi::{self, Session};
use crate::sysfs::scsi::{self, Disk};
use crate::sysfs::{SysfsError, block};

/// For all disks of one observation together; they are asked at the same time.
const IDENTITY_LIMIT: Duration = Duration::from_secs(8);
/// For reading the signature areas, a few MiB.
const CONTENT_LIMIT: Duration = Duration::from_secs(20);
/// For an lstat of a path whose parents are the orchestrator's own directories.
const PATH_LIMIT: Duration = Duration::from_secs(2);

/// The LUN looked for, from the publish context or from the map beneath a mount.
#[derive(Debug, Default)]
struct Sought {
    target: Option<Iqn>,
    lun: Option<LunNumber>,
    wwid: Option<Wwid>,
}

/// Answers one query.
pub(crate) async fn observe(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    query: &Query,
    generation: u64,
) -> Result<Facts, ObserveError> {
    let mut facts = Facts::nothing(generation);
    let table = table::read(root).map_err(|error| failed("the mount table", error))?;
    let mut sought = sought(query);
    facts.map = find_map(root, query, &table, &sought);
    if let Probe::Present(map) = &facts.map {
        sought.wwid.get_or_insert_with(|| map.wwid.clone());
    }
    if query.paths && (sought.wwid.is_some() || sought.target.is_some()) {
        observe_paths(root, bulkheads, &sought, &table, &mut facts).await?;
    }
    facts.mounts = mounts(root, query, &table, facts.map.present().map(|map| map.number))
        .map_err(|error| failed("the devices behind mounts", error))?;
    if let Some(target) = &query.target {
        facts.target = path_kind(bulkheads, target, &table).await;
    }
    if query.content {
        let deadline = Instant::now() + CONTENT_LIMIT;
        facts.content = content::observe(root, bulkheads, &facts.map, deadline).await;
    }
    if query.host {
        facts.host = Some(host::observe(root).await?);
    }
    if query.daemons {
        facts.daemons = Some(host::daemons(root).await);
    }
    Ok(facts)
}

fn failed(what: &str, error: impl Error + Send + Sync + 'static) -> ObserveError {
    ObserveError { what: what.to_owned(), cause: Box::new(error) }
}

fn sought(query: &Query) -> Sought {
    match &query.attachment {
        Some(PublishContext::Iscsi(iscsi)) => Sought {
            target: Some(iscsi.target.clone()),
            lun: Some(iscsi.lun),
            wwid: Some(iscsi.identity.wwid.clone()),
        },
        Some(PublishContext::Nfs(_)) | None => Sought::default(),
    }
}

/// What stands at the place that the query is about, where nothing else says what the volume is.
fn shown<'t>(query: &Query, table: &'t [Mount]) -> Option<&'t Mount> {
    let place = query.staging.as_ref().or(query.target.as_ref())?;
    let topmost = || table.iter().rev().find(|mount| mount.is_at(place.as_str()));
    if query.attachment.is_some() { None } else { topmost() }
}

/// By the WWID; without one, the map that is mounted, or whose node is bound, at the place in question.
fn find_map(root: &HostRoot, query: &Query, table: &[Mount], sought: &Sought) -> Probe<MapFact> {
    let by_place = |mount: &Mount| -> Result<Option<MapFact>, MapError> {
        map::find_by_number(root, node_of(root, mount)?.unwrap_or(mount.device))
    };
    let found = match (&sought.wwid, shown(query, table)) {
        (Some(wwid), _) => map::find(root, wwid),
        (None, Some(mount)) => by_place(mount),
        (None, None) => Ok(None),
    };
    match found {
        Ok(Some(map)) => Probe::Present(map),
        Ok(None) => Probe::Absent,
        Err(error) => unknown(&error),
    }
}

async fn observe_paths(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    sought: &Sought,
    table: &[Mount],
    facts: &mut Facts,
) -> Result<(), ObserveError> {
    let disks = scsi::disks(root).map_err(|error| failed("the SCSI disks", error))?;
    let sessions = iscsi::sessions(root).map_err(|error| failed("the iSCSI sessions", error))?;
    let in_map: &[String] = facts.map.present().map_or(&[], |map| map.paths.as_slice());
    let ours: Vec<Session> = sessions
        .into_iter()
        .filter(|session| match &sought.target {
            Some(target) => session.target == *target,
            None => disks.iter().any(|disk| disk.sid == Some(session.sid) && in_map.contains(&disk.name)),
        })
        .collect();
    let candidates: Vec<&Disk> = disks
        .iter()
        .filter(|disk| {
            is_of(disk, &ours, sought.lun)
                || in_map.contains(&disk.name)
                || (sought.wwid.is_some() && disk.remembered_wwid == sought.wwid)
        })
        .collect();
    let answers = identity::ask(root, bulkheads, &candidates, Instant::now() + IDENTITY_LIMIT).await;
    let mut paths = Vec::new();
    for (disk, answer) in candidates.into_iter().zip(answers) {
        let other =
            matches!(&answer.identity, Probe::Present(shown) if Some(&shown.wwid) != sought.wwid.as_ref());
        // Only remembered to be ours, and is not: somebody else's disk.
        if other && !is_of(disk, &ours, sought.lun) && !in_map.contains(&disk.name) {
            continue;
        }
        let mounted = is_mounted(root, disk.number, table).map_err(|error| failed("device nodes", error))?;
        paths.push(PathFact {
            name: disk.name.clone(),
            hctl: disk.hctl,
            number: disk.number,
            sid: disk.sid,
            state: disk.state.clone(),
            identity: answer.identity,
            size: answer.size,
            holders: disk.holders.clone(),
            mounted,
        });
    }
    facts.sessions = ours.into_iter().map(|session| session_fact(session, sought, &disks, &paths)).collect();
    facts.paths = paths;
    Ok(())
}

fn is_of(disk: &Disk, sessions: &[Session], lun: Option<LunNumber>) -> bool {
    Some(disk.hctl.lun) == lun && sessions.iter().any(|session| Some(session.sid) == disk.sid)
}

fn session_fact(session: Session, sought: &Sought, disks: &[Disk], paths: &[PathFact]) -> SessionFact {
    let is_ours = |disk: &Disk| match sought.lun {
        Some(lun) => disk.hctl.lun == lun,
        None => paths.iter().any(|path| path.name == disk.name),
    };
    let others = disks.iter().filter(|disk| disk.sid == Some(session.sid) && !is_ours(disk)).count();
    SessionFact {
        sid: session.sid,
        host: session.host,
        target: session.target,
        portal: session.portal,
        state: session.state,
        other_luns: others.try_into().unwrap_or(u32::MAX),
    }
}

fn is_mounted(root: &HostRoot, number: DeviceNumber, table: &[Mount]) -> Result<bool, SysfsError> {
    for mount in table {
        if mount.device == number || node_of(root, mount)? == Some(number) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The device whose node this mount binds.
fn node_of(root: &HostRoot, mount: &Mount) -> Result<Option<DeviceNumber>, SysfsError> {
    mount.device_node().map_or(Ok(None), |name| block::number(root, &name))
}

fn mounts(
    root: &HostRoot,
    query: &Query,
    table: &[Mount],
    device: Option<DeviceNumber>,
) -> Result<Vec<MountFact>, SysfsError> {
    let wanted = [&query.staging, &query.target];
    let export = match &query.attachment {
        Some(PublishContext::Nfs(nfs)) => Some(nfs),
        _ => None,
    };
    // Every device node stands on the one filesystem /dev: that two do says nothing.
    let shown = shown(query, table).filter(|mount| mount.device_node().is_none()).map(|mount| mount.device);
    let mut mounts = Vec::new();
    for mount in table {
        let node = node_of(root, mount)?;
        let of_device = device.is_some() && (Some(mount.device) == device || node == device);
        let of_export = export.is_some_and(|export| mount.is_of(export));
        let of_shown = shown == Some(mount.device);
        if of_device
            || of_export
            || of_shown
            || wanted.iter().any(|path| path.as_ref().is_some_and(|path| mount.is_within(path)))
        {
            mounts.push(mount.to_fact(node));
        }
    }
    Ok(mounts)
}

/// What a path itself is. Where something is mounted, the mount tells (to ask the path would be to
/// walk into the mount): a bound device node lies on a file, all else on a directory.
async fn path_kind(bulkheads: &Bulkheads, path: &HostPath, table: &[Mount]) -> Probe<PathKind> {
    if let Some(mount) = table.iter().rev().find(|mount| mount.is_at(path.as_str())) {
        let kind = if mount.device_node().is_some() || mount.root.ends_with(b"//deleted") {
            PathKind::File
        } else {
            PathKind::Directory
        };
        return Probe::Present(kind);
    }
    let owned = path.as_path().to_owned();
    let deadline = Instant::now() + PATH_LIMIT;
    match bulkheads.run(format!("lstat of {path}"), deadline, move |_| lstat(&owned)).await {
        Ok(kind) => kind,
        Err(error) => unknown(&error),
    }
}

fn lstat(path: &Path) -> Probe<PathKind> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => Probe::Present(PathKind::Directory),
        Ok(metadata) if metadata.is_file() => Probe::Present(PathKind::File),
        Ok(_other) => Probe::Present(PathKind::Other),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Probe::Absent,
        Err(error) => Probe::unknown(format!("cannot look at {}: {}", path.display(), chain(&error))),
    }
}
