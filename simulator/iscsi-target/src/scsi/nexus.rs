//! What one I_T nexus has still to be told: unit attentions, per logical unit (SAM-5 §5.14).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::command::Command;
use super::reservation::{Audience, NexusId, Notice};
use super::sense::Sense;
use super::shelf::{D_SENSE, Shelf, UnitState};
use super::unit::Unit;
use super::{inquiry, luns};
use crate::directory::TargetView;
use crate::portal::PortGroup;
use crate::target::Lun;

/// The state of a nexus: the units it knew of when it last looked.
#[derive(Debug)]
pub(crate) struct Nexus {
    id: NexusId,
    port: PortGroup,
    shelf: Arc<Shelf>,
    generation: Option<u64>,
    /// [`Shelf::aborts`] when it last looked.
    aborts: u64,
    units: BTreeMap<u16, Known>,
}

#[derive(Debug)]
struct Known {
    /// Place in the target's list, in this generation.
    index: usize,
    naa: [u8; 16],
    size: u64,
    resets: u64,
    optimized_groups: BTreeSet<u16>,
    state: Arc<UnitState>,
    /// Where to go on with the unit's notices and the lever's attentions.
    notices: u64,
    attentions: u64,
    /// A PREEMPT AND ABORT was seen and not acted upon yet.
    aborted: bool,
    pending: VecDeque<Sense>,
}

/// What a command meets at the nexus.
pub(crate) enum Admission<'a> {
    /// Answered here.
    Answered(Result<Bytes, Sense>),
    /// To be carried out by this unit.
    Unit(Unit<'a>),
}

impl Nexus {
    /// A new nexus through a target port. Every unit has a power-on to report.
    pub(crate) fn new(id: NexusId, port: PortGroup, shelf: Arc<Shelf>) -> Self {
        let aborts = shelf.aborts();
        Self { id, port, shelf, generation: None, aborts, units: BTreeMap::new() }
    }

    /// Looks at the target as it is now. Returns the numbers of units that were reset, preempted
    /// or are gone: their tasks are aborted.
    pub(crate) fn refresh(&mut self, view: &TargetView) -> Vec<u16> {
        let mut aborted = self.take_aborts();
        if self.generation == Some(view.generation) {
            return aborted;
        }
        let first = self.generation.replace(view.generation).is_none();
        let mut before = std::mem::take(&mut self.units);
        let mut changed = false;
        for (index, lun) in view.target.luns.iter().enumerate() {
            if self.units.contains_key(&lun.number) || !lun.access.includes(&self.id.initiator) {
                continue;
            }
            let resets = view.resets.get(&lun.identity.naa).copied().unwrap_or(0);
            let known = match before.remove(&lun.number) {
                Some(mut known) if known.naa == lun.identity.naa => {
                    if known.renew(index, lun, resets) {
                        aborted.push(lun.number);
                    }
                    known
                }
                other => {
                    if let Some(other) = other {
                        other.state.reservations.forget_nexus(&self.id);
                        aborted.push(lun.number);
                    }
                    changed = true;
                    Known::new(index, lun, resets, self.shelf.state_of(lun))
                }
            };
            self.units.insert(lun.number, known);
        }
        changed |= !before.is_empty();
        before.values().for_each(|gone| gone.state.reservations.forget_nexus(&self.id));
        aborted.extend(before.into_keys());
        if changed && !first {
            self.units.values_mut().for_each(|known| known.establish(Sense::LUNS_CHANGED));
        }
        aborted
    }

    /// The portal of this nexus is where it was, or has moved: to units whose access state is
    /// another one there that is news (SPC-4 §5.15.2.5).
    pub(crate) fn set_port(&mut self, port: PortGroup) {
        let before = std::mem::replace(&mut self.port, port);
        for known in self.units.values_mut() {
            let groups = &known.optimized_groups;
            if !groups.is_empty() && groups.contains(&before.id) != groups.contains(&port.id) {
                known.establish(Sense::ACCESS_STATE_CHANGED);
            }
        }
    }

    /// CLEAR TASK SET (SAM-5 §7.5): the tasks of every other nexus on the unit are aborted, and it
    /// is told.
    pub(crate) fn clear_others(&self, number: u16) {
        if let Some(known) = self.units.get(&number) {
            let to = Audience::AllBut(self.id.clone());
            known.state.publish(vec![Notice { to, attention: Sense::COMMANDS_CLEARED, abort: true }]);
        }
    }

    /// The units whose tasks another nexus aborted since the last look.
    fn take_aborts(&mut self) -> Vec<u16> {
        let aborts = self.shelf.aborts();
        if std::mem::replace(&mut self.aborts, aborts) == aborts {
            return Vec::new();
        }
        let id = &self.id;
        let preempted = self.units.iter_mut().filter_map(|(number, known)| {
            known.look(id);
            std::mem::take(&mut known.aborted).then_some(*number)
        });
        preempted.collect()
    }

    /// Whether another nexus has aborted tasks since the last [`Nexus::refresh`], here or elsewhere.
    pub(crate) fn is_stale(&self) -> bool {
        self.shelf.aborts() != self.aborts
    }

    /// Whether the nexus sees a unit under that number.
    pub(crate) fn sees(&self, number: Option<u16>) -> bool {
        number.is_some_and(|number| self.units.contains_key(&number))
    }

    /// Sense in the format that initiators of the unit asked for.
    pub(crate) fn formatted(&self, number: Option<u16>, sense: Sense) -> Sense {
        let known = number.and_then(|number| self.units.get(&number));
        sense.formatted(known.is_some_and(|known| known.state.mode(D_SENSE)))
    }

    /// Takes a command in: reports a pending unit attention, answers what concerns the nexus, or
    /// names the unit. Call [`Nexus::refresh`] with the same view first.
    pub(crate) fn admit<'a>(
        &'a mut self,
        view: &'a TargetView,
        number: Option<u16>,
        command: &Command,
    ) -> Admission<'a> {
        if let Command::ReportLuns { select, .. } = command {
            return Admission::Answered(self.report_luns(*select));
        }
        let known = number.and_then(|number| self.units.get_mut(&number));
        let found = known.and_then(|known| Some((view.target.luns.get(known.index)?, known)));
        let Some((lun, known)) = found else {
            return Admission::Answered(absent(command));
        };
        known.look(&self.id);
        known.measure(lun);
        let Known { state, pending, .. } = known;
        let unit = Unit { lun, state, nexus: &self.id, port: self.port, ports: &[] };
        if let Err(status) = unit.admit_first(command) {
            return Admission::Answered(Err(status));
        }
        match command {
            Command::Inquiry { .. } => Admission::Unit(unit),
            Command::RequestSense { descriptor, .. } => {
                let sense = pending.pop_front().unwrap_or(Sense::NONE);
                Admission::Answered(Ok(sense.formatted(*descriptor).data()))
            }
            _ => match pending.pop_front() {
                Some(attention) => Admission::Answered(Err(attention.formatted(state.mode(D_SENSE)))),
                None => Admission::Unit(unit),
            },
        }
    }

    /// The unit for a command already taken in, with the ports given; it may have gone meanwhile.
    pub(crate) fn find_unit<'a>(
        &'a self,
        view: &'a TargetView,
        number: u16,
        ports: &'a [PortGroup],
    ) -> Option<Unit<'a>> {
        let known = self.units.get(&number)?;
        let lun = view.target.luns.get(known.index)?;
        Some(Unit { lun, state: &known.state, nexus: &self.id, port: self.port, ports })
    }

    fn report_luns(&mut self, select: u8) -> Result<Bytes, Sense> {
        let numbers: BTreeSet<u16> = self.units.keys().copied().collect();
        let data = luns::report(select, &numbers)?;
        // SPC-4 §6.33: the report itself is the news.
        for known in self.units.values_mut() {
            known.pending.retain(|sense| *sense != Sense::LUNS_CHANGED);
        }
        Ok(data)
    }
}

impl Drop for Nexus {
    /// SPC-2 §7.21.2: what the nexus reserved by RESERVE(6) is free again.
    fn drop(&mut self) {
        self.units.values().for_each(|known| known.state.reservations.forget_nexus(&self.id));
    }
}

impl Known {
    fn new(index: usize, lun: &Lun, resets: u64, state: Arc<UnitState>) -> Self {
        Self {
            index,
            naa: lun.identity.naa,
            size: lun.volume.size(),
            resets,
            optimized_groups: lun.optimized_groups.clone(),
            notices: state.notice_count(),
            attentions: state.lever.attention_count(),
            state,
            aborted: false,
            pending: VecDeque::from([Sense::POWER_ON]),
        }
    }

    /// The same unit in a new generation of the target; whether it was reset.
    fn renew(&mut self, index: usize, lun: &Lun, resets: u64) -> bool {
        self.index = index;
        if self.optimized_groups != lun.optimized_groups {
            self.optimized_groups = lun.optimized_groups.clone();
            self.establish(Sense::ACCESS_STATE_CHANGED);
        }
        let reset = std::mem::replace(&mut self.resets, resets) != resets;
        if reset {
            self.establish(Sense::RESET);
        }
        reset
    }

    /// Takes up what other nexuses and the lever have to tell. Two atomic loads when nothing is new.
    fn look(&mut self, id: &NexusId) {
        if self.state.notice_count() != self.notices {
            let (news, next) = self.state.news_since(self.notices, id);
            self.notices = next;
            self.aborted |= news.abort;
            news.attentions.into_iter().for_each(|attention| self.establish(attention));
        }
        if self.state.lever.attention_count() != self.attentions {
            let (raised, next) = self.state.lever.attentions_since(self.attentions);
            self.attentions = next;
            for attention in raised {
                self.state.record_fault("unit_attention", None);
                self.establish(Sense::attention(u16::from_be_bytes([attention.asc, attention.ascq])));
            }
        }
    }

    fn measure(&mut self, lun: &Lun) {
        let size = lun.volume.size();
        if std::mem::replace(&mut self.size, size) != size {
            self.establish(Sense::CAPACITY_CHANGED);
        }
    }

    /// Queues an attention unless the same one waits already. Power on and resets go first
    /// (SAM-5 table 51).
    fn establish(&mut self, attention: Sense) {
        if self.pending.contains(&attention) {
            return;
        }
        let is_reset = |sense: &Sense| sense.condition().1 >> 8 == 0x29;
        if is_reset(&attention) {
            let at = self.pending.iter().take_while(|waiting| is_reset(waiting)).count();
            self.pending.insert(at, attention);
        } else {
            self.pending.push_back(attention);
        }
    }
}

/// A number with no unit (SPC-4 §6.6.1, §6.39).
fn absent(command: &Command) -> Result<Bytes, Sense> {
    match command {
        Command::Inquiry { page: None, .. } => Ok(inquiry::absent()),
        Command::RequestSense { descriptor, .. } => {
            Ok(Sense::UNIT_NOT_SUPPORTED.formatted(*descriptor).data())
        }
        _ => Err(Sense::UNIT_NOT_SUPPORTED),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use levers::{EventLog, Levers};

    use super::*;
    use crate::scsi::unit::tests::{nexus_id, ontap_lun};
    use crate::target::{Auth, AuthPolicy, Target, Visibility};

    fn shelf() -> Arc<Shelf> {
        Arc::new(Shelf::new(Levers::new(), EventLog::new()))
    }

    fn nexus() -> Nexus {
        nexus_on(&shelf(), 1)
    }

    fn nexus_on(shelf: &Arc<Shelf>, isid: u8) -> Nexus {
        Nexus::new(nexus_id(isid), PortGroup { id: 1000, relative_port: 1 }, Arc::clone(shelf))
    }

    fn view(generation: u64, luns: Vec<Lun>) -> TargetView {
        let auth = AuthPolicy { default: Auth::Open, initiators: Map::new() };
        let target = Target { iqn: "iqn.t".into(), alias: None, portals: vec![], auth, luns };
        TargetView { target: Arc::new(target), generation, resets: Arc::default() }
    }

    fn lun(number: u16, serial: u8) -> Lun {
        let mut lun = ontap_lun();
        lun.number = number;
        lun.identity.naa[15] = serial;
        lun
    }

    fn ready(nexus: &mut Nexus, view: &TargetView, number: u16) -> Result<(), Sense> {
        nexus.refresh(view);
        match nexus.admit(view, Some(number), &Command::TestUnitReady) {
            Admission::Answered(answer) => answer.map(drop),
            Admission::Unit(_) => Ok(()),
        }
    }

    #[test]
    fn a_new_nexus_reports_power_on_once_a_unit() {
        let view = view(1, vec![lun(0, 0), lun(1, 1)]);
        let mut nexus = nexus();
        nexus.refresh(&view);
        let inquiry = Command::Inquiry { page: None, allocation: 36 };
        assert!(matches!(nexus.admit(&view, Some(0), &inquiry), Admission::Unit(_)));
        for number in [0, 1] {
            assert_eq!(ready(&mut nexus, &view, number), Err(Sense::POWER_ON));
            assert_eq!(ready(&mut nexus, &view, number), Ok(()));
        }
    }

    #[test]
    fn a_mapped_unit_is_news_to_the_others_until_reported() {
        let mut nexus = nexus();
        let before = view(1, vec![lun(0, 0)]);
        assert_eq!(ready(&mut nexus, &before, 0), Err(Sense::POWER_ON));
        let after = view(2, vec![lun(0, 0), lun(1, 1)]);
        assert_eq!(ready(&mut nexus, &after, 0), Err(Sense::LUNS_CHANGED));
        assert_eq!(ready(&mut nexus, &after, 0), Ok(()));
        let again = view(3, vec![lun(0, 0)]);
        nexus.refresh(&again);
        assert!(nexus.report_luns(0).is_ok());
        assert_eq!(ready(&mut nexus, &again, 0), Ok(()), "REPORT LUNS has told it");
    }

    #[test]
    fn an_unmapped_unit_is_gone_at_once_and_its_tasks_aborted() {
        let mut nexus = nexus();
        ready(&mut nexus, &view(1, vec![lun(4, 0)]), 4).unwrap_err();
        let mut hidden = lun(4, 0);
        hidden.access = Visibility::Initiators(BTreeSet::new());
        let after = view(2, vec![hidden]);
        assert_eq!(nexus.refresh(&after), vec![4]);
        assert_eq!(ready(&mut nexus, &after, 4), Err(Sense::UNIT_NOT_SUPPORTED));
    }

    #[test]
    fn another_unit_under_the_same_number_starts_anew() {
        let mut nexus = nexus();
        let before = view(1, vec![lun(0, 1)]);
        ready(&mut nexus, &before, 0).unwrap_err();
        assert_eq!(nexus.refresh(&view(2, vec![lun(0, 2)])), vec![0]);
        assert_eq!(ready(&mut nexus, &view(2, vec![lun(0, 2)]), 0), Err(Sense::POWER_ON));
    }

    #[test]
    fn a_grown_volume_and_a_reset_are_reported() {
        let mut nexus = nexus();
        let mut now = view(1, vec![lun(0, 0)]);
        ready(&mut nexus, &now, 0).unwrap_err();
        now.target.luns[0].volume.resize(16 << 20);
        assert_eq!(ready(&mut nexus, &now, 0), Err(Sense::CAPACITY_CHANGED));
        now.generation = 2;
        now.resets = Arc::new(Map::from([(now.target.luns[0].identity.naa, 1)]));
        assert_eq!(nexus.refresh(&now), vec![0]);
        let sense =
            match nexus.admit(&now, Some(0), &Command::RequestSense { descriptor: false, allocation: 18 }) {
                Admission::Answered(Ok(data)) => data,
                _ => panic!("sense data"),
            };
        assert_eq!((sense[2], sense[12], sense[13]), (6, 0x29, 3));
        assert_eq!(ready(&mut nexus, &now, 0), Ok(()), "REQUEST SENSE has told it");
    }
}
