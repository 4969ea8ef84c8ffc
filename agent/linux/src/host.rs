//! The node itself.

use std::sync::atomic::{AtomicU64, Ordering};

use agent_core::facts::{Facts, Query};
use agent_core::outcome::{ApplyContext, ObserveError, Outcome, StepError};
use agent_core::step::Step;

use crate::apply;
use crate::blocking::Bulkheads;
use crate::iscsi::locks::SessionLocks;
use crate::iscsi::record::{self, RecordError};
use crate::observe;
use crate::root::HostRoot;

/// A Linux node: `observe` reads it, `apply` changes it. Holds no facts, only what must be one for the
/// whole process: the count of observations, the set of calls that hang in the kernel, and who is at
/// which iSCSI session.
#[derive(Debug)]
pub struct LinuxHost {
    root: HostRoot,
    bulkheads: Bulkheads,
    sessions: SessionLocks,
    observations: AtomicU64,
}

impl LinuxHost {
    /// The node this process runs on.
    pub fn new() -> Self {
        Self::at(HostRoot::host())
    }

    /// A node whose files begin at `root`.
    pub fn at(root: HostRoot) -> Self {
        Self {
            root,
            bulkheads: Bulkheads::default(),
            sessions: SessionLocks::default(),
            observations: AtomicU64::new(0),
        }
    }

    /// Removes what a killed process may have left half written, for the agent's start: no other
    /// process that changes this node may run.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn sweep(&self) -> Result<(), RecordError> {
        let drafts = record::sweep_drafts(&self.root)?;
        if drafts > 0 {
            tracing::info!(drafts, "drafts of node records removed");
        }
        Ok(())
    }

    /// Reads what `query` asks for, now.
    ///
    /// # Errors
    /// When the mount table, the disks or the sessions could not be read at all.
    pub async fn observe(&self, query: &Query) -> Result<Facts, ObserveError> {
        let generation = self.observations.fetch_add(1, Ordering::Relaxed) + 1;
        observe::observe(&self.root, &self.bulkheads, query, generation).await
    }

    /// Makes `step` so. Dropping the future ends it: a program is killed with its group, a call that
    /// hangs in the kernel loses its right to take effect.
    ///
    /// # Errors
    /// [`StepError`], with what it means for the caller.
    pub async fn apply(&self, step: Step, context: &ApplyContext) -> Result<Outcome, StepError> {
        apply::apply(&self.root, &self.bulkheads, &self.sessions, step, context).await
    }
}

impl Default for LinuxHost {
    fn default() -> Self {
        Self::new()
    }
}
