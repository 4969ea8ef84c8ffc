//! A map: found by its uuid in sysfs, asked and told through the device-mapper control node.
//!
//! The uuid `mpath-<WWID>` is the identity; name and number may change at any time (multipathd
//! renames, a removed map's number is given to the next).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use agent_core::facts::{DeviceNumber, MapFact, PathState};
use contract::Wwid;
use rustix::fs::{Mode, OFlags};

use super::status;
use crate::root::HostRoot;
use crate::sys::{self, DM_HEADER};
use crate::sysfs::{SysfsError, block, scsi};

/// Numbers of the ioctls (`linux/dm-ioctl.h`).
const DEV_REMOVE: u8 = 4;
const TABLE_STATUS: u8 = 12;
const TARGET_MSG: u8 = 14;
/// `DM_BUFFER_FULL_FLAG`.
const BUFFER_FULL: u32 = 1 << 8;
/// `DM_DEFERRED_REMOVE`: removed by the kernel when the last opener closes it.
const DEFERRED_REMOVE: u32 = 1 << 17;
/// Room for tables: a path takes some 20 bytes, a target 40. Few have more than two paths, and the
/// kernel copies all of it both ways.
const ROOM: usize = 2 << 10;
/// What the most paths need.
const LARGE_ROOM: usize = 64 << 10;

/// A map could not be read or told.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The control node could not be opened.
    #[error("cannot open the device-mapper control node {node}: load kernel module dm_multipath")]
    Control {
        /// The node.
        node: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no map with this WWID.
    #[error("there is no map with WWID {0}")]
    Gone(Wwid),
    /// Somebody has it open.
    #[error("map with WWID {0} is in use")]
    Busy(Wwid),
    /// The kernel refused.
    #[error("device-mapper refused to {what} the map with WWID {wwid}")]
    Refused {
        /// The verb.
        what: &'static str,
        /// The map.
        wwid: Wwid,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel answered what its header file does not describe.
    #[error("device-mapper's answer about the map with WWID {0} is not understood")]
    Malformed(Wwid),
    /// sysfs could not be read.
    #[error("cannot read the map from sysfs")]
    Sysfs(#[from] SysfsError),
}

/// The map of a WWID, read now; `None` when there is none.
///
/// # Errors
/// [`MapError`]: could not be told.
pub fn find(root: &HostRoot, wwid: &Wwid) -> Result<Option<MapFact>, MapError> {
    find_usable(root, wwid, 0)
}

/// The map of a WWID if it has at least `paths` usable paths. One that cannot have them costs a
/// single call: who waits for a map asks often.
///
/// # Errors
/// [`MapError`].
pub fn find_usable(root: &HostRoot, wwid: &Wwid, paths: usize) -> Result<Option<MapFact>, MapError> {
    let control = match Control::open(root) {
        Ok(control) => control,
        // A kernel without device-mapper has no map.
        Err(error) => return if block::has_dm_device(root)? { Err(error) } else { Ok(None) },
    };
    match control.read(wwid) {
        Ok(reading) if reading.active.len() < paths => Ok(None),
        Ok(reading) => Ok(fact(root, wwid, reading)?.filter(|map| map.usable.len() >= paths)),
        Err(MapError::Gone(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The map behind a device number, if it is a multipath map.
///
/// # Errors
/// [`MapError`].
pub fn find_by_number(root: &HostRoot, number: DeviceNumber) -> Result<Option<MapFact>, MapError> {
    let Some(device) = block::dm_device(root, &format!("dm-{}", number.minor))? else { return Ok(None) };
    let wwid = device.uuid.strip_prefix("mpath-").and_then(|text| text.parse::<Wwid>().ok());
    match wwid {
        Some(wwid) if device.number == number => find(root, &wwid),
        _ => Ok(None),
    }
}

/// What sysfs adds; `None` when the map went meanwhile.
fn fact(root: &HostRoot, wwid: &Wwid, reading: Reading) -> Result<Option<MapFact>, MapError> {
    let kernel_name = format!("dm-{}", reading.number.minor);
    let Some(size) = block::size(root, &kernel_name)? else { return Ok(None) };
    let paths = block::slaves(root, &kernel_name)?;
    let mut usable = Vec::new();
    for name in &paths {
        let runs = scsi::state(root, name)? == Some(PathState::Running);
        let carries = block::number(root, name)?.is_some_and(|number| reading.active.contains(&number));
        if runs && carries {
            usable.push(name.clone());
        }
    }
    Ok(Some(MapFact {
        name: reading.name,
        wwid: wwid.clone(),
        number: reading.number,
        size,
        paths,
        usable,
        open_count: reading.open_count,
        holders: block::holders(root, &kernel_name)?,
    }))
}

/// What the device-mapper says of a map.
#[derive(Debug)]
struct Reading {
    name: String,
    number: DeviceNumber,
    /// How many have it open; a mount counts as one.
    open_count: u32,
    /// Disks of the table that the multipath target holds for good. A table of another kind, or an
    /// empty one, has none.
    active: Vec<DeviceNumber>,
}

/// The control node, open.
#[derive(Debug)]
pub struct Control(OwnedFd);

impl Control {
    /// Opens it.
    ///
    /// # Errors
    /// [`MapError::Control`].
    pub fn open(root: &HostRoot) -> Result<Self, MapError> {
        let node = root.dev("mapper/control");
        rustix::fs::open(&node, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map(Self)
            .map_err(|errno| MapError::Control { node: node.display().to_string(), source: errno.into() })
    }

    fn read(&self, wwid: &Wwid) -> Result<Reading, MapError> {
        let malformed = || MapError::Malformed(wwid.clone());
        let reply = match self.call(TABLE_STATUS, "read", wwid, 0, &[], ROOM)? {
            reply if reply.is_cut() => self.call(TABLE_STATUS, "read", wwid, 0, &[], LARGE_ROOM)?,
            reply => reply,
        };
        if reply.is_cut() {
            return Err(malformed());
        }
        let line = match reply.number_at(20) {
            Some(1) => reply.first_target("multipath").ok_or_else(malformed)?,
            _ => None,
        };
        let paths = line.map_or(Some(Vec::new()), |line| status::parse(&line)).ok_or_else(malformed)?;
        Ok(Reading {
            name: reply.text_at(48).ok_or_else(malformed)?,
            number: reply.device_at(40).ok_or_else(malformed)?,
            open_count: reply.number_at(24).ok_or_else(malformed)?,
            active: paths.iter().filter(|path| path.active).map(|path| path.number).collect(),
        })
    }

    /// Sends the map's target a message.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn message(&self, wwid: &Wwid, text: &str) -> Result<(), MapError> {
        // struct dm_target_msg: sector (u64), then the text with its NUL.
        let mut payload = 0_u64.to_ne_bytes().to_vec();
        payload.extend(text.as_bytes());
        payload.push(0);
        self.call(TARGET_MSG, "tell", wwid, 0, &payload, ROOM).map(drop)
    }

    /// Removes the map now, or, while somebody has it open, as soon as nobody has
    /// (`DM_DEFERRED_REMOVE`).
    ///
    /// # Errors
    /// [`MapError`].
    pub fn remove_when_closed(&self, wwid: &Wwid) -> Result<(), MapError> {
        self.call(DEV_REMOVE, "remove", wwid, DEFERRED_REMOVE, &[], ROOM).map(drop)
    }

    /// Takes [`Control::remove_when_closed`] back.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn keep(&self, wwid: &Wwid) -> Result<(), MapError> {
        self.message(wwid, "@cancel_deferred_remove")
    }

    fn call(
        &self,
        number: u8,
        what: &'static str,
        wwid: &Wwid,
        flags: u32,
        payload: &[u8],
        room: usize,
    ) -> Result<Message, MapError> {
        let mut message = Message::new(&wwid.dm_uuid(), flags, payload, room)
            .ok_or_else(|| MapError::Malformed(wwid.clone()))?;
        match sys::device_mapper(self.0.as_fd(), number, &mut message.0) {
            Ok(()) => Ok(message),
            Err(error) => Err(match error.raw_os_error() {
                Some(libc::ENXIO) => MapError::Gone(wwid.clone()),
                Some(libc::EBUSY) => MapError::Busy(wwid.clone()),
                _ => MapError::Refused { what, wwid: wwid.clone(), source: error },
            }),
        }
    }
}

/// A `struct dm_ioctl` and the room behind it.
struct Message(Vec<u8>);

impl Message {
    /// Version 4.0.0, sizes, flags, uuid at byte 176 (129 bytes with its NUL); payload after the header.
    fn new(uuid: &str, flags: u32, payload: &[u8], room: usize) -> Option<Self> {
        if uuid.len() > 128 || payload.len() > room.checked_sub(DM_HEADER)? {
            return None;
        }
        let mut bytes = vec![0_u8; room];
        let mut put = |at: usize, value: &[u8]| {
            bytes.get_mut(at..at + value.len()).map(|place| place.copy_from_slice(value))
        };
        put(0, &4_u32.to_ne_bytes())?;
        put(12, &u32::try_from(room).ok()?.to_ne_bytes())?;
        put(16, &u32::try_from(DM_HEADER).ok()?.to_ne_bytes())?;
        put(28, &flags.to_ne_bytes())?;
        put(176, uuid.as_bytes())?;
        put(DM_HEADER, payload)?;
        Some(Self(bytes))
    }

    fn number_at(&self, at: usize) -> Option<u32> {
        self.0.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
    }

    /// The answer did not fit.
    fn is_cut(&self) -> bool {
        self.number_at(28).is_some_and(|flags| flags & BUFFER_FULL != 0)
    }

    /// Text up to its NUL.
    fn text_at(&self, at: usize) -> Option<String> {
        let bytes = self.0.get(at..)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes.get(..end)?.to_vec()).ok()
    }

    /// A device number as `new_encode_dev` (linux/kdev_t.h) packs it: twelve bits of major between the
    /// low eight and the high twelve of minor.
    fn device_at(&self, at: usize) -> Option<DeviceNumber> {
        let packed = self.number_at(at)?;
        Some(DeviceNumber {
            major: (packed >> 8) & 0xfff,
            minor: (packed & 0xff) | ((packed >> 12) & 0xf_ff00),
        })
    }

    /// The text of the first target, where it is of `kind`; outer `None` when the bytes make no sense.
    /// `struct dm_target_spec`: start u64, length u64, status i32, next u32, type 16 bytes; then text.
    fn first_target(&self, kind: &str) -> Option<Option<String>> {
        let start = usize::try_from(self.number_at(16)?).ok()?;
        let spec = self.0.get(start..)?;
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            String::from_utf8(bytes.get(..end)?.to_vec()).ok()
        };
        if text(spec.get(24..40)?)? != kind {
            return Some(None);
        }
        Some(Some(text(spec.get(40..)?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_kernels_layout() {
        let message =
            Message::new("mpath-3600a0980", DEFERRED_REMOVE, b"\0\0\0\0\0\0\0\0hi\0", ROOM).unwrap();
        assert_eq!(message.number_at(0), Some(4));
        assert_eq!(message.number_at(12), Some(u32::try_from(message.0.len()).unwrap()));
        assert_eq!(message.number_at(16), Some(312));
        assert_eq!(message.number_at(28), Some(1 << 17));
        assert_eq!(&message.0[176..192], b"mpath-3600a0980\0");
        assert_eq!(&message.0[320..323], b"hi\0");
        assert!(Message::new(&"x".repeat(129), 0, b"", ROOM).is_none());
        assert!(Message::new("x", 0, b"", DM_HEADER - 1).is_none());
    }

    #[test]
    fn a_map_beyond_the_255th_keeps_its_number() {
        let mut message = Message::new("mpath-x", 0, b"", ROOM).unwrap();
        // 253:300
        message.0[40..44]
            .copy_from_slice(&((300_u32 & 0xff) | (253 << 8) | ((300 & !0xff) << 12)).to_ne_bytes());
        assert_eq!(message.device_at(40), Some(DeviceNumber { major: 253, minor: 300 }));
        message.0[48..53].copy_from_slice(b"name\0");
        assert_eq!(message.text_at(48).as_deref(), Some("name"));
    }

    #[test]
    fn a_table_of_another_kind_has_no_paths() {
        let mut message = Message::new("mpath-x", 0, b"", ROOM).unwrap();
        message.0[312 + 24..312 + 30].copy_from_slice(b"linear");
        assert_eq!(message.first_target("multipath"), Some(None));
        message.0[312 + 24..312 + 33].copy_from_slice(b"multipath");
        message.0[312 + 40..312 + 43].copy_from_slice(b"2 0");
        assert_eq!(message.first_target("multipath"), Some(Some("2 0".into())));
    }
}
