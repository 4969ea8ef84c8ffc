//! Quality of service as a cluster keeps it: how long a transfer waits, so that a volume stays
//! within its maxIOPS, bursts on what it saved, and gets its minIOPS when all want more than there
//! is.
//!
//! Everything is counted in operations of 4 KiB; larger ones cost what [`Qos::cost`] says. Rates are
//! buckets that fill with time. A transfer takes its cost out at once, even where that leaves debt,
//! and waits until the debt is filled up: the next one queues behind it, and the rate holds however
//! unevenly timers fire.
//!
//! ```text
//! transfer ─► burst: burstIOPS, hardly deep ─► credit: maxIOPS, 60 s of burst deep ─┬─► share of the cluster
//!                                                            whichever lets it go first └─► reserve: minIOPS
//! ```

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::state::Qos;

/// Rates are kept over spans of this length: shorter waits than timers can give even out.
const EVENNESS: f64 = 0.02;
/// What is reserved for a volume stays reserved for so many seconds: a client that pauses for a
/// moment, as one with few processors does, has not given up its minIOPS.
const RESERVED: f64 = 0.25;

/// A rate, and how far ahead of it or behind it one is.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Operations; negative is debt.
    level: f64,
    filled: Instant,
}

impl Bucket {
    /// Brings the level to `now`: `rate` operations a second, at most `depth`.
    fn fill(&mut self, now: Instant, rate: f64, depth: f64) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + passed * rate).min(depth);
        self.filled = self.filled.max(now);
    }

    /// Seconds until there is no debt once `cost` is taken.
    fn wait(&self, cost: f64, rate: f64) -> f64 {
        ((cost - self.level) / rate).max(0.0)
    }
}

/// What all volumes together can do.
#[derive(Debug)]
pub(crate) struct ClusterPace {
    rate: f64,
    share: Mutex<Bucket>,
}

impl ClusterPace {
    /// `iops`: operations of 4 KiB a second.
    pub(crate) fn new(iops: u32, now: Instant) -> Self {
        let rate = f64::from(iops.max(1));
        Self { rate, share: Mutex::new(Bucket { level: rate * EVENNESS, filled: now }) }
    }
}

/// What one volume may do.
#[derive(Debug)]
pub(crate) struct VolumePace {
    qos: Qos,
    burst: Bucket,
    credit: Bucket,
    reserve: Bucket,
}

impl VolumePace {
    /// A volume that has saved no burst yet.
    pub(crate) fn new(qos: Qos, now: Instant) -> Self {
        let even = |rate: i64| Bucket { level: rate as f64 * EVENNESS, filled: now };
        Self {
            qos,
            burst: even(qos.burst_iops()),
            credit: even(qos.max_iops()),
            reserve: even(qos.min_iops()),
        }
    }

    /// Other rates from now on; what was saved stays, as far as there is room for it.
    pub(crate) fn change(&mut self, qos: Qos, now: Instant) {
        self.fill(now);
        self.qos = qos;
        self.fill(now);
    }

    fn fill(&mut self, now: Instant) {
        let [min, max, burst] = self.rates();
        let saved = (burst - max) * Qos::BURST_TIME as f64;
        self.burst.fill(now, burst, burst * EVENNESS);
        self.credit.fill(now, max, saved + max * EVENNESS);
        self.reserve.fill(now, min, min * RESERVED);
    }

    fn rates(&self) -> [f64; 3] {
        [self.qos.min_iops(), self.qos.max_iops(), self.qos.burst_iops()].map(|rate| rate as f64)
    }

    /// Operations the volume may do beyond its maxIOPS.
    pub(crate) fn credit(&mut self, now: Instant) -> u64 {
        self.fill(now);
        let [_, max, _] = self.rates();
        (self.credit.level - max * EVENNESS).max(0.0) as u64
    }

    /// Takes a transfer of `bytes`; how long it waits.
    pub(crate) fn admit(&mut self, bytes: u64, cluster: &ClusterPace, now: Instant) -> Duration {
        self.fill(now);
        let [min, max, burst] = self.rates();
        let cost = Qos::cost(bytes);
        let own = self.burst.wait(cost, burst).max(self.credit.wait(cost, max));
        self.burst.level -= cost;
        self.credit.level -= cost;
        let mut share = cluster.share.lock();
        share.fill(now, cluster.rate, cluster.rate * EVENNESS);
        let (of_share, of_reserve) = (share.wait(cost, cluster.rate), self.reserve.wait(cost, min));
        // What is reserved is used up only where the share would come later. Either way the cluster
        // does the work.
        share.level -= cost;
        let turn = if of_share <= of_reserve {
            of_share
        } else {
            self.reserve.level -= cost;
            of_reserve
        };
        Duration::from_secs_f64(own.max(turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::QosPatch;

    fn qos(min: i64, max: i64, burst: i64) -> Qos {
        let patch = QosPatch { min_iops: Some(min), max_iops: Some(max), burst_iops: Some(burst) };
        Qos::DEFAULT.patched(patch).unwrap()
    }

    /// A client that keeps `depth` transfers under way, served when they are due.
    struct Client {
        pace: VolumePace,
        /// When those under way are done.
        due: Vec<Option<Instant>>,
        bytes: u64,
        done: u64,
    }

    impl Client {
        fn new(qos: Qos, depth: usize, bytes: u64, now: Instant) -> Self {
            Self { pace: VolumePace::new(qos, now), due: vec![None; depth], bytes, done: 0 }
        }
    }

    /// Lets the clients work for so many milliseconds, each in steps of one: transfers finished.
    fn work(clients: &mut [Client], cluster: &ClusterPace, from: Instant, milliseconds: u64) -> Vec<u64> {
        clients.iter_mut().for_each(|client| client.done = 0);
        for step in 0..milliseconds {
            let now = from + Duration::from_millis(step);
            for client in clients.iter_mut() {
                let Client { pace, due, bytes, done } = client;
                for slot in due.iter_mut() {
                    // At most so often in a step: a fast volume is no endless loop.
                    for _ in 0..1000 {
                        match slot {
                            Some(due) if *due > now => break,
                            Some(_) => *done += 1,
                            None => {}
                        }
                        *slot = Some(now + pace.admit(*bytes, cluster, now));
                    }
                }
            }
        }
        clients.iter().map(|client| client.done).collect()
    }

    fn assert_near(found: u64, expected: u64) {
        assert!(found.abs_diff(expected) * 20 <= expected, "{found} is not within 5 % of {expected}");
    }

    #[test]
    fn a_busy_volume_does_its_max_iops() {
        let start = Instant::now();
        for (depth, max) in [(1, 2000), (32, 2000), (128, 8000), (1, 100)] {
            let cluster = ClusterPace::new(200_000, start);
            let mut client = [Client::new(qos(50, max, 2 * max), depth, 4096, start)];
            let done = work(&mut client, &cluster, start, 10_000);
            assert_near(done[0], 10 * max as u64);
        }
    }

    #[test]
    fn large_transfers_cost_what_the_curve_says() {
        let start = Instant::now();
        for (bytes, cost) in [(512, 1.0), (8192, 1.6), (65_536, 10.0), (262_144, 39.0), (1 << 20, 150.0)] {
            let cluster = ClusterPace::new(200_000, start);
            let mut client = [Client::new(qos(50, 3000, 3000), 32, bytes, start)];
            let done = work(&mut client, &cluster, start, 20_000);
            assert_near(done[0], (60_000.0 / cost) as u64);
        }
    }

    #[test]
    fn an_idle_volume_saves_for_a_burst_and_then_falls_back() {
        let start = Instant::now();
        let cluster = ClusterPace::new(200_000, start);
        let mut client = [Client::new(qos(1000, 2000, 4000), 32, 4096, start)];
        let busy = start + Duration::from_secs(5);
        let now = busy;
        assert_near(client[0].pace.credit(now), 10_000);
        // 10 000 saved, used up at 2000 a second beyond maxIOPS.
        assert_near(work(&mut client, &cluster, busy, 4000)[0], 16_000);
        let later = busy + Duration::from_secs(6);
        work(&mut client, &cluster, busy + Duration::from_secs(4), 2000);
        assert_near(work(&mut client, &cluster, later, 4000)[0], 8000);
    }

    #[test]
    fn no_more_is_saved_than_a_minute_of_burst() {
        let start = Instant::now();
        let mut pace = VolumePace::new(qos(1000, 2000, 4000), start);
        assert_eq!(pace.credit(start + Duration::from_secs(3600)), 120_000);
    }

    #[test]
    fn under_contention_every_volume_gets_its_min_iops_and_the_cluster_is_not_exceeded() {
        let start = Instant::now();
        let cluster = ClusterPace::new(6000, start);
        let mut clients = [
            Client::new(qos(3000, 5000, 5000), 4, 4096, start),
            Client::new(qos(100, 15_000, 15_000), 128, 4096, start),
            Client::new(qos(100, 15_000, 15_000), 128, 4096, start),
        ];
        let done = work(&mut clients, &cluster, start, 10_000);
        assert!(done[0] >= 28_500, "{done:?}");
        assert!(done[1] >= 950 && done[2] >= 950, "{done:?}");
        assert_near(done.iter().sum(), 60_000);
    }

    #[test]
    fn a_change_of_rates_holds_at_once() {
        let start = Instant::now();
        let cluster = ClusterPace::new(200_000, start);
        let mut client = [Client::new(qos(50, 1000, 1000), 32, 4096, start)];
        work(&mut client, &cluster, start, 2000);
        let then = start + Duration::from_secs(2);
        client[0].pace.change(qos(50, 5000, 5000), then);
        assert_near(work(&mut client, &cluster, then, 4000)[0], 20_000);
    }
}
