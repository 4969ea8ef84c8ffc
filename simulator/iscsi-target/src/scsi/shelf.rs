//! What logical units remember whoever asks: reservations, mode parameters, faults. Known by NAA
//! name, so that it is the same through every target, session and portal, and outlives a new
//! [`crate::Target`] with the same units.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use levers::{EventLog, Levers, LunLever};
use parking_lot::Mutex;
use serde_json::json;

use super::reservation::{NexusId, Notice, Reservations};
use super::sense::Sense;
use crate::target::Lun;

/// Notices kept for nexuses that have not looked yet; older ones are forgotten first.
const MAX_NOTICES: usize = 256;

/// Control mode page: sense data in descriptor format.
pub(crate) const D_SENSE: u8 = 0x01;
/// Control mode page: software write protect.
pub(crate) const SWP: u8 = 0x02;

/// The lasting state of one logical unit.
#[derive(Debug)]
pub(crate) struct UnitState {
    pub(crate) reservations: Reservations,
    pub(crate) lever: LunLever,
    serial: String,
    events: EventLog,
    /// [`D_SENSE`] and [`SWP`].
    mode: AtomicU8,
    notice_count: AtomicU64,
    notices: Mutex<VecDeque<(u64, Notice)>>,
    /// PREEMPT AND ABORT so far, of every unit of the shelf.
    aborts: Arc<AtomicU64>,
}

/// What a nexus finds when it looks for news of a unit.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) attentions: Vec<Sense>,
    /// Its tasks on the unit are to be aborted.
    pub(crate) abort: bool,
}

impl UnitState {
    /// Whether a mode bit is set.
    pub(crate) fn mode(&self, bit: u8) -> bool {
        self.mode.load(Ordering::Acquire) & bit != 0
    }

    /// All mode bits that are set.
    pub(crate) fn mode_bits(&self) -> u8 {
        self.mode.load(Ordering::Acquire)
    }

    /// Sets the mode bits; whether that changed any.
    pub(crate) fn set_mode(&self, bits: u8) -> bool {
        self.mode.swap(bits, Ordering::AcqRel) != bits
    }

    /// Publishes what other nexuses must be told.
    pub(crate) fn publish(&self, news: Vec<Notice>) {
        let mut notices = self.notices.lock();
        for notice in news {
            let number = self.notice_count.load(Ordering::Acquire);
            let aborts = notice.abort;
            notices.push_back((number, notice));
            if notices.len() > MAX_NOTICES {
                notices.pop_front();
            }
            self.notice_count.store(number + 1, Ordering::Release);
            if aborts {
                self.aborts.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Where a new nexus starts to look.
    pub(crate) fn notice_count(&self) -> u64 {
        self.notice_count.load(Ordering::Acquire)
    }

    /// News for the nexus from notice `seen` on.
    pub(crate) fn news_since(&self, seen: u64, nexus: &NexusId) -> (News, u64) {
        let notices = self.notices.lock();
        let mut news = News::default();
        for (_, notice) in notices.iter().filter(|(n, notice)| *n >= seen && notice.to.includes(nexus)) {
            news.attentions.push(notice.attention);
            news.abort |= notice.abort;
        }
        (news, self.notice_count())
    }

    /// Records that a fault of the unit bit.
    pub(crate) fn record_fault(&self, fault: &str, lba: Option<u64>) {
        self.events.record("scsi.fault", json!({ "serial": self.serial, "fault": fault, "lba": lba }));
    }

    /// The unit was reset (SAM-5 §6.3.3): the SPC-2 reservation ends, mode parameters are the
    /// defaults again.
    pub(crate) fn reset(&self) {
        self.reservations.reset();
        self.set_mode(0);
    }
}

/// The units of a server.
#[derive(Debug)]
pub(crate) struct Shelf {
    levers: Levers,
    events: EventLog,
    units: Mutex<HashMap<[u8; 16], Arc<UnitState>>>,
    aborts: Arc<AtomicU64>,
}

impl Shelf {
    pub(crate) fn new(levers: Levers, events: EventLog) -> Self {
        Self { levers, events, units: Mutex::default(), aborts: Arc::default() }
    }

    /// The state of a unit, new if it has none.
    pub(crate) fn state_of(&self, lun: &Lun) -> Arc<UnitState> {
        let make = || {
            Arc::new(UnitState {
                reservations: Reservations::default(),
                lever: self.levers.lun(&lun.identity.serial),
                serial: lun.identity.serial.clone(),
                events: self.events.clone(),
                mode: AtomicU8::new(0),
                notice_count: AtomicU64::new(0),
                notices: Mutex::default(),
                aborts: Arc::clone(&self.aborts),
            })
        };
        Arc::clone(self.units.lock().entry(lun.identity.naa).or_insert_with(make))
    }

    /// How often tasks of other nexuses were aborted: a nexus that sees it change looks for news.
    pub(crate) fn aborts(&self) -> u64 {
        self.aborts.load(Ordering::Acquire)
    }

    /// Forgets units that no target has any more.
    pub(crate) fn retire(&self, gone: &HashSet<[u8; 16]>) {
        if !gone.is_empty() {
            self.units.lock().retain(|naa, _| !gone.contains(naa));
        }
    }
}
