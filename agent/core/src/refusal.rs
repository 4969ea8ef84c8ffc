//! Decisions not to act. A refusal is no error of ours: it names the hazard it avoids and the cure.

use crate::outcome::Disposition;

/// Hazards of `HAZARDS.md` that a plan can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hazard {
    /// Formatting a device that holds data.
    H01,
    /// The wrong device.
    H02,
    /// Ghost devices and orphan maps after a detach.
    H03,
    /// Multipath assembly race.
    H05,
    /// Identity lost, sessions leaked.
    H06,
    /// A dead portal.
    H08,
    /// Harming what another volume or a workload uses.
    H10,
    /// OK when it is not so.
    H12,
    /// Stacked mounts.
    H13,
    /// Dirty or damaged filesystems.
    H14,
    /// Host tooling missing.
    H15,
}

impl core::fmt::Display for Hazard {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

/// Why nothing (more) is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The hazard it avoids.
    pub hazard: Hazard,
    /// What was found, where.
    pub found: String,
    /// What a person, or the orchestrator, can do.
    pub advice: String,
    /// What it means for the caller.
    pub disposition: Disposition,
}

impl Refusal {
    /// A hazard stands in the way until a person has looked.
    pub fn refused(hazard: Hazard, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { hazard, found: found.into(), advice: advice.into(), disposition: Disposition::Refused }
    }

    /// The same, with another meaning for the caller.
    pub fn with(self, disposition: Disposition) -> Self {
        Self { disposition, ..self }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}; {}", self.hazard, self.found, self.advice)
    }
}

impl core::error::Error for Refusal {}
