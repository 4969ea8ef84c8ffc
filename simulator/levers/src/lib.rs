//! Fault levers and the event log of a simulated array.
//!
//! ```text
//! management API ─┐                      ┌─ test, demo, status page
//! iSCSI, NFS ─────┴─ record → EventLog ──┘ snapshot
//! control endpoint ─ set → Levers ─ watch → data planes
//! ```
//!
//! The data planes record what happened and obey the levers; they never set one.

mod events;
mod portal;

pub use events::{Event, EventLog};
pub use portal::{Levers, PortalFault};
