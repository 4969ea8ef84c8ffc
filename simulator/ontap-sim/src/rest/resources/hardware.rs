//! What stands in the rack and does not change: ports, disks, licences, counters. Read by clients
//! that take stock.

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::resource::{NOTHING, Resource, Scope};
use super::node_reference;
use crate::state::aggregate::{DISK_SIZE, Media};
use crate::state::lif::PORTS;
use crate::state::{Cluster, Refusal};

/// Licences that this array has.
const LICENCES: [&str; 9] =
    ["nfs", "cifs", "iscsi", "fcp", "nvme_of", "snapmirror", "snaprestore", "flexclone", "snapmanagersuite"];
/// Tables of counters that clients ask for; they are empty.
const COUNTER_TABLES: [&str; 6] = ["lif", "lun", "qos", "system:node", "volume", "workload"];

pub(super) const ETHERNET_PORTS: Resource = Resource {
    path: "network/ethernet/ports",
    keys: &["uuid"],
    always: &["uuid", "name", "node.name"],
    readable: &[
        "uuid",
        "name",
        "type",
        "state",
        "enabled",
        "mtu",
        "speed",
        "mac_address",
        "node.name",
        "node.uuid",
        "broadcast_domain.name",
        "broadcast_domain.ipspace.name",
    ],
    list: Some(ports),
    ..NOTHING
};

/// Clients that are not told the kind of an interface ask here too; there is no Fibre Channel.
pub(super) const FC_INTERFACES: Resource = Resource {
    path: "network/fc/interfaces",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "wwpn",
        "wwnn",
        "state",
        "enabled",
        "data_protocol",
        "svm.name",
        "svm.uuid",
        "location.node.name",
        "location.port.name",
    ],
    list: Some(nothing),
    ..NOTHING
};

/// The same for its services.
pub(super) const FCP_SERVICES: Resource = Resource {
    path: "protocols/san/fcp/services",
    keys: &["svm.uuid"],
    always: &["svm.name", "svm.uuid"],
    readable: &["svm.name", "svm.uuid", "enabled", "target.name"],
    list: Some(nothing),
    ..NOTHING
};

fn nothing(_: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    Ok(Vec::new())
}

pub(super) const DISKS: Resource = Resource {
    path: "storage/disks",
    keys: &["name"],
    always: &["name"],
    readable: &[
        "name",
        "uid",
        "serial_number",
        "model",
        "vendor",
        "type",
        "effective_type",
        "container_type",
        "state",
        "usable_size",
        "node.name",
        "node.uuid",
        "home_node.name",
        "home_node.uuid",
        "aggregates.name",
        "aggregates.uuid",
    ],
    list: Some(disks),
    ..NOTHING
};

pub(super) const LICENSES: Resource = Resource {
    path: "cluster/licensing/licenses",
    keys: &["name"],
    always: &["name"],
    readable: &["name", "scope", "state", "description", "licenses.owner", "licenses.active"],
    list: Some(licenses),
    ..NOTHING
};

pub(super) const COUNTERS: Resource = Resource {
    path: "cluster/counter/tables",
    keys: &["name"],
    always: &["name"],
    readable: &["name", "description"],
    list: Some(counter_tables),
    ..NOTHING
};

pub(super) const COUNTER_ROWS: Resource = Resource {
    path: "cluster/counter/tables/{name}/rows",
    keys: &["id"],
    always: &["id"],
    readable: &["id", "counters.name", "counters.value", "properties.name", "properties.value"],
    list: Some(counter_rows),
    ..NOTHING
};

fn derived(base: Uuid, name: &str) -> Uuid {
    Uuid::new_v5(&base, name.as_bytes())
}

fn ports(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let on_node = |node: &crate::state::Node| {
        let id = node.id.0;
        let reference = node_reference(cluster, node.id);
        let port = move |name: &&'static str| {
            let uuid = derived(id, name);
            let [.., a, b, c, d, e] = *uuid.as_bytes();
            let domain = cluster.broadcast_domain_of(name);
            json!({
                "uuid": uuid.to_string(),
                "name": name,
                "type": "physical",
                "state": "up",
                "enabled": true,
                "mtu": 1500,
                "speed": 10_000,
                "mac_address": format!("02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}"),
                "node": reference.clone(),
                "broadcast_domain": domain.map(|domain| json!({ "name": domain, "ipspace": { "name": "Default" } })),
            })
        };
        PORTS.iter().map(port).collect::<Vec<_>>()
    };
    Ok(cluster.nodes.values().flat_map(on_node).collect())
}

fn disks(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let of_aggregate = |aggregate: &crate::state::Aggregate| {
        let kind = if aggregate.media == Media::Ssd { "ssd" } else { "fsas" };
        let shelf = cluster.aggregates.keys().position(|id| *id == aggregate.id).unwrap_or(0);
        let node = node_reference(cluster, aggregate.node);
        let reference = json!([{ "name": aggregate.name, "uuid": aggregate.id.to_string() }]);
        let disk = |place: u64| {
            let name = format!("1.{shelf}.{place}");
            let serial = derived(aggregate.id.0, &name).simple().to_string().to_uppercase();
            json!({
                "name": name,
                "uid": serial,
                "serial_number": serial.get(..12),
                "model": "SIMDISK",
                "vendor": "NETAPP",
                "type": kind,
                "effective_type": kind,
                "container_type": "aggregate",
                "state": "present",
                "usable_size": DISK_SIZE,
                "node": node.clone(),
                "home_node": node.clone(),
                "aggregates": reference.clone(),
            })
        };
        (0..aggregate.disks()).map(disk).collect::<Vec<_>>()
    };
    Ok(cluster.aggregates.values().flat_map(of_aggregate).collect())
}

fn licenses(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |name: &&str| {
        json!({
            "name": name,
            "scope": "cluster",
            "state": "compliant",
            "licenses": [{ "owner": cluster.about.name, "active": true }],
        })
    };
    Ok(LICENCES.iter().map(record).collect())
}

fn counter_tables(_: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |name: &&str| json!({ "name": name, "description": "No counters are kept" });
    Ok(COUNTER_TABLES.iter().map(record).collect())
}

fn counter_rows(_: &Cluster, scope: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    if COUNTER_TABLES.contains(&scope.parent(0)) { Ok(Vec::new()) } else { Err(Refusal::no_entry()) }
}
