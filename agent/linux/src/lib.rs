//! The agent's hands: the only crate that knows a syscall, /proc, /sys or an external program.

pub mod blocking;
pub mod command;
pub mod fs;
pub mod iscsi;
pub mod mount;
pub mod multipath;
pub mod probe;
pub mod root;
pub mod scsi;
mod sys;
pub mod sysfs;
pub mod uevent;
