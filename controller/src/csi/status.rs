//! From refusals to gRPC codes (CSI, "Error Scheme").

use tonic::{Code, Status};

use crate::array::ArrayError;
use crate::backend::BackendError;
use crate::scheduling::Obstacle;
use crate::volume::VolumeError;

/// The status of a refusal; its message is the whole chain of reasons.
pub(crate) fn status_of(error: &VolumeError) -> Status {
    Status::new(code_of(error), telemetry::chain(error).to_string())
}

fn code_of(error: &VolumeError) -> Code {
    match error {
        VolumeError::NotFound(_) | VolumeError::UnknownNode(_) | VolumeError::NoSnapshot(_) => Code::NotFound,
        VolumeError::Exists { .. }
        | VolumeError::PublishedOtherwise { .. }
        | VolumeError::SnapshotOfOther { .. } => Code::AlreadyExists,
        // "Operation pending for volume": the caller repeats with backoff. A token that is not valid
        // has the same code (ListVolumes, ListSnapshots).
        VolumeError::Deleting(_)
        | VolumeError::NotReady(_)
        | VolumeError::SnapshotUnsettled(_)
        | VolumeError::Token(_)
        | VolumeError::Interrupted => Code::Aborted,
        VolumeError::Size { .. } => Code::OutOfRange,
        VolumeError::NoPool(no_pool) => match no_pool.nearest_obstacle() {
            Some(Obstacle::Size) => Code::OutOfRange,
            Some(Obstacle::Use) => Code::InvalidArgument,
            Some(Obstacle::Offer | Obstacle::Away) | None => Code::ResourceExhausted,
        },
        VolumeError::Published { .. } | VolumeError::Exclusive { .. } | VolumeError::Snapshots { .. } => {
            Code::FailedPrecondition
        }
        VolumeError::Unusable { .. } => Code::InvalidArgument,
        VolumeError::Array(error) => match error {
            ArrayError::Unreachable { .. } | ArrayError::Busy { .. } => Code::Unavailable,
            ArrayError::Unauthorized { .. }
            | ArrayError::NoAccess { .. }
            | ArrayError::InUse { .. }
            | ArrayError::Foreign { .. } => Code::FailedPrecondition,
            ArrayError::Full { .. } => Code::ResourceExhausted,
            ArrayError::Deadline { .. } => Code::DeadlineExceeded,
            ArrayError::Missing { .. } => Code::NotFound,
            ArrayError::Refused { .. } | ArrayError::Unexpected { .. } => Code::Internal,
        },
        VolumeError::Backend(error) => match error {
            BackendError::Offline { .. } => Code::Unavailable,
            BackendError::NotFound { .. } => Code::FailedPrecondition,
            _ => Code::Internal,
        },
        VolumeError::Deadline { .. } => Code::DeadlineExceeded,
        VolumeError::Store(_) | VolumeError::Context(_) => Code::Internal,
    }
}
