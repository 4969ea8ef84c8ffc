//! The SCSI device server (SPC-4, SBC-3): from a CDB to parameter data or sense.
//!
//! ```text
//! CDB ─ Command::parse → Command ─ nexus (attentions) ─ unit.admit (reservations, faults, extents)
//!       ─ (data-out collected by the session) → unit.execute → bytes | Sense
//! shelf ─ what a unit remembers for every session: reservations, mode bits, faults, notices
//! ```

pub(crate) mod alua;
pub(crate) mod block;
mod capacity;
pub(crate) mod command;
mod fault;
pub(crate) mod inquiry;
pub(crate) mod luns;
mod mode;
pub(crate) mod nexus;
mod opcodes;
mod provisioning;
pub(crate) mod reservation;
pub(crate) mod sense;
pub(crate) mod shelf;
pub(crate) mod unit;
mod vpd;

pub(crate) use command::Command;
pub(crate) use sense::Sense;
