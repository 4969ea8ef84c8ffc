//! The connection: TLS with the controller's own authority, the node's token on every call.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use contract::{ChapCredentials, ChapPair, NodeId, Secret, VolumeId};
use fleet_proto::NODE_TOKEN_METADATA;
use fleet_proto::fleet::fleet_client::FleetClient as Wire;
use fleet_proto::fleet::{Chap, GetAccessRequest, RegisterRequest};
use tokio::sync::watch;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use url::Url;

use super::{AccessError, Credentials};

/// One call to the controller, connection included.
const CALL: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);

/// How to reach the controller.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// `https://192.168.49.1:9443`; the certificate must be for this host.
    pub controller: Url,
    /// The authority that signed the controller's certificate, PEM.
    pub authority: Vec<u8>,
    /// The shared secret that lets this agent join.
    pub join_token: Secret,
    /// This node.
    pub node: NodeId,
    /// What its name is bound to.
    pub node_key: Secret,
}

/// What is wrong with a [`FleetConfig`].
#[derive(Debug, thiserror::Error)]
pub enum FleetConfigError {
    /// Not an https URL with a host.
    #[error("controller address `{0}` is not an https URL with a host")]
    Address(Url),
    /// TLS cannot be set up.
    #[error("cannot set up TLS to {0}: is the authority file a PEM certificate?")]
    Tls(Url, #[source] tonic::transport::Error),
}

/// A lazily connected client.
#[derive(Debug)]
pub struct FleetClient {
    node: NodeId,
    join_token: Secret,
    node_key: Secret,
    wire: Wire<Channel>,
    token: watch::Sender<Option<Secret>>,
}

impl FleetClient {
    /// A client; it connects at its first call, and again whenever the connection is gone.
    ///
    /// # Errors
    /// When address or authority cannot be used. An unreachable controller is no error here.
    pub fn new(config: FleetConfig) -> Result<Self, FleetConfigError> {
        let FleetConfig { controller, authority, join_token, node, node_key } = config;
        let host = match (controller.scheme(), controller.host()) {
            ("https", Some(url::Host::Ipv6(address))) => address.to_string(),
            ("https", Some(host)) => host.to_string(),
            _ => return Err(FleetConfigError::Address(controller)),
        };
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)).domain_name(host);
        let endpoint = Endpoint::from_shared(controller.to_string())
            .and_then(|endpoint| endpoint.tls_config(tls))
            .map_err(|error| FleetConfigError::Tls(controller, error))?;
        let channel = endpoint
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(Duration::from_secs(15))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true)
            .connect_lazy();
        Ok(Self { node, join_token, node_key, wire: Wire::new(channel), token: watch::channel(None).0 })
    }

    /// Registers this node; the answer's token goes with every later call.
    ///
    /// # Errors
    /// The controller's status.
    pub async fn register(&self, request: RegisterRequest) -> Result<String, Status> {
        let request = RegisterRequest {
            node_id: self.node.to_string(),
            join_token: self.join_token.expose().clone(),
            node_key: self.node_key.expose().clone(),
            ..request
        };
        let answer = deadline(self.wire.clone().register(Request::new(request))).await?.into_inner();
        self.token.send_replace(Some(Secret::new(answer.node_token)));
        Ok(answer.controller_version)
    }

    pub(super) fn node(&self) -> &NodeId {
        &self.node
    }

    pub(super) fn wire(&self) -> Wire<Channel> {
        self.wire.clone()
    }

    /// `message` with this node's token.
    pub(super) fn signed<T>(&self, message: T) -> Result<Request<T>, Status> {
        let token = self.token.borrow().clone();
        let Some(token) = token else {
            return Err(Status::unavailable("this node is not registered with the controller yet"));
        };
        let mut value: MetadataValue<Ascii> = token
            .expose()
            .parse()
            .map_err(|_not_ascii| Status::internal("the controller's node token is not ASCII"))?;
        value.set_sensitive(true);
        let mut request = Request::new(message);
        request.metadata_mut().insert(NODE_TOKEN_METADATA, value);
        Ok(request)
    }

    async fn access(&self, volume: &VolumeId) -> Result<Option<Chap>, Status> {
        // Shortly after a start the registration is still under way.
        let mut token = self.token.subscribe();
        let _registered_or_late = tokio::time::timeout(CALL, token.wait_for(Option::is_some)).await.is_ok();
        let message = GetAccessRequest { node_id: self.node.to_string(), volume_id: volume.to_string() };
        let request = self.signed(message)?;
        Ok(deadline(self.wire.clone().get_access(request)).await?.into_inner().chap)
    }
}

async fn deadline<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(CALL, call)
        .await
        .unwrap_or_else(|_elapsed| Err(Status::unavailable("the controller did not answer in time")))
}

impl Credentials for FleetClient {
    fn chap<'a>(
        &'a self,
        volume: &'a VolumeId,
    ) -> Pin<Box<dyn Future<Output = Result<ChapCredentials, AccessError>> + Send + 'a>> {
        Box::pin(async move {
            match self.access(volume).await {
                Ok(Some(chap)) => Ok(credentials(chap)),
                Ok(None) => Err(AccessError::NoCredentials(volume.clone())),
                Err(status) => {
                    let (volume, source) = (volume.clone(), Box::new(status));
                    match source.code() {
                        Code::PermissionDenied | Code::NotFound | Code::InvalidArgument => {
                            Err(AccessError::Denied { volume, source })
                        }
                        _ => Err(AccessError::Unreachable { volume, source }),
                    }
                }
            }
        })
    }
}

fn credentials(chap: Chap) -> ChapCredentials {
    let mutual = !chap.target_username.is_empty();
    let target =
        mutual.then(|| ChapPair { username: chap.target_username, secret: Secret::new(chap.target_secret) });
    let initiator = ChapPair { username: chap.username, secret: Secret::new(chap.secret) };
    ChapCredentials { initiator, target }
}
