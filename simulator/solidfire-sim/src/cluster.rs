//! The running cluster: the pure machine, the data plane that follows it, and the event log. One call
//! at a time; a client gets its answer when the data plane has followed.

use jiff::Timestamp;
use levers::{EventLog, Levers, Schedule};
use parking_lot::Mutex;
use serde_json::json;

use crate::dataplane::DataPlane;
use crate::state::{ApiError, Reply, Request, State};

/// A SolidFire cluster.
#[derive(Debug)]
pub struct Cluster {
    state: Mutex<State>,
    data_plane: DataPlane,
    events: EventLog,
    levers: Levers,
    schedule: Schedule,
}

impl Cluster {
    /// A cluster in `state`, whose volumes `data_plane` serves as `levers` say.
    pub fn new(state: State, data_plane: DataPlane, events: EventLog, levers: Levers) -> Self {
        let schedule = Schedule::new(levers.clone(), events.clone());
        Self { state: Mutex::new(state), data_plane, events, levers, schedule }
    }

    /// Carries out `request`.
    ///
    /// # Errors
    /// [`ApiError`] when the cluster refuses it; then nothing has changed.
    pub fn call(&self, request: Request) -> Result<Reply, ApiError> {
        // Held until the data plane has followed, so that changes reach it in the order of the calls.
        let mut state = self.state.lock();
        let outcome = state.execute(request, Timestamp::now(), &self.data_plane);
        for change in outcome.changes {
            self.data_plane.apply(change);
        }
        outcome.reply
    }

    /// Notes a call in the event log: its method, and how it ended. Never its parameters: they hold secrets.
    pub(crate) fn record_call(&self, method: &str, error: Option<&ApiError>) {
        self.events.record("api.call", json!({"method": method, "error": error.map(ApiError::name)}));
    }

    /// Runs `look` on the state.
    pub(crate) fn with_state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    pub(crate) fn data_plane(&self) -> &DataPlane {
        &self.data_plane
    }

    pub(crate) fn events(&self) -> &EventLog {
        &self.events
    }

    pub(crate) fn fault_levers(&self) -> &Levers {
        &self.levers
    }

    pub(crate) fn planned(&self) -> &Schedule {
        &self.schedule
    }
}
