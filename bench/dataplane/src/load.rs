//! What is asked of a server, and what came of it.

use std::time::{Duration, Instant};

/// Reads or writes of one size at one depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) write: bool,
    pub(crate) random: bool,
    /// Bytes an operation moves.
    pub(crate) size: usize,
    /// Operations under way at once.
    pub(crate) depth: usize,
    pub(crate) until: Until,
}

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Time(Duration),
    Operations(u64),
}

impl Load {
    /// Whether one more operation is begun after `begun`.
    pub(crate) fn goes_on(&self, since: Instant, begun: u64) -> bool {
        match self.until {
            Until::Time(time) => since.elapsed() < time,
            Until::Operations(count) => begun < count,
        }
    }
}

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    pub(crate) operations: u64,
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl Score {
    pub(crate) fn operations_per_second(&self) -> f64 {
        self.operations as f64 / self.took.as_secs_f64()
    }

    /// MiB per second.
    pub(crate) fn throughput(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20) / self.took.as_secs_f64()
    }
}

/// The places a load touches, in bytes from the start: the same ones on every server.
pub(crate) struct Places {
    random: bool,
    size: usize,
    count: usize,
    state: u64,
    next: usize,
}

impl Places {
    /// Over a unit of `span` bytes.
    pub(crate) fn new(load: &Load, span: usize) -> Self {
        Self {
            random: load.random,
            size: load.size,
            count: span / load.size,
            state: 0x9e37_79b9_7f4a_7c15,
            next: 0,
        }
    }

    pub(crate) fn next(&mut self) -> usize {
        if self.random {
            // xorshift64: cheap, and repeats itself in every run.
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            return (self.state % self.count as u64) as usize * self.size;
        }
        let place = self.next % self.count;
        self.next += 1;
        place * self.size
    }
}
