//! The real node behind the seam.

use agent_core::facts::{Facts, Query};
use agent_core::outcome::{ApplyContext, ObserveError, Outcome, StepError};
use agent_core::step::Step;
use agent_linux::LinuxHost;

use super::Host;

impl Host for LinuxHost {
    async fn observe(&self, query: &Query) -> Result<Facts, ObserveError> {
        Self::observe(self, query).await
    }

    async fn apply(&self, step: Step, context: &ApplyContext) -> Result<Outcome, StepError> {
        Self::apply(self, step, context).await
    }
}
