//! The one way to open a volume's device: its uuid, its number and the identity that answers through
//! the very descriptor must agree (hazard H02).

use std::path::PathBuf;

use agent_core::facts::DeviceNumber;
use contract::Wwid;

use crate::probe::{OpenDevice, ProbeError};
use crate::root::HostRoot;
use crate::scsi::{self, ScsiError};
use crate::sysfs::{SysfsError, block};

/// Why a device is not used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The node cannot be opened or read.
    #[error("cannot read the device")]
    Probe(#[from] ProbeError),
    /// sysfs cannot be read.
    #[error("cannot see the device")]
    Sysfs(#[from] SysfsError),
    /// The device behind the number is not the map of this WWID.
    #[error("device {number} is no longer the map with WWID {wwid}, but {found}")]
    OtherMap {
        /// Number.
        number: DeviceNumber,
        /// WWID expected.
        wwid: Wwid,
        /// What is there.
        found: String,
    },
    /// The identity could not be read through the map.
    #[error("cannot read the identity of device {number}")]
    Identity {
        /// Number.
        number: DeviceNumber,
        /// Why.
        #[source]
        source: ScsiError,
    },
    /// The LUN behind the map is another.
    #[error(
        "device {number} shows WWID {found}, its map is for {wwid}: the LUN behind it was exchanged on the array"
    )]
    OtherLun {
        /// Number.
        number: DeviceNumber,
        /// WWID expected.
        wwid: Wwid,
        /// WWID shown.
        found: Wwid,
    },
}

/// The node of a map.
pub(crate) fn node(root: &HostRoot, number: DeviceNumber) -> PathBuf {
    root.dev(format!("dm-{}", number.minor))
}

/// Opens and checks. Blocks while the device does: run it in a bulkhead. While the value lives the
/// number stays with this map.
pub(crate) fn open(root: &HostRoot, wwid: &Wwid, number: DeviceNumber) -> Result<OpenDevice, DeviceError> {
    let device = OpenDevice::open(&node(root, number), number)?;
    // After the open: from here on the map cannot be exchanged any more.
    let found = block::dm_device(root, &format!("dm-{}", number.minor))?;
    let is_it = found.as_ref().is_some_and(|map| map.uuid == wwid.dm_uuid() && map.number == number);
    if !is_it {
        let found = found.map_or_else(|| "nothing".to_owned(), |map| map.uuid);
        return Err(DeviceError::OtherMap { number, wwid: wwid.clone(), found });
    }
    let identity =
        scsi::identity(device.descriptor()).map_err(|source| DeviceError::Identity { number, source })?;
    if identity.wwid != *wwid {
        return Err(DeviceError::OtherLun { number, wwid: wwid.clone(), found: identity.wwid });
    }
    Ok(device)
}
