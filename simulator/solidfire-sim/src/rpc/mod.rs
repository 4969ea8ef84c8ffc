//! The JSON-RPC skin: `POST /json-rpc/<version>` and the GET form, basic authentication, envelopes.
//! It takes what clients really send: any `Content-Type`, an `id` of any type or none, a trailing slash.
//! API-level refusals travel with HTTP 200, because clients stop reading at any other status.

mod access_groups;
mod decode;
mod hardware;
#[cfg(test)]
mod instant;
mod node;
mod params;
mod protection;
mod render;
#[cfg(test)]
mod restart;
mod schedules;
mod version;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use levers::{ApiFault, Hit};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use sim_front::{BasicAuth, Mishaps, obey_levers};
use tracing::{debug, info};

use crate::cluster::Cluster;
use crate::skin::ElementSkin;
use crate::state::{ApiError, Request};
use crate::veil::Veil;

use self::params::Params;
use self::version::Version;

pub(crate) use self::render::volume as render_volume;

/// Whose API it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Endpoint {
    /// The cluster's, at the MVIP.
    Cluster,
    /// That of the node of this number.
    Node(u32),
}

/// An API of `cluster` for the administrators that `auth` admits.
pub(crate) fn router(cluster: Arc<Cluster>, endpoint: Endpoint, auth: BasicAuth) -> Router {
    let (levers, events) = (cluster.fault_levers().clone(), cluster.events().clone());
    let router = Router::new()
        .route("/json-rpc/{version}", get(get_form).post(post_form))
        .route("/json-rpc/{version}/", get(get_form).post(post_form))
        .fallback(async || not_found())
        .with_state(Arc::new(Api { cluster, endpoint, auth, veil: Mutex::default() }));
    obey_levers(router, &levers, &events, ElementSkin)
}

#[derive(Debug)]
struct Api {
    cluster: Arc<Cluster>,
    endpoint: Endpoint,
    auth: BasicAuth,
    veil: Mutex<Veil>,
}

async fn post_form(
    State(api): State<Arc<Api>>,
    Path(version): Path<String>,
    headers: HeaderMap,
    mishaps: Option<Extension<Mishaps>>,
    body: Bytes,
) -> Response {
    match api.find_refusal(&headers, &version) {
        Some(refusal) => refusal,
        None => answer(api.call_body(&body, &hits(mishaps))),
    }
}

async fn get_form(
    State(api): State<Arc<Api>>,
    Path(version): Path<String>,
    Query(pairs): Query<Vec<(String, String)>>,
    mishaps: Option<Extension<Mishaps>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = api.find_refusal(&headers, &version) {
        return refusal;
    }
    let method = pairs.iter().find(|(name, _)| name == "method").map(|(_, value)| value.clone());
    let params = Params::from_pairs(pairs.into_iter().filter(|(name, _)| name != "method"));
    answer(api.call(&Value::Null, &method.unwrap_or_default(), params, &hits(mishaps)))
}

impl Api {
    /// The HTTP-level refusal of a request with these headers for this version.
    fn find_refusal(&self, headers: &HeaderMap, version: &str) -> Option<Response> {
        if let Err(denied) = self.auth.authenticate(headers) {
            info!(%denied, "request without valid credentials");
            return Some(unauthorized());
        }
        version.parse::<Version>().is_err().then(not_found)
    }

    fn call_body(&self, body: &[u8], hits: &[Hit]) -> Value {
        match parse_envelope(body) {
            Ok(Envelope { id, method, params }) => self.call(&id, &method, params, hits),
            Err(error) => refusal(&Value::Null, &error),
        }
    }

    /// Carries a method out, not at all, or by half, as the faults that hit it would have it.
    fn carry_out(&self, method: &str, params: &mut Params, hits: &[Hit]) -> Result<Value, ApiError> {
        let mut told = None;
        for hit in hits {
            match &hit.fault {
                ApiFault::FailJob { message, .. } => {
                    return Err(ApiError::Injected { message: message.clone() });
                }
                ApiFault::HalfDone { without, message, .. } => {
                    without.iter().for_each(|member| params.drop(member));
                    told = Some(ApiError::Injected { message: message.clone() });
                }
                _ => {}
            }
        }
        let result = self.answer(method, params)?;
        told.map_or(Ok(result), Err)
    }

    /// The result of a method.
    fn answer(&self, method: &str, params: &mut Params) -> Result<Value, ApiError> {
        let hardware = |params| {
            self.cluster.with_state(|state| match self.endpoint {
                Endpoint::Cluster => hardware::answer(state.identity(), method, params),
                Endpoint::Node(id) => Some(node::answer(state.identity(), id, method, params)),
            })
        };
        match hardware(params) {
            Some(result) => result,
            None => {
                let request = decode::decode(method, params)?;
                self.cluster.call(request).map(|reply| render::result(&reply))
            }
        }
    }

    /// The volume that a call names, as it is, where a lever keeps it shown after its end.
    fn volume_to_linger(&self, params: &Params, hits: &[Hit]) -> Option<Value> {
        hits.iter().find(|hit| matches!(hit.fault, ApiFault::DisappearLate { .. }))?;
        let id = params.peek("volumeID").map(|id| id.as_str().map_or(id.to_string(), str::to_owned))?;
        self.cluster.with_state(|state| {
            state.volumes().find(|volume| volume.id.0.to_string() == id).map(render::volume)
        })
    }

    fn call(&self, id: &Value, method: &str, mut params: Params, hits: &[Hit]) -> Value {
        let deleted = self.volume_to_linger(&params, hits);
        let outcome = self.carry_out(method, &mut params, hits);
        self.cluster.record_call(method, outcome.as_ref().err());
        match outcome {
            Ok(mut result) => {
                debug!(method, "done");
                let mut envelope = Map::new();
                envelope.insert("id".into(), id.clone());
                let mut veil = self.veil.lock();
                veil.lift(Instant::now(), |rule| self.cluster.fault_levers().api().holds(rule));
                veil.over(method, &mut result);
                veil.draw(hits, &result, deleted.as_ref());
                envelope.insert("result".into(), result);
                let unused = params.into_unused();
                if !unused.is_empty() {
                    envelope.insert("unusedParameters".into(), Value::Object(unused));
                }
                Value::Object(envelope)
            }
            Err(error) => {
                debug!(method, name = error.name(), %error, "refused");
                refusal(id, &error)
            }
        }
    }
}

/// What a method asks with these parameters, and those it has no use for.
///
/// # Errors
/// [`ApiError`] when a parameter is missing or not what it should be, or there is no such method.
pub(crate) fn decode_call(
    method: &str,
    params: Map<String, Value>,
) -> Result<(Request, Map<String, Value>), ApiError> {
    let mut params = Params::parse(Some(Value::Object(params)))?;
    let request = decode::decode(method, &mut params)?;
    Ok((request, params.into_unused()))
}

fn hits(mishaps: Option<Extension<Mishaps>>) -> Arc<[Hit]> {
    mishaps.map(|Extension(mishaps)| mishaps.0).unwrap_or_default()
}

struct Envelope {
    id: Value,
    method: String,
    params: Params,
}

fn parse_envelope(body: &[u8]) -> Result<Envelope, ApiError> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| ApiError::Malformed { reason: error.to_string() })?;
    let Value::Object(mut members) = value else {
        return Err(ApiError::Malformed { reason: "a request must be an object".into() });
    };
    let method = match members.shift_remove("method") {
        Some(Value::String(method)) => method,
        None | Some(Value::Null) => return Err(ApiError::MissingParameter { member: "method" }),
        Some(_) => return Err(ApiError::Malformed { reason: "`method` must be a string".into() }),
    };
    let params = Params::parse(members.shift_remove("params"))?;
    Ok(Envelope { id: members.shift_remove("id").unwrap_or(Value::Null), method, params })
}

fn refusal(id: &Value, error: &ApiError) -> Value {
    json!({"id": id, "error": {"code": 500, "name": error.name(), "message": error.to_string()}})
}

fn answer(envelope: Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], envelope.to_string()).into_response()
}

pub(crate) fn unauthorized() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"Element API\"")];
    let page = "<html><head><title>401 Unauthorized</title></head>\
                <body><h1>401 Unauthorized.</h1></body></html>\n";
    (StatusCode::UNAUTHORIZED, challenge, Html(page)).into_response()
}

fn not_found() -> Response {
    let page = "<html><head><title>404 Not Found</title></head><body><h1>404 Not Found.</h1>\
                The API is at /json-rpc/&lt;version&gt;, versions 1.0 to 12.8.</body></html>\n";
    (StatusCode::NOT_FOUND, Html(page)).into_response()
}

#[cfg(test)]
mod tests {
    use iscsi_target::IscsiServer;
    use levers::{EventLog, Levers};
    use proptest::prelude::*;

    use super::*;
    use crate::dataplane::DataPlane;
    use crate::state::State;

    /// Every method the cluster has, and one it has not.
    const METHODS: [&str; 64] = [
        "GetAPI",
        "GetClusterInfo",
        "GetClusterVersionInfo",
        "GetClusterHardwareInfo",
        "GetClusterCapacity",
        "GetLimits",
        "GetDefaultQoS",
        "GetAccountByName",
        "GetAccountByID",
        "ListAccounts",
        "AddAccount",
        "ModifyAccount",
        "RemoveAccount",
        "CreateVolume",
        "ModifyVolume",
        "DeleteVolume",
        "PurgeDeletedVolume",
        "RestoreDeletedVolume",
        "ListVolumes",
        "ListActiveVolumes",
        "ListDeletedVolumes",
        "ListVolumesForAccount",
        "GetVolumeStats",
        "CreateQoSPolicy",
        "GetQoSPolicy",
        "ListQoSPolicies",
        "ModifyQoSPolicy",
        "DeleteQoSPolicy",
        "CreateSnapshot",
        "ListSnapshots",
        "ModifySnapshot",
        "DeleteSnapshot",
        "RollbackToSnapshot",
        "CreateGroupSnapshot",
        "ListGroupSnapshots",
        "ModifyGroupSnapshot",
        "DeleteGroupSnapshot",
        "RollbackToGroupSnapshot",
        "CloneVolume",
        "CopyVolume",
        "CreateSchedule",
        "ModifySchedule",
        "GetSchedule",
        "ListSchedules",
        "GetAsyncResult",
        "CreateVolumeAccessGroup",
        "ListVolumeAccessGroups",
        "ModifyVolumeAccessGroup",
        "DeleteVolumeAccessGroup",
        "AddVolumesToVolumeAccessGroup",
        "RemoveVolumesFromVolumeAccessGroup",
        "AddInitiatorsToVolumeAccessGroup",
        "RemoveInitiatorsFromVolumeAccessGroup",
        "GetVolumeAccessGroupLunAssignments",
        "ModifyVolumeAccessGroupLunAssignments",
        "CreateInitiators",
        "ListInitiators",
        "ModifyInitiators",
        "DeleteInitiators",
        "ListAllNodes",
        "ListDrives",
        "GetClusterState",
        "GetNodeHardwareInfo",
        "StartClusterPairing",
    ];
    const MEMBERS: [&str; 36] = [
        "accountID",
        "accounts",
        "access",
        "attributes",
        "enable512e",
        "enableChap",
        "initiatorSecret",
        "isPaired",
        "limit",
        "name",
        "qos",
        "qosPolicyID",
        "startVolumeID",
        "status",
        "targetSecret",
        "totalSize",
        "type",
        "username",
        "volumeID",
        "volumeIDs",
        "asyncHandle",
        "dstVolumeID",
        "expirationTime",
        "groupSnapshotID",
        "keepResult",
        "newAccountID",
        "newSize",
        "retention",
        "saveCurrentState",
        "saveMembers",
        "snapshotID",
        "volumes",
        "initiators",
        "lunAssignments",
        "deleteOrphanInitiators",
        "volumeAccessGroupID",
    ];

    pub(super) fn api() -> Api {
        let address = "127.0.0.1:1".parse().unwrap();
        let (events, levers) = (EventLog::new(), Levers::new());
        let server = IscsiServer::with_levers(events.clone(), levers.clone());
        let state = State::new("test", address, address, 1);
        let cluster = Cluster::new(state, DataPlane::new(server, address, 200_000), events, levers);
        let (cluster, endpoint) = (Arc::new(cluster), Endpoint::Cluster);
        Api { cluster, endpoint, auth: BasicAuth::new(Vec::new()), veil: Mutex::default() }
    }

    pub(super) fn answer(api: &Api, method: &str, params: &Value) -> Value {
        api.call_body(json!({"method": method, "params": params}).to_string().as_bytes(), &[])
    }

    /// The result of a call that is not refused.
    pub(super) fn call(api: &Api, method: &str, params: &Value) -> Value {
        let envelope = answer(api, method, params);
        assert!(envelope.get("result").is_some(), "{method} {params}: {envelope}");
        envelope["result"].clone()
    }

    /// The name of the error of a call that is.
    pub(super) fn refused(api: &Api, method: &str, params: &Value) -> String {
        answer(api, method, params)["error"]["name"].as_str().unwrap().to_owned()
    }

    /// A cluster with one account and volumes 1 and 2.
    pub(super) fn cluster() -> Api {
        let api = api();
        call(&api, "AddAccount", &json!({"username": "tenant"}));
        for name in ["one", "two"] {
            let volume =
                json!({"name": name, "accountID": 1, "totalSize": 1_000_000_000, "enable512e": true});
            call(&api, "CreateVolume", &volume);
        }
        api
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            // Small numbers hit objects that exist, the others hit bounds.
            (0_i64..4).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (1_000_000_000_i64..20_000_000_000).prop_map(Value::from),
            prop_oneof!["active", "locked", "readOnly", "12", "", "nodes", "[a-z-]{1,8}", ".{0,70}"]
                .prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("minIOPS|maxIOPS|burstIOPS|[a-z]{1,4}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    pub(super) fn request() -> impl Strategy<Value = Value> {
        let params = prop::collection::vec((prop::sample::select(&MEMBERS[..]), json_value()), 0..6)
            .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)))
            .prop_map(|members| Value::Object(members.collect()));
        let id =
            prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".*".prop_map(Value::from)];
        (prop::sample::select(&METHODS[..]), params, id)
            .prop_map(|(method, params, id)| json!({"method": method, "params": params, "id": id}))
    }

    fn is_answer(envelope: &Value) -> bool {
        let (result, error) = (envelope.get("result"), envelope.get("error"));
        envelope.get("id").is_some()
            && match (result, error) {
                (Some(result), None) => result.is_object(),
                (None, Some(error)) => error["name"].as_str().is_some_and(|name| name.starts_with('x')),
                _ => false,
            }
    }

    proptest! {
        #[test]
        fn any_sequence_of_requests_is_answered(requests in prop::collection::vec(request(), 1..30)) {
            let api = api();
            for request in requests {
                let envelope = api.call_body(request.to_string().as_bytes(), &[]);
                prop_assert!(is_answer(&envelope), "{request} -> {envelope}");
                prop_assert_eq!(&envelope["id"], &request["id"]);
            }
        }

        #[test]
        fn any_json_and_any_bytes_are_answered(value in json_value(), bytes in any::<Vec<u8>>()) {
            let api = api();
            prop_assert!(is_answer(&api.call_body(value.to_string().as_bytes(), &[])));
            prop_assert!(is_answer(&api.call_body(&bytes, &[])));
        }
    }
}
