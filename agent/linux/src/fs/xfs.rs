//! mkfs.xfs.

/// `-K`: no discard, for the reason given at ext4.
pub(super) const OPTIONS: &[&str] = &["-q", "-K"];

/// A clone or snapshot has its origin's UUID; XFS refuses a second one on the same node without this
/// (xfs(5)).
pub(super) const MOUNT_OPTIONS: &[&str] = &["nouuid"];
