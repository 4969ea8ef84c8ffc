//! `/network/ip/interfaces`.

use serde_json::{Value, json};

use super::super::resource::{NOTHING, Resource, Scope};
use super::{node_reference, svm_reference};
use crate::state::{Cluster, Lif, LifService, Refusal};

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
        "ipspace.name",
        "location.node.name",
        "location.node.uuid",
        "location.home_node.name",
        "location.home_node.uuid",
        "location.port.name",
        "location.home_port.name",
        "location.is_home",
    ],
    list: Some(interfaces),
    ..NOTHING
};

fn interfaces(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    Ok(cluster.lifs.values().map(|lif| record(cluster, lif)).collect())
}

fn record(cluster: &Cluster, lif: &Lif) -> Value {
    let (services, policy) = match lif.service {
        LifService::Nfs => (vec!["data_core", "data_nfs"], "default-data-files"),
        LifService::Iscsi { .. } => (vec!["data_core", "data_iscsi"], "default-data-blocks"),
        LifService::Management => {
            (vec!["management_core", "management_ssh", "management_https"], "default-management")
        }
    };
    let (netmask, family) = if lif.address.is_ipv4() { ("24", "ipv4") } else { ("64", "ipv6") };
    json!({
        "uuid": lif.id.to_string(),
        "name": lif.name,
        "ip": { "address": lif.address.to_string(), "netmask": netmask, "family": family },
        "enabled": true,
        "state": "up",
        "scope": "svm",
        "svm": svm_reference(cluster, lif.svm),
        "services": services,
        "service_policy": { "name": policy },
        "ipspace": { "name": "Default" },
        "location": {
            "node": node_reference(cluster, lif.node),
            "home_node": node_reference(cluster, lif.node),
            "port": { "name": "e0c" },
            "home_port": { "name": "e0c" },
            "is_home": true,
        },
    })
}
