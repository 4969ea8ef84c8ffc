//! What LIFs stand on: service policies, ipspaces, broadcast domains, routes and subnets. Of these only
//! service policies show on the wire; the host does the routing.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use records::untagged;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::lif::{Lif, SERVICES, ServicePolicy};
use super::svm::DEFAULT_IPSPACE;
use super::{Cluster, Refusal, SvmId};

/// A network of its own, where addresses may repeat those of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ipspace {
    /// Its identifier.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// Ports that reach each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BroadcastDomain {
    /// Its identifier.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The longest frame in bytes.
    pub mtu: u64,
    /// Its ipspace.
    pub ipspace: String,
    /// Its ports, on every node.
    pub ports: Vec<String>,
}

/// A way to a network. It is told, not used: the host routes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Its identifier.
    pub id: Uuid,
    /// Whose; `None`: the cluster's.
    pub svm: Option<SvmId>,
    /// The next hop.
    pub gateway: IpAddr,
    /// Where to.
    pub destination: IpNet,
    /// The lower the better.
    pub metric: u64,
}

/// Addresses for LIFs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// Its identifier.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub network: IpNet,
    /// The next hop out of it.
    pub gateway: Option<IpAddr>,
    /// Name of its broadcast domain.
    pub domain: String,
}

untagged!(Ipspace, BroadcastDomain, Route, Subnet, ServicePolicy, Lif);

impl Cluster {
    /// Makes a service policy.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, a name in use (1), an unknown service.
    pub fn create_service_policy(
        &mut self,
        svm: Option<SvmId>,
        name: &str,
        services: Vec<String>,
    ) -> Result<Uuid, Refusal> {
        self.admit_policy_name(svm, name)?;
        admit_services(&services)?;
        let id = self.mint.edit().uuid();
        let policy = ServicePolicy { id, name: name.to_owned(), svm, services, builtin: false };
        self.service_policies.insert(id, policy);
        Ok(id)
    }

    /// Changes a service policy; its LIFs serve accordingly at once.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_service_policy`].
    pub fn modify_service_policy(
        &mut self,
        id: Uuid,
        name: Option<String>,
        services: Option<Vec<String>>,
    ) -> Result<(), Refusal> {
        let before = self.service_policies.get(&id).ok_or_else(Refusal::no_entry)?.clone();
        let mut after = before.clone();
        if let Some(name) = name.filter(|name| *name != before.name) {
            self.admit_policy_name(before.svm, &name)?;
            after.name = name;
        }
        if let Some(services) = services {
            admit_services(&services)?;
            after.services = services;
        }
        self.service_policies.insert(id, after);
        self.raise_lifs_under(id);
        Ok(())
    }

    /// Deletes a service policy.
    ///
    /// # Errors
    /// A [`Refusal`]: built in, or used by a LIF (8: the array's numbers are not verified).
    pub fn delete_service_policy(&mut self, id: Uuid) -> Result<(), Refusal> {
        let policy = self.service_policies.get(&id).ok_or_else(Refusal::no_entry)?;
        if policy.builtin {
            let message = format!("Service policy \"{}\" is built in and cannot be deleted", policy.name);
            return Err(Refusal::conflict(8, message));
        }
        if self.lifs.values().any(|lif| lif.policy == id) {
            let message = format!("Service policy \"{}\" is in use by an interface", policy.name);
            return Err(Refusal::conflict(8, message));
        }
        self.service_policies.remove(&id);
        Ok(())
    }

    fn admit_policy_name(&self, svm: Option<SvmId>, name: &str) -> Result<(), Refusal> {
        let shaped = !name.is_empty()
            && name.len() <= 64
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        if self.service_policies.values().any(|policy| policy.svm == svm && policy.name == name) {
            let message = format!("Service policy \"{name}\" already exists");
            return Err(Refusal::conflict(1, message).about("name"));
        }
        Ok(())
    }

    /// Whether there is such an ipspace.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when there is not.
    pub(super) fn admit_ipspace(&self, name: &str) -> Result<(), Refusal> {
        if self.ipspaces.values().any(|ipspace| ipspace.name == name) {
            return Ok(());
        }
        Err(Refusal::missing(4, format!("IPspace \"{name}\" does not exist")).about("ipspace.name"))
    }

    /// Makes an ipspace.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, one in use (1966460, a duplicate by the API reference).
    pub fn create_ipspace(&mut self, name: &str) -> Result<Uuid, Refusal> {
        self.admit_ipspace_name(name)?;
        let id = self.mint.edit().uuid();
        self.ipspaces.insert(id, Ipspace { id, name: name.to_owned() });
        Ok(id)
    }

    /// Renames an ipspace; what lies in it follows.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_ipspace`].
    pub fn rename_ipspace(&mut self, id: Uuid, name: &str) -> Result<(), Refusal> {
        let before = self.ipspaces.get(&id).ok_or_else(Refusal::no_entry)?.name.clone();
        if before == name {
            return Ok(());
        }
        self.admit_ipspace_name(name)?;
        self.ipspaces.insert(id, Ipspace { id, name: name.to_owned() });
        let svms: Vec<_> = self.svms.values().filter(|svm| svm.ipspace == before).map(|svm| svm.id).collect();
        for svm in svms {
            if let Some(mut svm) = self.svms.get_mut(&svm) {
                name.clone_into(&mut svm.ipspace);
            }
        }
        Ok(())
    }

    /// Deletes an ipspace.
    ///
    /// # Errors
    /// A [`Refusal`]: `Default`, or in use (8: the array's numbers are not verified).
    pub fn delete_ipspace(&mut self, id: Uuid) -> Result<(), Refusal> {
        let name = self.ipspaces.get(&id).ok_or_else(Refusal::no_entry)?.name.clone();
        let used = self.svms.values().any(|svm| svm.ipspace == name)
            || self.broadcast_domains.values().any(|domain| domain.ipspace == name);
        if used || name == DEFAULT_IPSPACE {
            return Err(Refusal::conflict(8, format!("IPspace \"{name}\" is in use")));
        }
        self.ipspaces.remove(&id);
        Ok(())
    }

    /// Makes a broadcast domain without ports.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name or MTU, a name in use (1), an unknown ipspace.
    pub fn create_broadcast_domain(
        &mut self,
        name: &str,
        mtu: u64,
        ipspace: Option<String>,
    ) -> Result<Uuid, Refusal> {
        admit_name(name)?;
        admit_mtu(mtu)?;
        let ipspace = ipspace.unwrap_or_else(|| DEFAULT_IPSPACE.to_owned());
        self.admit_ipspace(&ipspace)?;
        if self.broadcast_domains.values().any(|other| other.name == name && other.ipspace == ipspace) {
            let message = format!("Broadcast domain \"{name}\" already exists");
            return Err(Refusal::conflict(1, message).about("name"));
        }
        let id = self.mint.edit().uuid();
        let domain = BroadcastDomain { id, name: name.to_owned(), mtu, ipspace, ports: Vec::new() };
        self.broadcast_domains.insert(id, domain);
        Ok(id)
    }

    /// Changes a broadcast domain.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_broadcast_domain`].
    pub fn modify_broadcast_domain(
        &mut self,
        id: Uuid,
        name: Option<String>,
        mtu: Option<u64>,
    ) -> Result<(), Refusal> {
        name.as_deref().map_or(Ok(()), admit_name)?;
        mtu.map_or(Ok(()), admit_mtu)?;
        let mut domain = self.broadcast_domains.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        domain.name = name.unwrap_or_else(|| domain.name.clone());
        domain.mtu = mtu.unwrap_or(domain.mtu);
        Ok(())
    }

    /// Deletes a broadcast domain.
    ///
    /// # Errors
    /// A [`Refusal`] (8) while it has ports or a subnet.
    pub fn delete_broadcast_domain(&mut self, id: Uuid) -> Result<(), Refusal> {
        let domain = self.broadcast_domains.get(&id).ok_or_else(Refusal::no_entry)?;
        if !domain.ports.is_empty() || self.subnets.values().any(|subnet| subnet.domain == domain.name) {
            let message = format!("Broadcast domain \"{}\" has ports or subnets", domain.name);
            return Err(Refusal::conflict(8, message));
        }
        self.broadcast_domains.remove(&id);
        Ok(())
    }

    /// Makes a route.
    ///
    /// # Errors
    /// A [`Refusal`]: destination and gateway of different families, a destination routed already (1966345 by
    /// the API reference).
    pub fn create_route(
        &mut self,
        svm: Option<SvmId>,
        gateway: IpAddr,
        destination: Option<IpNet>,
        metric: Option<u64>,
    ) -> Result<Uuid, Refusal> {
        let all = || match gateway {
            IpAddr::V4(_) => IpNet::from(Ipv4Net::default()),
            IpAddr::V6(_) => IpNet::from(Ipv6Net::default()),
        };
        let destination = destination.map_or_else(all, |network| network.trunc());
        if destination.addr().is_ipv4() != gateway.is_ipv4() {
            return Err(Refusal::invalid("gateway", &gateway.to_string()));
        }
        let twin =
            |route: &Route| route.svm == svm && route.destination == destination && route.gateway == gateway;
        if self.routes.values().any(twin) {
            let message = format!("A route to {destination} through {gateway} already exists");
            return Err(Refusal::conflict(1_966_345, message));
        }
        let id = self.mint.edit().uuid();
        self.routes.insert(id, Route { id, svm, gateway, destination, metric: metric.unwrap_or(20) });
        Ok(id)
    }

    /// Deletes a route.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn delete_route(&mut self, id: Uuid) -> Result<(), Refusal> {
        self.routes.remove(&id).map(drop).ok_or_else(Refusal::no_entry)
    }

    /// Makes a subnet in a broadcast domain.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, one in use (1), an unknown broadcast domain.
    pub fn create_subnet(
        &mut self,
        name: &str,
        network: IpNet,
        domain: &str,
        gateway: Option<IpAddr>,
    ) -> Result<Uuid, Refusal> {
        admit_name(name)?;
        if !self.broadcast_domains.values().any(|known| known.name == domain) {
            let message = format!("Broadcast domain \"{domain}\" does not exist");
            return Err(Refusal::missing(4, message).about("broadcast_domain.name"));
        }
        if self.subnets.values().any(|subnet| subnet.name == name) {
            return Err(Refusal::conflict(1, format!("Subnet \"{name}\" already exists")).about("name"));
        }
        let id = self.mint.edit().uuid();
        let (name, domain) = (name.to_owned(), domain.to_owned());
        self.subnets.insert(id, Subnet { id, name, network: network.trunc(), gateway, domain });
        Ok(id)
    }

    /// Changes a subnet.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (4), a bad name.
    pub fn modify_subnet(
        &mut self,
        id: Uuid,
        name: Option<String>,
        gateway: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        name.as_deref().map_or(Ok(()), admit_name)?;
        let mut subnet = self.subnets.get_mut(&id).ok_or_else(Refusal::no_entry)?;
        subnet.name = name.unwrap_or_else(|| subnet.name.clone());
        subnet.gateway = gateway.or(subnet.gateway);
        Ok(())
    }

    /// Deletes a subnet.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn delete_subnet(&mut self, id: Uuid) -> Result<(), Refusal> {
        self.subnets.remove(&id).map(drop).ok_or_else(Refusal::no_entry)
    }

    /// The broadcast domain of a port.
    pub fn broadcast_domain_of(&self, port: &str) -> Option<&str> {
        let domains = self.broadcast_domains.values();
        let mut with = domains.filter(|domain| domain.ports.iter().any(|member| member == port));
        with.next().map(|domain| domain.name.as_str())
    }

    pub(super) fn create_builtin_segments(&mut self) {
        for name in [DEFAULT_IPSPACE, "Cluster"] {
            let id = self.mint.edit().uuid();
            self.ipspaces.insert(id, Ipspace { id, name: name.to_owned() });
        }
        for (name, ipspace, mtu, ports) in [
            ("Default", DEFAULT_IPSPACE, 1500, &["e0M", "e0c", "e0d"][..]),
            ("Cluster", "Cluster", 9000, &["e0a", "e0b"]),
        ] {
            let id = self.mint.edit().uuid();
            let ports = ports.iter().map(|&port| port.to_owned()).collect();
            let (name, ipspace) = (name.to_owned(), ipspace.to_owned());
            self.broadcast_domains.insert(id, BroadcastDomain { id, name, mtu, ipspace, ports });
        }
    }

    fn admit_ipspace_name(&self, name: &str) -> Result<(), Refusal> {
        admit_name(name)?;
        if self.ipspaces.values().any(|ipspace| ipspace.name == name) {
            let message = format!("IPspace \"{name}\" already exists");
            return Err(Refusal::conflict(1_966_460, message).about("name"));
        }
        Ok(())
    }
}

fn admit_name(name: &str) -> Result<(), Refusal> {
    let shaped = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-. ".contains(c));
    if shaped { Ok(()) } else { Err(Refusal::invalid("name", name)) }
}

/// From the least an IPv4 host must take (RFC 791) to the jumbo frames that ports carry.
fn admit_mtu(mtu: u64) -> Result<(), Refusal> {
    if (68..=9000).contains(&mtu) { Ok(()) } else { Err(Refusal::invalid("mtu", &mtu.to_string())) }
}

fn admit_services(services: &[String]) -> Result<(), Refusal> {
    match services.iter().find(|service| !SERVICES.contains(&service.as_str())) {
        Some(unknown) => Err(Refusal::invalid("services", unknown)),
        None => Ok(()),
    }
}
