//! How a flight ended.

use std::time::Duration;

use agent_core::outcome::{ObserveError, StepError};
use agent_core::refusal::Refusal;

use super::single_flight::QueueFull;
use super::timeline::Timeline;
use crate::fleet::AccessError;
use crate::journal::JournalError;
use crate::preflight::Unfit;

/// The end of a flight, shared by all who wait for it.
#[derive(Debug)]
pub struct Report {
    /// Fulfilled, verified from fresh facts; or why not.
    pub result: Result<(), Failure>,
    /// Where the time went.
    pub timeline: Timeline,
}

/// Why a flight did not fulfil its intent.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A hazard stands in the way.
    #[error("{0}")]
    Refused(Refusal),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The node could not be observed.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// An observation did not end.
    #[error("the observation of this node did not end within {} s", .0.as_secs())]
    ObserveTimeout(Duration),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No credentials.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// This host lacks something the volume needs.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Too many calls wait.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// Facts and plan did not come to rest.
    #[error("the node did not come to rest after {rounds} rounds; next would be: {next}")]
    Unsettled {
        /// Rounds made.
        rounds: usize,
        /// The plan that was not tried any more.
        next: String,
    },
    /// The flight's task is gone without a result.
    #[error("the operation ended without a result: see the agent's log; the call may be repeated")]
    Lost,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
