//! What volumes are asked to do, counted for the statistics of the API: totals, and rates over the
//! last whole sample of half a second.

use std::time::{Duration, Instant};

use iscsi_target::{Direction, Transfer};

/// Length of a sample (`samplePeriodMSec`).
pub(crate) const SAMPLE: Duration = Duration::from_millis(500);

/// Operations and bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Transfers.
    pub operations: u64,
    /// Bytes they covered.
    pub bytes: u64,
}

/// What went in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// From volumes.
    pub read: Count,
    /// To volumes.
    pub written: Count,
    /// How long transfers were held back altogether.
    pub waited: Duration,
}

impl Span {
    fn add(&mut self, transfer: Transfer, wait: Duration) {
        let count = match transfer.direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.written,
        };
        count.operations += 1;
        count.bytes = count.bytes.saturating_add(transfer.bytes);
        self.waited = self.waited.saturating_add(wait);
    }

    /// Transfers of both directions.
    pub fn operations(&self) -> u64 {
        self.read.operations + self.written.operations
    }

    /// Bytes of both directions.
    pub fn bytes(&self) -> u64 {
        self.read.bytes.saturating_add(self.written.bytes)
    }
}

/// What the API tells of traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Since the volume is there.
    pub total: Span,
    /// In the last whole sample.
    pub sample: Span,
}

impl Traffic {
    /// Transfers a second, in the last sample.
    pub fn iops(&self) -> u64 {
        self.sample.operations() * 1000 / SAMPLE.as_millis() as u64
    }
}

/// Counts.
#[derive(Debug)]
pub(crate) struct Counter {
    total: Span,
    last: Span,
    running: Span,
    begun: Instant,
}

impl Counter {
    pub(crate) fn new(now: Instant) -> Self {
        Self { total: Span::default(), last: Span::default(), running: Span::default(), begun: now }
    }

    /// Counts a transfer that waits so long.
    pub(crate) fn add(&mut self, transfer: Transfer, wait: Duration, now: Instant) {
        self.turn(now);
        self.total.add(transfer, wait);
        self.running.add(transfer, wait);
    }

    /// What there is to tell at `now`.
    pub(crate) fn read(&mut self, now: Instant) -> Traffic {
        self.turn(now);
        Traffic { total: self.total, sample: self.last }
    }

    /// Ends the running sample when its time is over.
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun);
        if passed < SAMPLE {
            return;
        }
        let whole = passed.as_nanos() / SAMPLE.as_nanos();
        self.last = if whole == 1 { self.running } else { Span::default() };
        self.running = Span::default();
        self.begun = now - Duration::from_nanos((passed.as_nanos() % SAMPLE.as_nanos()) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: u64) -> Transfer {
        Transfer { direction: Direction::Read, bytes }
    }

    #[test]
    fn rates_are_those_of_the_last_whole_sample_and_totals_stay() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut counter = Counter::new(start);
        for _ in 0..100 {
            counter.add(read(4096), Duration::ZERO, at(400));
        }
        assert_eq!(counter.read(at(499)).iops(), 0, "the sample is not over");
        let told = counter.read(at(600));
        assert_eq!((told.iops(), told.sample.read), (200, Count { operations: 100, bytes: 409_600 }));
        counter.add(Transfer { direction: Direction::Write, bytes: 512 }, SAMPLE, at(700));
        assert_eq!(counter.read(at(900)).iops(), 200);
        assert_eq!(counter.read(at(1000)).iops(), 2);
        let told = counter.read(at(1600));
        assert_eq!((told.iops(), told.total.operations(), told.total.bytes()), (0, 101, 410_112));
        assert_eq!(told.total.waited, SAMPLE);
    }
}
