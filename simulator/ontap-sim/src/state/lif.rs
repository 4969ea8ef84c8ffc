//! Logical interfaces: addresses that serve an SVM, at home on a node's port, and the service
//! policies that say what they serve.
//!
//! The state knows whether a LIF is wanted up. Whether this machine has its address only the data
//! planes find out; they tell by [`Cluster::set_unreachable`], and such a LIF is down.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cluster, DataPlaneChange, LifId, NodeId, Refusal, SvmId};

/// The first target portal group tag; portals count up from it.
const FIRST_TAG: u16 = 1030;
/// Ports of every node; the first is for management.
pub const PORTS: [&str; 5] = ["e0M", "e0a", "e0b", "e0c", "e0d"];
/// The port a LIF gets when none is named.
const USUAL_PORT: &str = "e0c";
/// Services that ONTAP knows (REST reference, `ip_service`).
pub const SERVICES: [&str; 24] = [
    "backup_ndmp_control",
    "cluster_core",
    "data_cifs",
    "data_core",
    "data_dns_server",
    "data_fpolicy_client",
    "data_iscsi",
    "data_nfs",
    "data_nvme_tcp",
    "data_s3_server",
    "intercluster_core",
    "management_ad_client",
    "management_autosupport",
    "management_bgp",
    "management_core",
    "management_dns_client",
    "management_ems",
    "management_http",
    "management_https",
    "management_ldap_client",
    "management_log_forwarding",
    "management_nis_client",
    "management_ntp_client",
    "management_ssh",
];

/// Service policies every SVM has.
const SVM_POLICIES: [(&str, &[&str]); 4] = [
    (
        "default-data-files",
        &["data_core", "data_nfs", "data_cifs", "data_fpolicy_client", "management_dns_client"],
    ),
    ("default-data-blocks", &["data_core", "data_iscsi"]),
    ("default-data-nvme-tcp", &["data_core", "data_nvme_tcp"]),
    ("default-management", &["management_core", "management_ssh", "management_https", "data_core"]),
];
/// Service policies of the cluster itself.
const CLUSTER_POLICIES: [(&str, &[&str]); 3] = [
    ("default-cluster", &["cluster_core"]),
    ("default-intercluster", &["intercluster_core", "management_https"]),
    (
        "default-management",
        &[
            "management_core",
            "management_ssh",
            "management_https",
            "management_autosupport",
            "management_ems",
        ],
    ),
];

/// What LIFs serve, under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServicePolicy {
    /// Its identifier.
    pub id: Uuid,
    /// Its name, unique in the SVM or among those of the cluster.
    pub name: String,
    /// The SVM it belongs to; `None`: the cluster's.
    pub svm: Option<SvmId>,
    /// Services, such as `data_nfs`.
    pub services: Vec<String>,
    /// Whether ONTAP made it; such a one cannot be deleted.
    pub builtin: bool,
}

/// A logical interface: an address, at home on a port of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lif {
    /// Its identifier.
    pub id: LifId,
    /// Its name, unique in the SVM.
    pub name: String,
    /// The SVM it serves; `None`: the cluster.
    pub svm: Option<SvmId>,
    /// Where clients connect.
    pub address: IpAddr,
    /// Length of the network prefix in bits.
    pub prefix: u8,
    /// The node it is on.
    pub node: NodeId,
    /// The port it is on.
    pub port: String,
    /// The node it belongs on.
    pub home_node: NodeId,
    /// The port it belongs on.
    pub home_port: String,
    /// Whether it goes home by itself.
    pub auto_revert: bool,
    /// Whether it is wanted up.
    pub enabled: bool,
    /// Its service policy.
    pub policy: Uuid,
    /// Target portal group tag (RFC 7143 §4.1), where it serves iSCSI.
    pub tag: Option<u16>,
}

impl Lif {
    /// Whether the flags of the program name it: then it must come up, or the program does not start.
    pub(crate) fn is_of_flags(&self) -> bool {
        ["lif_nfs_", "lif_iscsi_"].iter().any(|prefix| self.name.starts_with(prefix))
    }

    /// Whether it is on the node and port it belongs on.
    pub fn is_home(&self) -> bool {
        self.node == self.home_node && self.port == self.home_port
    }
}

/// A new LIF.
#[derive(Debug, Clone)]
pub struct LifSpec {
    /// Name.
    pub name: String,
    /// SVM, or the cluster.
    pub svm: Option<SvmId>,
    /// Address.
    pub address: IpAddr,
    /// Length of the network prefix in bits.
    pub prefix: u8,
    /// Home node; the first when absent.
    pub node: Option<NodeId>,
    /// Home port; `e0c` when absent.
    pub port: Option<String>,
    /// Whether it goes home by itself.
    pub auto_revert: bool,
    /// Whether it is up.
    pub enabled: bool,
    /// Name of its service policy; `default-data-files` (cluster: `default-management`) when absent.
    pub policy: Option<String>,
}

/// A change of a LIF. What is absent stays.
#[derive(Debug, Clone, Default)]
pub struct LifPatch {
    /// Name.
    pub name: Option<String>,
    /// Address.
    pub address: Option<IpAddr>,
    /// Length of the network prefix in bits.
    pub prefix: Option<u8>,
    /// Up or down.
    pub enabled: Option<bool>,
    /// The node it moves to now.
    pub node: Option<NodeId>,
    /// The port it moves to now.
    pub port: Option<String>,
    /// The node it belongs on from now.
    pub home_node: Option<NodeId>,
    /// The port it belongs on from now.
    pub home_port: Option<String>,
    /// True: it moves to where it belongs.
    pub is_home: Option<bool>,
    /// Whether it goes home by itself.
    pub auto_revert: Option<bool>,
    /// Name of its service policy.
    pub policy: Option<String>,
}

impl Cluster {
    /// Makes a LIF. If its SVM runs it is served before the client is answered.
    ///
    /// # Errors
    /// A [`Refusal`]: a name in use in the SVM (1966140), an address in use (1376963), an unknown service
    /// policy, a port no node has.
    pub fn create_lif(&mut self, spec: LifSpec) -> Result<LifId, Refusal> {
        if self.lifs.values().any(|lif| lif.address == spec.address) {
            return Err(address_in_use(spec.address));
        }
        self.add_lif(spec)
    }

    /// The same, for an address that other LIFs may have: loopback, when the array is switched on.
    pub(super) fn add_lif(&mut self, spec: LifSpec) -> Result<LifId, Refusal> {
        self.admit_lif_name(spec.svm, &spec.name)?;
        admit_address(spec.address, spec.prefix)?;
        let usual = if spec.svm.is_some() { "default-data-files" } else { "default-management" };
        let policy = self.require_service_policy(spec.svm, spec.policy.as_deref().unwrap_or(usual))?.id;
        let node = spec.node.or_else(|| self.nodes.first().map(|node| node.id));
        let node = node.ok_or_else(|| Refusal::required("location.home_node"))?;
        let port = spec.port.unwrap_or_else(|| USUAL_PORT.to_owned());
        admit_port(&port)?;
        let id = LifId(self.mint.edit().uuid());
        let mut lif = Lif {
            id,
            name: spec.name,
            svm: spec.svm,
            address: spec.address,
            prefix: spec.prefix,
            node,
            port: port.clone(),
            home_node: node,
            home_port: port,
            auto_revert: spec.auto_revert,
            enabled: spec.enabled,
            policy,
            tag: None,
        };
        self.give_tag(&mut lif);
        self.lifs.insert(id, lif);
        self.raise_lif(id);
        Ok(id)
    }

    /// Changes a LIF; all of it or nothing.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_lif`].
    pub fn modify_lif(&mut self, id: LifId, patch: LifPatch) -> Result<(), Refusal> {
        let before = self.find_lif(id).ok_or_else(Refusal::no_entry)?.clone();
        let mut after = before.clone();
        if let Some(name) = patch.name.filter(|name| *name != before.name) {
            self.admit_lif_name(before.svm, &name)?;
            after.name = name;
        }
        if let Some(address) = patch.address.filter(|address| *address != before.address) {
            if self.lifs.values().any(|lif| lif.address == address) {
                return Err(address_in_use(address));
            }
            after.address = address;
        }
        after.prefix = patch.prefix.unwrap_or(after.prefix);
        admit_address(after.address, after.prefix)?;
        for port in [&patch.port, &patch.home_port].into_iter().flatten() {
            admit_port(port)?;
        }
        if let Some(policy) = patch.policy {
            after.policy = self.require_service_policy(before.svm, &policy)?.id;
        }
        after.home_node = patch.home_node.unwrap_or(after.home_node);
        after.home_port = patch.home_port.unwrap_or(after.home_port);
        after.node = patch.node.unwrap_or(after.node);
        after.port = patch.port.unwrap_or(after.port);
        if patch.is_home == Some(true) {
            (after.node, after.port) = (after.home_node, after.home_port.clone());
        }
        after.auto_revert = patch.auto_revert.unwrap_or(after.auto_revert);
        after.enabled = patch.enabled.unwrap_or(after.enabled);
        self.give_tag(&mut after);
        let moved = after.node != before.node;
        let otherwise = after.address != before.address
            || after.enabled != before.enabled
            || after.policy != before.policy;
        let node = after.node;
        self.lifs.insert(id, after);
        if otherwise {
            self.raise_lif(id);
        } else if moved {
            let place = self.place_of(node);
            self.change(DataPlaneChange::MoveLif { lif: id, place });
        }
        Ok(())
    }

    /// Deletes a LIF; its clients lose their connections.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn delete_lif(&mut self, id: LifId) -> Result<(), Refusal> {
        self.lifs.remove(&id).ok_or_else(Refusal::no_entry)?;
        self.change(DataPlaneChange::LowerLif { lif: id });
        Ok(())
    }

    /// The LIF of this identifier.
    pub fn find_lif(&self, id: LifId) -> Option<&Lif> {
        self.lifs.get(&id)
    }

    /// The LIFs of an SVM.
    pub(super) fn lifs_of(&self, svm: SvmId) -> Vec<LifId> {
        self.lifs.values().filter(|lif| lif.svm == Some(svm)).map(|lif| lif.id).collect()
    }

    /// The policy that says what a LIF serves.
    pub fn service_policy_of(&self, lif: &Lif) -> Option<&ServicePolicy> {
        self.service_policies.get(&lif.policy)
    }

    /// Whether the LIF is to serve `service`, such as `data_nfs`.
    pub fn serves(&self, lif: &Lif, service: &str) -> bool {
        self.service_policy_of(lif).is_some_and(|policy| policy.services.iter().any(|name| name == service))
    }

    /// Whether the LIF is to be up: enabled, and for data its SVM runs. Whether it can be is another matter.
    pub fn is_wanted_up(&self, lif: &Lif) -> bool {
        let runs = |svm: SvmId| self.find_svm(svm).is_some_and(|svm| svm.running);
        let data = ["data_nfs", "data_iscsi", "data_cifs", "data_nvme_tcp"];
        let of_data = data.iter().any(|service| self.serves(lif, service));
        lif.enabled && (!of_data || lif.svm.is_none_or(runs))
    }

    /// Whether the LIF is up.
    pub fn is_up(&self, lif: &Lif) -> bool {
        self.is_wanted_up(lif) && !self.unreachable.contains(&lif.id)
    }

    /// Tells the machine which LIFs cannot be served: this host has not their address, or not the port.
    pub fn set_unreachable(&mut self, lifs: BTreeSet<LifId>) {
        self.unreachable = lifs;
    }

    /// The service policy of this name that LIFs of the SVM, or of the cluster, can have.
    pub(super) fn require_service_policy(
        &self,
        svm: Option<SvmId>,
        name: &str,
    ) -> Result<&ServicePolicy, Refusal> {
        let mut policies = self.service_policies.values();
        policies.find(|policy| policy.svm == svm && policy.name == name).ok_or_else(|| {
            Refusal::missing(4, format!("Service policy \"{name}\" does not exist")).about("service_policy")
        })
    }

    pub(super) fn create_builtin_policies(&mut self, svm: SvmId) {
        self.add_policies(Some(svm), &SVM_POLICIES);
    }

    pub(super) fn create_cluster_policies(&mut self) {
        self.add_policies(None, &CLUSTER_POLICIES);
    }

    fn add_policies(&mut self, svm: Option<SvmId>, policies: &[(&str, &[&str])]) {
        for (name, services) in policies {
            let id = self.mint.edit().uuid();
            let services = services.iter().map(|&service| service.to_owned()).collect();
            let policy = ServicePolicy { id, name: (*name).to_owned(), svm, services, builtin: true };
            self.service_policies.insert(id, policy);
        }
    }

    pub(super) fn forget_network_of(&mut self, svm: SvmId) {
        let policies = self.service_policies.values().filter(|policy| policy.svm == Some(svm));
        let policies: Vec<_> = policies.map(|policy| policy.id).collect();
        for policy in &policies {
            self.service_policies.remove(policy);
        }
        let routes = self.routes.values().filter(|route| route.svm == Some(svm));
        let routes: Vec<_> = routes.map(|route| route.id).collect();
        for route in &routes {
            self.routes.remove(route);
        }
    }

    /// Brings the LIFs of an SVM to what they are to be.
    pub(super) fn raise_lifs_of(&mut self, svm: SvmId) {
        for lif in self.lifs_of(svm) {
            self.raise_lif(lif);
        }
    }

    /// The same for the LIFs with a service policy, which may serve iSCSI for the first time.
    pub(super) fn raise_lifs_under(&mut self, policy: Uuid) {
        let lifs: Vec<_> = self.lifs.values().filter(|lif| lif.policy == policy).cloned().collect();
        for mut after in lifs {
            self.give_tag(&mut after);
            let id = after.id;
            self.lifs.insert(id, after);
            self.raise_lif(id);
        }
    }

    fn raise_lif(&mut self, id: LifId) {
        let Some(lif) = self.find_lif(id) else { return };
        let change = match self.listening(lif) {
            Some(listen) => DataPlaneChange::RaiseLif(listen),
            None => DataPlaneChange::LowerLif { lif: id },
        };
        self.change(change);
    }

    /// What the LIF is to serve; `None` when it is to be down.
    pub(crate) fn listening(&self, lif: &Lif) -> Option<Listening> {
        self.is_wanted_up(lif).then(|| Listening {
            lif: lif.id,
            svm: lif.svm,
            address: lif.address,
            place: self.place_of(lif.node),
            nfs: lif.svm.is_some() && self.serves(lif, "data_nfs"),
            iscsi: lif.tag.filter(|_| lif.svm.is_some() && self.serves(lif, "data_iscsi")),
            management: self.serves(lif, "management_https"),
        })
    }

    fn place_of(&self, node: NodeId) -> Place {
        let place = self.nodes.keys().position(|candidate| *candidate == node).unwrap_or(0);
        let group = u16::try_from(place.saturating_add(1)).unwrap_or(u16::MAX);
        Place { group, node: self.find_node(node).map(|node| node.name.clone()).unwrap_or_default() }
    }

    fn give_tag(&self, lif: &mut Lif) {
        if lif.tag.is_none() && self.serves(lif, "data_iscsi") {
            let last = self.lifs.values().filter_map(|lif| lif.tag).max();
            lif.tag = Some(last.map_or(FIRST_TAG, |tag| tag.saturating_add(1)));
        }
    }

    fn admit_lif_name(&self, svm: Option<SvmId>, name: &str) -> Result<(), Refusal> {
        let shaped = !name.is_empty()
            && name.len() <= 64
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if self.lifs.values().any(|lif| lif.svm == svm && lif.name == name) {
            let message = format!("An interface with the name \"{name}\" already exists");
            return Err(Refusal::conflict(1_966_140, message).about("name"));
        }
        Ok(())
    }
}

/// A node, as initiators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its ALUA target port group: its place in the cluster, from 1.
    pub group: u16,
    /// Its name.
    pub node: String,
}

/// What a LIF serves, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The LIF.
    pub lif: LifId,
    /// Whose namespace and target.
    pub svm: Option<SvmId>,
    /// Its address.
    pub address: IpAddr,
    /// Where it is.
    pub place: Place,
    /// Whether it serves NFS.
    pub nfs: bool,
    /// Its target portal group tag, if it serves iSCSI.
    pub iscsi: Option<u16>,
    /// Whether it serves the management API.
    pub management: bool,
}

impl Listening {
    /// The port's relative identifier (SPC-4 §7.8.6.7): counts from 1 as tags count from theirs.
    pub fn relative_port(tag: u16) -> u16 {
        tag.saturating_sub(FIRST_TAG).saturating_add(1)
    }
}

fn address_in_use(address: IpAddr) -> Refusal {
    let message = format!("The IP address \"{address}\" is already in use by another interface");
    Refusal::conflict(1_376_963, message).about("ip.address")
}

fn admit_address(address: IpAddr, prefix: u8) -> Result<(), Refusal> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if address.is_unspecified() || address.is_multicast() {
        return Err(Refusal::invalid("ip.address", &address.to_string()));
    }
    if prefix == 0 || prefix > longest {
        return Err(Refusal::invalid("ip.netmask", &prefix.to_string()));
    }
    Ok(())
}

fn admit_port(port: &str) -> Result<(), Refusal> {
    if PORTS.contains(&port) {
        return Ok(());
    }
    Err(Refusal::missing(4, format!("Port \"{port}\" does not exist")).about("location.home_port"))
}
