//! Initiator groups: which hosts see what is mapped to the group.

use records::Row;
use serde::{Deserialize, Serialize};

use super::lun_map::MapTag;
use super::{Cluster, IgroupId, Refusal, SvmId};

/// Transports a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// iSCSI names only.
    Iscsi,
    /// Fibre Channel port names only.
    Fcp,
    /// Both.
    Mixed,
}

/// A host's name in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initiator {
    /// IQN, EUI or WWPN, lower case (iSCSI names compare so: RFC 3722).
    pub name: String,
    /// Free text.
    pub comment: String,
}

/// An initiator group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Igroup {
    /// Its identifier.
    pub id: IgroupId,
    /// The SVM it belongs to.
    pub svm: SvmId,
    /// Its name, unique in the SVM.
    pub name: String,
    /// Transports.
    pub protocol: Protocol,
    /// Operating system of the hosts.
    pub os_type: String,
    /// Free text.
    pub comment: String,
    /// The hosts.
    pub initiators: Vec<Initiator>,
}

/// What a group is found under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum IgroupTag {
    /// Its name in its SVM.
    Named(SvmId, String),
    /// Its SVM.
    Of(SvmId),
    /// A host in it, by its name in lower case.
    With(SvmId, String),
}

impl Row for Igroup {
    type Tag = IgroupTag;

    fn tags(&self) -> Vec<IgroupTag> {
        let hosts = self.initiators.iter().map(|host| IgroupTag::With(self.svm, host.name.clone()));
        hosts.chain([IgroupTag::Named(self.svm, self.name.clone()), IgroupTag::Of(self.svm)]).collect()
    }
}

/// A new group.
#[derive(Debug, Clone)]
pub struct IgroupSpec {
    /// SVM.
    pub svm: SvmId,
    /// Name.
    pub name: String,
    /// Transports.
    pub protocol: Protocol,
    /// Operating system.
    pub os_type: String,
    /// Free text.
    pub comment: String,
    /// Hosts.
    pub initiators: Vec<Initiator>,
}

impl Cluster {
    /// The group of this name in the SVM.
    pub fn find_igroup_named(&self, svm: SvmId, name: &str) -> Option<&Igroup> {
        self.igroups.find(&IgroupTag::Named(svm, name.to_owned()))
    }

    /// Makes a group.
    ///
    /// # Errors
    /// A [`Refusal`] for a bad name, a bad initiator, and a name in use (5374023 with status 409, which
    /// clients take for "there already").
    pub fn create_igroup(&mut self, spec: IgroupSpec) -> Result<IgroupId, Refusal> {
        let IgroupSpec { svm, name, protocol, os_type, comment, initiators } = spec;
        admit_igroup_name(&name)?;
        if self.find_igroup_named(svm, &name).is_some() {
            let message =
                format!("Initiator group \"{name}\" already exists in SVM \"{}\"", self.svm_name(svm));
            return Err(Refusal::conflict(5_374_023, message).about("name"));
        }
        let mut members = Vec::new();
        for initiator in initiators {
            admit(&mut members, initiator, protocol)?;
        }
        let id = IgroupId(self.mint.edit().uuid());
        self.igroups.insert(id, Igroup { id, svm, name, protocol, os_type, comment, initiators: members });
        Ok(id)
    }

    /// Changes a group's name, operating system and comment. What is absent stays.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_igroup`].
    pub fn modify_igroup(
        &mut self,
        id: IgroupId,
        name: Option<String>,
        os_type: Option<String>,
        comment: Option<String>,
    ) -> Result<(), Refusal> {
        let before = self.igroups.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        if let Some(name) = name.as_ref().filter(|name| **name != before.name) {
            admit_igroup_name(name)?;
            if self.find_igroup_named(before.svm, name).is_some() {
                let message = format!("Initiator group \"{name}\" already exists");
                return Err(Refusal::conflict(5_374_023, message).about("name"));
            }
        }
        let mut igroup = self.igroups.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        igroup.name = name.unwrap_or(before.name);
        igroup.os_type = os_type.unwrap_or(before.os_type);
        igroup.comment = comment.unwrap_or(before.comment);
        Ok(())
    }

    /// Changes the comment on a host.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not a member.
    pub fn modify_initiator(&mut self, id: IgroupId, name: &str, comment: &str) -> Result<(), Refusal> {
        let name = name.to_ascii_lowercase();
        let mut igroup = self.igroups.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        let found = igroup.initiators.iter_mut().find(|initiator| initiator.name == name);
        comment.clone_into(&mut found.ok_or_else(Refusal::no_entry)?.comment);
        Ok(())
    }

    /// Deletes a group; with `though_mapped` its maps go with it.
    ///
    /// # Errors
    /// A [`Refusal`] (1254213) while a LUN is mapped to it.
    pub fn delete_igroup(&mut self, id: IgroupId, though_mapped: bool) -> Result<(), Refusal> {
        let igroup = self.igroups.get(&id).ok_or_else(Refusal::no_entry)?;
        let maps: Vec<_> = self.lun_maps.tagged(&MapTag::To(id)).map(|map| (map.lun, map.igroup)).collect();
        if !maps.is_empty() && !though_mapped {
            let message = format!("Initiator group \"{}\" is mapped: remove its LUN maps first", igroup.name);
            return Err(Refusal::conflict(1_254_213, message));
        }
        for (lun, igroup) in maps {
            self.delete_lun_map(lun, igroup)?;
        }
        self.igroups.remove(&id);
        Ok(())
    }

    /// Adds a host; it sees what is mapped to the group at once.
    ///
    /// # Errors
    /// A [`Refusal`] for a bad name, and for one that is a member (5374035).
    pub fn add_initiator(&mut self, id: IgroupId, initiator: Initiator) -> Result<String, Refusal> {
        let mut igroup = self.igroups.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        let (svm, protocol) = (igroup.svm, igroup.protocol);
        let name = admit(&mut igroup.initiators, initiator, protocol)?;
        drop(igroup);
        self.mask_initiator(svm, &name);
        Ok(name)
    }

    /// Removes a host; it no longer sees what only this group showed it. The array refuses this
    /// while the group is mapped only where hosts are checked for logins, which REST does not do.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not a member.
    pub fn remove_initiator(&mut self, id: IgroupId, name: &str) -> Result<(), Refusal> {
        let name = name.to_ascii_lowercase();
        let mut igroup = self.igroups.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        let place = igroup.initiators.iter().position(|initiator| initiator.name == name);
        igroup.initiators.remove(place.ok_or_else(Refusal::no_entry)?);
        let svm = igroup.svm;
        drop(igroup);
        self.mask_initiator(svm, &name);
        Ok(())
    }
}

fn admit(
    members: &mut Vec<Initiator>,
    mut initiator: Initiator,
    protocol: Protocol,
) -> Result<String, Refusal> {
    initiator.name.make_ascii_lowercase();
    let name = initiator.name.clone();
    let takes = match protocol {
        Protocol::Iscsi => is_iscsi_name(&name),
        Protocol::Fcp => is_port_name(&name),
        Protocol::Mixed => is_iscsi_name(&name) || is_port_name(&name),
    };
    if !takes {
        return Err(Refusal::invalid("initiators.name", &name));
    }
    if members.iter().any(|member| member.name == name) {
        let message = format!("Initiator \"{name}\" is already in the initiator group");
        return Err(Refusal::conflict(5_374_035, message).about("name"));
    }
    members.push(initiator);
    Ok(name)
}

fn admit_igroup_name(name: &str) -> Result<(), Refusal> {
    let shaped = !name.is_empty()
        && name.len() <= 96
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c));
    if shaped { Ok(()) } else { Err(Refusal::invalid("name", name)) }
}

/// RFC 7143 §4.2.7: at most 223 bytes, `iqn.` or `eui.`.
pub(super) fn is_iscsi_name(name: &str) -> bool {
    let shaped = name.len() <= 223 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.:_".contains(c));
    let eui = name.strip_prefix("eui.");
    shaped
        && (name.strip_prefix("iqn.").is_some_and(|rest| rest.contains('.'))
            || eui.is_some_and(|digits| digits.len() == 16 && digits.chars().all(|c| c.is_ascii_hexdigit())))
}

/// Eight pairs of hexadecimal digits with colons.
fn is_port_name(name: &str) -> bool {
    let pairs: Vec<_> = name.split(':').collect();
    pairs.len() == 8
        && pairs.iter().all(|pair| pair.len() == 2 && pair.chars().all(|c| c.is_ascii_hexdigit()))
}
