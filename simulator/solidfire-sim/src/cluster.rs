//! The running cluster: the pure machine, the data plane that follows it, and the event log. One call
//! at a time; a client gets its answer when the data plane has followed.

use jiff::Timestamp;
use levers::{EventLog, Levers, Schedule};
use parking_lot::Mutex;
use records::{DataDir, DataDirError};
use serde_json::json;
use tokio::sync::Notify;
use tracing::error;

use crate::contents::ContentError;
use crate::dataplane::DataPlane;
use crate::state::{ApiError, DataPlaneChange, Reply, Request, State};

/// A SolidFire cluster.
#[derive(Debug)]
pub struct Cluster {
    state: Mutex<State>,
    data_plane: DataPlane,
    events: EventLog,
    levers: Levers,
    schedule: Schedule,
    data: Option<DataDir>,
    /// Something was changed.
    changed: Notify,
}

/// Why what was decided could not be carried out. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum CarryOutError {
    /// No content for a volume or snapshot.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// The data directory.
    #[error(transparent)]
    Durable(#[from] DataDirError),
}

impl Cluster {
    /// A cluster in `state`, whose volumes `data_plane` serves as `levers` say.
    pub fn new(state: State, data_plane: DataPlane, events: EventLog, levers: Levers) -> Self {
        let schedule = Schedule::new(levers.clone(), events.clone());
        Self {
            state: Mutex::new(state),
            data_plane,
            events,
            levers,
            schedule,
            data: None,
            changed: Notify::new(),
        }
    }

    /// The same, whose state is kept in `data`, and whose data plane is told what there is already.
    ///
    /// # Errors
    /// [`CarryOutError`] when the state cannot be made durable, or a declared volume has no room.
    pub fn revived(self, data: Option<DataDir>) -> Result<Self, CarryOutError> {
        {
            let mut state = self.state.lock();
            let changes = state.revive();
            // What is kept has its contents: a start without one ends before this. What a file declares
            // gets them now.
            self.data_plane.make(&changes)?;
            keep(&mut state, data.as_ref())?;
            changes.into_iter().for_each(|change| self.data_plane.apply(change));
        }
        Ok(Self { data, ..self })
    }

    /// Carries out `request`.
    ///
    /// # Errors
    /// [`ApiError`] when the cluster refuses it; then nothing has changed.
    pub fn call(&self, request: Request) -> Result<Reply, ApiError> {
        // Held until the data plane has followed, so that changes reach it in the order of the calls.
        let mut state = self.state.lock();
        let marks = state.mark_rows();
        let outcome = state.execute(request, Timestamp::now(), &self.data_plane);
        if state.mark_rows() != marks {
            self.changed.notify_one();
        }
        match self.carry_out(&mut state, &outcome.changes) {
            Ok(()) => outcome.changes.into_iter().for_each(|change| self.data_plane.apply(change)),
            Err(error) => {
                state.roll_back_rows(&marks);
                error!(error = &error as &dyn std::error::Error, "a change could not be carried out");
                self.events.record("change.failed", json!({ "error": error.to_string() }));
                return Err(ApiError::NotCarriedOut { reason: error.to_string() });
            }
        }
        outcome.reply
    }

    /// Does what is due.
    ///
    /// # Errors
    /// [`ApiError::NotCarriedOut`]; it is due still.
    pub(crate) fn tick(&self) -> Result<(), ApiError> {
        self.call(Request::GetApi)?;
        self.events.record("clock.due", json!({}));
        Ok(())
    }

    /// Wakes who waits for the next event of the state: it may have become another one.
    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Makes what is new and then the state durable, or nothing of it.
    fn carry_out(&self, state: &mut State, changes: &[DataPlaneChange]) -> Result<(), CarryOutError> {
        self.data_plane.make(changes)?;
        keep(state, self.data.as_ref()).inspect_err(|_| self.data_plane.unmake(changes))?;
        Ok(())
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

/// Makes durable what changed.
fn keep(state: &mut State, data: Option<&DataDir>) -> Result<(), DataDirError> {
    if let Some(data) = data {
        data.save(&state.dirty_rows()?)?;
    }
    state.forget_dirty();
    Ok(())
}
