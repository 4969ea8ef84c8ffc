//! The controller comes, asks for proof, goes, and comes back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail this way")]

mod harness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent_core::intent::Intent;
use contract::{Secret, VolumeId};
use fleet_proto::NODE_TOKEN_METADATA;
use fleet_proto::fleet::fleet_server::{Fleet, FleetServer};
use fleet_proto::fleet::{
    Attachment, Chap, DesiredState, GetAccessRequest, GetAccessResponse, NodeObservation, RegisterRequest,
    RegisterResponse,
};
use harness::model::Data;
use harness::{Node, agent, lun_volume, publish, unpublish, unstage};
use tine_agent::coordinator::Phase;
use tine_agent::fleet::{AccessError, Credentials, FleetClient, FleetConfig, NodeIdentity, keep_in_sync};
use tine_agent::preflight::Preflight;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

const NODE_KEY: &str = "0123456789abcdef0123456789abcdef";
const SOON: Duration = Duration::from_secs(10);

/// A controller that knows one node and one volume.
#[derive(Debug, Clone)]
struct Controller {
    heard: mpsc::Sender<NodeObservation>,
}

fn require_token<T>(request: &Request<T>) -> Result<(), Status> {
    match request.metadata().get(NODE_TOKEN_METADATA) {
        Some(token) if token == "token-of-w1" => Ok(()),
        _ => Err(Status::unauthenticated("who are you?")),
    }
}

#[tonic::async_trait]
impl Fleet for Controller {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let request = request.into_inner();
        if (request.node_id.as_str(), request.join_token.as_str()) != ("w1", "let me in") {
            return Err(Status::permission_denied("not with this join token"));
        }
        assert_eq!(request.node_key, NODE_KEY);
        assert_eq!(request.protocols, ["nfs", "iscsi"]);
        assert_eq!(request.addresses, ["192.168.49.11"]);
        Ok(Response::new(RegisterResponse {
            node_token: "token-of-w1".into(),
            controller_version: "t".into(),
        }))
    }

    async fn get_access(
        &self,
        request: Request<GetAccessRequest>,
    ) -> Result<Response<GetAccessResponse>, Status> {
        require_token(&request)?;
        match request.into_inner().volume_id.as_str() {
            "mine" => {
                let chap = Chap { username: "u".into(), secret: "s".into(), ..Chap::default() };
                Ok(Response::new(GetAccessResponse { chap: Some(chap) }))
            }
            "open" => Ok(Response::new(GetAccessResponse { chap: None })),
            _ => Err(Status::permission_denied("not published to this node")),
        }
    }

    type SyncStream = ReceiverStream<Result<DesiredState, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<NodeObservation>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        require_token(&request)?;
        let mut up = request.into_inner();
        let heard = self.heard.clone();
        let (down, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let _open = down;
            while let Ok(Some(observation)) = up.message().await {
                if heard.send(observation).await.is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

struct Authority {
    pem: String,
    identity: Identity,
}

/// An authority, and a certificate of it for 127.0.0.1.
fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let pem = certificate.pem();
    let issuer = rcgen::Issuer::new(params, key);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    Authority { pem, identity: Identity::from_pem(leaf.pem(), leaf_key.serialize_pem()) }
}

/// A controller with a runtime of its own: when it stops, its connections break as a killed
/// process's do.
struct Running {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn start(
    authority: &Authority,
    at: Option<SocketAddr>,
    heard: mpsc::Sender<NodeObservation>,
) -> Running {
    let runtime = Runtime::new().unwrap();
    let tls = ServerTlsConfig::new().identity(authority.identity.clone());
    let server =
        Server::builder().tls_config(tls).unwrap().add_service(FleetServer::new(Controller { heard }));
    let (bound, address) = oneshot::channel();
    runtime.spawn(async move {
        let listener = TcpListener::bind(at.unwrap_or(([127, 0, 0, 1], 0).into())).await.unwrap();
        bound.send(listener.local_addr().unwrap()).unwrap();
        server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
    });
    Running { address: address.await.unwrap(), runtime: Some(runtime) }
}

fn client(authority: &Authority, address: SocketAddr, join_token: &str) -> FleetClient {
    FleetClient::new(FleetConfig {
        controller: format!("https://{address}").parse().unwrap(),
        authority: authority.pem.clone().into_bytes(),
        join_token: Secret::new(join_token.to_owned()),
        node: "w1".parse().unwrap(),
        node_key: Secret::new(NODE_KEY.to_owned()),
    })
    .unwrap()
}

fn fit() -> Preflight {
    let preflight = Preflight::default();
    preflight.learn(&harness::model::fit_host());
    preflight
}

fn identity() -> NodeIdentity {
    let host = harness::model::fit_host();
    NodeIdentity { iqn: host.initiator.present().cloned(), addresses: host.addresses, kernel: host.kernel }
}

#[tokio::test]
async fn an_agent_registers_reports_what_is_staged_and_returns_after_an_outage() {
    let authority = authority();
    let (heard, mut observations) = mpsc::channel(16);
    let server = start(&authority, None, heard.clone()).await;
    let address = server.address;
    let node = Node::default();
    let state = tempfile::tempdir().unwrap();
    let coordinator = agent(&node, state.path());
    let client = Arc::new(client(&authority, address, "let me in"));
    let sync = tokio::spawn(keep_in_sync(client, identity(), Arc::clone(&coordinator), Arc::new(fit())));

    let first = timeout(SOON, observations.recv()).await.unwrap().unwrap();
    assert_eq!((first.node_id.as_str(), first.attachments.len(), first.generation), ("w1", 0, 1));
    let stage = lun_volume(&node, 1, Data::Zeros);
    assert!(coordinator.submit(Intent::Stage(stage.clone())).await.result.is_ok());
    let staged = until_phase(&mut observations, "staged").await;
    assert_eq!((staged.volume_id.as_str(), staged.paths_usable), ("vol-1", 2));

    // Gone: teardown needs no controller.
    drop(server);
    assert!(coordinator.submit(unstage(&stage)).await.result.is_ok());
    let _server = start(&authority, Some(address), heard).await;
    let back = timeout(SOON, async {
        loop {
            let observation = observations.recv().await.unwrap();
            if observation.generation == 1 {
                return observation;
            }
        }
    });
    assert_eq!(back.await.unwrap().attachments, []);
    sync.abort();
}

/// The attachment of the first observation in which the one volume is in `phase`.
async fn until_phase(observations: &mut mpsc::Receiver<NodeObservation>, phase: &str) -> Attachment {
    let found = async {
        loop {
            let observation = observations.recv().await.unwrap();
            if let [attachment] = observation.attachments.as_slice()
                && attachment.phase == phase
            {
                return attachment.clone();
            }
        }
    };
    timeout(SOON, found).await.unwrap_or_else(|_| panic!("it was never {phase}"))
}

#[tokio::test]
async fn the_controller_is_told_how_far_a_volume_has_come() {
    let authority = authority();
    let (heard, mut observations) = mpsc::channel(16);
    let server = start(&authority, None, heard).await;
    let node = Node::default();
    let state = tempfile::tempdir().unwrap();
    let coordinator = agent(&node, state.path());
    let client = Arc::new(client(&authority, server.address, "let me in"));
    let sync = tokio::spawn(keep_in_sync(client, identity(), Arc::clone(&coordinator), Arc::new(fit())));

    let mut login = node.hold("LogIn");
    let stage = lun_volume(&node, 1, Data::Zeros);
    let submit = |intent| {
        let coordinator = Arc::clone(&coordinator);
        tokio::spawn(async move { coordinator.submit(intent).await.result.is_ok() })
    };
    let staging = submit(Intent::Stage(stage.clone()));
    login.reached().await;
    // Whatever is reported while it hangs, it is not "staged".
    assert_eq!(until_phase(&mut observations, "staging").await.message, "");
    assert_eq!(coordinator.standing(&stage.volume).phase, Phase::Staging);
    login.open();
    assert!(staging.await.unwrap());
    until_phase(&mut observations, "staged").await;

    // Refused before anything was done: still staged, and the reason is told.
    assert!(submit(publish(&stage)).await.unwrap());
    assert!(!submit(unstage(&stage)).await.unwrap());
    let standing = coordinator.standing(&stage.volume);
    assert!(standing.phase == Phase::Staged && standing.message.contains("/pods/vol-1"), "{standing:?}");
    assert!(submit(unpublish(&stage)).await.unwrap());
    // Failed on the way: somebody has the device open.
    let contract::PublishContext::Iscsi(iscsi) = &stage.attachment else { panic!() };
    node.world.lock().opened.insert(iscsi.identity.wwid.clone());
    assert!(!submit(unstage(&stage)).await.unwrap());
    let unstaging = until_phase(&mut observations, "unstaging").await;
    assert_eq!(coordinator.standing(&stage.volume).phase, Phase::Unstaging, "{unstaging:?}");
    sync.abort();
}

#[tokio::test]
async fn credentials_come_only_for_what_is_published_here() {
    let authority = authority();
    let server = start(&authority, None, mpsc::channel(1).0).await;
    let address = server.address;
    let mine: VolumeId = "mine".parse().unwrap();
    let client = self::client(&authority, address, "let me in");
    client.register(registration()).await.unwrap();
    let chap = client.chap(&mine).await.unwrap();
    assert_eq!((chap.initiator.username.as_str(), chap.initiator.secret.expose().as_str()), ("u", "s"));
    assert!(chap.target.is_none());
    let denied = client.chap(&"theirs".parse().unwrap()).await.unwrap_err();
    assert!(matches!(denied, AccessError::Denied { .. }), "{denied}");
    let none = client.chap(&"open".parse().unwrap()).await.unwrap_err();
    assert!(matches!(none, AccessError::NoCredentials(_)), "{none}");
}

fn registration() -> RegisterRequest {
    RegisterRequest {
        addresses: vec!["192.168.49.11".to_owned()],
        protocols: vec!["nfs".to_owned(), "iscsi".to_owned()],
        ..RegisterRequest::default()
    }
}

#[tokio::test]
async fn a_controller_with_another_authority_is_not_believed() {
    let (authority, other) = (authority(), authority());
    let server = start(&authority, None, mpsc::channel(1).0).await;
    let address = server.address;
    let deceived = client(&other, address, "let me in");
    let error = deceived.register(registration()).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Unavailable, "{error:?}");
    let stranger = client(&authority, address, "guessed");
    let error = stranger.register(registration()).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::PermissionDenied);
}
