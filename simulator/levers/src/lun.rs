//! Faults of one logical unit, known by its serial number: they follow the unit through every
//! mapping, portal and session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use crate::latency::Latency;

/// Attentions kept for nexuses that have not asked yet; older ones are forgotten first.
const MAX_ATTENTIONS: usize = 64;

/// Which transfers bad blocks fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Reads only, as of a sector gone bad.
    #[default]
    Read,
    /// Writes only.
    Write,
    /// Both.
    Both,
}

/// Blocks that cannot be read or written: MEDIUM ERROR (SPC-4 §4.5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadBlocks {
    /// First bad logical block.
    pub first: u64,
    /// Last bad logical block.
    pub last: u64,
    /// Which transfers fail.
    #[serde(default)]
    pub access: Access,
}

impl BadBlocks {
    /// The first bad block in `lba..lba + blocks`.
    #[must_use]
    pub fn first_in(&self, lba: u64, blocks: u64) -> Option<u64> {
        let hit = self.first.max(lba);
        (hit <= self.last && hit < lba.saturating_add(blocks)).then_some(hit)
    }
}

/// How a logical unit misbehaves; all at rest by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LunFaults {
    /// NOT READY, LOGICAL UNIT NOT READY, MANUAL INTERVENTION REQUIRED to every medium access, as of
    /// a LUN that an administrator took offline.
    pub offline: bool,
    /// TASK SET FULL to every command.
    pub task_set_full: bool,
    /// RESERVATION CONFLICT to every command that a foreign reservation would refuse.
    pub reservation_conflict: bool,
    /// Blocks that fail.
    pub medium_errors: Vec<BadBlocks>,
    /// Each read and write is late.
    pub latency: Option<Latency>,
    /// Reads return so many bytes fewer than asked for, GOOD status and a residual count.
    pub short_reads: u32,
}

impl LunFaults {
    /// The first block of the range that a fault makes unreadable or unwritable.
    #[must_use]
    pub fn bad_block(&self, access: Access, lba: u64, blocks: u64) -> Option<u64> {
        let hits = |bad: &&BadBlocks| bad.access == Access::Both || bad.access == access;
        self.medium_errors.iter().filter(hits).filter_map(|bad| bad.first_in(lba, blocks)).min()
    }
}

/// A unit attention to be reported once to every nexus: ASC and ASCQ (SPC-4 annex on sense codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// ADDITIONAL SENSE CODE.
    pub asc: u8,
    /// ADDITIONAL SENSE CODE QUALIFIER.
    pub ascq: u8,
}

/// The lever of one logical unit. Clones are the same lever.
#[derive(Clone, Debug, Default)]
pub struct LunLever(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether any fault is set: all that a command at rest looks at.
    armed: AtomicBool,
    faults: RwLock<Arc<LunFaults>>,
    /// Attentions so far; [`Inner::attentions`] holds the newest of them.
    attention_count: AtomicU64,
    attentions: Mutex<Vec<(u64, Attention)>>,
}

impl LunLever {
    /// The faults, if any is set. One atomic load while none is.
    #[must_use]
    pub fn faults(&self) -> Option<Arc<LunFaults>> {
        self.0.armed.load(Ordering::Acquire).then(|| Arc::clone(&self.0.faults.read()))
    }

    /// Sets the faults, in place of those set before.
    pub fn set(&self, faults: LunFaults) {
        let armed = faults != LunFaults::default();
        *self.0.faults.write() = Arc::new(faults);
        self.0.armed.store(armed, Ordering::Release);
    }

    /// How many attentions were raised so far: where a new nexus starts.
    #[must_use]
    pub fn attention_count(&self) -> u64 {
        self.0.attention_count.load(Ordering::Acquire)
    }

    /// Raises an attention for every nexus there is now.
    pub fn raise(&self, attention: Attention) {
        let mut attentions = self.0.attentions.lock();
        let number = self.0.attention_count.load(Ordering::Acquire);
        attentions.push((number, attention));
        if attentions.len() > MAX_ATTENTIONS {
            attentions.remove(0);
        }
        self.0.attention_count.store(number + 1, Ordering::Release);
    }

    /// The attentions from number `seen` on, and the number to ask with next time.
    #[must_use]
    pub fn attentions_since(&self, seen: u64) -> (Vec<Attention>, u64) {
        let attentions = self.0.attentions.lock();
        let new = attentions.iter().filter(|(number, _)| *number >= seen).map(|(_, attention)| *attention);
        (new.collect(), self.attention_count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_range_fails_what_touches_it_and_nothing_else() {
        let bad = BadBlocks { first: 10, last: 12, access: Access::Write };
        let faults = LunFaults { medium_errors: vec![bad], ..LunFaults::default() };
        assert_eq!(faults.bad_block(Access::Write, 0, 11), Some(10));
        assert_eq!(faults.bad_block(Access::Write, 12, 4), Some(12));
        assert_eq!(faults.bad_block(Access::Write, 0, 10), None);
        assert_eq!(faults.bad_block(Access::Write, 13, 1), None);
        assert_eq!(faults.bad_block(Access::Read, 0, 100), None);
    }

    #[test]
    fn a_lever_at_rest_shows_no_faults_and_a_set_one_is_seen_by_every_clone() {
        let lever = LunLever::default();
        assert_eq!(lever.faults(), None);
        lever.clone().set(LunFaults { offline: true, ..LunFaults::default() });
        assert!(lever.faults().unwrap().offline);
        lever.set(LunFaults::default());
        assert_eq!(lever.faults(), None);
    }

    #[test]
    fn each_nexus_sees_an_attention_once_and_one_that_came_later_does_not_see_it() {
        let lever = LunLever::default();
        let early = lever.attention_count();
        let attention = Attention { asc: 0x2a, ascq: 0x01 };
        lever.raise(attention);
        let late = lever.attention_count();
        let (seen, next) = lever.attentions_since(early);
        assert_eq!((seen, next), (vec![attention], 1));
        assert!(lever.attentions_since(next).0.is_empty());
        assert!(lever.attentions_since(late).0.is_empty());
    }
}
