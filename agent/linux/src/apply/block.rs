//! Steps on disks and maps: format, flush, delete.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use agent_core::facts::Content;
use agent_core::proof::{Blank, Device, Disk, Idle, Verified};
use contract::{FsType, Wwid};
use rustix::fs::{Mode, OFlags};

use crate::blocking::{BulkheadError, Bulkheads};
use crate::command::CommandError;
use crate::device::{self, DeviceError};
use crate::fs as filesystems;
use crate::multipath::map::{self, MapError};
use crate::own_time::in_kernel;
use crate::probe::{OpenDevice, ProbeError};
use crate::root::HostRoot;
use crate::sys;
use crate::sysfs::{SysfsError, block, scsi};

/// Why a disk or map is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlockError {
    #[error("device with WWID {wwid} is not blank any more: it holds {found}; nothing was written")]
    NotBlank { wwid: Wwid, found: String },
    #[error(
        "the proof of blankness is of another device or observation than the device; nothing was written"
    )]
    WitnessMismatch,
    #[error("device with WWID {wwid} has {found} bytes, not {wanted}; nothing was written")]
    SizeChanged { wwid: Wwid, found: u64, wanted: u64 },
    #[error("mkfs was content, yet device with WWID {wwid} holds {found}")]
    NotMade { wwid: Wwid, found: String },
    #[error("disk {name} is in use by {holders}")]
    InUse { name: String, holders: String },
    #[error("cannot delete disk {name}")]
    Delete {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("disk {name} was deleted and is still there")]
    StillThere { name: String },
    #[error("cannot flush the map with WWID {wwid}")]
    Flush {
        wwid: Wwid,
        #[source]
        source: io::Error,
    },
    #[error("the device is not used")]
    Device(#[from] DeviceError),
    #[error("it cannot be told what the device holds")]
    Probe(#[from] ProbeError),
    #[error("the filesystem was not made")]
    Mkfs(#[from] CommandError),
    #[error("cannot see the map")]
    Map(#[from] MapError),
    #[error("the device hangs")]
    Hung(#[from] BulkheadError),
    #[error("cannot see the disks of this node")]
    Sysfs(#[from] SysfsError),
}

/// Formats a device. The scan that proved it blank is made once more, through the descriptor that
/// keeps the device in place until mkfs has ended.
pub(super) async fn make_filesystem(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    device: Verified<Device>,
    blank: Blank,
    fs: FsType,
    deadline: Instant,
) -> Result<(), BlockError> {
    let wanted = device.what().clone();
    if blank.device() != wanted.number || blank.generation() != device.generation() {
        return Err(BlockError::WitnessMismatch);
    }
    drop((device, blank));
    let what = format!("the content of {}", wanted.wwid);
    let (host, expected) = (root.clone(), wanted.clone());
    let look = move |_: &_| still_blank(&host, &expected);
    let open = bulkheads.run(what.clone(), deadline, look).await??;
    filesystems::make(root, fs, &device::node(root, wanted.number), deadline).await?;
    let look = move |_: &_| open.content();
    match bulkheads.run(what, deadline, look).await?? {
        Content::Filesystem(made) if made.kind == fs => Ok(()),
        other => Err(BlockError::NotMade { wwid: wanted.wwid, found: name(&other) }),
    }
}

fn still_blank(root: &HostRoot, wanted: &Device) -> Result<OpenDevice, BlockError> {
    let open = device::open(root, &wanted.wwid, wanted.number)?;
    let wwid = || wanted.wwid.clone();
    if open.size() != wanted.size {
        return Err(BlockError::SizeChanged { wwid: wwid(), found: open.size(), wanted: wanted.size });
    }
    match open.content()? {
        Content::Blank(_) => Ok(open),
        other => Err(BlockError::NotBlank { wwid: wwid(), found: name(&other) }),
    }
}

fn name(content: &Content) -> String {
    match content {
        Content::Blank(_) => "nothing".to_owned(),
        Content::Filesystem(found) => format!("{} {}", found.kind, found.uuid),
        Content::Foreign(what) => what.clone(),
    }
}

/// Writes a map's buffers to the array, caches on the way included. `false`: there is no map.
pub(super) async fn flush(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    wwid: Wwid,
    deadline: Instant,
) -> Result<bool, BlockError> {
    let Some(map) = map::find(root, &wwid)? else { return Ok(false) };
    let node = device::node(root, map.number);
    let what = format!("flush of {wwid}");
    let call = move |_: &_| {
        let device = rustix::fs::open(node, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        in_kernel(|| sys::flush_buffers(device.as_fd()))?;
        in_kernel(|| rustix::fs::fsync(&device))?;
        Ok(())
    };
    let flushed: io::Result<()> = bulkheads.run(what, deadline, call).await?;
    flushed.map(|()| true).map_err(|source| BlockError::Flush { wwid, source })
}

/// Who holds a disk beside the map of `wwid`: another volume's map too, which would lose a path
/// (hazards H02, H10). A holder that has gone, or a map whose removal has begun, holds nothing.
fn other_holders(root: &HostRoot, name: &str, wwid: &Wwid) -> Result<Vec<String>, SysfsError> {
    let mut others = Vec::new();
    for holder in block::holders(root, name)? {
        let own = block::dm_device(root, &holder)?.map(|map| map.uuid == wwid.dm_uuid());
        match own {
            Some(true) => {}
            None if block::is_going(root, &holder)? || block::number(root, &holder)?.is_none() => {}
            Some(false) | None => others.push(holder),
        }
    }
    Ok(others)
}

/// Takes a disk out of the kernel. `false`: it was gone, or its place has another disk by now.
pub(super) async fn delete_path(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    disk: Idle<Disk>,
    deadline: Instant,
) -> Result<bool, BlockError> {
    let Disk { name, hctl, wwid } = disk.what().clone();
    let is_there = || Ok::<_, SysfsError>(scsi::disk_at(root, hctl)?.as_ref() == Some(&name));
    if !is_there()? {
        return Ok(false);
    }
    let others = other_holders(root, &name, &wwid)?;
    if !others.is_empty() {
        return Err(BlockError::InUse { name, holders: others.join(", ") });
    }
    let file = root.sys(format!("class/scsi_device/{hctl}/device/delete"));
    let write = move |_: &_| in_kernel(|| fs::write(file, "1"));
    let written = bulkheads.run(format!("delete of disk {name} ({hctl})"), deadline, write).await?;
    match written {
        Err(error) if error.kind() != io::ErrorKind::NotFound && is_there()? => {
            return Err(BlockError::Delete { name, source: error });
        }
        _ => {}
    }
    if is_there()? { Err(BlockError::StillThere { name }) } else { Ok(true) }
}
