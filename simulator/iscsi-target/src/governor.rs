//! An array's hand on the traffic of a unit: quality of service and statistics.
//!
//! The session tells a unit's governor of every transfer before it is carried out, and lets it wait
//! as long as the governor says, beside the others. What a rate is, and whose, the simulator knows.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Which way data goes, as the initiator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the unit.
    Read,
    /// To the unit.
    Write,
}

/// One command that moves data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// Bytes of the unit it covers.
    pub bytes: u64,
}

/// Shared by every session of a unit, and by whatever publishes it anew.
pub trait Governor: Debug + Send + Sync {
    /// Takes note of a transfer that begins at `now`; how long it has to wait. Called once for each,
    /// also when it then fails.
    fn admit(&self, transfer: Transfer, now: Instant) -> Duration;
}
