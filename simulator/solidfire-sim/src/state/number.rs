//! Numbers of things: from 1, counted up, never used again.

use serde::{Deserialize, Serialize};

/// Defines the number of one kind of thing.
macro_rules! number {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl $name {
            /// Counts on; the new number.
            pub(super) fn advance(&mut self) -> Self {
                self.0 += 1;
                *self
            }
        }
    )*};
}

number! {
    /// Number of an account.
    AccountId;
    /// Number of a volume.
    VolumeId;
    /// Number of a QoS policy.
    PolicyId;
    /// Number of a snapshot.
    SnapshotId;
    /// Number of a schedule.
    ScheduleId;
    /// Number of a group snapshot.
    GroupId;
    /// Number of a volume access group.
    AccessGroupId;
    /// Number of an initiator.
    InitiatorId;
    /// Number of a clone, and of the job that makes it.
    CloneId;
    /// Number of what a volume holds, or a snapshot is kept of; a volume that is rolled back gets a new one.
    ContentId;
    /// Handle of an asynchronous job.
    AsyncHandle;
}
