//! The only unsafe code of this crate: kernel calls that neither nix nor rustix wraps.
#![allow(unsafe_code, reason = "raw ioctls and syscalls; each block says why it is sound")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::own_time::in_kernel;

/// `SG_IO` of `scsi/sg.h`.
const SG_IO: libc::c_ulong = 0x2285;
/// `BLKGETSIZE64`, `_IOR(0x12, 114, size_t)` of `linux/fs.h`.
const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;
/// `BLKFLSBUF`, `_IO(0x12, 97)` of `linux/fs.h`.
const BLKFLSBUF: libc::c_ulong = 0x1261;
/// `_IOWR(DM_IOCTL, n, struct dm_ioctl)` of `linux/dm-ioctl.h` with n = 0.
const DM_IOCTL: libc::c_ulong = 0xc138_fd00;
/// Bytes of `struct dm_ioctl`.
pub(crate) const DM_HEADER: usize = 312;

/// `struct sg_io_hdr` of `scsi/sg.h`.
#[repr(C)]
struct SgHeader {
    interface_id: libc::c_int,
    dxfer_direction: libc::c_int,
    cmd_len: libc::c_uchar,
    mx_sb_len: libc::c_uchar,
    iovec_count: libc::c_ushort,
    dxfer_len: libc::c_uint,
    dxferp: *mut libc::c_void,
    cmdp: *const libc::c_uchar,
    sbp: *mut libc::c_uchar,
    timeout: libc::c_uint,
    flags: libc::c_uint,
    pack_id: libc::c_int,
    usr_ptr: *mut libc::c_void,
    status: libc::c_uchar,
    masked_status: libc::c_uchar,
    msg_status: libc::c_uchar,
    sb_len_wr: libc::c_uchar,
    host_status: libc::c_ushort,
    driver_status: libc::c_ushort,
    resid: libc::c_int,
    duration: libc::c_uint,
    info: libc::c_uint,
}

/// What a SCSI command came back with.
#[derive(Debug)]
pub(crate) struct ScsiReply {
    /// Bytes of the buffer that were filled.
    pub(crate) received: usize,
    /// SCSI status byte (SAM-5 §5.3.1); 0 is GOOD.
    pub(crate) status: u8,
    /// The transport's verdict (`DID_*` of the kernel); 0 is none.
    pub(crate) host_status: u16,
    /// Sense data, as far as the device gave any.
    pub(crate) sense: Vec<u8>,
}

/// Sends one command that reads, and waits for its end or `timeout`.
pub(crate) fn scsi_read(
    device: BorrowedFd<'_>,
    command: &[u8],
    buffer: &mut [u8],
    timeout: Duration,
) -> io::Result<ScsiReply> {
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut sense = [0_u8; 64];
    let mut header = SgHeader {
        interface_id: libc::c_int::from(b'S'),
        dxfer_direction: -3, // SG_DXFER_FROM_DEV
        cmd_len: command.len().try_into().map_err(too_long)?,
        mx_sb_len: 64,
        iovec_count: 0,
        dxfer_len: buffer.len().try_into().map_err(too_long)?,
        dxferp: buffer.as_mut_ptr().cast(),
        cmdp: command.as_ptr(),
        sbp: sense.as_mut_ptr(),
        timeout: timeout.as_millis().try_into().map_err(too_long)?,
        flags: 0,
        pack_id: 0,
        usr_ptr: core::ptr::null_mut(),
        status: 0,
        masked_status: 0,
        msg_status: 0,
        sb_len_wr: 0,
        host_status: 0,
        driver_status: 0,
        resid: 0,
        duration: 0,
        info: 0,
    };
    // SAFETY: the header has the kernel's layout (repr(C), field by field as in scsi/sg.h). Its three
    // pointers come from slices that outlive the call, with their true lengths beside them, and the
    // command is only read. SG_IO is synchronous: the kernel keeps no pointer past the return.
    let result = in_kernel(|| unsafe { libc::ioctl(device.as_raw_fd(), SG_IO, &raw mut header) });
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let left: usize = header.resid.try_into().unwrap_or(0);
    let written = usize::from(header.sb_len_wr).min(sense.len());
    Ok(ScsiReply {
        received: buffer.len().saturating_sub(left),
        status: header.status,
        host_status: header.host_status,
        sense: sense.get(..written).unwrap_or_default().to_vec(),
    })
}

/// Size of a block device in bytes.
pub(crate) fn block_size(device: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes = 0_u64;
    // SAFETY: BLKGETSIZE64 writes one u64 through the pointer, which points at one that lives on.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), BLKGETSIZE64, &raw mut bytes) };
    if result == 0 { Ok(bytes) } else { Err(io::Error::last_os_error()) }
}

/// Writes back and drops the buffers of a block device.
pub(crate) fn flush_buffers(device: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: BLKFLSBUF takes no argument and touches no memory of ours.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), BLKFLSBUF, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// One device-mapper ioctl; `number` as in the enum of `linux/dm-ioctl.h`.
pub(crate) fn device_mapper(control: BorrowedFd<'_>, number: u8, message: &mut [u8]) -> io::Result<()> {
    let announced = message.get(12..16).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let fits = usize::try_from(announced.unwrap_or(u32::MAX)).is_ok_and(|size| size <= message.len());
    if message.len() < DM_HEADER || !fits {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the kernel reads a struct dm_ioctl (312 bytes, checked) and reads and writes no more
    // than its data_size field says, which was just checked against the slice's length.
    let result = unsafe {
        libc::ioctl(control.as_raw_fd(), DM_IOCTL | libc::c_ulong::from(number), message.as_mut_ptr())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a detached mount read-only (mount_setattr(2), Linux 5.12).
pub(crate) fn make_read_only(mount: BorrowedFd<'_>) -> io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a NUL-terminated constant, the attributes a live struct of the size that
    // is passed with it; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A descriptor whose readiness to be read tokio watches.
pub(crate) fn readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is a valid descriptor that nobody else closes, and AsyncFd owns it from
    // here until it deregisters and drops it.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(io::Error::from)
}
