//! The API of one node, on a port of its own (442 on an array): who the node is, how it is connected,
//! and whether it reaches the others. It knows no volumes; Ansible tells nodes from clusters by which
//! methods are unknown.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::params::Params;
use super::{hardware, version};
use crate::state::{ApiError, ClusterIdentity, Node};

/// What a test's exchange takes here, as the API shows spans of time.
const EXCHANGE: &str = "00:00:00.000100";
/// The tests there are.
const TESTS: [&str; 4] = ["TestConnectEnsemble", "TestConnectMvip", "TestConnectSvip", "TestPing"];

/// The result of `method`, asked of node `id`.
pub(super) fn answer(
    identity: &ClusterIdentity,
    id: u32,
    method: &str,
    params: &mut Params,
) -> Result<Value, ApiError> {
    let node = identity.nodes.iter().find(|node| node.id == id);
    let node = node.ok_or(ApiError::NodeIdDoesNotExist(i64::from(id)))?;
    Ok(match method {
        "GetAPI" => version::api(),
        "GetConfig" => json!({"config": {"cluster": membership(identity, node), "network": network(node)}}),
        "GetClusterConfig" => json!({"cluster": membership(identity, node)}),
        "GetNetworkConfig" => json!({"network": network(node)}),
        "GetBootstrapConfig" => bootstrap(identity, node),
        "GetClusterState" => hardware::state_of(identity),
        "GetHardwareInfo" => json!({"hardwareInfo": hardware::hardware_of(identity, node)}),
        "GetPendingOperation" => json!({"pendingOperation": {"operation": "none", "pending": false}}),
        "ListTests" => json!({"tests": TESTS}),
        "TestPing" => ping(identity, params)?,
        "TestConnectMvip" => connect("mvip", identity.mvip.ip(), identity, params)?,
        "TestConnectSvip" => connect("svip", identity.svip.ip(), identity, params)?,
        "TestConnectEnsemble" => {
            params.find_text("ensemble")?;
            let nodes = identity.nodes.iter().map(|node| (ensemble_member(node), json!(EXCHANGE)));
            passed(true, json!({"nodes": nodes.collect::<Map<_, _>>()}))
        }
        _ => return Err(ApiError::UnknownMethod { method: method.to_owned() }),
    })
}

fn ensemble_member(node: &Node) -> String {
    format!("{}:{}", node.id, node.storage.ip())
}

fn membership(identity: &ClusterIdentity, node: &Node) -> Value {
    json!({
        "cipi": "Bond10G",
        "cluster": identity.name,
        "encryptionCapable": false,
        "ensemble": identity.nodes.iter().map(ensemble_member).collect::<Vec<_>>(),
        "fipsDriveConfiguration": "None",
        "hasLocalAdmin": false,
        "mipi": "Bond1G",
        "name": node.name,
        "nodeID": node.id,
        "pendingNodeID": 0,
        "role": "Storage",
        "sipi": "Bond10G",
        "state": "Active",
        "version": version::SOFTWARE,
    })
}

/// Two bonds: one for management, one for storage and the cluster's own traffic.
fn network(node: &Node) -> Value {
    let interface = |address: IpAddr, mtu: &str, is_default: bool| {
        json!({
            "#default": is_default,
            "address": address.to_string(),
            "auto": true,
            "bond-mode": "ActivePassive",
            "family": if address.is_ipv4() { "inet" } else { "inet6" },
            "method": "static",
            "mtu": mtu,
            "netmask": if address.is_ipv4() { "255.255.255.0" } else { "ffff:ffff:ffff:ffff::" },
            "status": "UpAndRunning",
            "upAndRunning": true,
            "virtualNetworkTag": "0",
        })
    };
    json!({
        "Bond10G": interface(node.storage.ip(), "9000", false),
        "Bond1G": interface(node.management.ip(), "1500", true),
        "lo": {"address": "127.0.0.1", "auto": true, "family": "inet", "method": "loopback", "netmask": "255.0.0.0", "status": "UpAndRunning", "upAndRunning": true},
    })
}

fn bootstrap(identity: &ClusterIdentity, node: &Node) -> Value {
    json!({
        "clusterName": identity.name,
        "mvip": identity.mvip.ip().to_string(),
        "nodeName": node.name,
        // Only nodes that belong to no cluster wait.
        "nodes": [],
        "svip": identity.svip.ip().to_string(),
        "version": version::SOFTWARE,
    })
}

fn passed(all: bool, details: Value) -> Value {
    json!({"details": details, "duration": EXCHANGE, "result": if all { "Passed" } else { "Failed" }})
}

/// A node reaches the addresses of its cluster, and nothing else is there.
fn reaches(identity: &ClusterIdentity, host: &str) -> bool {
    let own = identity.nodes.iter().flat_map(|node| [node.storage.ip(), node.management.ip()]);
    let known: BTreeSet<_> = own.chain([identity.mvip.ip(), identity.svip.ip()]).collect();
    host.parse().is_ok_and(|address: IpAddr| known.contains(&address))
}

fn responses(successful: bool, attempts: usize) -> Value {
    let code = if successful { 0 } else { -1 };
    json!({
        "individualResponseCodes": vec![code; attempts],
        "individualResponseTimes": vec![EXCHANGE; attempts],
        "individualStatus": vec![successful; attempts],
        "responseTime": EXCHANGE,
        "successful": successful,
    })
}

fn ping(identity: &ClusterIdentity, params: &mut Params) -> Result<Value, ApiError> {
    for member in ["packetSize", "pingTimeoutMsec", "totalTimeoutSec", "virtualNetworkTag"] {
        params.find_integer(member)?;
    }
    params.find_flag("prohibitFragmentation")?;
    params.find_text("interface")?;
    let attempts = params.find_integer("attempts")?.unwrap_or(5);
    let attempts = usize::try_from(attempts).ok().filter(|attempts| (1..=1000).contains(attempts));
    let attempts = attempts
        .ok_or_else(|| ApiError::InvalidParameter { reason: "attempts must be in 1..1000".to_owned() })?;
    let ensemble = || identity.nodes.iter().map(|node| node.storage.ip().to_string()).collect();
    let given = params.find_text("hosts")?.filter(|hosts| !hosts.is_empty());
    let hosts: Vec<_> =
        given.map_or_else(ensemble, |hosts| hosts.split(',').map(|host| host.trim().to_owned()).collect());
    let all = hosts.iter().all(|host| reaches(identity, host));
    let each = hosts.into_iter().map(|host| {
        let answers = responses(reaches(identity, &host), attempts);
        (host, answers)
    });
    Ok(passed(all, Value::Object(each.collect())))
}

fn connect(
    member: &'static str,
    present: IpAddr,
    identity: &ClusterIdentity,
    params: &mut Params,
) -> Result<Value, ApiError> {
    let asked = params.find_text(member)?.filter(|text| !text.is_empty());
    let asked = asked.unwrap_or_else(|| present.to_string());
    let connected = reaches(identity, &asked);
    let bytes = ["56", "1500"].map(|size| (size.to_owned(), responses(connected, 5)));
    let bytes: Map<_, _> = bytes.into_iter().collect();
    Ok(passed(connected, json!({"connected": connected, member: asked, "pingBytes": bytes})))
}
