//! LUN maps: a LUN shown to a group under a number; and from them what each initiator sees.

use std::collections::{BTreeMap, BTreeSet};

use records::Row;
use serde::{Deserialize, Serialize};

use super::igroup::IgroupTag;
use super::{Cluster, DataPlaneChange, IgroupId, LunId, NodeId, Refusal, SvmId, Volume};

/// The highest logical unit number.
pub const MAXIMUM_NUMBER: u16 = 4095;

/// A LUN in a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LunMap {
    /// The LUN.
    pub lun: LunId,
    /// The group.
    pub igroup: IgroupId,
    /// The logical unit number the group's hosts see.
    pub number: u16,
    /// The nodes through whose portals it is advertised: owner and partner at the time of mapping.
    pub reporting_nodes: Vec<NodeId>,
}

/// What a map is found under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MapTag {
    /// Its LUN.
    Of(LunId),
    /// Its group.
    To(IgroupId),
}

impl Row for LunMap {
    type Tag = MapTag;

    fn tags(&self) -> Vec<MapTag> {
        vec![MapTag::Of(self.lun), MapTag::To(self.igroup)]
    }
}

impl Cluster {
    /// Maps a LUN to a group, under `number` or the lowest that none of the group's hosts uses.
    ///
    /// # Errors
    /// A [`Refusal`]: already mapped to the group (1254207), number in use (1254207) or too high.
    pub fn create_lun_map(
        &mut self,
        lun: LunId,
        igroup: IgroupId,
        number: Option<u64>,
    ) -> Result<(), Refusal> {
        let unit = self.luns.get(&lun).ok_or_else(Refusal::no_entry)?;
        let group = self.igroups.get(&igroup).ok_or_else(Refusal::no_entry)?;
        if self.lun_maps.contains_key(&(lun, igroup)) {
            let message =
                format!("LUN \"{}\" is already mapped to initiator group \"{}\"", unit.path, group.name);
            return Err(Refusal::conflict(1_254_207, message));
        }
        let taken = self.numbers_seen_by(igroup);
        let number = match number {
            Some(asked) => {
                let number = u16::try_from(asked).ok().filter(|number| *number <= MAXIMUM_NUMBER);
                let number =
                    number.ok_or_else(|| Refusal::invalid("logical_unit_number", &asked.to_string()))?;
                if taken.contains(&number) {
                    let message = format!(
                        "Logical unit number {number} is already in use in initiator group \"{}\"",
                        group.name
                    );
                    return Err(Refusal::conflict(1_254_207, message).about("logical_unit_number"));
                }
                number
            }
            None => (0..=MAXIMUM_NUMBER)
                .find(|number| !taken.contains(number))
                .ok_or_else(|| Refusal::conflict(1_254_207, "No logical unit number is free"))?,
        };
        let volume = self.volumes.get(&unit.volume).ok_or_else(Refusal::no_entry)?;
        let reporting_nodes = self
            .owner_of(volume)
            .map(|owner| self.ha_pair(owner.id).iter().map(|node| node.id).collect())
            .unwrap_or_default();
        self.lun_maps.insert((lun, igroup), LunMap { lun, igroup, number, reporting_nodes });
        self.mask_igroup(igroup);
        Ok(())
    }

    /// Advertises a map through one more node, or, when the node is taken away, through one less.
    ///
    /// # Errors
    /// A [`Refusal`]: no such map (5374922), a node taken away that is not there (4), the last one (5374608).
    pub fn set_reporting_node(
        &mut self,
        (lun, igroup): (LunId, IgroupId),
        node: NodeId,
        reports: bool,
    ) -> Result<(), Refusal> {
        let mut map = self.lun_maps.get_mut(&(lun, igroup)).ok_or_else(no_map)?;
        let place = map.reporting_nodes.iter().position(|known| *known == node);
        match (place, reports) {
            (Some(_), true) => {}
            (None, true) => map.reporting_nodes.push(node),
            (None, false) => return Err(Refusal::no_entry()),
            (Some(_), false) if map.reporting_nodes.len() == 1 => {
                let message = "The last reporting node of a LUN map cannot be removed";
                return Err(Refusal::conflict(5_374_608, message));
            }
            (Some(place), false) => {
                map.reporting_nodes.remove(place);
            }
        }
        Ok(())
    }

    /// Unmaps a LUN from a group. Hosts stop seeing it at once.
    ///
    /// # Errors
    /// A [`Refusal`] (5374922) when it is not mapped to it.
    pub fn delete_lun_map(&mut self, lun: LunId, igroup: IgroupId) -> Result<(), Refusal> {
        self.lun_maps.remove(&(lun, igroup)).ok_or_else(no_map)?;
        self.mask_igroup(igroup);
        Ok(())
    }

    /// What the initiator sees: number and LUN, ascending. A LUN or volume that is offline is not seen.
    pub fn view_of(&self, svm: SvmId, initiator: &str) -> Vec<(u16, LunId)> {
        let mut view = BTreeMap::new();
        let groups = self.igroups.tagged(&IgroupTag::With(svm, initiator.to_owned()));
        for map in groups.flat_map(|igroup| self.lun_maps.tagged(&MapTag::To(igroup.id))) {
            let serves = self.luns.get(&map.lun).is_some_and(|lun| {
                lun.enabled && self.volumes.get(&lun.volume).is_some_and(Volume::serves_luns)
            });
            if serves {
                view.entry(map.number).or_insert(map.lun);
            }
        }
        view.into_iter().collect()
    }

    pub(super) fn mask_initiator(&mut self, svm: SvmId, initiator: &str) {
        let luns = self.view_of(svm, initiator);
        self.change(DataPlaneChange::Mask { svm, initiator: initiator.to_owned(), luns });
    }

    pub(super) fn mask_initiators_of_lun(&mut self, lun: LunId) {
        let igroups: Vec<_> = self.lun_maps.tagged(&MapTag::Of(lun)).map(|map| map.igroup).collect();
        for igroup in igroups {
            self.mask_igroup(igroup);
        }
    }

    pub(super) fn mask_all_initiators_of(&mut self, svm: SvmId) {
        let igroups: Vec<_> = self.igroups.tagged(&IgroupTag::Of(svm)).map(|igroup| igroup.id).collect();
        for igroup in igroups {
            self.mask_igroup(igroup);
        }
    }

    fn mask_igroup(&mut self, igroup: IgroupId) {
        let Some(group) = self.igroups.get(&igroup) else { return };
        let svm = group.svm;
        let names: Vec<_> = group.initiators.iter().map(|initiator| initiator.name.clone()).collect();
        for name in names {
            self.mask_initiator(svm, &name);
        }
    }

    /// Numbers in use in the group, and in every group that shares a host with it.
    fn numbers_seen_by(&self, igroup: IgroupId) -> BTreeSet<u16> {
        let Some(group) = self.igroups.get(&igroup) else { return BTreeSet::new() };
        let hosts = group.initiators.iter().map(|host| IgroupTag::With(group.svm, host.name.clone()));
        let others =
            hosts.flat_map(|host| self.igroups.tagged(&host).map(|other| other.id).collect::<Vec<_>>());
        let related: BTreeSet<_> = others.chain([igroup]).collect();
        related
            .iter()
            .flat_map(|igroup| self.lun_maps.tagged(&MapTag::To(*igroup)))
            .map(|map| map.number)
            .collect()
    }
}

/// The map that was addressed is not there. Clients compare the number.
pub fn no_map() -> Refusal {
    Refusal::missing(5_374_922, "The specified LUN map does not exist.")
}
