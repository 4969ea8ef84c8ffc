//! What a server can be told to do differently, with the values it has by default.

use std::time::Duration;

use crate::chap::ChapAlgorithm;

/// Settings of an [`crate::IscsiServer`].
#[derive(Clone, Debug)]
pub struct Options {
    /// How silent initiators are found out.
    pub keepalive: Keepalive,
    /// How long a login may take from the first byte to the last.
    pub login_deadline: Duration,
    /// Sessions served at once, discovery sessions not counted; further logins are refused with "out
    /// of resources" (0x0302).
    pub max_sessions: usize,
    /// CHAP algorithms spoken; of those the initiator offers, in its order of preference, the first
    /// that stands here is taken.
    pub chap: Vec<ChapAlgorithm>,
}

/// When an initiator is asked for a sign of life with a NOP-In, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// It is asked when it was silent for this long, and at most twice as long.
    pub every: Duration,
    /// It is dropped when nothing was heard for this long after that.
    pub answer_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            keepalive: Keepalive { every: minute, answer_within: minute },
            login_deadline: Duration::from_secs(30),
            max_sessions: 4096,
            chap: ChapAlgorithm::ALL.to_vec(),
        }
    }
}
