//! The array as it stands when it is switched on: a cluster of two nodes, two aggregates and one
//! data SVM with its root volume, its `default` export policy and an iSCSI service.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

use super::export::{ExportPolicy, ExportRule, Flavours};
use super::features::Features;
use super::lif::LifSpec;
use super::nfs::NfsPatch;
use super::svm::{SvmPatch, is_svm_name};
use super::volume::{Guarantee, Kind, SecurityStyle, Style, Volume};
use super::{About, Aggregate, AggregateId, Cluster, DataPlaneChange, Media, Node, NodeId, SvmId, VolumeId};

/// Volumes are numbered from the next one.
const FIRST_MSID: u32 = 1024;
/// Usable size of each aggregate.
const AGGREGATE_SIZE: u64 = 16 << 40;

/// What is to be chosen about the array.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// Same seed, same identifiers.
    pub seed: u64,
    /// Name of the data SVM.
    pub svm: String,
    /// Its NFS LIFs.
    pub nfs: Vec<LifBlueprint>,
    /// Its iSCSI LIFs.
    pub iscsi: Vec<LifBlueprint>,
    /// Where the management API listens.
    pub management: IpAddr,
    /// Client matches that the `default` export policy admits to everything.
    pub default_export_clients: Vec<String>,
    /// Whether the addresses were chosen by a person: then they hold for an array from a data
    /// directory too.
    pub addressed: bool,
    /// When it is switched on.
    pub now: Timestamp,
}

#[cfg(test)]
impl Blueprint {
    /// An array for tests: no data LIFs, and an export policy that admits everybody.
    pub(crate) fn sample() -> Self {
        Self {
            seed: 7,
            svm: "svm1".into(),
            nfs: Vec::new(),
            iscsi: Vec::new(),
            management: IpAddr::from([127, 0, 0, 1]),
            default_export_clients: vec!["0.0.0.0/0".into()],
            addressed: true,
            now: "2026-01-02T03:04:05Z".parse().unwrap_or_default(),
        }
    }
}

/// A LIF to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifBlueprint {
    /// Its address.
    pub address: IpAddr,
    /// The node it is on; the first when absent.
    pub node: Option<String>,
}

/// A blueprint that no array can be built from. The words are for whoever wrote the command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlueprintError {
    /// A LIF on a node that the cluster has not.
    #[error("--nfs-lif or --iscsi-lif …@{node}: no such node; use one of {known}")]
    UnknownNode {
        /// What was named.
        node: String,
        /// What there is.
        known: String,
    },
    /// An address that no LIF can have.
    #[error("{0}: not the address of an interface; give a unicast address of this host")]
    LifAddress(IpAddr),
    /// An SVM name that ONTAP would not take.
    #[error("--svm {0}: no SVM name; use letters, digits, `_`, `-` and `.`, beginning with a letter or `_`")]
    SvmName(String),
    /// A client match that an export rule would not take.
    #[error(
        "--default-export-rule {0}: no client match; use an address, a network such as 10.0.0.0/8, or 0.0.0.0/0"
    )]
    ClientMatch(String),
}

impl Cluster {
    /// Builds the array. The changes that bring its data planes up are in [`Cluster::take_changes`].
    ///
    /// # Errors
    /// [`BlueprintError`] for what cannot be built.
    pub fn boot(blueprint: &Blueprint) -> Result<Self, BlueprintError> {
        if !is_svm_name(&blueprint.svm) {
            return Err(BlueprintError::SvmName(blueprint.svm.clone()));
        }
        let mut cluster = Self::boot_hardware(blueprint, true);
        let svm = cluster.boot_svm(&blueprint.svm, &blueprint.default_export_clients)?;
        cluster.boot_management(blueprint)?;
        cluster.boot_lifs(svm, blueprint)?;
        Ok(cluster)
    }

    /// Builds the array without an SVM, and perhaps without aggregates.
    ///
    /// # Errors
    /// [`BlueprintError`] for a management address that no LIF can have.
    pub fn boot_bare(blueprint: &Blueprint, aggregates: bool) -> Result<Self, BlueprintError> {
        let mut cluster = Self::boot_hardware(blueprint, aggregates);
        cluster.boot_management(blueprint)?;
        Ok(cluster)
    }

    fn boot_hardware(blueprint: &Blueprint, aggregates: bool) -> Self {
        let mut cluster = Self { now: blueprint.now, ..Self::default() };
        cluster.mint.edit().seed(blueprint.seed);
        *cluster.about.edit() = About {
            name: "sim".into(),
            uuid: cluster.mint.edit().uuid(),
            model: "SIMBOX".into(),
            ..About::default()
        };
        *cluster.last_msid.edit() = FIRST_MSID;
        cluster.boot_nodes();
        let owners = cluster.nodes.keys().copied().filter(|_| aggregates).collect::<Vec<_>>();
        for ((name, media), node) in [("aggr1", Media::Ssd), ("aggr2", Media::Hdd)].into_iter().zip(owners) {
            let id = AggregateId(cluster.mint.edit().uuid());
            let aggregate = Aggregate { id, name: name.into(), node, media, size: AGGREGATE_SIZE };
            cluster.aggregates.insert(id, aggregate);
        }
        cluster.create_builtin_segments();
        cluster.create_cluster_policies();
        cluster.create_builtin_schedules();
        cluster.create_builtin_qos_policies();
        cluster.boot_snapshot_policies();
        cluster
    }

    fn boot_management(&mut self, blueprint: &Blueprint) -> Result<(), BlueprintError> {
        let management = LifBlueprint { address: blueprint.management, node: None };
        self.boot_lif(None, "cluster_mgmt".into(), &management, "default-management")
    }

    fn boot_nodes(&mut self) {
        for number in 1..=2_u32 {
            let id = NodeId(self.mint.edit().uuid());
            let (_, serial) = id.0.as_u64_pair();
            let serial = format!("SIM{:010}", serial % 10_000_000_000);
            self.nodes.insert(id, Node { id, name: format!("sim-{number:02}"), serial });
        }
    }

    fn boot_svm(&mut self, name: &str, clients: &[String]) -> Result<SvmId, BlueprintError> {
        let refused = |_| BlueprintError::SvmName(name.to_owned());
        let id = self.create_svm(SvmPatch {
            name: Some(name.to_owned()),
            aggregates: Some(self.aggregates.keys().copied().collect()),
            iscsi_enabled: Some(true),
            ..SvmPatch::default()
        });
        let id = id.map_err(refused)?;
        let policy = self.find_policy_named(id, "default").map_or(0, |policy| policy.id);
        for client in clients {
            let rule = ExportRule::new(vec![client.clone()], Flavours::any(), Flavours::any());
            self.create_export_rule(policy, None, rule)
                .map_err(|_| BlueprintError::ClientMatch(client.clone()))?;
        }
        let every = NfsPatch { v4_0: Some(true), v4_1: Some(true), ..NfsPatch::default() };
        // A new SVM has no service yet: it cannot be refused.
        let _made = self.create_nfs_service(id, every);
        Ok(id)
    }

    /// Makes an export policy that every SVM has; without rules it admits nobody.
    pub(super) fn create_default_export_policy(&mut self, svm: SvmId) -> u64 {
        let id = self.policies.keys().next_back().map_or(1, |last| last.saturating_add(1));
        self.policies.insert(id, ExportPolicy { id, svm, name: "default".into(), rules: BTreeMap::new() });
        id
    }

    /// Makes the volume at `/` of an SVM's namespace.
    pub(super) fn create_root_volume(
        &mut self,
        svm: SvmId,
        svm_name: &str,
        aggregate: AggregateId,
        policy: u64,
    ) {
        let name: String =
            svm_name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let root = Volume {
            id: VolumeId(self.mint.edit().uuid()),
            msid: self.next_msid(),
            name: format!("{name}_root"),
            svm,
            aggregate,
            style: Style::FlexVol,
            kind: Kind::ReadWrite,
            size: 1 << 30,
            comment: String::new(),
            created: self.now,
            online: true,
            is_svm_root: true,
            junction: Some("/".into()),
            policy,
            security_style: SecurityStyle::Unix,
            mode: 0o755,
            uid: 0,
            gid: 0,
            guarantee: Guarantee::Volume,
            snapshot_policy: "none".into(),
            snapshot_reserve: 5,
            snapshot_directory: true,
            encrypted: false,
            tiering: "none".into(),
            origin: None,
            moved_to: None,
            features: Features::default(),
        };
        self.change(DataPlaneChange::CreateTree { volume: root.id, shape: root.shape() });
        if let Some(policy) = self.policies.get(&root.policy).cloned() {
            self.change(DataPlaneChange::Export { svm, path: "/".into(), volume: root.id, policy });
        }
        self.volumes.insert(root.id, root);
    }

    fn boot_lifs(&mut self, svm: SvmId, blueprint: &Blueprint) -> Result<(), BlueprintError> {
        for (number, lif) in (1..).zip(&blueprint.nfs) {
            self.boot_lif(Some(svm), format!("lif_nfs_{number}"), lif, "default-data-files")?;
        }
        for (number, lif) in (1..).zip(&blueprint.iscsi) {
            self.boot_lif(Some(svm), format!("lif_iscsi_{number}"), lif, "default-data-blocks")?;
        }
        Ok(())
    }

    /// Gives the LIFs that the blueprint names its addresses: the host may have others than when
    /// the array was made. LIFs that it does not name stay.
    ///
    /// # Errors
    /// [`BlueprintError::UnknownNode`].
    pub fn readdress(&mut self, blueprint: &Blueprint) -> Result<(), BlueprintError> {
        let management = LifBlueprint { address: blueprint.management, node: None };
        let mut wanted = vec![("cluster_mgmt".to_owned(), management)];
        if blueprint.addressed {
            let numbered = |prefix: &'static str, lifs: &[LifBlueprint]| {
                let named = |(number, lif): (u32, &LifBlueprint)| (format!("{prefix}_{number}"), lif.clone());
                (1..).zip(lifs).map(named).collect::<Vec<_>>()
            };
            wanted.extend(numbered("lif_nfs", &blueprint.nfs));
            wanted.extend(numbered("lif_iscsi", &blueprint.iscsi));
        }
        for (name, lif) in wanted {
            let Some(id) = self.lifs.values().find(|kept| kept.name == name).map(|kept| kept.id) else {
                continue;
            };
            let node = lif.node.is_some().then(|| self.require_node(&lif)).transpose()?;
            if let Some(mut kept) = self.lifs.get_mut(&id) {
                kept.address = lif.address;
                kept.node = node.unwrap_or(kept.node);
                kept.home_node = node.unwrap_or(kept.home_node);
            }
        }
        Ok(())
    }

    fn require_node(&self, lif: &LifBlueprint) -> Result<NodeId, BlueprintError> {
        let asked = lif.node.as_deref();
        let node = self.nodes.values().find(|node| asked.is_none_or(|name| node.name == name));
        node.map(|node| node.id).ok_or_else(|| BlueprintError::UnknownNode {
            node: asked.unwrap_or_default().to_owned(),
            known: self.nodes.values().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    fn boot_lif(
        &mut self,
        svm: Option<SvmId>,
        name: String,
        lif: &LifBlueprint,
        policy: &str,
    ) -> Result<(), BlueprintError> {
        let node = self.require_node(lif)?;
        let spec = LifSpec {
            name,
            svm,
            address: lif.address,
            prefix: if lif.address.is_ipv4() { 24 } else { 64 },
            node: Some(node),
            port: None,
            auto_revert: svm.is_none(),
            enabled: true,
            policy: Some(policy.to_owned()),
        };
        let refused = |_| BlueprintError::LifAddress(lif.address);
        self.add_lif(spec).map(|_| ()).map_err(refused)
    }
}
