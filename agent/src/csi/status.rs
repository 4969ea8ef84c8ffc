//! From results to gRPC: the only writer of gRPC codes.

use std::time::{Duration, Instant};

use agent_core::outcome::Disposition;
use agent_linux::own_time::OwnTime;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Response, Status};

use super::parse::ParseError;
use crate::coordinator::{Failure, Report, micros};
use crate::fleet::AccessError;

/// Microseconds of CPU time the agent itself needed ([`agent_linux::own_time`]): those of the flight
/// and of this call's own handling.
const OWN: &str = "x-tine-own-us";
/// The other microseconds of the call: it waited for others.
const WAIT: &str = "x-tine-wait-us";
/// Where they went, as JSON.
const TIMELINE: &str = "x-tine-timeline";

/// An answer to a call that began at `started`: the response or the status of `report`, with the
/// time it took in its metadata.
pub(super) fn answer<T: Default>(started: Instant, report: &Report) -> Result<Response<T>, Status> {
    match &report.result {
        Ok(()) => {
            let mut response = Response::new(T::default());
            stamp(response.metadata_mut(), started, report);
            Ok(response)
        }
        Err(failure) => {
            let mut status = Status::new(code(failure), telemetry::chain(failure).to_string());
            stamp(status.metadata_mut(), started, report);
            Err(status)
        }
    }
}

/// CSI, "Error Scheme": a missing or malformed field is INVALID_ARGUMENT.
pub(super) fn malformed(error: &ParseError) -> Status {
    Status::invalid_argument(telemetry::chain(error).to_string())
}

fn stamp(metadata: &mut MetadataMap, started: Instant, report: &Report) {
    let number = |duration: Duration| MetadataValue::<Ascii>::from(micros(duration));
    if let Ok(timeline) = report.timeline.to_json().parse() {
        metadata.insert(TIMELINE, timeline);
    }
    let total = started.elapsed();
    // A caller that joined late was not there for all that the flight did.
    let own = (report.timeline.own() + OwnTime::current().so_far()).min(total);
    metadata.insert(OWN, number(own));
    metadata.insert(WAIT, number(total - own));
}

/// The one table. Clauses are those of the CSI specification, "Error Scheme" and the error tables
/// of the RPCs. An orchestrator takes UNAVAILABLE, ABORTED, RESOURCE_EXHAUSTED and DEADLINE_EXCEEDED
/// as "perhaps something happened" and comes back; the others end the operation for it.
fn code(failure: &Failure) -> Code {
    match failure {
        Failure::Refused(refusal) => of(refusal.disposition),
        Failure::Step(error) => of(error.disposition),
        Failure::Observe(_) | Failure::ObserveTimeout(_) => Code::Unavailable,
        // Without a durable record nothing was begun.
        Failure::Journal(_) => Code::Internal,
        Failure::Access(AccessError::Unreachable { .. }) => Code::Unavailable,
        // NodeStageVolume, FAILED_PRECONDITION: ControllerPublishVolume must come first.
        Failure::Access(
            AccessError::Denied { .. } | AccessError::NoCredentials(_) | AccessError::NoController(_),
        ) => Code::FailedPrecondition,
        Failure::Unfit(_) => Code::FailedPrecondition,
        // "Operation pending for volume": ABORTED, the caller retries with backoff.
        Failure::QueueFull(_) => Code::Aborted,
        Failure::Unsettled { .. } | Failure::Lost => Code::Unavailable,
    }
}

fn of(disposition: Disposition) -> Code {
    match disposition {
        Disposition::Transient | Disposition::NotYet => Code::Unavailable,
        Disposition::Refused => Code::FailedPrecondition,
        Disposition::Invalid => Code::InvalidArgument,
        // "Volume already published/staged with incompatible capability": ALREADY_EXISTS.
        Disposition::Conflict => Code::AlreadyExists,
        Disposition::Exhausted => Code::ResourceExhausted,
        Disposition::Broken => Code::Internal,
    }
}

/// CSI, "Error Scheme": a call behind a capability that is not advertised is UNIMPLEMENTED.
pub(super) fn unimplemented(capability: &str) -> Status {
    Status::unimplemented(format!("this driver does not have the capability {capability}"))
}
