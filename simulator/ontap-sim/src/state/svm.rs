//! Storage virtual machines: made with a root volume and a `default` export policy, started and
//! stopped with their LIFs, deleted when no volume is left.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::iscsi::{IscsiService, IscsiServiceSpec};
use super::nfs::NfsPatch;
use super::{AggregateId, Cluster, DataPlaneChange, Refusal, SvmId};

/// The longest name (ONTAP REST reference, `svm.name`).
const LONGEST_NAME: usize = 47;
/// The ipspace that every cluster has.
pub const DEFAULT_IPSPACE: &str = "Default";

/// A protocol that an SVM may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// NFS.
    Nfs,
    /// SMB.
    Cifs,
    /// iSCSI.
    Iscsi,
    /// Fibre Channel.
    Fcp,
    /// NVMe.
    Nvme,
    /// S3.
    S3,
    /// NDMP.
    Ndmp,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 7] =
        [Self::Nfs, Self::Cifs, Self::Iscsi, Self::Fcp, Self::Nvme, Self::S3, Self::Ndmp];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nfs => "nfs",
            Self::Cifs => "cifs",
            Self::Iscsi => "iscsi",
            Self::Fcp => "fcp",
            Self::Nvme => "nvme",
            Self::S3 => "s3",
            Self::Ndmp => "ndmp",
        }
    }
}

/// What an SVM is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subtype {
    /// Serves data.
    Default,
    /// Holds the copy of an SVM of another cluster and serves nothing until the copy is broken off.
    DpDestination,
}

impl Subtype {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::DpDestination => "dp_destination",
        }
    }
}

/// A storage virtual machine: the tenant that owns volumes, LIFs and protocol services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Svm {
    /// Its identifier.
    pub id: SvmId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// Whether it serves data.
    pub running: bool,
    /// What it is for.
    pub subtype: Subtype,
    /// Language of its volumes, such as `c.utf_8`.
    pub language: String,
    /// Free text.
    pub comment: String,
    /// The ipspace of its LIFs.
    pub ipspace: String,
    /// Snapshot policy of its new volumes.
    pub snapshot_policy: String,
    /// The most volumes it may have; `None` is unlimited.
    pub max_volumes: Option<u64>,
    /// Aggregates its volumes may be made on.
    pub aggregates: Vec<AggregateId>,
    /// Protocols it may serve.
    pub allowed: BTreeSet<Protocol>,
    /// Its iSCSI service, once made.
    pub iscsi: Option<IscsiService>,
    /// Whether its NVMe service is on, once made.
    pub nvme: Option<bool>,
    /// When it was made.
    pub created: Timestamp,
}

/// A new SVM, or a change of one. What is absent gets the default, or stays.
#[derive(Debug, Clone, Default)]
pub struct SvmPatch {
    /// Name.
    pub name: Option<String>,
    /// Started or stopped.
    pub running: Option<bool>,
    /// What it is for; only when made.
    pub subtype: Option<Subtype>,
    /// Language of its volumes.
    pub language: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// Its ipspace; only when made.
    pub ipspace: Option<String>,
    /// Snapshot policy of its new volumes.
    pub snapshot_policy: Option<String>,
    /// The most volumes; the inner `None` is unlimited.
    pub max_volumes: Option<Option<u64>>,
    /// Its aggregates; replaces the list.
    pub aggregates: Option<Vec<AggregateId>>,
    /// Protocols to allow or to disallow.
    pub allowed: Vec<(Protocol, bool)>,
    /// Whether its iSCSI service is enabled; one is made if there is none.
    pub iscsi_enabled: Option<bool>,
    /// Whether its NFS service is enabled; one is made if there is none.
    pub nfs_enabled: Option<bool>,
    /// Whether its NVMe service is enabled; one is made if there is none.
    pub nvme_enabled: Option<bool>,
}

impl Cluster {
    /// Makes an SVM: with its root volume, mounted at `/`, and a `default` export policy without rules.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, a name in use (13434908), an unknown ipspace or language, no aggregate for
    /// the root volume.
    pub fn create_svm(&mut self, spec: SvmPatch) -> Result<SvmId, Refusal> {
        let name = spec.name.clone().ok_or_else(|| Refusal::required("name"))?;
        self.admit_svm_name(&name)?;
        let ipspace = spec.ipspace.clone().unwrap_or_else(|| DEFAULT_IPSPACE.to_owned());
        self.admit_ipspace(&ipspace)?;
        let assigned = spec.aggregates.clone().unwrap_or_default();
        let root_on = assigned.first().copied().or_else(|| self.roomiest_aggregate());
        let root_on = root_on.ok_or_else(|| {
            Refusal::conflict(8, "No aggregate has room for the root volume of the SVM").about("aggregates")
        })?;
        let id = SvmId(self.mint.edit().uuid());
        let blank = Svm {
            id,
            name: name.clone(),
            running: true,
            subtype: spec.subtype.unwrap_or(Subtype::Default),
            language: "c.utf_8".into(),
            comment: String::new(),
            ipspace,
            snapshot_policy: "default".into(),
            max_volumes: None,
            aggregates: Vec::new(),
            allowed: Protocol::ALL.into_iter().filter(|protocol| *protocol != Protocol::Ndmp).collect(),
            iscsi: None,
            nvme: spec.nvme_enabled,
            created: self.now,
        };
        let (iscsi, nfs) = (spec.iscsi_enabled, spec.nfs_enabled);
        let mut svm = self.revised_svm(&blank, SvmPatch { name: None, ..spec })?;
        if svm.subtype == Subtype::DpDestination {
            svm.running = false;
        }
        self.svms.insert(id, svm);
        self.change(DataPlaneChange::CreateSvm { svm: id, name: name.clone() });
        self.create_builtin_policies(id);
        let policy = self.create_default_export_policy(id);
        self.create_root_volume(id, &name, root_on, policy);
        self.create_svm_administrator(id)?;
        self.create_builtin_names(id);
        match nfs {
            Some(_) => self.create_nfs_service(id, NfsPatch { enabled: nfs, ..NfsPatch::default() })?,
            None => self.publish_nfs_versions(id),
        }
        if let Some(enabled) = iscsi {
            self.create_iscsi_service(id, IscsiServiceSpec { enabled: Some(enabled), alias: None })?;
        }
        Ok(id)
    }

    /// Changes an SVM; all of it or nothing. One that stops takes its data LIFs down, one that starts brings
    /// them up.
    ///
    /// # Errors
    /// A [`Refusal`]: as for [`Self::create_svm`]; an aggregate taken away that holds a volume of it (8).
    pub fn modify_svm(&mut self, id: SvmId, patch: SvmPatch) -> Result<(), Refusal> {
        let before = self.find_svm(id).ok_or_else(Refusal::no_entry)?.clone();
        if let Some(name) = patch.name.as_deref().filter(|name| *name != before.name) {
            self.admit_svm_name(name)?;
        }
        Self::admit_start(&before, &patch)?;
        let (iscsi, nfs) = (patch.iscsi_enabled, patch.nfs_enabled);
        let mut after = self.revised_svm(&before, patch)?;
        after.iscsi.clone_from(&before.iscsi);
        let toggled = before.running != after.running;
        self.svms.insert(id, after);
        if let Some(enabled) = iscsi {
            self.enable_iscsi(id, enabled)?;
        }
        if nfs.is_some() {
            let patch = NfsPatch { enabled: nfs, ..NfsPatch::default() };
            match self.nfs_services.contains_key(&id) {
                true => self.modify_nfs_service(id, patch)?,
                false => self.create_nfs_service(id, patch)?,
            }
        }
        if toggled {
            self.raise_lifs_of(id);
        }
        Ok(())
    }

    /// Deletes an SVM with its root volume, LIFs, policies, groups and services.
    ///
    /// # Errors
    /// A [`Refusal`] (8, in use) while it has another volume than its root. The array's own number for it is
    /// not verified.
    pub fn delete_svm(&mut self, id: SvmId) -> Result<(), Refusal> {
        let svm = self.find_svm(id).ok_or_else(Refusal::no_entry)?.clone();
        let held = self.volumes.values().filter(|volume| volume.svm == id && !volume.is_svm_root).count();
        if held > 0 {
            let message = format!(
                "Cannot delete SVM \"{}\": it contains {held} volumes besides its root volume",
                svm.name
            );
            return Err(Refusal::conflict(8, message));
        }
        for lif in self.lifs_of(id) {
            self.delete_lif(lif)?;
        }
        self.purge_all_deleted_of(id);
        self.forget_igroups_of(id);
        self.forget_root_volume_of(id);
        let policies: Vec<_> =
            self.policies.values().filter(|policy| policy.svm == id).map(|policy| policy.id).collect();
        policies.iter().for_each(|policy| drop(self.policies.remove(policy)));
        self.forget_network_of(id);
        self.forget_security_of(id);
        self.forget_peers_of(id);
        self.forget_mirrors_of(id);
        self.forget_nvme_of(id);
        self.forget_consistency_groups_of(id);
        self.forget_names_of(id);
        let owned = self.qos_policies.values().filter(|policy| policy.svm == Some(id));
        let owned: Vec<_> = owned.map(|policy| policy.id).collect();
        owned.iter().for_each(|policy| drop(self.qos_policies.remove(policy)));
        self.nfs_services.remove(&id);
        if svm.iscsi.is_some() {
            self.change(DataPlaneChange::RemoveTarget { svm: id });
        }
        self.change(DataPlaneChange::RemoveSvm { svm: id });
        self.svms.remove(&id);
        Ok(())
    }

    /// The SVM as it would be, or why not.
    fn revised_svm(&self, before: &Svm, patch: SvmPatch) -> Result<Svm, Refusal> {
        let mut after = before.clone();
        if let Some(aggregates) = patch.aggregates {
            let lost = self.volumes.values().find(|volume| {
                volume.svm == before.id && !volume.is_svm_root && !aggregates.contains(&volume.aggregate)
            });
            if let Some(volume) = lost {
                let message = format!("Volume \"{}\" lies on an aggregate taken from the list", volume.name);
                return Err(Refusal::conflict(8, message).about("aggregates"));
            }
            after.aggregates = aggregates;
        }
        if let Some(language) = patch.language {
            let shaped = language.len() <= 32
                && !language.is_empty()
                && language.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if !shaped {
                return Err(Refusal::invalid("language", &language));
            }
            after.language = language.to_ascii_lowercase();
        }
        for (protocol, allowed) in patch.allowed {
            if allowed {
                after.allowed.insert(protocol);
            } else {
                after.allowed.remove(&protocol);
            }
        }
        after.name = patch.name.unwrap_or(after.name);
        after.running = patch.running.unwrap_or(after.running);
        after.comment = patch.comment.unwrap_or(after.comment);
        after.snapshot_policy = patch.snapshot_policy.unwrap_or(after.snapshot_policy);
        after.max_volumes = patch.max_volumes.unwrap_or(after.max_volumes);
        after.nvme = patch.nvme_enabled.or(after.nvme);
        Ok(after)
    }

    fn admit_svm_name(&self, name: &str) -> Result<(), Refusal> {
        if !is_svm_name(name) {
            return Err(Refusal::invalid("name", name));
        }
        if self.find_svm_named(name).is_some() {
            let message = format!("SVM \"{name}\" already exists");
            return Err(Refusal::conflict(13_434_908, message).about("name"));
        }
        Ok(())
    }

    pub(super) fn roomiest_aggregate(&self) -> Option<AggregateId> {
        let free = |id: AggregateId, size: u64| size.saturating_sub(self.reserved_on(id));
        let roomiest = self.aggregates.values().max_by_key(|aggregate| free(aggregate.id, aggregate.size));
        roomiest.map(|aggregate| aggregate.id)
    }

    fn forget_igroups_of(&mut self, svm: SvmId) {
        let igroups: Vec<_> =
            self.igroups.values().filter(|igroup| igroup.svm == svm).map(|igroup| igroup.id).collect();
        for igroup in igroups {
            self.igroups.remove(&igroup);
            let maps: Vec<_> =
                self.lun_maps.keys().filter(|(_, mapped)| *mapped == igroup).copied().collect();
            maps.iter().for_each(|map| drop(self.lun_maps.remove(map)));
        }
    }

    fn forget_root_volume_of(&mut self, svm: SvmId) {
        let roots: Vec<_> =
            self.volumes.values().filter(|volume| volume.svm == svm).map(|volume| volume.id).collect();
        for id in roots {
            let inside: Vec<_> =
                self.luns.values().filter(|lun| lun.volume == id).map(|lun| lun.id).collect();
            let luns = inside.iter().filter_map(|lun| self.luns.remove(lun)).collect();
            if let Some(volume) = self.volumes.remove(&id) {
                self.change(DataPlaneChange::Unexport { svm, path: "/".into() });
                self.release(&volume, luns);
            }
        }
    }
}

/// Whether ONTAP takes `name` for an SVM.
pub(super) fn is_svm_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= LONGEST_NAME
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}
