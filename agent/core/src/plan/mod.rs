//! From an intent and fresh facts to the next few steps.
//!
//! The agent calls [`query`], observes, calls [`plan`], applies the steps, and begins again until
//! the plan is [fulfilled](Plan::is_fulfilled). That last, empty plan *is* the verification: it was
//! computed from facts read after the last effect.

mod iscsi;
mod mounts;
mod nfs;
mod teardown;

use std::time::Duration;

use contract::PublishContext;

use crate::facts::{Facts, Query};
use crate::intent::{Intent, Usage};
use crate::lint;
use crate::progress::Progress;
use crate::record::StageRecord;
use crate::refusal::Refusal;
use crate::step::Step;

/// A few steps, and what follows them.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// In order; the steps of one batch run at the same time.
    pub batches: Vec<Batch>,
    /// What follows.
    pub then: Then,
}

/// Steps that run at the same time.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// The steps.
    pub steps: Vec<Step>,
    /// How many must succeed.
    pub need: Need,
}

/// When a batch is good enough to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// All steps succeed.
    All,
    /// `count` succeed; the rest get `grace` from that moment, then they are dropped. What they
    /// did not bring is seen in the next facts.
    AtLeast {
        /// How many must succeed; zero when an earlier effect suffices.
        count: usize,
        /// Time for the rest.
        grace: Duration,
    },
    /// All are tried to their end and none must succeed: the next facts tell more than an error.
    Attempt,
}

/// What follows a plan's steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// The intent should be fulfilled: look again and see whether it is.
    Verify,
    /// Look again, also at what is on the device.
    ReadContent,
}

impl Plan {
    fn fulfilled() -> Self {
        Self { batches: Vec::new(), then: Then::Verify }
    }

    fn read_content() -> Self {
        Self { batches: Vec::new(), then: Then::ReadContent }
    }

    /// One step after the other, each of which must succeed.
    fn sequence(steps: impl IntoIterator<Item = Step>) -> Self {
        let batch = |step| Batch { steps: vec![step], need: Need::All };
        Self { batches: steps.into_iter().map(batch).collect(), then: Then::Verify }
    }

    /// Nothing is left to do, and nothing left to look at.
    pub fn is_fulfilled(&self) -> bool {
        self.batches.is_empty() && self.then == Then::Verify
    }

    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.batches.iter().flat_map(|batch| &batch.steps)
    }

    fn push_all(&mut self, steps: Vec<Step>) {
        if !steps.is_empty() {
            self.batches.push(Batch { steps, need: Need::All });
        }
    }
}

impl core::fmt::Display for Plan {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.is_fulfilled() {
            return f.write_str("nothing to do");
        }
        for (number, batch) in self.batches.iter().enumerate() {
            if number > 0 {
                f.write_str("; ")?;
            }
            let steps: Vec<String> = batch.steps.iter().map(ToString::to_string).collect();
            f.write_str(&steps.join(" | "))?;
            match batch.need {
                Need::All => {}
                Need::AtLeast { count, grace } => {
                    write!(f, " [{count} of {}, then {} ms]", batch.steps.len(), grace.as_millis())?;
                }
                Need::Attempt => f.write_str(" [attempt]")?,
            }
        }
        if self.then == Then::ReadContent {
            f.write_str(if self.batches.is_empty() { "read content" } else { "; read content" })?;
        }
        Ok(())
    }
}

/// What must be known to plan `intent`.
pub fn query(intent: &Intent, record: Option<&StageRecord>, progress: &Progress) -> Query {
    let recorded = record.map(|record| record.attachment.clone());
    match intent {
        Intent::Stage(stage) => Query {
            attachment: Some(stage.attachment.clone()),
            staging: Some(stage.staging.clone()),
            paths: is_iscsi(Some(&stage.attachment)),
            content: progress.content_wanted(),
            ..Query::default()
        },
        Intent::Unstage(unstage) => Query {
            paths: is_iscsi(recorded.as_ref()) || recorded.is_none(),
            attachment: recorded,
            staging: Some(unstage.staging.clone()),
            ..Query::default()
        },
        Intent::Publish(publish) => Query {
            attachment: recorded.or_else(|| publish.attachment.clone()),
            staging: Some(publish.staging.clone()),
            target: Some(publish.target.clone()),
            // A device handed to a workload is identified first; a mounted filesystem was.
            paths: publish.usage == Usage::Block,
            ..Query::default()
        },
        Intent::Unpublish(unpublish) => {
            Query { attachment: recorded, target: Some(unpublish.target.clone()), ..Query::default() }
        }
    }
}

fn is_iscsi(attachment: Option<&PublishContext>) -> bool {
    matches!(attachment, Some(PublishContext::Iscsi(_)))
}

/// The next steps towards `intent`, checked by the lint.
///
/// `record` is what was written when the volume was staged; `progress` what this flight has tried.
///
/// # Errors
/// A [`Refusal`] when a hazard stands in the way.
pub fn plan(
    intent: &Intent,
    facts: &Facts,
    record: Option<&StageRecord>,
    progress: &Progress,
) -> Result<Plan, Refusal> {
    let plan = match intent {
        Intent::Stage(stage) => match &stage.attachment {
            PublishContext::Nfs(nfs) => nfs::stage(stage, nfs, facts),
            PublishContext::Iscsi(iscsi) => iscsi::stage(stage, iscsi, facts, progress),
        },
        Intent::Unstage(unstage) => teardown::unstage(unstage, record, facts, progress),
        Intent::Publish(publish) => mounts::publish(publish, record, facts),
        Intent::Unpublish(unpublish) => mounts::unpublish(unpublish, record, facts, progress),
    }?;
    lint::check(intent, facts, progress, &plan)?;
    Ok(plan)
}
