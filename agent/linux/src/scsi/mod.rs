//! Identity and size straight from the device, now.
//!
//! The kernel keeps VPD pages and the capacity it read when it found the device; after a LUN number
//! was given to another LUN they are the old one's (hazard H02). Here every answer comes from the
//! device through the descriptor that was handed in.

mod capacity;
mod inquiry;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use agent_core::facts::DeviceNumber;
use contract::{DeviceIdentity, IdentityError};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::sys;

/// An array that does not answer an INQUIRY in this time does not serve I/O either.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// A device reports each unit attention once; an attach may gather a few (SAM-5 §5.14).
const UNIT_ATTENTIONS: usize = 4;
const CHECK_CONDITION: u8 = 0x02;
const UNIT_ATTENTION: u8 = 0x06;

/// Why a device's identity or size could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScsiError {
    /// The node could not be opened.
    #[error("cannot open {device}")]
    Open {
        /// The node.
        device: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node stands for another device.
    #[error("{device} is not device {wanted}")]
    OtherDevice {
        /// The node.
        device: String,
        /// The device it should be.
        wanted: DeviceNumber,
    },
    /// The kernel did not carry the command.
    #[error("{command} could not be sent")]
    Ioctl {
        /// The command.
        command: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The transport or the device refused.
    #[error(
        "{command} failed: SCSI status {status:#04x}, host status {host_status:#06x}, sense key {sense_key:#03x}"
    )]
    Refused {
        /// The command.
        command: &'static str,
        /// SCSI status.
        status: u8,
        /// `DID_*` of the kernel.
        host_status: u16,
        /// Sense key (SPC-4 §4.5.6), 0 for none.
        sense_key: u8,
    },
    /// An answer that breaks its format.
    #[error("{command} answered what its standard does not allow: {what}")]
    Malformed {
        /// The command.
        command: &'static str,
        /// Which rule.
        what: &'static str,
    },
    /// No logical unit stands behind the device (SPC-4 §6.6.2, peripheral qualifier).
    #[error("no LUN is mapped there any more")]
    NoUnit,
    /// The page has no NAA designator of the LUN.
    #[error("the device shows no NAA designator")]
    NoNaa,
    /// What it shows is no identity.
    #[error("the device shows an identity that is not valid")]
    Identity(#[from] IdentityError),
}

/// Opens a block device for commands only (no wait for a medium, no exclusive use) and checks that
/// it is `number`.
///
/// # Errors
/// [`ScsiError::Open`], [`ScsiError::OtherDevice`].
pub fn open(node: &Path, number: DeviceNumber) -> Result<OwnedFd, ScsiError> {
    let failed = |errno: Errno| ScsiError::Open { device: node.display().to_string(), source: errno.into() };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(node, flags, Mode::empty()).map_err(failed)?;
    let found = rustix::fs::fstat(&descriptor).map_err(failed)?.st_rdev;
    if (rustix::fs::major(found), rustix::fs::minor(found)) != (number.major, number.minor) {
        return Err(ScsiError::OtherDevice { device: node.display().to_string(), wanted: number });
    }
    Ok(descriptor)
}

/// Both identities, from VPD pages 0x83 and 0x80.
///
/// # Errors
/// [`ScsiError`].
pub fn identity(device: BorrowedFd<'_>) -> Result<DeviceIdentity, ScsiError> {
    let wwid = inquiry::wwid(&vital_product_data(device, inquiry::DEVICE_IDENTIFICATION)?)?;
    let serial = inquiry::serial(&vital_product_data(device, inquiry::UNIT_SERIAL_NUMBER)?)?;
    Ok(DeviceIdentity { wwid, serial })
}

/// Size in bytes.
///
/// # Errors
/// [`ScsiError`].
pub fn size(device: BorrowedFd<'_>) -> Result<u64, ScsiError> {
    let mut answer = [0_u8; capacity::LENGTH];
    let received = command(device, "READ CAPACITY(16)", &capacity::COMMAND, &mut answer)?;
    capacity::size(answer.get(..received).unwrap_or_default())
}

fn vital_product_data(device: BorrowedFd<'_>, page: u8) -> Result<Vec<u8>, ScsiError> {
    let mut answer = vec![0_u8; inquiry::ALLOCATION];
    let received = command(device, "INQUIRY", &inquiry::command(page), &mut answer)?;
    answer.truncate(received);
    inquiry::page(&answer, page)
}

/// Sends one command; repeats it while the device first wants to tell what happened to it.
fn command(
    device: BorrowedFd<'_>,
    name: &'static str,
    bytes: &[u8],
    answer: &mut [u8],
) -> Result<usize, ScsiError> {
    let mut attentions = 0;
    loop {
        let reply = sys::scsi_read(device, bytes, answer, COMMAND_TIMEOUT)
            .map_err(|source| ScsiError::Ioctl { command: name, source })?;
        if reply.status == 0 && reply.host_status == 0 {
            return Ok(reply.received);
        }
        let sense_key = sense_key(&reply.sense);
        if reply.status == CHECK_CONDITION && sense_key == UNIT_ATTENTION && attentions < UNIT_ATTENTIONS {
            attentions += 1;
            continue;
        }
        let (status, host_status) = (reply.status, reply.host_status);
        return Err(ScsiError::Refused { command: name, status, host_status, sense_key });
    }
}

/// Of fixed (0x70, 0x71) or descriptor (0x72, 0x73) format sense data (SPC-4 §4.5).
fn sense_key(sense: &[u8]) -> u8 {
    let at = match sense.first().map(|code| code & 0x7f) {
        Some(0x70 | 0x71) => 2,
        Some(0x72 | 0x73) => 1,
        _ => return 0,
    };
    sense.get(at).map_or(0, |byte| byte & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_attention_is_known_in_both_formats() {
        assert_eq!(sense_key(&[0x70, 0, 0x06, 0]), UNIT_ATTENTION);
        assert_eq!(sense_key(&[0x72, 0x06, 0x3f, 0x0e]), UNIT_ATTENTION);
        assert_eq!(sense_key(&[]), 0);
    }
}
