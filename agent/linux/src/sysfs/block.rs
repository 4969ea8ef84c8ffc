//! `/sys/block`.

use agent_core::facts::DeviceNumber;

use super::{SysfsError, attribute, names, parsed};
use crate::root::HostRoot;

/// Bytes of a sector in sysfs, whatever the device's own blocks are (Documentation/ABI, block).
pub const SECTOR: u64 = 512;

/// A dm device that says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmDevice {
    /// `dm-0`.
    pub kernel_name: String,
    /// `dm/name`.
    pub name: String,
    /// `dm/uuid`.
    pub uuid: String,
    /// `dev`.
    pub number: DeviceNumber,
    /// `size`, in bytes.
    pub size: u64,
    /// `slaves`: devices of its table.
    pub slaves: Vec<String>,
    /// `holders`: devices stacked on it.
    pub holders: Vec<String>,
}

/// Every dm device. One that goes away while it is read is left out.
///
/// # Errors
/// See [`SysfsError`].
pub fn dm_devices(root: &HostRoot) -> Result<Vec<DmDevice>, SysfsError> {
    let mut devices = Vec::new();
    for kernel_name in names(&root.sys("block"))? {
        if kernel_name.starts_with("dm-") {
            devices.extend(dm_device(root, &kernel_name)?);
        }
    }
    Ok(devices)
}

/// Whether there is any dm device.
///
/// # Errors
/// See [`SysfsError`].
pub fn has_dm_device(root: &HostRoot) -> Result<bool, SysfsError> {
    Ok(names(&root.sys("block"))?.iter().any(|name| name.starts_with("dm-")))
}

/// One dm device, by its kernel name; `None` when it is not there.
///
/// # Errors
/// See [`SysfsError`].
pub fn dm_device(root: &HostRoot, kernel_name: &str) -> Result<Option<DmDevice>, SysfsError> {
    let directory = root.sys("block").join(kernel_name);
    let Some([name, uuid]) = names_of_dm(root, kernel_name)? else { return Ok(None) };
    let (Some(number), Some(size)) = (number(root, kernel_name)?, size(root, kernel_name)?) else {
        return Ok(None);
    };
    Ok(Some(DmDevice {
        kernel_name: kernel_name.to_owned(),
        name,
        uuid,
        number,
        size,
        slaves: names(&directory.join("slaves"))?,
        holders: names(&directory.join("holders"))?,
    }))
}

/// Name and uuid; `None` when there is no such device, or one that is being removed.
fn names_of_dm(root: &HostRoot, kernel_name: &str) -> Result<Option<[String; 2]>, SysfsError> {
    let directory = root.sys("block").join(kernel_name).join("dm");
    match (attribute(&directory.join("name")), attribute(&directory.join("uuid"))) {
        (Ok(Some(name)), Ok(Some(uuid))) => Ok(Some([name, uuid])),
        (Ok(None), _) | (_, Ok(None)) => Ok(None),
        (Err(error), _) | (_, Err(error)) if is_dying(&error) => Ok(None),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// `dm_attr_show` (drivers/md/dm-sysfs.c) answers EINVAL once the device's removal has begun.
fn is_dying(error: &SysfsError) -> bool {
    error.source.raw_os_error() == Some(libc::EINVAL)
}

/// Whether a dm device is on its way out: it has no identity any more, and still a directory.
///
/// # Errors
/// See [`SysfsError`].
pub fn is_going(root: &HostRoot, kernel_name: &str) -> Result<bool, SysfsError> {
    match attribute(&root.sys("block").join(kernel_name).join("dm/uuid")) {
        Err(error) if is_dying(&error) => Ok(true),
        other => other.map(|_there_or_gone| false),
    }
}

/// Device number of a block device.
///
/// # Errors
/// See [`SysfsError`].
pub fn number(root: &HostRoot, kernel_name: &str) -> Result<Option<DeviceNumber>, SysfsError> {
    parsed(&root.sys("block").join(kernel_name).join("dev"))
}

/// Size of a block device in bytes, as the kernel last learnt it.
///
/// # Errors
/// See [`SysfsError`].
pub fn size(root: &HostRoot, kernel_name: &str) -> Result<Option<u64>, SysfsError> {
    let sectors: Option<u64> = parsed(&root.sys("block").join(kernel_name).join("size"))?;
    Ok(sectors.and_then(|sectors| sectors.checked_mul(SECTOR)))
}

/// Devices of a dm device's table.
///
/// # Errors
/// See [`SysfsError`].
pub fn slaves(root: &HostRoot, kernel_name: &str) -> Result<Vec<String>, SysfsError> {
    names(&root.sys("block").join(kernel_name).join("slaves"))
}

/// Devices stacked on a block device.
///
/// # Errors
/// See [`SysfsError`].
pub fn holders(root: &HostRoot, kernel_name: &str) -> Result<Vec<String>, SysfsError> {
    names(&root.sys("block").join(kernel_name).join("holders"))
}
