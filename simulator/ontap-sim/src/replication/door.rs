//! What peered clusters are answered.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Denial, Hello, Introduction, NONCE, PATH, PROOF, Settled, Wanted, WantedBlocks, blocks, is_fresh, proof,
    proves,
};
use crate::array::Array;
use crate::state::peer::ClusterPeer;
use crate::state::transfer::OfferRequest;
use crate::state::{Cluster, Refusal, VolumeId};

/// The largest question.
const LARGEST: usize = 16 << 20;

/// Answers peers of the array's cluster.
pub(crate) fn router(array: Array) -> Router {
    Router::new().route(&format!("{PATH}{{call}}"), post(serve)).with_state(array)
}

async fn serve(State(array): State<Array>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST).await else { return empty(StatusCode::PAYLOAD_TOO_LARGE) };
    let call = parts.uri.path().trim_start_matches(PATH).to_owned();
    let Some((peer, nonce)) = known(&array, &parts.headers, &call, &body) else {
        tracing::warn!(%call, "a peer that is not known was turned away");
        return empty(StatusCode::UNAUTHORIZED);
    };
    let passphrase = peer.passphrase.clone().unwrap_or_default();
    let answered = tokio::task::spawn_blocking(move || answer(&array, &peer, &call, &body)).await;
    let internal = || Refusal { status: 500, ..Refusal::request(1_500, "An internal error occurred") };
    let (status, body) = match answered.unwrap_or_else(|_| Err(internal())) {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => {
            let denial = Denial { code: refusal.code, message: refusal.message };
            (StatusCode::CONFLICT, serde_json::to_vec(&denial).unwrap_or_default())
        }
    };
    let proved = proof(&passphrase, &[b"answer", nonce.as_bytes(), &body]);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(&proved) {
        response.headers_mut().insert(PROOF, value);
    }
    response
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// The peer whose passphrase proves the question, and the nonce.
fn known(array: &Array, headers: &HeaderMap, call: &str, body: &Bytes) -> Option<(ClusterPeer, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (nonce, given) = (text(NONCE)?, text(PROOF)?);
    if !is_fresh(nonce) {
        return None;
    }
    let parts: [&[u8]; 4] = [b"question", nonce.as_bytes(), call.as_bytes(), body];
    let peers: Vec<_> = array.read(|cluster| cluster.cluster_peers.values().cloned().collect());
    let with = |peer: &ClusterPeer| {
        peer.passphrase.as_ref().is_some_and(|passphrase| proves(passphrase, &parts, given))
    };
    peers.into_iter().find(with).map(|peer| (peer, nonce.to_owned()))
}

fn answer(array: &Array, peer: &ClusterPeer, call: &str, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    match call {
        "hello" => {
            let Hello { name } = read(body)?;
            array.change(|cluster| cluster.note_greeting(peer.id, Ok(name)))?;
            write(&Hello { name: array.read(|cluster| cluster.about.name.clone()) })
        }
        "introduce" => {
            let Introduction { svm, peer: other, applications } = read(body)?;
            change(array, |cluster| cluster.accept_svm_peer(&peer.name, &svm, &other, applications))?;
            write(&())
        }
        "offer" => {
            let request: OfferRequest = read(body)?;
            write(&change(array, |cluster| cluster.offer(Some(&peer.name), &request))?)
        }
        "content" => {
            let wanted: Wanted = read(body)?;
            admit_content(array, peer, wanted.volume)?;
            content(array, &wanted)
        }
        "blocks" => {
            let wanted: WantedBlocks = read(body)?;
            admit_content(array, peer, wanted.volume)?;
            blocks(array, &wanted)
        }
        "settle" => {
            let settled: Settled = read(body)?;
            change(array, |cluster| {
                if !cluster.is_replica_of(settled.mirror, &peer.name) {
                    return Err(Refusal::no_entry());
                }
                settle(cluster, &settled);
                Ok(())
            })?;
            write(&())
        }
        _ => Err(Refusal::no_entry()),
    }
}

/// A peer is given what it has a relationship for.
fn admit_content(array: &Array, peer: &ClusterPeer, volume: VolumeId) -> Result<(), Refusal> {
    let given = array.read(|cluster| cluster.is_given_to(&peer.name, volume));
    if given { Ok(()) } else { Err(Refusal::no_entry()) }
}

/// Does something to the state, whole or not at all.
pub(super) fn change<T>(
    array: &Array,
    act: impl FnOnce(&mut Cluster) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    array.change(|cluster| cluster.attempt(act))?
}

/// Snapshots of a volume as bytes. The state goes on meanwhile.
pub(super) fn content(array: &Array, wanted: &Wanted) -> Result<Vec<u8>, Refusal> {
    let tree = array.planes().tree_of(wanted.volume).ok_or_else(Refusal::no_entry)?;
    let mut bytes = Vec::new();
    let sent = tree.send_snapshots(wanted.base.as_deref(), &wanted.snapshots, &mut bytes);
    sent.map_err(|error| Refusal::conflict(13_303_822, error.to_string()))?;
    Ok(bytes)
}

/// The blocks of a LUN in a snapshot, all of them or those that differ from an earlier one.
pub(super) fn blocks(array: &Array, wanted: &WantedBlocks) -> Result<Vec<u8>, Refusal> {
    let named = |name: &str| {
        let id = |cluster: &Cluster| Some(cluster.find_snapshot_named(wanted.volume, name)?.id);
        array.read(id).ok_or_else(Refusal::no_entry)
    };
    let (base, snapshot) = (wanted.base.as_deref().map(named).transpose()?, named(&wanted.snapshot)?);
    let kept = |snapshot| array.planes().kept_blocks(wanted.lun, snapshot).ok_or_else(Refusal::no_entry);
    let (base, snapshot) = (base.map(kept).transpose()?, kept(snapshot)?);
    blocks::written(base.as_ref(), &snapshot)
        .map_err(|error| Refusal::conflict(13_303_822, error.to_string()))
}

pub(super) fn settle(cluster: &mut Cluster, settled: &Settled) {
    for (volume, last) in &settled.last {
        cluster.settle_replica(settled.mirror, *volume, last);
    }
    cluster.end_replica(settled.mirror);
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::request(2, error.to_string()))
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(value).map_err(|error| Refusal::request(2, error.to_string()))
}

#[cfg(test)]
mod tests {
    use levers::{EventLog, Levers};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::dataplane::{Contents, DataPlanes, Ports};
    use crate::state::Blueprint;
    use crate::state::volume::{Guarantee, Kind, Style, VolumePatch, VolumeSpec};

    fn volume(cluster: &mut Cluster, name: &str) -> VolumeId {
        let svm = cluster.find_svm_named("svm1").unwrap().id;
        let aggregate = cluster.aggregates.values().next().unwrap().id;
        let spec = VolumeSpec {
            name: name.into(),
            svm,
            aggregate,
            style: Style::FlexVol,
            kind: Kind::ReadWrite,
            size: Some(1 << 30),
            guarantee: Some(Guarantee::None),
            snapshot_reserve: None,
            settings: VolumePatch::default(),
        };
        cluster.create_volume(spec).unwrap()
    }

    fn peer(cluster: &mut Cluster, name: &str, svm: &str) -> ClusterPeer {
        let id = cluster
            .create_cluster_peer(Some(name.into()), vec!["127.0.0.1:1".into()], Some("secret-secret".into()))
            .unwrap();
        cluster.accept_svm_peer(name, "svm1", svm, vec!["snapmirror".into()]).unwrap();
        cluster.cluster_peers.get(&id).unwrap().clone()
    }

    fn ask(array: &Array, peer: &ClusterPeer, call: &str, question: &Value) -> Result<Value, Refusal> {
        let answered = answer(array, peer, call, &serde_json::to_vec(question).unwrap())?;
        Ok(serde_json::from_slice(&answered).unwrap_or(Value::Null))
    }

    fn offer(mirror: Uuid, volume: &str) -> Value {
        json!({ "mirror": mirror, "svm": "svm1", "volume": volume, "destination_svm": "there",
            "destination": format!("there:{volume}"), "policy": "MirrorAllSnapshots", "all_snapshots": true,
            "held": [] })
    }

    #[tokio::test]
    async fn a_peer_is_given_what_it_has_a_relationship_for_and_nothing_else() {
        let cluster = Cluster::boot(&Blueprint::sample()).unwrap();
        let (events, levers) = (EventLog::new(), Levers::new());
        let ports = Ports { nfs: 0, portmap: false, iscsi: 0 };
        let planes = DataPlanes::bring_up(&cluster, ports, Contents::in_memory(), &events, &levers, |_| true);
        let planes = planes.await.unwrap();
        let array = Array::new(cluster, planes, None, events, levers).unwrap();
        let made = array.change(|cluster| {
            let volumes = (volume(cluster, "given"), volume(cluster, "secret"));
            (volumes, peer(cluster, "theirs", "there"), peer(cluster, "others", "elsewhere"))
        });
        let ((given, secret), theirs, others) = made.unwrap();
        let mirror = Uuid::from_u128(1);
        let offered = ask(&array, &theirs, "offer", &offer(mirror, "given")).unwrap();
        let snapshot = offered["volumes"][0]["snapshots"][0]["name"].clone();
        let wanted = |volume: VolumeId| json!({ "volume": volume, "base": null, "snapshots": [snapshot] });
        assert!(ask(&array, &theirs, "content", &wanted(given)).is_ok());

        // The other volume of the SVM has a snapshot of that name: only the relationship is missing.
        let taken = array.change(|cluster| {
            cluster.create_snapshot(crate::state::snapshot::SnapshotSpec {
                volume: secret,
                name: snapshot.as_str().unwrap().into(),
                comment: String::new(),
                label: String::new(),
                expiry: None,
            })
        });
        taken.unwrap().unwrap();
        assert_eq!(ask(&array, &theirs, "content", &wanted(secret)).unwrap_err().code, 4);
        assert_eq!(ask(&array, &others, "content", &wanted(given)).unwrap_err().code, 4);

        // Nor is a relationship of another cluster taken over, or its snapshots let go of.
        let theft = json!({ "destination_svm": "elsewhere", "mirror": mirror });
        let mut stolen = offer(mirror, "secret");
        stolen.as_object_mut().unwrap().extend(theft.as_object().unwrap().clone());
        assert_eq!(ask(&array, &others, "offer", &stolen).unwrap_err().code, 4);
        let settled = json!({ "mirror": mirror, "last": [[given, ""]] });
        assert_eq!(ask(&array, &others, "settle", &settled).unwrap_err().code, 4);
        assert_eq!(array.read(|cluster| cluster.snapshots_of(given).len()), 1);
    }
}
