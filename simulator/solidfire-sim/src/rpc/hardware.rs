//! What the cluster is made of: nodes and their drives, all healthy. Nothing of it changes, so methods
//! that only look at it are answered from who the cluster is.

use serde_json::{Map, Value, json};

use super::params::Params;
use super::version;
use crate::state::{ApiError, ClusterIdentity, DRIVES_PER_NODE, HardwareKind, Node};

/// Bytes the simulated drives hold.
pub(super) const MAX_USED_SPACE: u64 = 64 << 40;
/// Memory of a node, GiB.
const MEMORY: u32 = 64;

/// The result of `method`, if it is one of this family.
pub(super) fn answer(
    identity: &ClusterIdentity,
    method: &str,
    params: &mut Params,
) -> Option<Result<Value, ApiError>> {
    let nodes = || identity.nodes.iter().map(|one| node(identity, one)).collect::<Vec<_>>();
    Some(Ok(match method {
        "ListActiveNodes" => json!({"nodes": nodes()}),
        "ListAllNodes" => json!({"nodes": nodes(), "pendingNodes": [], "pendingActiveNodes": []}),
        "ListPendingNodes" => json!({"pendingNodes": []}),
        "ListPendingActiveNodes" => json!({"pendingActiveNodes": []}),
        "GetClusterMasterNodeID" => json!({"nodeID": 1}),
        "GetClusterState" => return Some(require_force(params).map(|()| cluster_state(identity))),
        "ListDrives" => {
            json!({"drives": identity.nodes.iter().flat_map(|one| drives(identity, one)).collect::<Vec<_>>()})
        }
        "GetNodeHardwareInfo" => return Some(node_hardware(identity, params)),
        _ => return None,
    }))
}

/// Methods that ask every node only do so when told to.
fn require_force(params: &mut Params) -> Result<(), ApiError> {
    match params.find_flag("force")? {
        Some(true) => Ok(()),
        Some(false) => Err(ApiError::InvalidParameter { reason: "force must be true".into() }),
        None => Err(ApiError::MissingParameter { member: "force" }),
    }
}

fn cluster_state(identity: &ClusterIdentity) -> Value {
    let one = |node: &Node| json!({"nodeID": node.id, "result": state_of(identity)});
    json!({"nodes": identity.nodes.iter().map(one).collect::<Vec<_>>()})
}

/// What a node says of its membership.
pub(super) fn state_of(identity: &ClusterIdentity) -> Value {
    json!({"cluster": identity.name, "state": "Active"})
}

fn node_hardware(identity: &ClusterIdentity, params: &mut Params) -> Result<Value, ApiError> {
    let id = params.require_integer("nodeID")?;
    let node = identity.nodes.iter().find(|node| i64::from(node.id) == id);
    let node = node.ok_or(ApiError::NodeIdDoesNotExist(id))?;
    Ok(json!({"nodeHardwareInfo": hardware_of(identity, node)}))
}

/// `GetClusterHardwareInfo`.
pub(super) fn cluster_hardware(kind: HardwareKind, identity: &ClusterIdentity) -> Value {
    let keyed = |pairs: Vec<(u32, Value)>| -> Value {
        pairs.into_iter().map(|(id, value)| (id.to_string(), value)).collect::<Map<_, _>>().into()
    };
    let mut info = Map::new();
    if kind != HardwareKind::Drives {
        let nodes = identity.nodes.iter().map(|node| (node.id, hardware_of(identity, node)));
        info.insert("nodes".into(), keyed(nodes.collect()));
    }
    if kind != HardwareKind::Nodes {
        let drives = identity.nodes.iter().flat_map(|node| node.drives().zip(drives(identity, node)));
        info.insert("drives".into(), keyed(drives.collect()));
    }
    Value::Object(info)
}

/// A node's hardware; a client tells nodes by their serial numbers.
pub(super) fn hardware_of(identity: &ClusterIdentity, node: &Node) -> Value {
    json!({
        "chassisType": "SIM",
        "hostname": node.name,
        "nodeType": "SIM",
        "platform": platform(),
        "serial": serial(identity, node.id),
        "uuid": node.uuid,
    })
}

fn serial(identity: &ClusterIdentity, number: u32) -> String {
    format!("SIM{}{number:04}", identity.unique_id.to_string().to_ascii_uppercase())
}

fn platform() -> Value {
    json!({
        "chassisType": "SIM",
        "containerized": false,
        "cpuModel": "simulated",
        "nodeMemoryGB": MEMORY,
        "nodeType": "SIM",
        "platformConfigVersion": version::SOFTWARE,
    })
}

fn node(identity: &ClusterIdentity, node: &Node) -> Value {
    let (storage, management) = (node.storage.ip().to_string(), node.management.ip().to_string());
    json!({
        "associatedFServiceID": 0,
        "associatedMasterServiceID": node.id,
        "attributes": {},
        "chassisName": serial(identity, node.id),
        "cip": storage,
        "cipi": "Bond10G",
        "customProtectionDomainName": "",
        "fibreChannelTargetPortGroup": null,
        "maintenanceMode": "Disabled",
        "mip": management,
        "mipi": "Bond1G",
        "name": node.name,
        "nodeID": node.id,
        "nodeSlot": "",
        "platformInfo": platform(),
        "role": "Storage",
        "sip": storage,
        "sipi": "Bond10G",
        "softwareVersion": version::SOFTWARE,
        "uuid": node.uuid,
        "virtualNetworks": [],
    })
}

/// All of the cluster's capacity is on the drives that hold blocks.
fn drives(identity: &ClusterIdentity, node: &Node) -> Vec<Value> {
    let nodes = identity.nodes.len().max(1) as u64;
    let capacity = MAX_USED_SPACE / nodes / u64::from(DRIVES_PER_NODE - 1);
    let drive = |(slot, id): (usize, u32)| {
        json!({
            "attributes": {},
            "capacity": capacity,
            "chassisSlot": slot.to_string(),
            "customProtectionDomainName": "",
            "driveFailureDetail": "None",
            "driveID": id,
            "driveSecurityFaultReason": "None",
            "keyID": null,
            "keyProviderID": null,
            "nodeID": node.id,
            "segmentFileSize": 0,
            "serial": format!("{}D{slot}", serial(identity, node.id)),
            "slot": slot,
            "status": "active",
            "type": if slot == 0 { "volume" } else { "block" },
            "usableCapacity": capacity,
        })
    };
    node.drives().enumerate().map(|(slot, id)| drive((slot, id))).collect()
}
