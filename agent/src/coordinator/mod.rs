//! Who may run when, and the one loop that runs.
//!
//! ```text
//! submit(intent) → join, or start: record → [ observe → plan → apply ]* → empty plan → Report
//! ```
//!
//! The loop ends when the plan from fresh facts is empty: that is the verification, exit codes are
//! no evidence (hazard H12). It is bounded in rounds, every observation and step in time. Locks are
//! per volume (one flight) and, for the moment of a logout, per target.

mod batch;
mod budget;
mod flight;
mod host;
mod linux;
mod phases;
mod rehearsal;
mod report;
mod single_flight;
mod targets;
mod timeline;

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_core::intent::Intent;
use agent_core::record;
use agent_linux::own_time::OwnTime;
use contract::VolumeId;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::fleet::Credentials;
use crate::journal::Journal;
use crate::preflight::Preflight;

pub use host::Host;
pub use phases::{Phase, Standing};
pub use report::{Failure, Report};
pub use single_flight::QueueFull;
pub use timeline::Timeline;

pub(crate) use timeline::micros;

use phases::Phases;
use single_flight::{Flights, Landing, Start, Ticket};
use targets::Targets;
use timeline::Watch;

/// Runs intents on a node.
#[derive(Debug)]
pub struct Coordinator<H> {
    host: H,
    journal: Arc<Journal>,
    credentials: Arc<dyn Credentials>,
    preflight: Arc<Preflight>,
    flights: Flights,
    targets: Targets,
    phases: Phases,
    paths: Mutex<BTreeMap<VolumeId, PathCount>>,
}

/// Paths of a staged block volume when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathCount {
    /// Portals the controller offered.
    pub expected: usize,
    /// Paths that could carry I/O.
    pub usable: usize,
}

impl<H: Host> Coordinator<H> {
    /// A coordinator over `host`.
    pub fn new(
        host: H,
        journal: Arc<Journal>,
        credentials: Arc<dyn Credentials>,
        preflight: Arc<Preflight>,
    ) -> Arc<Self> {
        Arc::new(Self {
            host,
            journal,
            credentials,
            preflight,
            flights: Flights::default(),
            targets: Targets::default(),
            phases: Phases::default(),
            paths: Mutex::default(),
        })
    }

    /// The node.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// How far `volume` has come, where a record of it exists. Until [`Self::review`] has looked, a
    /// volume of an earlier process counts as not staged.
    pub fn standing(&self, volume: &VolumeId) -> Standing {
        let unseen = || Standing { phase: Phase::Staging, message: String::new() };
        self.phases.find(volume).unwrap_or_else(unseen)
    }

    /// Changes whenever the standing of a volume does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.phases.changes()
    }

    /// Looks how far the volumes of an earlier process have come. Asks no array, waits for no device.
    pub async fn review(&self) {
        for record in self.journal.records() {
            let query = record::query(&record);
            match tokio::time::timeout(budget::OBSERVE, self.host.observe(&query)).await {
                Ok(Ok(facts)) if record::is_staged(&record, &facts) => {
                    self.phases.set_if_unknown(&record.volume, Phase::Staged);
                }
                Ok(Ok(_)) => {
                    tracing::info!(volume = %record.volume, "recorded and not, or not wholly, staged")
                }
                Ok(Err(error)) => {
                    tracing::warn!(volume = %record.volume, error = %telemetry::chain(&error), "cannot be looked at");
                }
                Err(_elapsed) => tracing::warn!(volume = %record.volume, "could not be looked at in time"),
            }
        }
    }

    /// Paths of `volume` when it was last looked at by this process.
    pub fn find_paths(&self, volume: &VolumeId) -> Option<PathCount> {
        self.paths.lock().get(volume).copied()
    }

    /// Fulfils `intent`, or joins the flight that is about to. Dropping this future leaves the
    /// flight alone: it goes on to its end.
    pub async fn submit(self: &Arc<Self>, intent: Intent) -> Arc<Report> {
        let landing = match self.flights.join_or_start(&intent) {
            Ok(Ticket::Joined(landing)) => {
                tracing::info!(%intent, "joined the flight that is under way");
                landing
            }
            Ok(Ticket::New(start)) => {
                let landing = start.landing.clone();
                let span = tracing::Span::current();
                let flight = Arc::clone(self).take_off(intent, start).instrument(span);
                tokio::spawn(OwnTime::default().count_polls(flight));
                landing
            }
            Err(full) => {
                return Arc::new(Report { result: Err(full.into()), timeline: Timeline::default() });
            }
        };
        landed(landing)
            .await
            .unwrap_or_else(|| Arc::new(Report { result: Err(Failure::Lost), timeline: Timeline::default() }))
    }

    async fn take_off(self: Arc<Self>, intent: Intent, start: Start) {
        let queued = Watch::start();
        let listed = Landed { flights: &self.flights, volume: intent.volume(), number: start.number };
        let mut timeline = Timeline::default();
        if let Some(previous) = start.after {
            landed(previous).await;
            timeline.add("(queue)", queued.spent());
        }
        let result = self.fly(&intent, &mut timeline).await;
        match &result {
            Ok(()) => tracing::info!(%intent, "fulfilled"),
            Err(failure) => {
                tracing::warn!(%intent, failure = %telemetry::chain(failure), "not fulfilled");
            }
        }
        // Off the list before the result is out: a call that comes after it starts anew.
        drop(listed);
        timeline.close(OwnTime::current().so_far());
        start.result.send_replace(Some(Arc::new(Report { result, timeline })));
    }
}

/// Takes the flight off the list however its task ends.
struct Landed<'a> {
    flights: &'a Flights,
    volume: &'a VolumeId,
    number: u64,
}

impl Drop for Landed<'_> {
    fn drop(&mut self) {
        self.flights.landed(self.volume, self.number);
    }
}

/// Waits for a flight's result; `None` when its task ended without one.
async fn landed(mut landing: Landing) -> Option<Arc<Report>> {
    let report = landing.wait_for(Option::is_some).await.ok()?;
    report.clone()
}
