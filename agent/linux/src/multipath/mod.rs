//! dm-multipath: the map of a volume, and the daemon that keeps it.

pub mod map;
pub mod socket;
mod status;
