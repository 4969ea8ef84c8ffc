//! Registrations and the reservation, and what each order makes of them (SPC-4 §5.12.7 to §5.12.11).

use std::collections::BTreeMap;

use super::access::Access;
use super::{Audience, Kind, NexusId, Notice, Order};
use crate::scsi::sense::Sense;

/// The reservation of a unit. Of an all-registrants type, `nexus` is who made it and nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) kind: Kind,
    pub(super) nexus: NexusId,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    /// PRGENERATION.
    pub(super) generation: u32,
    pub(super) keys: BTreeMap<NexusId, u64>,
    pub(super) held: Option<Held>,
    /// Who holds the unit by RESERVE(6).
    pub(super) unit_holder: Option<NexusId>,
}

impl Table {
    pub(super) fn is_reserved(&self) -> bool {
        self.held.is_some() || self.unit_holder.is_some()
    }

    /// Whether a registered nexus holds the reservation.
    pub(super) fn is_holder(&self, nexus: &NexusId) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| self.keys.contains_key(nexus) && (held.kind.is_all() || held.nexus == *nexus))
    }

    pub(super) fn permits(&self, nexus: &NexusId, access: Access) -> bool {
        if let Some(holder) = &self.unit_holder {
            // PERSISTENT RESERVE OUT conflicts even for the holder (SPC-2 §5.5.1).
            return access == Access::Always || holder == nexus && access != Access::Reserve;
        }
        let Some(held) = &self.held else { return true };
        let registered = self.keys.contains_key(nexus);
        match access {
            // An order is weighed by its keys.
            Access::Always | Access::Look | Access::Reserve => true,
            Access::Read if !held.kind.is_exclusive() => true,
            Access::Read | Access::Write | Access::Manage => {
                registered && (held.nexus == *nexus || held.kind.admits_registrants())
            }
        }
    }

    pub(super) fn apply(&mut self, nexus: &NexusId, order: Order) -> Result<Vec<Notice>, Sense> {
        match order {
            Order::Register { key, new, ignore_existing } => self.register(nexus, key, new, ignore_existing),
            Order::Reserve { key, kind } => self.reserve(nexus, key, kind),
            Order::Release { key, kind } => self.release(nexus, key, kind),
            Order::Clear { key } => self.clear(nexus, key),
            Order::Preempt { key, victim, kind, abort } => self.preempt(nexus, key, victim, kind, abort),
        }
    }

    fn register(&mut self, nexus: &NexusId, key: u64, new: u64, ignore: bool) -> Result<Vec<Notice>, Sense> {
        let known = self.keys.get(nexus).copied();
        // One who is not registered gives the key 0 (SPC-4 table 68).
        if !ignore && known.unwrap_or(0) != key {
            return Err(Sense::RESERVATION_CONFLICT);
        }
        if new != 0 {
            self.keys.insert(nexus.clone(), new);
        } else if known.is_none() {
            return Ok(Vec::new());
        }
        self.generation = self.generation.wrapping_add(1);
        Ok(if new == 0 { self.unregister(nexus) } else { Vec::new() })
    }

    /// SPC-4 §5.12.11.1: with its holder the reservation goes; one of all registrants with the last.
    fn unregister(&mut self, nexus: &NexusId) -> Vec<Notice> {
        let held = self.is_holder(nexus).then(|| self.held.clone()).flatten();
        self.keys.remove(nexus);
        match held {
            Some(held) if !held.kind.is_all() || self.keys.is_empty() => {
                self.held = None;
                self.tell_released(held.kind, nexus)
            }
            _ => Vec::new(),
        }
    }

    /// RESERVATIONS RELEASED to the other registrants, where they had a part in it.
    fn tell_released(&self, kind: Kind, by: &NexusId) -> Vec<Notice> {
        if !kind.admits_registrants() {
            return Vec::new();
        }
        notice(self.others(by), Sense::RESERVATIONS_RELEASED, false)
    }

    fn others(&self, than: &NexusId) -> Vec<NexusId> {
        self.keys.keys().filter(|nexus| *nexus != than).cloned().collect()
    }

    fn require_key(&self, nexus: &NexusId, key: u64) -> Result<(), Sense> {
        if self.keys.get(nexus) == Some(&key) { Ok(()) } else { Err(Sense::RESERVATION_CONFLICT) }
    }

    fn reserve(&mut self, nexus: &NexusId, key: u64, kind: Kind) -> Result<Vec<Notice>, Sense> {
        self.require_key(nexus, key)?;
        match &self.held {
            None => self.held = Some(Held { kind, nexus: nexus.clone() }),
            Some(held) if held.kind == kind && self.is_holder(nexus) => {}
            Some(_) => return Err(Sense::RESERVATION_CONFLICT),
        }
        Ok(Vec::new())
    }

    fn release(&mut self, nexus: &NexusId, key: u64, kind: Kind) -> Result<Vec<Notice>, Sense> {
        self.require_key(nexus, key)?;
        if !self.is_holder(nexus) {
            return Ok(Vec::new());
        }
        if self.held.as_ref().is_some_and(|held| held.kind != kind) {
            return Err(Sense::INVALID_RELEASE);
        }
        self.held = None;
        Ok(self.tell_released(kind, nexus))
    }

    fn clear(&mut self, nexus: &NexusId, key: u64) -> Result<Vec<Notice>, Sense> {
        self.require_key(nexus, key)?;
        let others = self.others(nexus);
        self.keys.clear();
        self.held = None;
        self.generation = self.generation.wrapping_add(1);
        Ok(notice(others, Sense::RESERVATIONS_PREEMPTED, false))
    }

    fn preempt(
        &mut self,
        nexus: &NexusId,
        key: u64,
        victim: u64,
        kind: Kind,
        abort: bool,
    ) -> Result<Vec<Notice>, Sense> {
        self.require_key(nexus, key)?;
        let held = self.held.clone();
        // Whether the reservation itself is taken over (SPC-4 figure 9), and whose it was.
        let takes = match &held {
            Some(held) if held.kind.is_all() => victim == 0,
            Some(held) => self.keys.get(&held.nexus) == Some(&victim),
            None => false,
        };
        if victim == 0 && !takes {
            return Err(Sense::INVALID_PARAMETER.in_list(8));
        }
        let all = takes && victim == 0;
        // Taking over, the one who does it stays registered; else it may remove itself.
        let leaves = |id: &NexusId, its: u64| (all || its == victim) && !(takes && id == nexus);
        let gone: Vec<NexusId> =
            self.keys.iter().filter(|(id, its)| leaves(id, **its)).map(|(id, _)| id.clone()).collect();
        if gone.is_empty() && !takes {
            return Err(Sense::RESERVATION_CONFLICT);
        }
        self.keys.retain(|id, its| !leaves(id, *its));
        self.generation = self.generation.wrapping_add(1);
        let told: Vec<NexusId> = gone.into_iter().filter(|id| id != nexus).collect();
        let mut notices = notice(told, Sense::REGISTRATIONS_PREEMPTED, abort);
        if takes {
            self.held = Some(Held { kind, nexus: nexus.clone() });
            let before = held.filter(|held| held.kind != kind);
            notices.extend(before.map_or_else(Vec::new, |held| self.tell_released(held.kind, nexus)));
        } else if self.keys.is_empty() {
            self.held = None;
        }
        Ok(notices)
    }

    pub(super) fn reserve_unit(&mut self, nexus: &NexusId) -> Result<(), Sense> {
        if !self.keys.is_empty() {
            return self.compatible(nexus);
        }
        match &self.unit_holder {
            Some(holder) if holder != nexus => Err(Sense::RESERVATION_CONFLICT),
            _ => {
                self.unit_holder = Some(nexus.clone());
                Ok(())
            }
        }
    }

    pub(super) fn release_unit(&mut self, nexus: &NexusId) -> Result<(), Sense> {
        if !self.keys.is_empty() {
            return self.compatible(nexus);
        }
        self.end_unit_reservation(Some(nexus));
        Ok(())
    }

    /// CRH (SPC-4 §5.12.3): beside a persistent reservation, RESERVE and RELEASE do nothing, well
    /// for those who have access and with a conflict for the others.
    fn compatible(&self, nexus: &NexusId) -> Result<(), Sense> {
        let registered = self.keys.contains_key(nexus);
        let admitted = self.held.as_ref().is_none_or(|held| held.kind.admits_registrants());
        let has_access = self.is_holder(nexus) || registered && admitted;
        if has_access { Ok(()) } else { Err(Sense::RESERVATION_CONFLICT) }
    }

    /// Ends the SPC-2 reservation of the nexus, or of whoever holds it.
    pub(super) fn end_unit_reservation(&mut self, of: Option<&NexusId>) {
        if of.is_none() || of == self.unit_holder.as_ref() {
            self.unit_holder = None;
        }
    }
}

fn notice(to: Vec<NexusId>, attention: Sense, abort: bool) -> Vec<Notice> {
    if to.is_empty() { Vec::new() } else { vec![Notice { to: Audience::Only(to), attention, abort }] }
}
