//! NVMe: namespaces in volumes, subsystems, their hosts, and which namespace is in which subsystem.
//! Known to the API alone: no NVMe/TCP port is served.

use jiff::Timestamp;
use records::{Row, untagged};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cluster, Refusal, SvmId, VolumeId};

/// The smallest namespace, bytes.
const MINIMUM_SIZE: u64 = 4096;
/// The largest namespace (128 TiB).
const MAXIMUM_SIZE: u64 = 128 << 40;
/// Operating systems that ONTAP knows for NVMe.
const OS_TYPES: [&str; 5] = ["aix", "linux", "vmware", "windows", "hyper_v"];

/// A namespace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its identifier; hosts see it too.
    pub id: Uuid,
    /// The SVM it belongs to.
    pub svm: SvmId,
    /// The volume it lies in.
    pub volume: VolumeId,
    /// Its path, `/vol/<volume>/<name>`.
    pub path: String,
    /// Operating system of its hosts.
    pub os_type: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of a logical block: 512 or 4096.
    pub block_size: u64,
    /// Free text; clients keep JSON in it.
    pub comment: String,
    /// Name of its QoS policy.
    pub qos_policy: Option<String>,
    /// When it was made.
    pub created: Timestamp,
}

/// Found under its SVM and path.
impl Row for Namespace {
    type Tag = (SvmId, String);

    fn tags(&self) -> Vec<Self::Tag> {
        vec![(self.svm, self.path.clone())]
    }
}

/// A subsystem: hosts and what they see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subsystem {
    /// Its identifier.
    pub id: Uuid,
    /// The SVM it belongs to.
    pub svm: SvmId,
    /// Its name.
    pub name: String,
    /// Its NVMe qualified name.
    pub nqn: String,
    /// Serial number of its controllers.
    pub serial: String,
    /// Operating system of its hosts.
    pub os_type: String,
    /// Free text.
    pub comment: String,
    /// NQNs of its hosts.
    pub hosts: Vec<String>,
}

/// A namespace in a subsystem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubsystemMap {
    /// The subsystem.
    pub subsystem: Uuid,
    /// The namespace.
    pub namespace: Uuid,
    /// The namespace's number in the subsystem.
    pub number: u32,
}

untagged!(Subsystem, SubsystemMap);

/// A new namespace.
#[derive(Debug, Clone)]
pub struct NamespaceSpec {
    /// SVM.
    pub svm: SvmId,
    /// Path.
    pub path: String,
    /// Operating system.
    pub os_type: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of a block.
    pub block_size: u64,
    /// Free text.
    pub comment: String,
    /// QoS policy.
    pub qos_policy: Option<String>,
}

/// A change of a namespace. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct NamespacePatch {
    /// Path in the same volume.
    pub path: Option<String>,
    /// Bytes; not fewer.
    pub size: Option<u64>,
    /// Free text.
    pub comment: Option<String>,
    /// QoS policy; empty or `none`: none.
    pub qos_policy: Option<String>,
}

impl Cluster {
    /// Makes a namespace.
    ///
    /// # Errors
    /// A [`Refusal`]: bad path, volume missing (917927), path in use (72090006), size, unknown QoS policy.
    pub fn create_namespace(&mut self, spec: NamespaceSpec) -> Result<Uuid, Refusal> {
        let volume = self.volume_of_namespace(spec.svm, &spec.path)?;
        self.admit_namespace_path(spec.svm, &spec.path)?;
        if !OS_TYPES.contains(&spec.os_type.as_str()) {
            return Err(Refusal::invalid("os_type", &spec.os_type));
        }
        if ![512, 4096].contains(&spec.block_size) {
            return Err(Refusal::invalid("space.block_size", &spec.block_size.to_string()));
        }
        let size = admit_size(spec.size)?;
        let qos_policy = self.admit_qos_policy(spec.svm, spec.qos_policy)?;
        let namespace = Namespace {
            id: self.mint.edit().uuid(),
            svm: spec.svm,
            volume,
            path: spec.path,
            os_type: spec.os_type,
            size,
            block_size: spec.block_size,
            comment: spec.comment,
            qos_policy,
            created: self.now,
        };
        let id = namespace.id;
        self.namespaces.insert(id, namespace);
        Ok(id)
    }

    /// Changes a namespace; all of it or nothing.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_namespace`]; a smaller size (72090019 is not verified).
    pub fn modify_namespace(&mut self, id: Uuid, patch: NamespacePatch) -> Result<(), Refusal> {
        let mut after = self.namespaces.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        if let Some(path) = patch.path.filter(|path| *path != after.path) {
            if self.volume_of_namespace(after.svm, &path)? != after.volume {
                return Err(Refusal::request(3, "A namespace stays in its volume").about("name"));
            }
            self.admit_namespace_path(after.svm, &path)?;
            after.path = path;
        }
        if let Some(size) = patch.size {
            let size = admit_size(size)?;
            if size < after.size {
                let message = "Reducing the size of a namespace might cause permanent data loss";
                return Err(Refusal::request(72_090_019, message).about("space.size"));
            }
            after.size = size;
        }
        if patch.qos_policy.is_some() {
            after.qos_policy = self.admit_qos_policy(after.svm, patch.qos_policy)?;
        }
        after.comment = patch.comment.unwrap_or(after.comment);
        self.namespaces.insert(id, after);
        Ok(())
    }

    /// Deletes a namespace; with `though_mapped` its map goes with it.
    ///
    /// # Errors
    /// A [`Refusal`] (72090015 is not verified) while it is mapped.
    pub fn delete_namespace(&mut self, id: Uuid, though_mapped: bool) -> Result<(), Refusal> {
        let path = self.namespaces.get(&id).ok_or_else(Refusal::no_entry)?.path.clone();
        let map = self.map_of_namespace(id).map(|map| (map.subsystem, map.namespace));
        match map {
            Some(key) if though_mapped => {
                self.subsystem_maps.remove(&key);
            }
            Some(_) => {
                let message = format!("NVMe namespace \"{path}\" is mapped to a subsystem");
                return Err(Refusal::conflict(72_090_015, message));
            }
            None => {}
        }
        self.namespaces.remove(&id);
        Ok(())
    }

    /// Makes a subsystem.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name or host, a name in use (72090025, which clients take for "there already").
    pub fn create_subsystem(
        &mut self,
        svm: SvmId,
        name: &str,
        os_type: &str,
        comment: String,
        hosts: Vec<String>,
    ) -> Result<Uuid, Refusal> {
        let shaped = !name.is_empty()
            && name.len() <= 96
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if !OS_TYPES.contains(&os_type) {
            return Err(Refusal::invalid("os_type", os_type));
        }
        if self.subsystems.values().any(|other| other.svm == svm && other.name == name) {
            let message = format!("NVMe subsystem \"{name}\" already exists");
            return Err(Refusal::conflict(72_090_025, message).about("name"));
        }
        let id = self.mint.edit().uuid();
        let serial = self.mint.edit().subsystem_serial();
        let nqn = format!("nqn.1992-08.com.netapp:sn.{}:subsystem.{name}", svm.0.simple());
        let (name, os_type) = (name.to_owned(), os_type.to_owned());
        let subsystem = Subsystem { id, svm, name, nqn, serial, os_type, comment, hosts: Vec::new() };
        self.subsystems.insert(id, subsystem);
        hosts.iter().try_for_each(|host| self.add_subsystem_host(id, host))?;
        Ok(id)
    }

    /// Changes a subsystem's comment.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn modify_subsystem(&mut self, id: Uuid, comment: Option<String>) -> Result<(), Refusal> {
        let mut subsystem = self.subsystems.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        subsystem.comment = comment.unwrap_or_else(|| subsystem.comment.clone());
        Ok(())
    }

    /// Deletes a subsystem.
    ///
    /// # Errors
    /// A [`Refusal`]: it has hosts (72090023) or maps (72090024), and that was not allowed.
    pub fn delete_subsystem(
        &mut self,
        id: Uuid,
        with_hosts: bool,
        while_mapped: bool,
    ) -> Result<(), Refusal> {
        let subsystem = self.subsystems.get(&id).ok_or_else(Refusal::no_entry)?;
        if !subsystem.hosts.is_empty() && !with_hosts {
            return Err(Refusal::conflict(72_090_023, "The NVMe subsystem has hosts"));
        }
        let maps: Vec<_> = self.subsystem_maps.keys().filter(|(of, _)| *of == id).copied().collect();
        if !maps.is_empty() && !while_mapped {
            return Err(Refusal::conflict(72_090_024, "The NVMe subsystem has mapped namespaces"));
        }
        for key in &maps {
            self.subsystem_maps.remove(key);
        }
        self.subsystems.remove(&id);
        Ok(())
    }

    /// Adds a host.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad NQN, one that is there (72089705).
    pub fn add_subsystem_host(&mut self, id: Uuid, nqn: &str) -> Result<(), Refusal> {
        // NVM Express Base 2.0 §4.5: `nqn.`, at most 223 bytes.
        let shaped = nqn.starts_with("nqn.") && nqn.len() <= 223 && !nqn.chars().any(char::is_whitespace);
        if !shaped {
            return Err(Refusal::invalid("nqn", nqn));
        }
        let mut subsystem = self.subsystems.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        if subsystem.hosts.iter().any(|host| host == nqn) {
            let message = format!("NVMe host \"{nqn}\" is in the subsystem already");
            return Err(Refusal::conflict(72_089_705, message).about("nqn"));
        }
        subsystem.hosts.push(nqn.to_owned());
        Ok(())
    }

    /// Removes a host.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn remove_subsystem_host(&mut self, id: Uuid, nqn: &str) -> Result<(), Refusal> {
        let mut subsystem = self.subsystems.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        let place = subsystem.hosts.iter().position(|host| host == nqn).ok_or_else(Refusal::no_entry)?;
        subsystem.hosts.remove(place);
        Ok(())
    }

    /// Maps a namespace to a subsystem.
    ///
    /// # Errors
    /// A [`Refusal`]: not of the same SVM, mapped already (72089790).
    pub fn create_subsystem_map(&mut self, subsystem: Uuid, namespace: Uuid) -> Result<(), Refusal> {
        let owner = self.subsystems.get(&subsystem).ok_or_else(Refusal::no_entry)?.svm;
        let found = self.namespaces.get(&namespace).filter(|namespace| namespace.svm == owner);
        let path = found.ok_or_else(Refusal::no_entry)?.path.clone();
        if self.map_of_namespace(namespace).is_some() {
            let message = format!("NVMe namespace \"{path}\" is mapped already");
            return Err(Refusal::conflict(72_089_790, message));
        }
        let taken: Vec<_> = self
            .subsystem_maps
            .values()
            .filter(|map| map.subsystem == subsystem)
            .map(|map| map.number)
            .collect();
        let number = (1..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX);
        let map = SubsystemMap { subsystem, namespace, number };
        self.subsystem_maps.insert((subsystem, namespace), map);
        Ok(())
    }

    /// Unmaps a namespace.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not mapped there.
    pub fn delete_subsystem_map(&mut self, subsystem: Uuid, namespace: Uuid) -> Result<(), Refusal> {
        self.subsystem_maps.remove(&(subsystem, namespace)).map(drop).ok_or_else(Refusal::no_entry)
    }

    /// Where a namespace is mapped.
    pub fn map_of_namespace(&self, namespace: Uuid) -> Option<&SubsystemMap> {
        self.subsystem_maps.values().find(|map| map.namespace == namespace)
    }

    /// Gives an SVM an NVMe service, or changes whether it is on.
    ///
    /// # Errors
    /// A [`Refusal`]: there is one already (72089650 is not verified) when it is to be new, none else (4).
    pub fn set_nvme_service(&mut self, svm: SvmId, enabled: Option<bool>, new: bool) -> Result<(), Refusal> {
        let mut owner = self.svms.get_mut(&svm).ok_or_else(Refusal::no_entry)?;
        owner.nvme = match (owner.nvme, new) {
            (Some(_), true) => {
                return Err(Refusal::conflict(72_089_650, "An NVMe service already exists in the SVM"));
            }
            (None, false) => return Err(Refusal::no_entry()),
            (None, true) => Some(enabled.unwrap_or(true)),
            (Some(before), false) => Some(enabled.unwrap_or(before)),
        };
        Ok(())
    }

    /// Takes the NVMe service from an SVM.
    ///
    /// # Errors
    /// A [`Refusal`]: none there (4), it is on (72090028), there are subsystems (72090029; both not verified).
    pub fn delete_nvme_service(&mut self, svm: SvmId) -> Result<(), Refusal> {
        if self.subsystems.values().any(|subsystem| subsystem.svm == svm) {
            return Err(Refusal::conflict(72_090_029, "The SVM has NVMe subsystems"));
        }
        let mut owner = self.svms.get_mut(&svm).ok_or_else(Refusal::no_entry)?;
        match owner.nvme {
            None => Err(Refusal::no_entry()),
            Some(true) => Err(Refusal::conflict(72_090_028, "The NVMe service is enabled: disable it first")),
            Some(false) => {
                owner.nvme = None;
                Ok(())
            }
        }
    }

    /// What was in volumes and SVMs that are gone goes too.
    pub(super) fn forget_nvme_of(&mut self, svm: SvmId) {
        let subsystems = self.subsystems.values().filter(|subsystem| subsystem.svm == svm);
        let subsystems: Vec<_> = subsystems.map(|subsystem| subsystem.id).collect();
        for id in subsystems {
            let maps: Vec<_> = self.subsystem_maps.keys().filter(|(of, _)| *of == id).copied().collect();
            for key in &maps {
                self.subsystem_maps.remove(key);
            }
            self.subsystems.remove(&id);
        }
        let namespaces = self.namespaces.values().filter(|namespace| namespace.svm == svm);
        let namespaces: Vec<_> = namespaces.map(|namespace| namespace.id).collect();
        namespaces.iter().for_each(|id| drop(self.namespaces.remove(id)));
    }

    fn volume_of_namespace(&self, svm: SvmId, path: &str) -> Result<VolumeId, Refusal> {
        let mut parts = path.strip_prefix("/vol/").unwrap_or_default().split('/');
        let (Some(volume), Some(name), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Refusal::invalid("name", path));
        };
        let shaped = !name.is_empty()
            && name.len() <= 203
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", path));
        }
        self.find_volume_named(svm, volume).map(|volume| volume.id).ok_or_else(|| {
            let message = format!("Volume \"{volume}\" was not found in SVM \"{}\"", self.svm_name(svm));
            Refusal::missing(917_927, message).about("location.volume.name")
        })
    }

    fn admit_namespace_path(&self, svm: SvmId, path: &str) -> Result<(), Refusal> {
        let taken = self.namespaces.find(&(svm, path.to_owned())).is_some()
            || self.find_lun_named(svm, path).is_some();
        if taken {
            let message = format!("NVMe namespace \"{path}\" already exists");
            return Err(Refusal::conflict(72_090_006, message).about("name"));
        }
        Ok(())
    }
}

fn admit_size(size: u64) -> Result<u64, Refusal> {
    if (MINIMUM_SIZE..=MAXIMUM_SIZE).contains(&size) {
        return Ok(size.next_multiple_of(MINIMUM_SIZE));
    }
    Err(Refusal::invalid("space.size", &size.to_string()))
}
