//! `/network/ipspaces`, `/network/ethernet/broadcast-domains`, `/network/ip/routes` and
//! `/network/ip/subnets`: kept and told, without effect on the wire, where the host routes.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm_reference;
use crate::state::network::{BroadcastDomain, Ipspace, Route, Subnet};
use crate::state::{Cluster, Refusal};

pub(super) const IPSPACES: Resource = Resource {
    path: "network/ipspaces",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &["uuid", "name"],
    creatable: &["name"],
    modifiable: &["name"],
    list: Some(ipspaces),
    create: Some(create_ipspace),
    modify: Some(rename_ipspace),
    delete: Some(delete_ipspace),
    ..NOTHING
};

pub(super) const BROADCAST_DOMAINS: Resource = Resource {
    path: "network/ethernet/broadcast-domains",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &["uuid", "name", "mtu", "ipspace.name", "ports.name", "ports.node.name"],
    creatable: &["name", "mtu", "ipspace.name"],
    modifiable: &["name", "mtu"],
    list: Some(domains),
    create: Some(create_domain),
    modify: Some(modify_domain),
    delete: Some(delete_domain),
    ..NOTHING
};

pub(super) const ROUTES: Resource = Resource {
    path: "network/ip/routes",
    keys: &["uuid"],
    always: &["uuid"],
    readable: &[
        "uuid",
        "gateway",
        "destination.address",
        "destination.netmask",
        "destination.family",
        "metric",
        "scope",
        "svm.name",
        "svm.uuid",
        "ipspace.name",
    ],
    creatable: &[
        "gateway",
        "destination.address",
        "destination.netmask",
        "metric",
        "scope",
        "svm.name",
        "svm.uuid",
        "ipspace.name",
    ],
    list: Some(routes),
    create: Some(create_route),
    delete: Some(delete_route),
    ..NOTHING
};

pub(super) const SUBNETS: Resource = Resource {
    path: "network/ip/subnets",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "subnet.address",
        "subnet.netmask",
        "gateway",
        "broadcast_domain.name",
        "ipspace.name",
    ],
    creatable: &[
        "name",
        "subnet.address",
        "subnet.netmask",
        "gateway",
        "broadcast_domain.name",
        "ipspace.name",
        "ip_ranges.start",
        "ip_ranges.end",
        "fail_if_lifs_conflict",
    ],
    modifiable: &["name", "gateway"],
    list: Some(subnets),
    create: Some(create_subnet),
    modify: Some(modify_subnet),
    delete: Some(delete_subnet),
    ..NOTHING
};

fn key(scope: &Scope<'_>) -> Result<uuid::Uuid, Refusal> {
    scope.key(0).parse().map_err(|_| Refusal::no_entry())
}

fn ipspaces(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |ipspace: &Ipspace| json!({ "uuid": ipspace.id.to_string(), "name": ipspace.name });
    Ok(cluster.ipspaces.values().map(record).collect())
}

fn create_ipspace(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    Ok(vec![cluster.create_ipspace(&body.required_text("name")?)?.to_string()])
}

fn rename_ipspace(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.rename_ipspace(key(scope)?, &body.required_text("name")?)
}

fn delete_ipspace(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_ipspace(key(scope)?)
}

fn domains(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |domain: &BroadcastDomain| {
        let on_node = |node: &crate::state::Node| {
            let port = |name: &String| json!({ "name": name, "node": { "name": node.name } });
            domain.ports.iter().map(port).collect::<Vec<_>>()
        };
        let ports: Vec<_> = cluster.nodes.values().flat_map(on_node).collect();
        json!({
            "uuid": domain.id.to_string(),
            "name": domain.name,
            "mtu": domain.mtu,
            "ipspace": { "name": domain.ipspace },
            "ports": if ports.is_empty() { Value::Null } else { Value::Array(ports) },
        })
    };
    Ok(cluster.broadcast_domains.values().map(record).collect())
}

fn create_domain(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let mtu = body.integer("mtu")?.ok_or_else(|| Refusal::required("mtu"))?;
    let ipspace = body.text("ipspace.name")?;
    Ok(vec![cluster.create_broadcast_domain(&body.required_text("name")?, mtu, ipspace)?.to_string()])
}

fn modify_domain(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_broadcast_domain(key(scope)?, body.text("name")?, body.integer("mtu")?)
}

fn delete_domain(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_broadcast_domain(key(scope)?)
}

fn routes(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |route: &Route| {
        json!({
            "uuid": route.id.to_string(),
            "gateway": route.gateway.to_string(),
            "destination": {
                "address": route.destination.addr().to_string(),
                "netmask": route.destination.prefix_len().to_string(),
                "family": if route.gateway.is_ipv4() { "ipv4" } else { "ipv6" },
            },
            "metric": route.metric,
            "scope": if route.svm.is_some() { "svm" } else { "cluster" },
            "svm": route.svm.map(|svm| svm_reference(cluster, svm)),
            "ipspace": { "name": "Default" },
        })
    };
    Ok(cluster.routes.values().map(record).collect())
}

fn create_route(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let of_svm = body.has("svm") || scope.svm.is_some();
    let svm = if of_svm { Some(scope.require_svm(cluster, body)?.id) } else { None };
    let gateway = body.required_text("gateway")?;
    let gateway = gateway.parse().map_err(|_| Refusal::invalid("gateway", &gateway))?;
    let destination = network(body, "destination")?;
    Ok(vec![cluster.create_route(svm, gateway, destination, body.integer("metric")?)?.to_string()])
}

fn delete_route(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_route(key(scope)?)
}

fn subnets(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |subnet: &Subnet| {
        json!({
            "uuid": subnet.id.to_string(),
            "name": subnet.name,
            "subnet": {
                "address": subnet.network.network().to_string(),
                "netmask": subnet.network.prefix_len().to_string(),
            },
            "gateway": subnet.gateway.map(|gateway| gateway.to_string()),
            "broadcast_domain": { "name": subnet.domain },
            "ipspace": { "name": "Default" },
        })
    };
    Ok(cluster.subnets.values().map(record).collect())
}

fn create_subnet(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let network = network(body, "subnet")?.ok_or_else(|| Refusal::required("subnet.address"))?;
    let domain = body.required_text("broadcast_domain.name")?;
    let id = cluster.create_subnet(&body.required_text("name")?, network, &domain, gateway(body)?)?;
    Ok(vec![id.to_string()])
}

fn modify_subnet(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    cluster.modify_subnet(key(scope)?, body.text("name")?, gateway(body)?)
}

fn delete_subnet(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_subnet(key(scope)?)
}

fn gateway(body: &Body) -> Result<Option<std::net::IpAddr>, Refusal> {
    let text = body.text("gateway")?;
    text.map(|text| text.parse().map_err(|_| Refusal::invalid("gateway", &text))).transpose()
}

/// The network of address and mask in `field`.
fn network(body: &Body, field: &str) -> Result<Option<ipnet::IpNet>, Refusal> {
    let (address, netmask) = (format!("{field}.address"), format!("{field}.netmask"));
    let Some(text) = body.text(&address)? else { return Ok(None) };
    let given: std::net::IpAddr = text.parse().map_err(|_| Refusal::invalid(&address, &text))?;
    let prefix = super::network::prefix(body, &netmask, given)?.ok_or_else(|| Refusal::required(&netmask))?;
    ipnet::IpNet::new(given, prefix).map(Some).map_err(|_| Refusal::invalid(&netmask, &prefix.to_string()))
}
