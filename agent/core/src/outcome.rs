//! What comes back from the host for an observation or a step.

use std::error::Error;
use std::time::Instant;

use contract::ChapCredentials;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The step changed something.
    Changed,
    /// It was so before.
    AlreadySo,
}

/// What a step may use beside itself. Dropping the future of an `apply` ends the step: programs it
/// started are killed with their process group.
#[derive(Debug, Clone)]
pub struct ApplyContext {
    /// The step gives up then, with [`Disposition::Transient`].
    pub deadline: Instant,
    /// Credentials of this flight, for [`crate::step::Step::LogIn`] of an authenticated target.
    pub chap: Option<ChapCredentials>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[error("step `{step}` failed")]
pub struct StepError {
    /// The step, as it prints.
    pub step: String,
    /// What happened.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
    /// What it means for the caller.
    pub disposition: Disposition,
}

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The same again may succeed: time-out, connection lost, busy.
    Transient,
    /// Something elsewhere must happen first, without a person: a LUN not yet mapped.
    NotYet,
    /// A hazard stands in the way; a person must look.
    Refused,
    /// The request can never succeed as it is.
    Invalid,
    /// The volume is already staged or published in a way that excludes this one.
    Conflict,
    /// A limit of this host or of the array.
    Exhausted,
    /// A promise of this program or of the host is broken.
    Broken,
}

/// Why an observation could not be made at all. What could merely not be told in part is
/// [`crate::facts::Probe::Unknown`] inside the facts.
#[derive(Debug, thiserror::Error)]
#[error("cannot observe {what}")]
pub struct ObserveError {
    /// What was read.
    pub what: String,
    /// What happened.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}
