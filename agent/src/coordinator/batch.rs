//! Applying the steps of a batch at the same time.

use std::time::{Duration, Instant};

use agent_core::outcome::{ApplyContext, Disposition, Outcome, StepError};
use agent_core::plan::{Batch, Need};
use agent_core::step::Step;
use agent_linux::own_time::OwnTime;
use contract::ChapCredentials;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tracing::Instrument as _;

use super::timeline::{Spent, Timeline, Watch};
use super::{Host, budget};

/// A step took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("it did not end within {} s", .0.as_secs())]
struct Overdue(Duration);

/// Applies `batch`. Steps that fail beyond what the batch needs are logged; the facts that follow
/// show what they did not bring.
///
/// # Errors
/// The most telling failure, when fewer steps succeeded than the batch needs.
pub(super) async fn apply<H: Host>(
    host: &H,
    batch: Batch,
    chap: Option<&ChapCredentials>,
    timeline: &mut Timeline,
) -> Result<(), StepError> {
    let account = OwnTime::current();
    let watches: Vec<(String, Watch)> =
        batch.steps.iter().map(|step| (step.to_string(), Watch::of(account.part()))).collect();
    let wanted = match batch.need {
        Need::All => batch.steps.len(),
        Need::AtLeast { count, .. } => count,
        Need::Attempt => 0,
    };
    let mut running: FuturesUnordered<_> = batch
        .steps
        .into_iter()
        .zip(&watches)
        .enumerate()
        .map(|(index, (step, (_, watch)))| apply_one(host, index, step, chap, watch))
        .collect();
    let mut spent: Vec<Option<Spent>> = vec![None; watches.len()];
    let mut failures = Vec::new();
    let mut succeeded = 0;
    let mut cutoff = None;
    while !running.is_empty() {
        if let (Need::AtLeast { grace, .. }, None) = (batch.need, cutoff)
            && succeeded >= wanted
        {
            cutoff = Instant::now().checked_add(grace);
        }
        let next = match cutoff {
            None => running.next().await,
            Some(at) => match tokio::time::timeout_at(at.into(), running.next()).await {
                Ok(next) => next,
                Err(_elapsed) => break,
            },
        };
        let Some((index, took, result)) = next else { break };
        if let Some(slot) = spent.get_mut(index) {
            *slot = Some(took);
        }
        match result {
            Ok(_) => succeeded += 1,
            Err(error) => {
                tracing::warn!(error = %telemetry::chain(&error), "step failed");
                failures.push(error);
                if batch.need == Need::All {
                    break;
                }
            }
        }
    }
    drop(running);
    for ((name, watch), spent) in watches.iter().zip(spent) {
        match spent {
            Some(spent) => timeline.add(name, spent),
            None => timeline.add(&format!("{name} (dropped)"), watch.spent()),
        }
    }
    if succeeded >= wanted {
        return Ok(());
    }
    match failures.into_iter().min_by_key(|failure| severity(failure.disposition)) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

/// What a person must look at comes before what time may heal.
fn severity(disposition: Disposition) -> u8 {
    match disposition {
        Disposition::Refused | Disposition::Conflict => 0,
        Disposition::Invalid => 1,
        Disposition::Broken => 2,
        Disposition::Exhausted => 3,
        Disposition::NotYet => 4,
        Disposition::Transient => 5,
    }
}

async fn apply_one<H: Host>(
    host: &H,
    index: usize,
    step: Step,
    chap: Option<&ChapCredentials>,
    watch: &Watch,
) -> (usize, Spent, Result<Outcome, StepError>) {
    let name = step.to_string();
    let span = tracing::info_span!("step", step = %name);
    let chap = if matches!(step, Step::LogIn { .. }) { chap.cloned() } else { None };
    let limit = budget::of(&step);
    let context = ApplyContext { deadline: Instant::now() + limit, chap };
    let applied = watch.account().count_polls(host.apply(step, &context).instrument(span));
    let result = tokio::time::timeout(limit + budget::GRACE, applied).await.unwrap_or_else(|_elapsed| {
        Err(StepError {
            step: name,
            cause: Box::new(Overdue(limit + budget::GRACE)),
            disposition: Disposition::Transient,
        })
    });
    (index, watch.spent(), result)
}
