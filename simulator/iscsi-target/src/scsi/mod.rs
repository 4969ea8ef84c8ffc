//! The SCSI device server (SPC-4, SBC-3): from a CDB to parameter data or sense. No state of its
//! own and no IO but the volume's memory.
//!
//! ```text
//! CDB ─ Command::parse → Command ─ (data-out collected by the session) → unit::execute → bytes | Sense
//! ```

pub(crate) mod alua;
pub(crate) mod block;
mod capacity;
pub(crate) mod command;
pub(crate) mod inquiry;
pub(crate) mod luns;
mod mode;
pub(crate) mod nexus;
mod provisioning;
pub(crate) mod sense;
pub(crate) mod unit;
mod vpd;

pub(crate) use command::Command;
pub(crate) use sense::Sense;
pub(crate) use unit::Unit;
