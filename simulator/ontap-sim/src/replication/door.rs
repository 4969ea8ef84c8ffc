//! What peered clusters are answered.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Denial, Hello, Introduction, NONCE, PATH, PROOF, Settled, Wanted, is_fresh, proof, proves};
use crate::array::Array;
use crate::state::peer::ClusterPeer;
use crate::state::transfer::OfferRequest;
use crate::state::{Cluster, Refusal};

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
            let given = array.read(|cluster| {
                let svm = cluster.volumes.get(&wanted.volume)?.svm;
                let ours = |replica: &crate::state::replica::Replica| {
                    replica.svm == svm && replica.cluster.as_ref() == Some(&peer.name)
                };
                cluster.replicas.values().any(ours).then_some(())
            });
            given.ok_or_else(Refusal::no_entry)?;
            content(array, &wanted)
        }
        "settle" => {
            let settled: Settled = read(body)?;
            change(array, |cluster| {
                settle(cluster, &settled);
                Ok(())
            })?;
            write(&())
        }
        _ => Err(Refusal::no_entry()),
    }
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

pub(super) fn settle(cluster: &mut Cluster, settled: &Settled) {
    for (volume, last) in &settled.last {
        cluster.settle_replica(settled.mirror, *volume, last);
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::request(2, error.to_string()))
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(value).map_err(|error| Refusal::request(2, error.to_string()))
}
