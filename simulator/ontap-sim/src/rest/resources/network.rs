//! `/network/ip/interfaces` and `/network/ip/service-policies`.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::{node_reference, svm_reference};
use crate::state::lif::{LifPatch, LifSpec, ServicePolicy};
use crate::state::{Cluster, Lif, LifId, NodeId, Refusal, SvmId};

pub(super) const IP_INTERFACES: Resource = Resource {
    path: "network/ip/interfaces",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "ip.address",
        "ip.netmask",
        "ip.family",
        "enabled",
        "state",
        "scope",
        "svm.name",
        "svm.uuid",
        "services",
        "service_policy.name",
        "service_policy.uuid",
        "ipspace.name",
        "vip",
        "ddns_enabled",
        "dns_zone",
        "probe_port",
        "subnet.name",
        "location.node.name",
        "location.node.uuid",
        "location.home_node.name",
        "location.home_node.uuid",
        "location.port.name",
        "location.port.node.name",
        "location.home_port.name",
        "location.home_port.node.name",
        "location.broadcast_domain.name",
        "location.is_home",
        "location.auto_revert",
        "location.failover",
    ],
    creatable: &[
        "name",
        "scope",
        "svm.name",
        "svm.uuid",
        "ipspace.name",
        "enabled",
        "ip.address",
        "ip.netmask",
        "service_policy.name",
        "service_policy.uuid",
        "location.home_node.name",
        "location.home_node.uuid",
        "location.home_port.name",
        "location.home_port.node.name",
        "location.broadcast_domain.name",
        "location.auto_revert",
        "location.failover",
        "dns_zone",
        "ddns_enabled",
        "probe_port",
        "fail_if_subnet_conflicts",
    ],
    modifiable: &[
        "name",
        "enabled",
        "ip.address",
        "ip.netmask",
        "service_policy.name",
        "service_policy.uuid",
        "location.node.name",
        "location.node.uuid",
        "location.port.name",
        "location.port.node.name",
        "location.home_node.name",
        "location.home_node.uuid",
        "location.home_port.name",
        "location.home_port.node.name",
        "location.is_home",
        "location.auto_revert",
        "location.failover",
        "dns_zone",
        "ddns_enabled",
        "fail_if_subnet_conflicts",
    ],
    list: Some(interfaces),
    create: Some(create),
    modify: Some(modify),
    delete: Some(delete),
    ..NOTHING
};

pub(super) const SERVICE_POLICIES: Resource = Resource {
    path: "network/ip/service-policies",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &["uuid", "name", "scope", "services", "is_built_in", "svm.name", "svm.uuid", "ipspace.name"],
    creatable: &["name", "scope", "services", "svm.name", "svm.uuid", "ipspace.name"],
    modifiable: &["name", "services"],
    list: Some(policies),
    create: Some(create_policy),
    modify: Some(modify_policy),
    delete: Some(delete_policy),
    ..NOTHING
};

fn interfaces(cluster: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let wanted = |lif: &&Lif| scope.admits("uuid", lif.id) && scope.admits("name", &lif.name);
    Ok(cluster.lifs.values().filter(wanted).map(|lif| record(cluster, lif)).collect())
}

fn record(cluster: &Cluster, lif: &Lif) -> Value {
    let policy = cluster.service_policy_of(lif);
    let ipspace = lif.svm.and_then(|svm| cluster.find_svm(svm)).map_or("Default", |svm| svm.ipspace.as_str());
    let port = |node: NodeId, name: &str| {
        let node = cluster.find_node(node).map(|node| node.name.as_str());
        json!({ "name": name, "node": { "name": node } })
    };
    json!({
        "uuid": lif.id.to_string(),
        "name": lif.name,
        "ip": {
            "address": lif.address.to_string(),
            // Taken as a mask or as a length; told as a length (API reference).
            "netmask": lif.prefix.to_string(),
            "family": if lif.address.is_ipv4() { "ipv4" } else { "ipv6" },
        },
        "enabled": lif.enabled,
        "state": if cluster.is_up(lif) { "up" } else { "down" },
        "scope": if lif.svm.is_some() { "svm" } else { "cluster" },
        "svm": lif.svm.map(|svm| svm_reference(cluster, svm)),
        "services": policy.map(|policy| policy.services.clone()),
        "service_policy": policy.map(|policy| json!({ "name": policy.name, "uuid": policy.id.to_string() })),
        "ipspace": { "name": ipspace },
        "vip": false,
        "ddns_enabled": false,
        "location": {
            "node": node_reference(cluster, lif.node),
            "home_node": node_reference(cluster, lif.home_node),
            "port": port(lif.node, &lif.port),
            "home_port": port(lif.home_node, &lif.home_port),
            "broadcast_domain": cluster.broadcast_domain_of(&lif.port).map(|name| json!({ "name": name })),
            "is_home": lif.is_home(),
            "auto_revert": lif.auto_revert,
            "failover": "broadcast_domain_only",
        },
    })
}

fn create(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let of_cluster = match body.text("scope")?.as_deref() {
        Some("cluster") => true,
        Some("svm") => false,
        // Without an SVM it is the cluster's, in an ipspace.
        None => !body.has("svm") && scope.svm.is_none() && body.has("ipspace"),
        Some(other) => return Err(Refusal::invalid("scope", other)),
    };
    let svm = if of_cluster { None } else { Some(scope.require_svm(cluster, body)?.id) };
    let address = address(body)?.ok_or_else(|| Refusal::required("ip.address"))?;
    let prefix = prefix(body, "ip.netmask", address)?.ok_or_else(|| Refusal::required("ip.netmask"))?;
    let home = node(cluster, body, "location.home_node")?;
    let spec = LifSpec {
        name: body.required_text("name")?,
        svm,
        address,
        prefix,
        node: home.or(node(cluster, body, "location.home_port.node")?),
        port: body.text("location.home_port.name")?,
        auto_revert: body.boolean("location.auto_revert")?.unwrap_or(true),
        enabled: body.boolean("enabled")?.unwrap_or(true),
        policy: policy_name(cluster, body)?,
    };
    Ok(vec![cluster.create_lif(spec)?.to_string()])
}

fn modify(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = lif_id(scope.key(0))?;
    let before = cluster.find_lif(id).ok_or_else(Refusal::no_entry)?;
    let address = address(body)?;
    let port_of = |field: &str| node(cluster, body, field);
    let patch = LifPatch {
        name: body.text("name")?,
        address,
        prefix: prefix(body, "ip.netmask", address.unwrap_or(before.address))?,
        enabled: body.boolean("enabled")?,
        node: port_of("location.node")?.or(port_of("location.port.node")?),
        port: body.text("location.port.name")?,
        home_node: port_of("location.home_node")?.or(port_of("location.home_port.node")?),
        home_port: body.text("location.home_port.name")?,
        is_home: body.boolean("location.is_home")?,
        auto_revert: body.boolean("location.auto_revert")?,
        policy: policy_name(cluster, body)?,
    };
    cluster.modify_lif(id, patch)
}

fn delete(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_lif(lif_id(scope.key(0))?)
}

fn address(body: &Body) -> Result<Option<IpAddr>, Refusal> {
    let address = body.text("ip.address")?;
    address.map(|text| text.parse().map_err(|_| Refusal::invalid("ip.address", &text))).transpose()
}

/// A length in bits, or a mask such as `255.255.255.0`.
pub(super) fn prefix(body: &Body, field: &str, address: IpAddr) -> Result<Option<u8>, Refusal> {
    let Some(text) = body.text(field)? else { return Ok(None) };
    let bad = || Refusal::invalid(field, &text);
    let prefix = match (text.parse::<IpAddr>(), text.parse::<u8>()) {
        (_, Ok(prefix)) => prefix,
        (Ok(mask), _) if mask.is_ipv4() == address.is_ipv4() => {
            ipnet::ip_mask_to_prefix(mask).map_err(|_| bad())?
        }
        _ => return Err(bad()),
    };
    Ok(Some(prefix))
}

/// The node that `field` names by name or UUID.
pub(super) fn node(cluster: &Cluster, body: &Body, field: &str) -> Result<Option<NodeId>, Refusal> {
    let (name, uuid) = (body.text(&format!("{field}.name"))?, body.text(&format!("{field}.uuid"))?);
    let Some(asked) = name.or(uuid) else { return Ok(None) };
    let found = cluster.nodes.values().find(|node| node.name == asked || node.id.to_string() == asked);
    found.map(|node| Some(node.id)).ok_or_else(|| {
        Refusal::missing(393_271, format!("Node \"{asked}\" does not exist in the cluster")).about(field)
    })
}

fn policy_name(cluster: &Cluster, body: &Body) -> Result<Option<String>, Refusal> {
    let (name, uuid) = (body.text("service_policy.name")?, body.text("service_policy.uuid")?);
    match (name, uuid) {
        (Some(name), _) => Ok(Some(name)),
        (None, Some(uuid)) => {
            let policy = cluster.service_policies.values().find(|policy| policy.id.to_string() == uuid);
            let policy = policy.ok_or_else(|| Refusal::invalid("service_policy.uuid", &uuid))?;
            Ok(Some(policy.name.clone()))
        }
        (None, None) => Ok(None),
    }
}

fn policies(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |policy: &ServicePolicy| {
        json!({
            "uuid": policy.id.to_string(),
            "name": policy.name,
            "scope": if policy.svm.is_some() { "svm" } else { "cluster" },
            "services": policy.services,
            "is_built_in": policy.builtin,
            "svm": policy.svm.map(|svm| svm_reference(cluster, svm)),
            "ipspace": { "name": "Default" },
        })
    };
    Ok(cluster.service_policies.values().map(record).collect())
}

fn create_policy(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let of_cluster = body.text("scope")?.as_deref() == Some("cluster");
    let svm: Option<SvmId> = if of_cluster { None } else { Some(scope.require_svm(cluster, body)?.id) };
    let services = body.texts("services")?.unwrap_or_default();
    let id = cluster.create_service_policy(svm, &body.required_text("name")?, services)?;
    Ok(vec![id.to_string()])
}

fn modify_policy(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = scope.key(0).parse().map_err(|_| Refusal::no_entry())?;
    cluster.modify_service_policy(id, body.text("name")?, body.texts("services")?)
}

fn delete_policy(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_service_policy(scope.key(0).parse().map_err(|_| Refusal::no_entry())?)
}

fn lif_id(text: &str) -> Result<LifId, Refusal> {
    text.parse().map(LifId).map_err(|_| Refusal::no_entry())
}
