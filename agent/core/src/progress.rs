//! What one flight has tried so far.
//!
//! Facts do not tell a portal that was never tried from one that did not answer: without this a
//! plan would try a dead portal in every round. It lives as long as one call and is never stored.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::record::StageRecord;
use crate::step::Step;

/// Waits for a device's last opener in one flight. One that stays makes the first of them fail.
const IDLE_WAITS: usize = 5;

/// Filled by the agent with every step it applies, whatever came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    logins: BTreeSet<SocketAddr>,
    scanned: BTreeSet<u32>,
    awaited_map: bool,
    idle_waits: usize,
    content_wanted: bool,
    /// Another volume of this node is recorded on the same target, or is being staged there now:
    /// its sessions and node records stay.
    pub target_shared: bool,
    /// Where nothing is recorded about the volume itself: the records of this node's other volumes.
    /// What is theirs is not taken for the volume's.
    pub others: Vec<StageRecord>,
}

impl Progress {
    /// Notes that `step` is about to be applied.
    pub fn note(&mut self, step: &Step) {
        match step {
            Step::LogIn { portal, .. } => {
                self.logins.insert(portal.socket_addr());
            }
            Step::ScanLun { sid, .. } => {
                self.scanned.insert(*sid);
            }
            Step::AwaitMap { .. } => self.awaited_map = true,
            Step::AwaitIdle { .. } => self.idle_waits += 1,
            // Mounted: what is on the device need not be read again.
            Step::MountDevice { .. } => self.content_wanted = false,
            Step::EnsureDirectory { .. }
            | Step::EnsureFile { .. }
            | Step::RemoveDirectory { .. }
            | Step::RemoveFile { .. }
            | Step::MountNfs { .. }
            | Step::LogOut { .. }
            | Step::ForgetPortal { .. }
            | Step::StopQueueing { .. }
            | Step::FlushMap { .. }
            | Step::DeletePath { .. }
            | Step::RemoveMap { .. }
            | Step::MakeFilesystem { .. }
            | Step::BindMount { .. }
            | Step::BindDevice { .. }
            | Step::Unmount { .. } => {}
        }
    }

    /// The next observation reads what is on the device.
    pub fn want_content(&mut self) {
        self.content_wanted = true;
    }

    /// Whether the next observation reads what is on the device.
    pub fn content_wanted(&self) -> bool {
        self.content_wanted
    }

    pub(crate) fn tried_login(&self, portal: SocketAddr) -> bool {
        self.logins.contains(&portal)
    }

    pub(crate) fn scanned(&self, sid: u32) -> bool {
        self.scanned.contains(&sid)
    }

    pub(crate) fn awaited_map(&self) -> bool {
        self.awaited_map
    }

    /// Whether waiting for the device's last opener still makes sense. A wait that succeeds ends with
    /// nobody having it open; that somebody has it again at the next look is udev, which opens a device
    /// anew at each event of it, and it has few of them.
    pub(crate) fn may_await_idle(&self) -> bool {
        self.idle_waits < IDLE_WAITS
    }
}
