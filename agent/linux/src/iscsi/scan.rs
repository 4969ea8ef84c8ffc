//! Making one LUN's disk appear.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use agent_core::facts::Hctl;
use contract::LunNumber;

use crate::blocking::{BulkheadError, Bulkheads};
use crate::own_time::in_kernel;
use crate::root::HostRoot;
use crate::sysfs::{SysfsError, iscsi, scsi};
use crate::uevent::{UeventError, Uevents};

/// iscsi_tcp gives every session a SCSI host with channel 0 and target 0.
const CHANNEL: u32 = 0;
const TARGET: u32 = 0;
/// Between looks while the disk driver attaches, should its event be lost.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// Why a LUN's disk did not appear.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The session is gone, or has another SCSI host by now (hazard H02).
    #[error("session {sid} with SCSI host {host} is gone")]
    SessionGone {
        /// Session.
        sid: u32,
        /// Host it was said to have.
        host: u32,
    },
    /// The kernel refused to scan.
    #[error("cannot scan SCSI host {host} for LUN {lun}")]
    Refused {
        /// Host.
        host: u32,
        /// LUN.
        lun: LunNumber,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The array shows no such LUN to this initiator.
    #[error(
        "SCSI host {host} (session {sid}) shows no LUN {lun}: it is not mapped to this node on the array"
    )]
    NoSuchLun {
        /// Session.
        sid: u32,
        /// Host.
        host: u32,
        /// LUN.
        lun: LunNumber,
    },
    /// The LUN is there and no disk came of it.
    #[error("LUN {hctl} is there, but the kernel made no disk of it in time")]
    NoDisk {
        /// Place.
        hctl: Hctl,
    },
    /// The scan hangs.
    #[error("the scan for a LUN hangs")]
    Hung(#[from] BulkheadError),
    /// No events.
    #[error("cannot wait for the LUN")]
    Uevent(#[from] UeventError),
    /// sysfs.
    #[error("cannot see the LUNs of this node")]
    Sysfs(#[from] SysfsError),
}

/// Asks a session's host for one LUN and waits until its disk is there. `false`: it was.
///
/// # Errors
/// [`ScanError`].
pub async fn scan(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    (sid, host): (u32, u32),
    lun: LunNumber,
    deadline: Instant,
) -> Result<bool, ScanError> {
    let session = iscsi::session(root, sid)?.filter(|session| session.host == host);
    if session.is_none() {
        return Err(ScanError::SessionGone { sid, host });
    }
    let hctl = Hctl { host, channel: CHANNEL, id: TARGET, lun };
    if scsi::disk_at(root, hctl)?.is_some() {
        return Ok(false);
    }
    let mut uevents = Uevents::subscribe()?;
    let file = root.sys(format!("class/scsi_host/host{host}/scan"));
    let words = format!("{CHANNEL} {TARGET} {lun}");
    let write = move |_: &_| in_kernel(|| fs::write(file, words));
    let written = bulkheads.run(format!("scan of SCSI host {host} for LUN {lun}"), deadline, write).await?;
    written.map_err(|source| ScanError::Refused { host, lun, source })?;
    if !scsi::devices_of_host(root, host)?.contains(&hctl) {
        return Err(ScanError::NoSuchLun { sid, host, lun });
    }
    // The disk driver attaches on its own time, after the scan has returned.
    let look = || Ok::<_, ScanError>(scsi::disk_at(root, hctl)?.map(drop));
    match uevents.await_until(deadline, HEARTBEAT, look).await? {
        Some(()) => Ok(true),
        None => Err(ScanError::NoDisk { hctl }),
    }
}
