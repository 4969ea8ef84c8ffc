//! What was observed on this node, all of it read for one [`Query`], none of it remembered.
//!
//! Written by `agent-linux`'s `observe` (or by the tests' model kernel), read by [`crate::plan`]
//! and [`crate::proof`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use contract::{DeviceIdentity, FsType, Iqn, LunNumber, Portal, PublishContext, Wwid};

use crate::path::HostPath;

/// Three-valued: "could not tell" is never "absent" (hazard H01). There is no conversion from
/// `Option` or `Result`, on purpose: the reader of a file decides which of the three it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe<T> {
    /// It is there, and this is it.
    Present(T),
    /// It was looked for completely and is not there.
    Absent,
    /// It could not be told.
    Unknown(Unreadable),
}

impl<T> Probe<T> {
    /// `Unknown` with `why`.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(Unreadable(why.into()))
    }

    /// The value, when it is known to be there. Both other cases look alike through this: only for
    /// uses where either means "leave it alone".
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// Whether it is known not to be there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// Why something could not be told, for a person: what was tried, on what, and the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl core::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to look for. Fields left empty are not looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// How the volume is reached: from the request or from the record of its stage. For iSCSI it
    /// names the target, the LUN number and the WWID. Without it, the map (if any) is the one
    /// mounted at `staging` (without that: mounted, or its node bound, at `target`), and paths and
    /// sessions are those beneath that map.
    pub attachment: Option<PublishContext>,
    /// Mounts at or below this path are wanted.
    pub staging: Option<HostPath>,
    /// Mounts at or below this path are wanted, and what the path itself is.
    pub target: Option<HostPath>,
    /// Also sessions and paths, with every path's identity and size read from the device, now. A
    /// query without it never talks to the array.
    pub paths: bool,
    /// Also what is on the device: only looked at when its map is there.
    pub content: bool,
    /// Also what this host offers (preflight).
    pub host: bool,
    /// Also whether its daemons answer: what can change from one call to the next.
    pub daemons: bool,
}

/// The answer to a [`Query`].
#[derive(Debug, Clone)]
pub struct Facts {
    /// Which observation this is; grows by one with each. Witnesses carry it.
    pub generation: u64,
    /// Every mount at or below the staging and target path, and every mount of the volume's device
    /// or export anywhere, bind mounts of its node (`/dev/dm-N` on a file) included; without
    /// attachment, every mount of the filesystem that stands there. In the order of the mount
    /// table, so that of two at one path the later is on top.
    pub mounts: Vec<MountFact>,
    /// What stands at the query's target path itself. `Unknown` when something is mounted there:
    /// looking would enter the mount.
    pub target: Probe<PathKind>,
    /// Every session of the volume's target, or, without attachment, beneath the map.
    pub sessions: Vec<SessionFact>,
    /// Portals of the target for which this host keeps a node record (`/etc/iscsi/nodes`).
    pub node_records: Vec<Portal>,
    /// Every sd with the volume's LUN number on those sessions, and every other sd that shows the WWID.
    pub paths: Vec<PathFact>,
    /// The dm map whose uuid is `mpath-` + WWID.
    pub map: Probe<MapFact>,
    /// What is on the device. `Unknown` when it was not asked for.
    pub content: Probe<Content>,
    /// Where the query asked for it.
    pub host: Option<HostFacts>,
    /// Daemons that answered, where the query asked for them.
    pub daemons: Option<BTreeMap<Daemon, Probe<()>>>,
}

impl Facts {
    /// An answer in which nothing is there.
    pub fn nothing(generation: u64) -> Self {
        Self {
            generation,
            mounts: Vec::new(),
            target: Probe::Absent,
            sessions: Vec::new(),
            node_records: Vec::new(),
            paths: Vec::new(),
            map: Probe::Absent,
            content: Probe::unknown("not asked for"),
            host: None,
            daemons: None,
        }
    }
}

/// A device number as the kernel prints it, `253:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Major.
    pub major: u32,
    /// Minor.
    pub minor: u32,
}

impl core::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Not a device number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a device number: two decimal numbers with a colon between")]
pub struct DeviceNumberError(String);

impl std::str::FromStr for DeviceNumber {
    type Err = DeviceNumberError;
    fn from_str(value: &str) -> Result<Self, DeviceNumberError> {
        let wrong = || DeviceNumberError(value.to_owned());
        let (major, minor) = value.trim_end().split_once(':').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<u32>().map_err(|_not_decimal| wrong());
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

/// One line of `/proc/self/mountinfo` (proc(5)), escapes undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFact {
    /// Mount id.
    pub id: u32,
    /// Mount id of the parent.
    pub parent: u32,
    /// `st_dev` of files on it.
    pub device: DeviceNumber,
    /// Path within its filesystem that is the root of this mount: `/`, or for the bind mount of a
    /// device node on a file, `/dm-0` of devtmpfs.
    pub root: String,
    /// Where it is mounted.
    pub mount_point: String,
    /// `ext4`, `nfs4`, `devtmpfs` …
    pub fs_type: String,
    /// `/dev/mapper/…`, `192.168.0.121:/export` …
    pub source: String,
    /// This mount is read-only (per-mount flag).
    pub read_only: bool,
    /// Options of the superblock, as one text; `ro` first when the superblock itself is read-only.
    pub super_options: String,
    /// For the bind mount of a block device's node: that device. `None` for all else.
    pub node_of: Option<DeviceNumber>,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, socket, device node …: not ours to touch.
    Other,
}

/// A session under `/sys/class/iscsi_session`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFact {
    /// Number of the session (`sessionN`).
    pub sid: u32,
    /// Number of its SCSI host (`hostN`).
    pub host: u32,
    /// Target name.
    pub target: Iqn,
    /// Where it was logged in to: the persistent address, port and tag (a redirect changes only
    /// the current ones).
    pub portal: Portal,
    /// State of the session.
    pub state: SessionState,
    /// How many LUNs other than the volume's have a device on it.
    pub other_luns: u32,
}

/// `/sys/class/iscsi_session/sessionN/state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionState {
    /// In full feature phase.
    LoggedIn,
    /// Connection lost; the initiator is reconnecting.
    Failed,
    /// Reconnecting was given up; commands fail.
    Free,
    /// Any other text.
    Other(String),
}

/// A SCSI disk that is, or may be, one path of the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFact {
    /// `sda`.
    pub name: String,
    /// Where it is.
    pub hctl: Hctl,
    /// Its device number.
    pub number: DeviceNumber,
    /// Session it belongs to; `None` when that is gone.
    pub sid: Option<u32>,
    /// State of the SCSI device.
    pub state: PathState,
    /// Identity read from the device now (never from a page the kernel kept).
    pub identity: Probe<DeviceIdentity>,
    /// Capacity in bytes, read now.
    pub size: Probe<u64>,
    /// Names of devices stacked on it (`/sys/block/sdX/holders`).
    pub holders: Vec<String>,
    /// Whether the disk itself is mounted somewhere: a device in direct use.
    pub mounted: bool,
}

/// Host, channel, target, LUN of a SCSI device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hctl {
    /// SCSI host.
    pub host: u32,
    /// Channel.
    pub channel: u32,
    /// Target id.
    pub id: u32,
    /// Logical unit.
    pub lun: LunNumber,
}

impl core::fmt::Display for Hctl {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}:{}:{}", self.host, self.channel, self.id, self.lun)
    }
}

/// `/sys/block/sdX/device/state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathState {
    /// I/O can reach the LUN.
    Running,
    /// I/O waits while the session recovers.
    Blocked,
    /// I/O fails until the session is back.
    TransportOffline,
    /// Taken off line by the kernel or a person.
    Offline,
    /// Any other text.
    Other(String),
}

/// A device-mapper multipath map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapFact {
    /// Name, which may change (multipathd renames); never used to find it again.
    pub name: String,
    /// From its uuid `mpath-<WWID>`.
    pub wwid: Wwid,
    /// Device number; the node is `/dev/dm-<minor>`.
    pub number: DeviceNumber,
    /// Bytes.
    pub size: u64,
    /// Names of the disks in its table.
    pub paths: Vec<String>,
    /// Of these, the ones that can carry I/O now.
    pub usable: Vec<String>,
    /// How many have it open, kernel mounts included.
    pub open_count: u32,
    /// Names of devices stacked on it (kpartx, LVM, LUKS).
    pub holders: Vec<String>,
}

impl MapFact {
    /// The kernel's name of the block device, `dm-0`.
    pub fn kernel_name(&self) -> String {
        format!("dm-{}", self.number.minor)
    }
}

/// What is on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Every area of [`crate::areas::signature_areas`] was read whole through one descriptor of
    /// the identified device, with O_DIRECT, and is zero. Any error or short read is
    /// [`Probe::Unknown`] instead.
    Blank(BlankScan),
    /// A filesystem this agent can mount.
    Filesystem(Filesystem),
    /// Something else: another filesystem, a partition table, an LVM or LUKS header, a lone
    /// backup superblock, or bytes that are merely not zero. The text names it and its offset.
    Foreign(String),
}

/// The material of a proof of blankness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlankScan {
    /// The device read.
    pub device: DeviceNumber,
    /// Its size in bytes as the descriptor said.
    pub size: u64,
    /// What was read and found zero.
    pub areas: Vec<ByteRange>,
}

/// A stretch of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRange {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// A filesystem found on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    /// Which.
    pub kind: FsType,
    /// Its UUID as it prints.
    pub uuid: String,
}

/// What this host offers; the source of preflight defects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// `uname -r`.
    pub kernel: String,
    /// Global unicast addresses of this node, in interface order.
    pub addresses: Vec<IpAddr>,
    /// Name in `/etc/iscsi/initiatorname.iscsi`.
    pub initiator: Probe<Iqn>,
    /// Daemons that answered on their socket.
    pub daemons: BTreeMap<Daemon, Probe<()>>,
    /// Kernel features that are loaded, built in, or could be loaded.
    pub kernel_features: BTreeMap<KernelFeature, Probe<()>>,
    /// Programs found.
    pub programs: BTreeMap<Program, Probe<()>>,
}

/// Daemons the host's own storage userland consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    /// open-iscsi's session keeper.
    Iscsid,
    /// multipath-tools' path keeper.
    Multipathd,
}

/// Kernel parts a volume may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KernelFeature {
    /// NFS client (v4).
    Nfs,
    /// Software iSCSI initiator.
    IscsiTcp,
    /// Device-mapper multipath target.
    DmMultipath,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
}

/// Programs a volume may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// Speaks to iscsid.
    Iscsiadm,
    /// Makes ext4.
    MkfsExt4,
    /// Makes XFS.
    MkfsXfs,
}

/// Names of everything in use, for messages.
pub(crate) fn names(items: impl IntoIterator<Item = impl Into<String>>) -> String {
    let sorted: BTreeSet<String> = items.into_iter().map(Into::into).collect();
    sorted.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_number_reads_as_sysfs_prints_it() {
        let number: DeviceNumber = "253:7\n".parse().unwrap();
        assert_eq!(number, DeviceNumber { major: 253, minor: 7 });
        for bad in ["", "253", "a:1", "1:", ":1", "1:2:3"] {
            assert!(bad.parse::<DeviceNumber>().is_err(), "{bad}");
        }
    }
}
