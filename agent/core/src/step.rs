//! What the agent can do to a node: a closed list, as data.
//!
//! Made by [`crate::plan`], checked by the lint, printed into the log, applied by `agent-linux`.
//! A step converges: applied to a world where its effect is already there, it answers
//! [`crate::outcome::Outcome::AlreadySo`]. A step that consumes a witness is applied at most once.

use std::net::IpAddr;
use std::time::Duration;

use contract::{FsType, Iqn, LunNumber, Portal, Wwid};

use crate::path::HostPath;
use crate::proof::{Blank, Device, Disk, Idle, Map, Verified};

/// One effect.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The directory is there (mode 0750, parents too).
    EnsureDirectory {
        /// Which.
        path: HostPath,
    },
    /// An empty regular file is there (mode 0640), to bind a device node on; its parent too.
    EnsureFile {
        /// Which.
        path: HostPath,
    },
    /// The empty directory is gone (rmdir, never recursive, never across a mount).
    RemoveDirectory {
        /// Which.
        path: HostPath,
    },
    /// The file is gone (unlink).
    RemoveFile {
        /// Which.
        path: HostPath,
    },
    /// The export is mounted, once for this node.
    MountNfs {
        /// Data LIF.
        server: IpAddr,
        /// Export path.
        export: String,
        /// Where.
        at: HostPath,
        /// Options in order; the last of a kind wins. The newest version both sides speak unless one
        /// names it.
        options: Vec<String>,
    },
    /// A session to the portal is in full feature phase. Writes the node record first (no
    /// discovery, `node.session.scan = manual`); credentials come from the context.
    LogIn {
        /// Target name.
        target: Iqn,
        /// Where.
        portal: Portal,
        /// The target wants CHAP.
        authenticated: bool,
    },
    /// The session and its node record are gone. Only planned when no other LUN and no other
    /// volume of this node uses the target.
    LogOut {
        /// Number of the session.
        sid: u32,
        /// Target name.
        target: Iqn,
        /// Where it was logged in to.
        portal: Portal,
    },
    /// The node record of a portal without session is gone.
    ForgetPortal {
        /// Target name.
        target: Iqn,
        /// Where.
        portal: Portal,
    },
    /// The SCSI host looks for this one LUN, and its disk is there. Without one a few seconds after
    /// the scan it fails ([`crate::outcome::Disposition::NotYet`]): the target shows this node no such LUN.
    ScanLun {
        /// The session.
        sid: u32,
        /// Its SCSI host.
        host: u32,
        /// Which LUN.
        lun: LunNumber,
    },
    /// Returns when the map has one usable path and as many as wanted in all, or one usable path
    /// and the window is over. Without a usable path at the deadline it fails (transient).
    AwaitMap {
        /// The map's WWID.
        wwid: Wwid,
        /// Paths wanted.
        paths: usize,
        /// How long to wait for the others once the first is there.
        window: Duration,
    },
    /// I/O to a map without usable path fails at once instead of waiting for ever. Teardown only:
    /// under a mounted filesystem in use this would lose writes (hazard H10).
    StopQueueing {
        /// The map's WWID.
        wwid: Wwid,
    },
    /// Nobody has the map open: transient openers (udev) are waited for, others make it fail
    /// (transient).
    AwaitIdle {
        /// The map's WWID.
        wwid: Wwid,
    },
    /// The map's buffers are on the array.
    FlushMap {
        /// The map.
        wwid: Wwid,
    },
    /// The SCSI disk is gone from this kernel.
    DeletePath {
        /// Proven idle.
        disk: Idle<Disk>,
    },
    /// The map is gone and stays gone (multipathd may have removed it first: that is success; or
    /// made it again from a path it still remembered: that is undone).
    RemoveMap {
        /// Proven idle.
        map: Idle<Map>,
    },
    /// The device has a new filesystem.
    MakeFilesystem {
        /// Proven to be the volume.
        device: Verified<Device>,
        /// Proven to hold nothing.
        blank: Blank,
        /// Which filesystem.
        fs: FsType,
    },
    /// The device's filesystem is mounted.
    MountDevice {
        /// Proven to be the volume.
        device: Verified<Device>,
        /// Its filesystem.
        fs: FsType,
        /// Where.
        at: HostPath,
        /// Options in order.
        options: Vec<String>,
    },
    /// What is mounted at `from` is mounted at `to` as well.
    BindMount {
        /// A mount point.
        from: HostPath,
        /// An existing directory.
        to: HostPath,
        /// Only reads through `to`.
        read_only: bool,
    },
    /// The device's node is bound on a file.
    BindDevice {
        /// Proven to be the volume.
        device: Verified<Device>,
        /// An existing file.
        to: HostPath,
        /// The mount of the node is read-only; the orchestrator's device cgroup is what keeps a
        /// container from writing (a read-only mount does not, mount(8)).
        read_only: bool,
    },
    /// The topmost mount at this path is gone (`UMOUNT_NOFOLLOW`: the mount is never entered).
    Unmount {
        /// Mount point.
        at: String,
        /// Mount id it had when observed: another mount there is left alone.
        mount_id: u32,
        /// Detach at once and let the kernel finish (`MNT_DETACH`): for NFS, whose server may be
        /// gone (hazard H04).
        detach: bool,
    },
}

impl Step {
    /// The step's name, for spans and timelines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EnsureDirectory { .. } => "EnsureDirectory",
            Self::EnsureFile { .. } => "EnsureFile",
            Self::RemoveDirectory { .. } => "RemoveDirectory",
            Self::RemoveFile { .. } => "RemoveFile",
            Self::MountNfs { .. } => "MountNfs",
            Self::LogIn { .. } => "LogIn",
            Self::LogOut { .. } => "LogOut",
            Self::ForgetPortal { .. } => "ForgetPortal",
            Self::ScanLun { .. } => "ScanLun",
            Self::AwaitMap { .. } => "AwaitMap",
            Self::StopQueueing { .. } => "StopQueueing",
            Self::AwaitIdle { .. } => "AwaitIdle",
            Self::FlushMap { .. } => "FlushMap",
            Self::DeletePath { .. } => "DeletePath",
            Self::RemoveMap { .. } => "RemoveMap",
            Self::MakeFilesystem { .. } => "MakeFilesystem",
            Self::MountDevice { .. } => "MountDevice",
            Self::BindMount { .. } => "BindMount",
            Self::BindDevice { .. } => "BindDevice",
            Self::Unmount { .. } => "Unmount",
        }
    }
}

impl core::fmt::Display for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::EnsureDirectory { path }
            | Self::EnsureFile { path }
            | Self::RemoveDirectory { path }
            | Self::RemoveFile { path } => write!(f, " {path}"),
            Self::MountNfs { server, export, at, options } => {
                write!(f, " {server}:{export} at {at}{}", Options(options))
            }
            Self::LogIn { target, portal, authenticated } => {
                write!(f, " {target} at {portal}{}", if *authenticated { " with CHAP" } else { "" })
            }
            Self::LogOut { sid, target, portal } => write!(f, " session {sid} of {target} at {portal}"),
            Self::ForgetPortal { target, portal } => write!(f, " {target} at {portal}"),
            Self::ScanLun { sid, host, lun } => write!(f, " {lun} on host {host} (session {sid})"),
            Self::AwaitMap { wwid, paths, window } => {
                write!(f, " {wwid} with {paths} paths, others within {} ms", window.as_millis())
            }
            Self::StopQueueing { wwid } | Self::AwaitIdle { wwid } | Self::FlushMap { wwid } => {
                write!(f, " {wwid}")
            }
            Self::DeletePath { disk } => write!(f, " {} ({})", disk.what().name, disk.what().hctl),
            Self::RemoveMap { map } => write!(f, " {} ({})", map.what().wwid, map.what().number),
            Self::MakeFilesystem { device, fs, .. } => write!(f, " {fs} on {}", Shown(device)),
            Self::MountDevice { device, fs, at, options } => {
                write!(f, " {} as {fs} at {at}{}", Shown(device), Options(options))
            }
            Self::BindMount { from, to, read_only } => write!(f, " {from} at {to}{}", access(*read_only)),
            Self::BindDevice { device, to, read_only } => {
                write!(f, " {} at {to}{}", Shown(device), access(*read_only))
            }
            Self::Unmount { at, mount_id, detach } => {
                write!(f, " {at} (mount {mount_id}){}", if *detach { ", detached" } else { "" })
            }
        }
    }
}

fn access(read_only: bool) -> &'static str {
    if read_only { ", read-only" } else { "" }
}

struct Options<'a>(&'a [String]);

impl core::fmt::Display for Options<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0.join(",")) }
    }
}

struct Shown<'a>(&'a Verified<Device>);

impl core::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.0.what().wwid, self.0.what().number)
    }
}
