//! How far each recorded volume has come, as the controller is told it.
//!
//! A record says only that a stage was begun: it is written before the first effect. What came of it is
//! known to the flights, and after a start of the agent from a look at the node.

use std::collections::BTreeMap;

use contract::VolumeId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// How far a volume has come on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A stage is under way, or one was begun and did not come to its end.
    Staging,
    /// Staged: a flight came to its end, or the node shows it so.
    Staged,
    /// An unstage is under way, or one was begun and did not come to its end.
    Unstaging,
}

impl Phase {
    /// As `fleet.proto` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Staged => "staged",
            Self::Unstaging => "unstaging",
        }
    }
}

/// A volume's phase, and why the last call for it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far it has come.
    pub phase: Phase,
    /// Empty unless the last call failed.
    pub message: String,
}

#[derive(Debug, Default)]
pub(super) struct Phases {
    of_volume: Mutex<BTreeMap<VolumeId, Standing>>,
    changes: watch::Sender<u64>,
}

impl Phases {
    pub(super) fn find(&self, volume: &VolumeId) -> Option<Standing> {
        self.of_volume.lock().get(volume).cloned()
    }

    /// Changes with every phase and message.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A stage begins. One of a volume that is staged changes nothing of that.
    pub(super) fn stage_begins(&self, volume: &VolumeId) {
        let staged = self.find(volume).is_some_and(|standing| standing.phase == Phase::Staged);
        if !staged {
            self.set(volume, Phase::Staging);
        }
    }

    pub(super) fn set(&self, volume: &VolumeId, phase: Phase) {
        let standing = Standing { phase, message: String::new() };
        if self.of_volume.lock().insert(volume.clone(), standing.clone()) != Some(standing) {
            self.tell();
        }
    }

    /// What a look at the node shows, unless a flight has said more since.
    pub(super) fn set_if_unknown(&self, volume: &VolumeId, phase: Phase) {
        if self.find(volume).is_none() {
            self.set(volume, phase);
        }
    }

    /// A call failed; it left the volume in `phase`. A volume that is forgotten meanwhile stays so.
    pub(super) fn failed(&self, volume: &VolumeId, phase: Phase, message: String) {
        if let Some(standing) = self.of_volume.lock().get_mut(volume) {
            *standing = Standing { phase, message };
        }
        self.tell();
    }

    pub(super) fn forget(&self, volume: &VolumeId) {
        if self.of_volume.lock().remove(volume).is_some() {
            self.tell();
        }
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
