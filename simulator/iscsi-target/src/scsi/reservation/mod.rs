//! Reservations of a logical unit: persistent ones (SPC-4 §5.12) and the older RESERVE(6)
//! (SPC-2 §7.21). They belong to the unit, so every session and portal meets the same.
//!
//! ```text
//! command ─ access::of → Access ─ permit ─┐
//! PERSISTENT RESERVE OUT ─ Order ─ apply ─┴─ Table (under one lock) → Notices to other nexuses
//! ```

pub(crate) mod access;
pub(crate) mod report;
mod table;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::sense::Sense;
use access::Access;
use table::Table;

/// An I_T nexus: initiator port (name and ISID) and target port (RFC 7143 §4.4.3.1, SPC-4 §7.6.4.6).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NexusId {
    /// Initiator name in normal form.
    pub(crate) initiator: Arc<str>,
    pub(crate) isid: [u8; 6],
    /// RELATIVE TARGET PORT IDENTIFIER.
    pub(crate) port: u16,
}

/// Type of a persistent reservation (SPC-4 table 66).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    WriteExclusive = 1,
    ExclusiveAccess = 3,
    WriteExclusiveRegistrants = 5,
    ExclusiveAccessRegistrants = 6,
    WriteExclusiveAll = 7,
    ExclusiveAccessAll = 8,
}

impl Kind {
    pub(crate) fn of(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::WriteExclusive,
            3 => Self::ExclusiveAccess,
            5 => Self::WriteExclusiveRegistrants,
            6 => Self::ExclusiveAccessRegistrants,
            7 => Self::WriteExclusiveAll,
            8 => Self::ExclusiveAccessAll,
            _ => return None,
        })
    }

    /// Every registrant is a holder.
    pub(crate) fn is_all(self) -> bool {
        matches!(self, Self::WriteExclusiveAll | Self::ExclusiveAccessAll)
    }

    /// Registered nexuses have the holder's access.
    fn admits_registrants(self) -> bool {
        self.is_all() || matches!(self, Self::WriteExclusiveRegistrants | Self::ExclusiveAccessRegistrants)
    }

    /// Others may not even read.
    fn is_exclusive(self) -> bool {
        matches!(self, Self::ExclusiveAccess | Self::ExclusiveAccessRegistrants | Self::ExclusiveAccessAll)
    }
}

/// What PERSISTENT RESERVE OUT orders (SPC-4 §6.17), with the keys of its parameter list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// REGISTER, or REGISTER AND IGNORE EXISTING KEY: `new` 0 unregisters.
    Register {
        key: u64,
        new: u64,
        ignore_existing: bool,
    },
    Reserve {
        key: u64,
        kind: Kind,
    },
    Release {
        key: u64,
        kind: Kind,
    },
    Clear {
        key: u64,
    },
    /// PREEMPT, or PREEMPT AND ABORT.
    Preempt {
        key: u64,
        victim: u64,
        kind: Kind,
        abort: bool,
    },
}

/// The nexuses of a unit that are told something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    AllBut(NexusId),
    Only(Vec<NexusId>),
}

impl Audience {
    pub(crate) fn includes(&self, nexus: &NexusId) -> bool {
        match self {
            Self::AllBut(one) => one != nexus,
            Self::Only(some) => some.contains(nexus),
        }
    }
}

/// A unit attention that one nexus causes on others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) to: Audience,
    pub(crate) attention: Sense,
    /// The tasks of those nexuses are aborted.
    pub(crate) abort: bool,
}

/// The reservations of one unit.
#[derive(Default)]
pub(crate) struct Reservations {
    /// Whether anything is reserved: all that a command looks at while nothing is.
    reserved: AtomicBool,
    table: Mutex<Table>,
}

impl Reservations {
    /// Whether the nexus may do this now.
    pub(crate) fn permit(&self, nexus: &NexusId, access: Access) -> Result<(), Sense> {
        if !self.reserved.load(Ordering::Acquire) || self.table.lock().permits(nexus, access) {
            Ok(())
        } else {
            Err(Sense::RESERVATION_CONFLICT)
        }
    }

    /// Carries out PERSISTENT RESERVE OUT. What other nexuses must be told is to be published by
    /// the caller.
    pub(crate) fn apply(&self, nexus: &NexusId, order: Order) -> Result<Vec<Notice>, Sense> {
        self.change(|table| table.apply(nexus, order))
    }

    /// RESERVE(6).
    pub(crate) fn reserve(&self, nexus: &NexusId) -> Result<(), Sense> {
        self.change(|table| table.reserve_unit(nexus))
    }

    /// RELEASE(6); one who holds nothing releases nothing.
    pub(crate) fn release(&self, nexus: &NexusId) -> Result<(), Sense> {
        self.change(|table| table.release_unit(nexus))
    }

    /// The nexus is gone: SPC-2 reservations go with it, persistent ones stay.
    pub(crate) fn forget_nexus(&self, nexus: &NexusId) {
        self.change(|table| table.end_unit_reservation(Some(nexus)));
    }

    /// The unit was reset: SPC-2 reservations end, persistent ones stay.
    pub(crate) fn reset(&self) {
        self.change(|table| table.end_unit_reservation(None));
    }

    /// Looks at the table for PERSISTENT RESERVE IN.
    fn read<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.table.lock())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.table.lock();
        let outcome = change(&mut table);
        self.reserved.store(table.is_reserved(), Ordering::Release);
        outcome
    }
}

impl fmt::Debug for Reservations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.lock().fmt(f)
    }
}

#[cfg(test)]
mod tests;
