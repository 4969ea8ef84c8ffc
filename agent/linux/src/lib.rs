//! The agent's hands: the only crate that knows a syscall, /proc, /sys or an external program.
//!
//! ```text
//!            Query ─→ observe ─→ Facts          reads: mount/table · sysfs · scsi · multipath/map · probe
//! LinuxHost ┤
//!            Step  ─→ apply   ─→ Outcome        changes: mount · iscsi · multipath · fs · command
//! ```
//!
//! * Readers take a [`root::HostRoot`], so that they are tested on trees captured from hosts.
//! * What may block for ever runs in [`blocking`]; what waits, waits for an event of [`uevent`].
//! * Identity is never remembered: each use reads it from the device it uses ([`device`]).

mod apply;
pub mod blocking;
pub mod command;
pub mod device;
mod error_text;
pub mod fs;
mod host;
pub mod iscsi;
pub mod mount;
pub mod multipath;
mod observe;
pub mod own_time;
pub mod probe;
pub mod root;
pub mod scsi;
mod sys;
pub mod sysfs;
pub mod uevent;

pub use host::LinuxHost;
