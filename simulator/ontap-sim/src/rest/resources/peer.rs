//! `/cluster/peers` and `/svm/peers`.

use serde_json::{Value, json};

use super::super::body::Body;
use super::super::resource::{NOTHING, Resource, Scope};
use super::svm_reference;
use crate::state::peer::{ClusterPeer, SvmPeer};
use crate::state::{Cluster, Refusal};

pub(super) const CLUSTER_PEERS: Resource = Resource {
    path: "cluster/peers",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "remote.name",
        "remote.ip_addresses",
        "status.state",
        "authentication.state",
        "authentication.in_use",
        "encryption.state",
        "ipspace.name",
    ],
    creatable: &[
        "name",
        "remote.name",
        "remote.ip_addresses",
        "authentication.passphrase",
        "authentication.generate_passphrase",
        "authentication.expiry_time",
        "encryption.proposed",
        "initial_allowed_svms.name",
        "ipspace.name",
    ],
    modifiable: &["name", "remote.ip_addresses", "authentication.passphrase"],
    list: Some(cluster_peers),
    create: Some(create_cluster_peer),
    modify: Some(modify_cluster_peer),
    delete: Some(delete_cluster_peer),
    ..NOTHING
};

pub(super) const SVM_PEERS: Resource = Resource {
    path: "svm/peers",
    keys: &["uuid"],
    always: &["uuid", "name"],
    readable: &[
        "uuid",
        "name",
        "svm.name",
        "svm.uuid",
        "peer.svm.name",
        "peer.svm.uuid",
        "peer.cluster.name",
        "applications",
        "state",
    ],
    creatable: &[
        "name",
        "svm.name",
        "svm.uuid",
        "peer.svm.name",
        "peer.cluster.name",
        "peer.cluster.uuid",
        "applications",
    ],
    modifiable: &["applications", "state"],
    asynchronous: true,
    list: Some(svm_peers),
    create: Some(create_svm_peer),
    modify: Some(modify_svm_peer),
    delete: Some(delete_svm_peer),
    ..NOTHING
};

fn cluster_peers(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |peer: &ClusterPeer| {
        let proved = peer.passphrase.is_some();
        json!({
            "uuid": peer.id.to_string(),
            "name": peer.name,
            "remote": { "name": peer.remote.as_ref().unwrap_or(&peer.name), "ip_addresses": peer.addresses },
            "status": { "state": if peer.unreachable.is_none() { "available" } else { "unavailable" } },
            "authentication": {
                "state": if proved { "ok" } else { "absent" },
                "in_use": if proved { "ok" } else { "absent" },
            },
            "encryption": { "state": "none" },
            "ipspace": { "name": "Default" },
        })
    };
    Ok(cluster.cluster_peers.values().map(record).collect())
}

fn create_cluster_peer(cluster: &mut Cluster, _: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let addresses = body.texts("remote.ip_addresses")?.unwrap_or_default();
    let passphrase = body.text("authentication.passphrase")?;
    let name = body.text("name")?.or(body.text("remote.name")?);
    Ok(vec![cluster.create_cluster_peer(name, addresses, passphrase)?.to_string()])
}

fn modify_cluster_peer(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = scope.key(0).parse().map_err(|_| Refusal::no_entry())?;
    let (addresses, passphrase) =
        (body.texts("remote.ip_addresses")?, body.text("authentication.passphrase")?);
    cluster.modify_cluster_peer(id, body.text("name")?, addresses, passphrase)
}

fn delete_cluster_peer(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_cluster_peer(scope.key(0).parse().map_err(|_| Refusal::no_entry())?)
}

fn svm_peers(cluster: &Cluster, _: &Scope<'_>) -> Result<Vec<Value>, Refusal> {
    let record = |peer: &SvmPeer| {
        let here = peer.cluster.is_none();
        let uuid = cluster.find_svm_named(&peer.peer).filter(|_| here).map(|svm| svm.id.to_string());
        json!({
            "uuid": peer.id.to_string(),
            "name": peer.peer,
            "svm": svm_reference(cluster, peer.svm),
            "peer": {
                "svm": { "name": peer.peer, "uuid": uuid },
                "cluster": { "name": peer.cluster.as_ref().unwrap_or(&cluster.about.name) },
            },
            "applications": peer.applications,
            "state": peer.state,
        })
    };
    Ok(cluster.svm_peers.values().map(record).collect())
}

fn create_svm_peer(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<Vec<String>, Refusal> {
    let svm = scope.require_svm(cluster, body)?.id;
    let peer = body.required_text("peer.svm.name")?;
    let applications = body.texts("applications")?.unwrap_or_default();
    let id = cluster.create_svm_peer(svm, &peer, body.text("peer.cluster.name")?, applications)?;
    Ok(vec![id.to_string()])
}

fn modify_svm_peer(cluster: &mut Cluster, scope: &Scope<'_>, body: &Body) -> Result<(), Refusal> {
    let id = scope.key(0).parse().map_err(|_| Refusal::no_entry())?;
    cluster.modify_svm_peer(id, body.texts("applications")?, body.text("state")?)
}

fn delete_svm_peer(cluster: &mut Cluster, scope: &Scope<'_>) -> Result<(), Refusal> {
    cluster.delete_svm_peer(scope.key(0).parse().map_err(|_| Refusal::no_entry())?)
}
