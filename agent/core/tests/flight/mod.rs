//! The agent's loop without its clock: observe, plan, apply, until the plan is empty.
#![allow(
    clippy::expect_used,
    clippy::panic,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "several test binaries use different parts of it"
)]

use std::fmt::Write as _;
use std::time::Instant;

use agent_core::facts::Facts;
use agent_core::intent::Intent;
use agent_core::outcome::{ApplyContext, StepError};
use agent_core::plan::{self, Need, Then};
use agent_core::progress::Progress;
use agent_core::record::StageRecord;
use agent_core::refusal::Refusal;

use crate::model::World;

/// How a flight ended.
#[derive(Debug)]
pub enum End {
    Fulfilled,
    Refused(Refusal),
    Failed(StepError),
}

impl End {
    pub fn is_fulfilled(&self) -> bool {
        matches!(self, Self::Fulfilled)
    }

    pub fn refusal(&self) -> &Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

/// Runs `intent` on `world`; `disturb` sees and may change every observation. Answers the end, the
/// text of all rounds, and how many plans had steps.
pub fn fly_with(
    world: &mut World,
    intent: &Intent,
    record: Option<&StageRecord>,
    mut progress: Progress,
    disturb: &mut dyn FnMut(&mut Facts),
) -> (End, String, usize) {
    let context = ApplyContext { deadline: Instant::now(), chap: world.chap.clone() };
    let mut text = format!("intent: {intent}\n");
    let mut plans = 0;
    for round in 1..=12 {
        let mut facts = world.observe(&plan::query(intent, record, &progress));
        disturb(&mut facts);
        write!(text, "\nfacts {round}:\n{facts}").expect("text grows");
        let plan = match plan::plan(intent, &facts, record, &progress) {
            Ok(plan) => plan,
            Err(refusal) => {
                writeln!(text, "refusal: {refusal} [{:?}]", refusal.disposition).expect("text grows");
                return (End::Refused(refusal), text, plans);
            }
        };
        writeln!(text, "plan: {}", plan.to_string().replace("; ", "\n      ")).expect("text grows");
        if plan.is_fulfilled() {
            return (End::Fulfilled, text, plans);
        }
        plans += usize::from(!plan.batches.is_empty());
        if plan.then == Then::ReadContent {
            progress.want_content();
        }
        for batch in plan.batches {
            let need = match batch.need {
                Need::All => batch.steps.len(),
                Need::AtLeast { count, .. } => count,
                Need::Attempt => 0,
            };
            let mut failure = None;
            let mut done = 0;
            for step in batch.steps {
                progress.note(&step);
                match world.apply(step, &context) {
                    Ok(_) => done += 1,
                    Err(error) => failure = Some(error),
                }
            }
            match failure {
                Some(error) if done < need => {
                    writeln!(text, "failed: {error} [{:?}]", error.disposition).expect("text grows");
                    return (End::Failed(error), text, plans);
                }
                _ => {}
            }
        }
    }
    panic!("not settled:\n{text}");
}

pub fn fly(world: &mut World, intent: &Intent, record: Option<&StageRecord>) -> (End, String, usize) {
    fly_with(world, intent, record, Progress::default(), &mut |_| ())
}
