//! Agents: who may join, who may ask for what, and when they are told.

use std::time::Duration;

use fleet_proto::NODE_TOKEN_METADATA;
use fleet_proto::admin::{DeleteNodeRequest, ListNodesRequest};
use fleet_proto::fleet::{Attachment, GetAccessRequest, GetAccessResponse, NodeObservation};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};

use crate::harness::{OntapArray, Running, SolidFireArray, claim, iqn, node_key, registration};

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(NODE_TOKEN_METADATA, token.parse().unwrap());
    request
}

async fn access(
    running: &Running,
    node: &str,
    volume: &str,
    token: &str,
) -> Result<GetAccessResponse, Status> {
    let request = GetAccessRequest { node_id: node.into(), volume_id: volume.into() };
    Ok(running.fleet().await.get_access(with_token(request, token)).await?.into_inner())
}

#[tokio::test]
async fn only_who_knows_the_join_token_joins() {
    let running = Running::start().await;
    let mut fleet = running.fleet().await;
    for wrong in ["", "join-canary-2", "join-canary-", "join-canary-11"] {
        let mut request = registration("n1", "10.0.0.1");
        request.join_token = wrong.into();
        assert_eq!(fleet.register(request).await.unwrap_err().code(), Code::Unauthenticated, "{wrong}");
    }
    let mut request = registration("n1", "not an address");
    assert_eq!(fleet.register(request.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    request.addresses = vec!["fd00::1".into()];
    assert!(!fleet.register(request).await.unwrap().into_inner().node_token.is_empty());
    assert!(!running.log().contains("join-canary-1"), "the join token is in the log");
}

#[tokio::test]
async fn a_second_live_node_with_the_same_initiator_name_is_refused() {
    let running = Running::start().await;
    running.register("n1", "10.0.0.1").await;
    running.register("n1", "10.0.0.1").await;
    let mut twin = registration("n2", "10.0.0.2");
    twin.iqn = iqn("n1");
    let refused = running.fleet().await.register(twin).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("belongs to node n1"), "{}", refused.message());
}

#[tokio::test]
async fn a_registered_name_belongs_to_who_holds_its_key() {
    let array = SolidFireArray::start().await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend(&json!({}))).await.unwrap();
    let first = running.register("n1", "10.0.0.1").await;
    running.create(claim("pvc-1", &[])).await.unwrap();
    running.publish("pvc-1", "n1").await.unwrap();
    // Who knows the join token alone.
    let mut thief = registration("n1", "10.0.0.66");
    for key in ["", "short", &node_key("n2")] {
        thief.node_key = key.into();
        let refused = running.fleet().await.register(thief.clone()).await.unwrap_err();
        let taken = refused.code() == Code::PermissionDenied && refused.message().contains("tinectl delete");
        assert!(taken || (key.len() < 32 && refused.code() == Code::InvalidArgument), "{key}: {refused}");
    }
    access(&running, "n1", "pvc-1", &first).await.expect("the thief's attempts cost the node nothing");
    // The agent starts again, the controller too.
    running.crash().await;
    let second = running.register("n1", "10.0.0.1").await;
    access(&running, "n1", "pvc-1", &second).await.unwrap();
    assert_eq!(access(&running, "n1", "pvc-1", &first).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(!running.log().contains("key-canary"), "a node's key is in the log");

    // The node is made anew: the administrator says so, once nothing is published to the former one.
    let forget = async |node: &str| {
        let request = DeleteNodeRequest { node_id: node.into() };
        running.admin().await.delete_node(request).await
    };
    let refused = forget("n1").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("pvc-1"), "{}", refused.message());
    running.unpublish("pvc-1", "n1").await.unwrap();
    forget("n1").await.unwrap();
    assert_eq!(forget("n1").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(access(&running, "n1", "pvc-1", &second).await.unwrap_err().code(), Code::Unauthenticated);
    thief.node_key = node_key("another n1");
    running.fleet().await.register(thief).await.unwrap();
}

#[tokio::test]
async fn credentials_go_only_to_the_node_that_has_the_volume() {
    let array = SolidFireArray::start().await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend(&json!({}))).await.unwrap();
    let (first, second) =
        (running.register("n1", "10.0.0.1").await, running.register("n2", "10.0.0.2").await);
    running.create(claim("pvc-1", &[])).await.unwrap();
    let code = async |running: &Running, node, volume, token: &str| {
        access(running, node, volume, token).await.unwrap_err().code()
    };
    assert_eq!(code(&running, "n1", "pvc-1", &first).await, Code::PermissionDenied, "not published yet");
    running.publish("pvc-1", "n1").await.unwrap();
    let chap = access(&running, "n1", "pvc-1", &first).await.unwrap().chap.unwrap();
    let account = &array.call("GetAccountByName", json!({"username": "tenant"})).await["account"];
    assert_eq!(chap.username, account["username"]);
    assert_eq!(chap.secret, account["initiatorSecret"]);
    assert!(chap.secret.len() >= 12 && chap.target_secret.is_empty());

    assert_eq!(code(&running, "n2", "pvc-1", &second).await, Code::PermissionDenied);
    assert_eq!(code(&running, "n1", "unknown", &first).await, Code::PermissionDenied);
    assert_eq!(code(&running, "n1", "pvc-1", &second).await, Code::Unauthenticated, "another node's token");
    assert_eq!(code(&running, "n1", "pvc-1", "").await, Code::Unauthenticated);
    assert_eq!(code(&running, "n3", "pvc-1", &first).await, Code::Unauthenticated);
    // The token outlives the controller's process, the certificate too.
    running.restart().await;
    access(&running, "n1", "pvc-1", &first).await.unwrap();
    running.unpublish("pvc-1", "n1").await.unwrap();
    assert_eq!(code(&running, "n1", "pvc-1", &first).await, Code::PermissionDenied);
    assert!(!running.log().contains(&chap.secret), "the CHAP secret is in the log");
}

#[tokio::test]
async fn mutual_chap_of_an_svm_is_set_once_and_handed_out() {
    let array = OntapArray::start(&[]).await;
    let running = Running::start().await;
    let chap = json!({
        "useCHAP": true, "chapUsername": "in", "chapInitiatorSecret": "canary-in-secret",
        "chapTargetUsername": "out", "chapTargetInitiatorSecret": "canary-out-secret",
    });
    running.create_backend(&array.backend("ontap-san", &chap)).await.unwrap();
    let on_array = array
        .records("protocols/san/iscsi/credentials?initiator=default&fields=authentication_type,chap.inbound.user,chap.outbound.user")
        .await;
    assert_eq!(on_array[0]["authentication_type"].as_str().unwrap().to_lowercase(), "chap");
    assert_eq!(on_array[0]["chap"]["inbound"]["user"], "in");
    let token = running.register("n1", "10.0.0.1").await;
    running.create(claim("pvc-1", &[])).await.unwrap();
    let contract::PublishContext::Iscsi(context) = running.publish("pvc-1", "n1").await.unwrap() else {
        panic!("not iSCSI")
    };
    assert!(context.authenticated);
    let chap = access(&running, "n1", "pvc-1", &token).await.unwrap().chap.unwrap();
    assert_eq!((chap.username.as_str(), chap.secret.as_str()), ("in", "canary-in-secret"));
    assert_eq!((chap.target_username.as_str(), chap.target_secret.as_str()), ("out", "canary-out-secret"));
    let refused = running.create_backend(&array.backend("ontap-san", &json!({"backendName": "x"}))).await;
    let refused = refused.unwrap_err();
    assert!(refused.message().contains("set useCHAP"), "{}", refused.message());
    assert!(!running.log().contains("canary"), "a CHAP secret is in the log");
}

async fn next(states: &mut Streaming<fleet_proto::fleet::DesiredState>) -> (u64, Vec<String>) {
    let state =
        tokio::time::timeout(Duration::from_secs(5), states.message()).await.unwrap().unwrap().unwrap();
    (state.generation, state.published_volume_ids)
}

#[tokio::test]
async fn an_agent_hears_at_once_what_it_may_use_and_nothing_of_other_nodes() {
    let array = OntapArray::start(&["0.0.0.0/0"]).await;
    let mut running = Running::start().await;
    running.create_backend(&array.backend("ontap-nas", &json!({}))).await.unwrap();
    let token = running.register("n1", "10.0.0.1").await;
    running.register("n2", "10.0.0.2").await;
    for name in ["pvc-1", "pvc-2"] {
        running.create(claim(name, &[])).await.unwrap();
    }
    let (observations, stream) = mpsc::channel(4);
    let observation = NodeObservation {
        node_id: "n1".into(),
        generation: 1,
        attachments: vec![Attachment {
            volume_id: "pvc-1".into(),
            phase: "staged".into(),
            ..Default::default()
        }],
        defects: vec!["multipathd does not run: start it".into()],
    };
    observations.send(observation).await.unwrap();
    let mut fleet = running.fleet().await;
    let states = fleet.sync(with_token(ReceiverStream::new(stream), &token)).await.unwrap();
    let mut states = states.into_inner();
    assert_eq!(next(&mut states).await, (1, vec![]));
    running.publish("pvc-2", "n2").await.unwrap();
    running.publish("pvc-1", "n1").await.unwrap();
    assert_eq!(next(&mut states).await, (2, vec!["pvc-1".to_owned()]));
    let nodes = running.admin().await.list_nodes(ListNodesRequest {}).await.unwrap().into_inner().nodes;
    assert!(nodes[0].connected && !nodes[1].connected);
    assert_eq!(nodes[0].attachments[0].volume_id, "pvc-1");
    assert_eq!(nodes[0].defects.len(), 1);
    running.unpublish("pvc-1", "n1").await.unwrap();
    assert_eq!(next(&mut states).await, (3, vec![]));
    // An open stream does not hold up the stop.
    running.restart().await;
}

#[tokio::test]
async fn a_stream_needs_the_nodes_own_token() {
    let running = Running::start().await;
    running.register("n1", "10.0.0.1").await;
    let token = running.register("n2", "10.0.0.2").await;
    let (observations, stream) = mpsc::channel(1);
    observations.send(NodeObservation { node_id: "n1".into(), ..Default::default() }).await.unwrap();
    let refused = running.fleet().await.sync(with_token(ReceiverStream::new(stream), &token)).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_stream_that_never_names_its_node_is_ended() {
    let running = Running::start().await;
    let (_silent, observations) = mpsc::channel::<NodeObservation>(1);
    let mut fleet = running.fleet().await;
    let sync = fleet.sync(ReceiverStream::new(observations));
    let answer = tokio::time::timeout(Duration::from_secs(20), sync).await.expect("an answer in time");
    assert_eq!(answer.unwrap_err().code(), Code::DeadlineExceeded);
}
