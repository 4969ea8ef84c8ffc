//! dm-multipath: the map of a volume, and the daemon that keeps it.
//!
//! multipathd makes the map and adds its paths; this module waits for that by kernel events, and
//! takes the map away at the end whatever multipathd does meanwhile.

pub mod assembly;
pub mod map;
pub mod removal;
pub mod socket;
mod status;
