//! What one I_T nexus has still to be told: unit attentions, per logical unit (SAM-5 §5.14).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::command::Command;
use super::sense::Sense;
use super::{inquiry, luns};
use crate::directory::TargetView;
use crate::target::Lun;

/// The state of a nexus: the units it knew of when it last looked.
#[derive(Debug)]
pub(crate) struct Nexus {
    initiator: String,
    generation: Option<u64>,
    units: BTreeMap<u16, Known>,
}

#[derive(Debug)]
struct Known {
    /// Place in the target's list, in this generation.
    index: usize,
    naa: [u8; 16],
    size: u64,
    resets: u64,
    pending: VecDeque<Sense>,
}

/// What a command meets at the nexus.
pub(crate) enum Admission<'a> {
    /// Answered here.
    Answered(Result<Bytes, Sense>),
    /// To be carried out by this unit.
    Unit(&'a Lun),
}

impl Nexus {
    /// A new nexus of an initiator (a normal name). Every unit has a power-on to report.
    pub(crate) fn new(initiator: String) -> Self {
        Self { initiator, generation: None, units: BTreeMap::new() }
    }

    /// Looks at the target as it is now. Returns the numbers of units that were reset or are gone:
    /// their tasks are aborted.
    pub(crate) fn refresh(&mut self, view: &TargetView) -> Vec<u16> {
        if self.generation == Some(view.generation) {
            return Vec::new();
        }
        let first = self.generation.replace(view.generation).is_none();
        let mut before = std::mem::take(&mut self.units);
        let (mut aborted, mut changed) = (Vec::new(), false);
        for (index, lun) in view.target.luns.iter().enumerate() {
            if self.units.contains_key(&lun.number) || !lun.access.includes(&self.initiator) {
                continue;
            }
            let resets = view.resets.get(&lun.identity.naa).copied().unwrap_or(0);
            let known = match before.remove(&lun.number) {
                Some(mut known) if known.naa == lun.identity.naa => {
                    known.index = index;
                    if std::mem::replace(&mut known.resets, resets) != resets {
                        known.establish(Sense::RESET);
                        aborted.push(lun.number);
                    }
                    known
                }
                other => {
                    aborted.extend(other.map(|_| lun.number));
                    changed = true;
                    Known::new(index, lun, resets)
                }
            };
            self.units.insert(lun.number, known);
        }
        changed |= !before.is_empty();
        aborted.extend(before.into_keys());
        if changed && !first {
            self.units.values_mut().for_each(|known| known.establish(Sense::LUNS_CHANGED));
        }
        aborted
    }

    /// Whether the nexus sees a unit under that number.
    pub(crate) fn sees(&self, number: Option<u16>) -> bool {
        number.is_some_and(|number| self.units.contains_key(&number))
    }

    /// Takes a command in: reports a pending unit attention, answers what concerns the nexus, or
    /// names the unit. Call [`Nexus::refresh`] with the same view first.
    pub(crate) fn admit<'a>(
        &mut self,
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
        let size = lun.volume.size();
        if std::mem::replace(&mut known.size, size) != size {
            known.establish(Sense::CAPACITY_CHANGED);
        }
        match command {
            Command::Inquiry { .. } => Admission::Unit(lun),
            Command::RequestSense { descriptor, .. } => {
                let sense = known.pending.pop_front().unwrap_or(Sense::NONE);
                Admission::Answered(Ok(parameter_data(sense, *descriptor)))
            }
            _ => match known.pending.pop_front() {
                Some(attention) => Admission::Answered(Err(attention)),
                None => Admission::Unit(lun),
            },
        }
    }

    /// The unit for a command already taken in; it may have gone meanwhile.
    pub(crate) fn find_unit<'a>(&self, view: &'a TargetView, number: u16) -> Option<&'a Lun> {
        view.target.luns.get(self.units.get(&number)?.index)
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

impl Known {
    fn new(index: usize, lun: &Lun, resets: u64) -> Self {
        let pending = VecDeque::from([Sense::POWER_ON]);
        Self { index, naa: lun.identity.naa, size: lun.volume.size(), resets, pending }
    }

    /// Queues an attention unless the same one waits already.
    fn establish(&mut self, attention: Sense) {
        if !self.pending.contains(&attention) {
            self.pending.push_back(attention);
        }
    }
}

/// A number with no unit (SPC-4 §6.6.1, §6.39).
fn absent(command: &Command) -> Result<Bytes, Sense> {
    match command {
        Command::Inquiry { page: None, .. } => Ok(inquiry::absent()),
        Command::RequestSense { descriptor, .. } => {
            Ok(parameter_data(Sense::UNIT_NOT_SUPPORTED, *descriptor))
        }
        _ => Err(Sense::UNIT_NOT_SUPPORTED),
    }
}

fn parameter_data(sense: Sense, descriptor: bool) -> Bytes {
    let data =
        if descriptor { BytesMut::from(&sense.descriptor()[..]) } else { BytesMut::from(&sense.fixed()[..]) };
    data.freeze()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;
    use std::sync::Arc;

    use super::*;
    use crate::scsi::unit::tests::ontap_lun;
    use crate::target::{Auth, AuthPolicy, Target, Visibility};

    const A: &str = "iqn.2026-11.example:a";

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
        let mut nexus = Nexus::new(A.into());
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
        let mut nexus = Nexus::new(A.into());
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
        let mut nexus = Nexus::new(A.into());
        ready(&mut nexus, &view(1, vec![lun(4, 0)]), 4).unwrap_err();
        let mut hidden = lun(4, 0);
        hidden.access = Visibility::Initiators(BTreeSet::new());
        let after = view(2, vec![hidden]);
        assert_eq!(nexus.refresh(&after), vec![4]);
        assert_eq!(ready(&mut nexus, &after, 4), Err(Sense::UNIT_NOT_SUPPORTED));
    }

    #[test]
    fn another_unit_under_the_same_number_starts_anew() {
        let mut nexus = Nexus::new(A.into());
        let before = view(1, vec![lun(0, 1)]);
        ready(&mut nexus, &before, 0).unwrap_err();
        assert_eq!(nexus.refresh(&view(2, vec![lun(0, 2)])), vec![0]);
        assert_eq!(ready(&mut nexus, &view(2, vec![lun(0, 2)]), 0), Err(Sense::POWER_ON));
    }

    #[test]
    fn a_grown_volume_and_a_reset_are_reported() {
        let mut nexus = Nexus::new(A.into());
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
