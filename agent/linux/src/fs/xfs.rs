//! mkfs.xfs.

/// `-K`: no discard, for the reason given at ext4.
pub(super) const OPTIONS: &[&str] = &["-q", "-K"];
