//! The seam: what the coordinator needs of a node.

use std::future::Future;

use agent_core::facts::{Facts, Query};
use agent_core::outcome::{ApplyContext, ObserveError, Outcome, StepError};
use agent_core::step::Step;

/// A node: the real one, or a model kernel in tests.
pub trait Host: Send + Sync + 'static {
    /// Reads what `query` asks for, now.
    ///
    /// # Errors
    /// When nothing at all could be read; what could not be told in part is inside the facts.
    fn observe(&self, query: &Query) -> impl Future<Output = Result<Facts, ObserveError>> + Send;

    /// Makes `step` so. Dropping the future ends it.
    ///
    /// # Errors
    /// When it is not so; the disposition says what that means.
    fn apply(
        &self,
        step: Step,
        context: &ApplyContext,
    ) -> impl Future<Output = Result<Outcome, StepError>> + Send;
}
