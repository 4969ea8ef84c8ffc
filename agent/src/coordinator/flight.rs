//! One flight: record, then observe, plan and apply until the facts say that it is so.

use std::sync::Arc;

use agent_core::facts::{Facts, Query};
use agent_core::intent::{Intent, Stage, Unstage};
use agent_core::outcome::Disposition;
use agent_core::plan::{self, Batch, Plan, Then};
use agent_core::progress::Progress;
use agent_core::record::{self, StageRecord};
use agent_core::step::Step;
use contract::{ChapCredentials, Iqn, PublishContext, VolumeId};

use super::timeline::{Timeline, Watch};
use super::{Coordinator, Failure, Host, PathCount, Phase, batch, budget};
use crate::fleet::AccessError;
use crate::preflight::{self, Need};

/// What a flight carries from round to round.
struct Flight<'a> {
    intent: &'a Intent,
    record: Option<StageRecord>,
    progress: Progress,
    chap: Option<ChapCredentials>,
    timeline: &'a mut Timeline,
    /// The last observation showed something of the volume mounted.
    mounted: bool,
    /// A step was applied, whatever came of it.
    touched: bool,
}

impl<'a> Flight<'a> {
    fn new(intent: &'a Intent, record: Option<StageRecord>, timeline: &'a mut Timeline) -> Self {
        let progress = Progress::default();
        Self { intent, record, progress, chap: None, timeline, mounted: true, touched: false }
    }
}

impl<H: Host> Coordinator<H> {
    pub(super) async fn fly(
        self: &Arc<Self>,
        intent: &Intent,
        timeline: &mut Timeline,
    ) -> Result<(), Failure> {
        let record = self.journal.find(intent.volume())?;
        let mut flight = Flight::new(intent, record, timeline);
        match intent {
            Intent::Stage(stage) => {
                let result = self.stage(stage, &mut flight).await;
                self.note_stage(stage, &result);
                result
            }
            Intent::Unstage(unstage) => self.unstage(unstage, &mut flight).await,
            Intent::Unpublish(_) if flight.record.is_none() => {
                flight.progress.others = self.journal.records();
                self.settle(&mut flight).await
            }
            Intent::Publish(_) | Intent::Unpublish(_) => self.settle(&mut flight).await,
        }
    }

    async fn stage(&self, stage: &Stage, flight: &mut Flight<'_>) -> Result<(), Failure> {
        self.require(&preflight::needs_of(stage), flight.timeline).await?;
        if let Some(known) = &flight.record {
            record::require_compatible(known, stage)?;
        }
        let record = StageRecord::of(stage);
        self.write(&record, flight.timeline).await?;
        self.phases.stage_begins(&stage.volume);
        flight.record = Some(record);
        let sharing = match target_of(&stage.attachment) {
            Some(target) => Some(self.share(target, flight.timeline).await),
            None => None,
        };
        let result = self.settle(flight).await;
        drop(sharing);
        match result {
            Err(failure) if is_final(&failure) && !flight.mounted => {
                self.abandon(stage, flight.timeline).await;
                Err(failure)
            }
            result => result,
        }
    }

    /// After an answer that says "never like this" no orchestrator calls NodeUnstageVolume: what
    /// the stage brought (sessions, disks, a map) would stay for ever (hazard H03). Only when
    /// nothing of the volume is mounted.
    async fn abandon(&self, stage: &Stage, timeline: &mut Timeline) {
        let unstage = Unstage { volume: stage.volume.clone(), staging: stage.staging.clone() };
        let intent = Intent::Unstage(unstage.clone());
        let mut flight = Flight::new(&intent, Some(StageRecord::of(stage)), timeline);
        if let Err(failure) = self.unstage(&unstage, &mut flight).await {
            tracing::error!(volume = %stage.volume, failure = %telemetry::chain(&failure),
                "what a refused stage had attached could not be removed; its record stays");
        }
    }

    fn note_stage(&self, stage: &Stage, result: &Result<(), Failure>) {
        match result {
            Ok(()) => self.phases.set(&stage.volume, Phase::Staged),
            Err(failure) => {
                let phase = self.standing(&stage.volume).phase;
                self.phases.failed(&stage.volume, phase, telemetry::chain(failure).to_string());
            }
        }
    }

    async fn unstage(&self, unstage: &Unstage, flight: &mut Flight<'_>) -> Result<(), Failure> {
        let before = self.standing(&unstage.volume).phase;
        let result = self.take_down(unstage, flight).await;
        match &result {
            Ok(()) => self.phases.forget(&unstage.volume),
            // Refused before anything was done: it is what it was.
            Err(failure) => {
                let phase = if flight.touched { Phase::Unstaging } else { before };
                self.phases.failed(&unstage.volume, phase, telemetry::chain(failure).to_string());
            }
        }
        result
    }

    async fn take_down(&self, unstage: &Unstage, flight: &mut Flight<'_>) -> Result<(), Failure> {
        if flight.record.is_none() {
            let query = plan::query(flight.intent, None, &flight.progress);
            let facts = self.observe(&query, flight.timeline).await?;
            if let Some(record) = record::reconstruct(unstage, &facts) {
                tracing::warn!(volume = %unstage.volume, "no record; made one from what is mounted");
                self.write(&record, flight.timeline).await?;
                flight.record = Some(record);
            }
        }
        self.settle(flight).await?;
        self.leave_target(&unstage.volume, flight).await?;
        let watch = Watch::start();
        self.journal.remove(&unstage.volume).await?;
        flight.timeline.add("(forget record)", watch.spent());
        self.paths.lock().remove(&unstage.volume);
        Ok(())
    }

    /// The devices are gone. When the sessions were left to other volumes, sees to it that one of
    /// them still is there to end them: of two volumes unstaged together each saw the other.
    async fn leave_target(&self, volume: &VolumeId, flight: &mut Flight<'_>) -> Result<(), Failure> {
        let target = flight.record.as_ref().and_then(|record| target_of(&record.attachment)).cloned();
        let Some(target) = target else { return Ok(()) };
        for _ in 0..budget::MAX_ROUNDS {
            if !flight.progress.target_shared || self.journal.leave_to_others(&target, volume) {
                return Ok(());
            }
            flight.progress = Progress::default();
            self.settle(flight).await?;
        }
        Err(Failure::Unsettled { rounds: budget::MAX_ROUNDS, next: format!("leave target {target}") })
    }

    /// Rounds of observe, plan, apply, until the plan is empty.
    async fn settle(&self, flight: &mut Flight<'_>) -> Result<(), Failure> {
        let mut next = String::new();
        for round in 0..budget::MAX_ROUNDS {
            let target = flight.record.as_ref().and_then(|record| target_of(&record.attachment));
            if let Some(target) = target
                && self.journal.shares_target(target, flight.intent.volume())
            {
                flight.progress.target_shared = true;
            }
            let query = plan::query(flight.intent, flight.record.as_ref(), &flight.progress);
            let facts = self.observe(&query, flight.timeline).await?;
            let watch = Watch::start();
            tracing::trace!(round, "facts:\n{facts}");
            flight.mounted = !facts.mounts.is_empty();
            self.count_paths(flight, &facts);
            let plan = plan::plan(flight.intent, &facts, flight.record.as_ref(), &flight.progress)?;
            next = plan.to_string();
            tracing::info!(round, volume = %flight.intent.volume(), plan = next, "plan");
            flight.timeline.add("(plan)", watch.spent());
            if plan.is_fulfilled() {
                return Ok(());
            }
            self.run(plan, flight).await?;
        }
        Err(Failure::Unsettled { rounds: budget::MAX_ROUNDS, next })
    }

    async fn run(&self, plan: Plan, flight: &mut Flight<'_>) -> Result<(), Failure> {
        if plan.then == Then::ReadContent {
            flight.progress.want_content();
        }
        for batch in plan.batches {
            let leaving = find_departure(&batch).cloned();
            let alone = match &leaving {
                None => None,
                Some(target) => match self.targets.find_exclusive(target) {
                    Some(alone) if !self.journal.shares_target(target, flight.intent.volume()) => Some(alone),
                    // Somebody came while this flight was under way: the sessions are theirs now.
                    _ => {
                        flight.progress.target_shared = true;
                        return Ok(());
                    }
                },
            };
            if !flight.touched && matches!(flight.intent, Intent::Unstage(_)) {
                self.phases.set(flight.intent.volume(), Phase::Unstaging);
            }
            flight.touched = true;
            for step in &batch.steps {
                if let Step::MakeFilesystem { fs, .. } = step {
                    self.require(&preflight::needs_to_format(*fs), flight.timeline).await?;
                }
                flight.progress.note(step);
            }
            self.ensure_credentials(&batch, flight).await?;
            batch::apply(&self.host, batch, flight.chap.as_ref(), flight.timeline).await?;
            drop(alone);
        }
        Ok(())
    }

    async fn observe(&self, query: &Query, timeline: &mut Timeline) -> Result<Facts, Failure> {
        let watch = Watch::start();
        let facts = tokio::time::timeout(budget::OBSERVE, self.host.observe(query))
            .await
            .map_err(|_elapsed| Failure::ObserveTimeout(budget::OBSERVE))??;
        timeline.add("observe", watch.spent());
        Ok(facts)
    }

    async fn write(&self, record: &StageRecord, timeline: &mut Timeline) -> Result<(), Failure> {
        let watch = Watch::start();
        self.journal.write(record).await?;
        timeline.add("(record)", watch.spent());
        Ok(())
    }

    async fn share(&self, target: &Iqn, timeline: &mut Timeline) -> impl Drop + use<H> {
        let watch = Watch::start();
        let guard = self.targets.share(target).await;
        timeline.add("(target)", watch.spent());
        guard
    }

    async fn require(&self, needs: &[Need], timeline: &mut Timeline) -> Result<(), Failure> {
        // A daemon may have stopped since.
        if needs.iter().any(|need| need.may_vanish()) {
            let facts = self.observe(&preflight::daemons_query(), timeline).await?;
            if let Some(daemons) = &facts.daemons {
                self.preflight.learn_daemons(daemons);
            }
        }
        // The cure of a defect may have been applied.
        if self.preflight.require(needs).is_err() {
            let facts = self.observe(&preflight::query(), timeline).await?;
            if let Some(host) = &facts.host {
                self.preflight.learn(host);
            }
        }
        Ok(self.preflight.require(needs)?)
    }

    /// Credentials are fetched once a flight, when a login needs them, and forgotten with it.
    async fn ensure_credentials(&self, batch: &Batch, flight: &mut Flight<'_>) -> Result<(), Failure> {
        let needed = batch.steps.iter().any(|step| matches!(step, Step::LogIn { authenticated: true, .. }));
        if !needed || flight.chap.is_some() {
            return Ok(());
        }
        let watch = Watch::start();
        let fetched = self.credentials.chap(flight.intent.volume()).await;
        flight.timeline.add("(credentials)", watch.spent());
        flight.chap = Some(fetched?);
        Ok(())
    }

    fn count_paths(&self, flight: &Flight<'_>, facts: &Facts) {
        let (Intent::Stage(stage), Some(map)) = (flight.intent, facts.map.present()) else { return };
        let PublishContext::Iscsi(iscsi) = &stage.attachment else { return };
        let count = PathCount { expected: iscsi.portals.len(), usable: map.usable.len() };
        self.paths.lock().insert(stage.volume.clone(), count);
    }
}

fn target_of(attachment: &PublishContext) -> Option<&Iqn> {
    match attachment {
        PublishContext::Nfs(_) => None,
        PublishContext::Iscsi(iscsi) => Some(&iscsi.target),
    }
}

/// The target whose sessions or records this batch ends.
fn find_departure(batch: &Batch) -> Option<&Iqn> {
    batch.steps.iter().find_map(|step| match step {
        Step::LogOut { target, .. } | Step::ForgetPortal { target, .. } => Some(target),
        _ => None,
    })
}

/// Whether the orchestrator will take the answer as "nothing happened, and nothing will".
fn is_final(failure: &Failure) -> bool {
    let lasting = |disposition: Disposition| match disposition {
        Disposition::Refused | Disposition::Invalid | Disposition::Broken => true,
        Disposition::Conflict | Disposition::Transient | Disposition::NotYet | Disposition::Exhausted => {
            false
        }
    };
    match failure {
        Failure::Refused(refusal) => lasting(refusal.disposition),
        Failure::Step(error) => lasting(error.disposition),
        Failure::Access(AccessError::Unreachable { .. }) => false,
        Failure::Access(_) | Failure::Unfit(_) => true,
        Failure::Observe(_)
        | Failure::ObserveTimeout(_)
        | Failure::Journal(_)
        | Failure::QueueFull(_)
        | Failure::Unsettled { .. }
        | Failure::Lost => false,
    }
}
