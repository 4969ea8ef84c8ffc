//! The numbers of `GetLimits` that the machine itself enforces, and the ones it only reports.

/// Smallest volume, bytes.
pub const VOLUME_SIZE_MIN: u64 = 1_000_000_000;
/// Largest volume, bytes (16 TiB).
pub const VOLUME_SIZE_MAX: u64 = 17_592_186_044_416;
/// Sizes are rounded up to a multiple of this, bytes: 10 GB becomes 10 000 269 312.
pub const VOLUME_SIZE_STEP: u64 = 1_048_576;
/// Characters of a volume name.
pub const VOLUME_NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=64;
/// Volumes of a cluster, deleted ones included.
pub const VOLUME_COUNT_MAX: usize = 4000;
/// Volumes of an account, deleted ones included.
pub const VOLUMES_PER_ACCOUNT_MAX: usize = 2000;
/// Bytes of a volume's or account's attributes as JSON; they must stay *below* this.
pub const ATTRIBUTES_BYTES: usize = 1000;
/// Snapshots of a volume.
pub const SNAPSHOTS_PER_VOLUME_MAX: usize = 32;
/// Characters of a snapshot's name at most.
pub const SNAPSHOT_NAME_LENGTH: usize = 255;
/// Volumes of a group snapshot.
pub const VOLUMES_PER_GROUP_SNAPSHOT_MAX: usize = 32;
/// Schedules of a cluster.
pub const SCHEDULE_COUNT_MAX: usize = 1000;
/// Characters of a schedule's name.
pub const SCHEDULE_NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=244;
/// QoS policies of a cluster.
pub const QOS_POLICY_COUNT_MAX: usize = 500;
/// Results of asynchronous jobs that are kept for who asks; the oldest go first.
pub const ASYNC_RESULTS_KEPT: usize = 1000;
/// Volume access groups of a cluster.
pub const ACCESS_GROUP_COUNT_MAX: usize = 1000;
/// Characters of a volume access group's name.
pub const ACCESS_GROUP_NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=64;
/// Volumes of a volume access group.
pub const VOLUMES_PER_ACCESS_GROUP_MAX: usize = 2000;
/// Initiators of a volume access group.
pub const INITIATORS_PER_ACCESS_GROUP_MAX: usize = 128;
/// Initiators a cluster knows.
pub const INITIATOR_COUNT_MAX: usize = 10_000;
/// Characters of an initiator's name.
pub const INITIATOR_NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=224;
/// Accounts of a cluster.
pub const ACCOUNT_COUNT_MAX: usize = 5000;
/// Characters of an account name.
pub const ACCOUNT_NAME_LENGTH: std::ops::RangeInclusive<usize> = 1..=64;
/// Characters of a CHAP secret.
pub const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 12..=16;
/// Bounds of a volume's guaranteed IOPS.
pub const MIN_IOPS: std::ops::RangeInclusive<i64> = 50..=15_000;
/// Bounds of a volume's sustained IOPS.
pub const MAX_IOPS: std::ops::RangeInclusive<i64> = 100..=200_000;
/// Bounds of a volume's burst IOPS.
pub const BURST_IOPS: std::ops::RangeInclusive<i64> = 100..=200_000;
