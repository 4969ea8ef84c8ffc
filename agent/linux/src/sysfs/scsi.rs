//! SCSI disks: which there are, where they are, how they are.

use agent_core::facts::{DeviceNumber, Hctl, PathState};
use contract::{LunNumber, Wwid};

use super::{SysfsError, attribute, block, link, names, numbered_component};
use crate::root::HostRoot;

/// A SCSI disk as sysfs shows it. Nothing here is read from the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `sda`.
    pub name: String,
    /// Where it is.
    pub hctl: Hctl,
    /// Its device number.
    pub number: DeviceNumber,
    /// Its iSCSI session, from the device's place in the tree; `None` for any other transport.
    pub sid: Option<u32>,
    /// State of the SCSI device.
    pub state: PathState,
    /// Devices stacked on it.
    pub holders: Vec<String>,
    /// The identity the kernel read when it found the device. It may belong to a LUN that is long
    /// gone (hazard H02): good for choosing whom to ask, never for an answer.
    pub remembered_wwid: Option<Wwid>,
}

/// Every SCSI disk. One that goes away while it is read is left out.
///
/// # Errors
/// See [`SysfsError`].
pub fn disks(root: &HostRoot) -> Result<Vec<Disk>, SysfsError> {
    let mut disks = Vec::new();
    for name in names(&root.sys("block"))? {
        if name.starts_with("sd") {
            disks.extend(disk(root, &name)?);
        }
    }
    Ok(disks)
}

fn disk(root: &HostRoot, name: &str) -> Result<Option<Disk>, SysfsError> {
    let directory = root.sys("block").join(name);
    let (Some(place), Some(device)) = (link(&directory)?, link(&directory.join("device"))?) else {
        return Ok(None);
    };
    let Some(hctl) = device.rsplit('/').next().and_then(parse_hctl) else { return Ok(None) };
    let Some(number) = block::number(root, name)? else { return Ok(None) };
    let Some(state) = attribute(&directory.join("device/state"))? else { return Ok(None) };
    let remembered = attribute(&directory.join("device/wwid"))?;
    Ok(Some(Disk {
        name: name.to_owned(),
        hctl,
        number,
        sid: numbered_component(&place, "session"),
        state: parse_state(&state),
        holders: block::holders(root, name)?,
        remembered_wwid: remembered.and_then(|text| format!("3{}", text.strip_prefix("naa.")?).parse().ok()),
    }))
}

/// `3:0:0:1`.
pub(crate) fn parse_hctl(text: &str) -> Option<Hctl> {
    let mut numbers = text.split(':');
    let mut next = || numbers.next();
    let (host, channel, id) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
    let lun = LunNumber(next()?.parse().ok()?);
    next().is_none().then_some(Hctl { host, channel, id, lun })
}

/// Texts of `scsi_device_state_name` (drivers/scsi/scsi_sysfs.c).
fn parse_state(text: &str) -> PathState {
    match text {
        "running" => PathState::Running,
        "blocked" => PathState::Blocked,
        "transport-offline" => PathState::TransportOffline,
        "offline" => PathState::Offline,
        other => PathState::Other(other.to_owned()),
    }
}

/// State of the disk `name` now; `None` when it is gone.
///
/// # Errors
/// See [`SysfsError`].
pub fn state(root: &HostRoot, name: &str) -> Result<Option<PathState>, SysfsError> {
    let text = attribute(&root.sys("block").join(name).join("device/state"))?;
    Ok(text.as_deref().map(parse_state))
}

/// Every SCSI device (disk or not) of a host, by its place.
///
/// # Errors
/// See [`SysfsError`].
pub fn devices_of_host(root: &HostRoot, host: u32) -> Result<Vec<Hctl>, SysfsError> {
    let all = names(&root.sys("class/scsi_device"))?;
    Ok(all.iter().filter_map(|name| parse_hctl(name)).filter(|hctl| hctl.host == host).collect())
}

/// Name of the disk at a place, once the kernel's disk driver has made one.
///
/// # Errors
/// See [`SysfsError`].
pub fn disk_at(root: &HostRoot, hctl: Hctl) -> Result<Option<String>, SysfsError> {
    let directory = root.sys("class/scsi_device").join(hctl.to_string()).join("device/block");
    Ok(names(&directory)?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_four_numbers() {
        let hctl = Hctl { host: 3, channel: 0, id: 0, lun: LunNumber(4095) };
        assert_eq!(parse_hctl("3:0:0:4095"), Some(hctl));
        for bad in ["", "3:0:0", "3:0:0:1:2", "a:0:0:1", "3:0:0:65536"] {
            assert_eq!(parse_hctl(bad), None, "{bad}");
        }
    }
}
