//! The Fleet service: requests in, use cases, statuses out.

use std::sync::Arc;
use std::time::Duration;

use contract::{ChapCredentials, NodeId, Secret, VolumeId};
use fleet_proto::NODE_TOKEN_METADATA;
use fleet_proto::fleet::fleet_server::Fleet;
use fleet_proto::fleet::{
    Chap, DesiredState, GetAccessRequest, GetAccessResponse, NodeObservation, RegisterRequest,
    RegisterResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::{FleetError, sync};
use crate::controller::Controller;
use crate::csi;
use crate::rpc::traced;
use crate::store::{PublicationRecord, VolumeRecord};
use crate::volume::VolumeError;

/// An agent that opens Sync names its node in this time: a stream that never does holds nothing.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// See `fleet.proto`.
#[derive(Debug)]
pub struct FleetService {
    controller: Arc<Controller>,
    join_token: Secret,
    stop: CancellationToken,
}

impl FleetService {
    /// Serves agents that know `join_token`; streams end when `stop` is cancelled.
    pub fn new(controller: Arc<Controller>, join_token: Secret, stop: CancellationToken) -> Self {
        Self { controller, join_token, stop }
    }

    async fn access(
        &self,
        metadata: &MetadataMap,
        request: &GetAccessRequest,
    ) -> Result<GetAccessResponse, Status> {
        let node = self.controller.authenticate(&request.node_id, token(metadata)).await?;
        let refused = || {
            Status::from(FleetError::NotPublished {
                volume: request.volume_id.clone(),
                node: node.id.clone(),
            })
        };
        let volume: VolumeId = request.volume_id.parse().map_err(|_| refused())?;
        let store = &self.controller.store;
        let key = PublicationRecord::key_of(&volume, &node.id);
        // Whether the volume exists at all is not for this node to learn either.
        store.find::<PublicationRecord>(&key).await.map_err(FleetError::from)?.ok_or_else(refused)?;
        let found = store.find::<VolumeRecord>(volume.as_str()).await.map_err(FleetError::from)?;
        let volume = found.ok_or_else(refused)?;
        let credentials = async {
            let backend = self.controller.backends.require(&volume.backend)?;
            Ok::<_, VolumeError>(backend.require_online().await?.chap().await?)
        };
        let credentials = credentials.await.map_err(|error| csi::status_of(&error))?;
        Ok(GetAccessResponse { chap: credentials.as_ref().map(chap) })
    }
}

fn chap(credentials: &ChapCredentials) -> Chap {
    let target = credentials.target.as_ref();
    Chap {
        username: credentials.initiator.username.clone(),
        secret: credentials.initiator.secret.expose().clone(),
        target_username: target.map(|pair| pair.username.clone()).unwrap_or_default(),
        target_secret: target.map(|pair| pair.secret.expose().clone()).unwrap_or_default(),
    }
}

fn token(metadata: &MetadataMap) -> Option<&str> {
    metadata.get(NODE_TOKEN_METADATA).and_then(|value| value.to_str().ok())
}

impl From<FleetError> for Status {
    fn from(error: FleetError) -> Self {
        let message = telemetry::chain(&error).to_string();
        match error {
            FleetError::Malformed(_) => Self::invalid_argument(message),
            FleetError::WrongJoinToken | FleetError::Unauthenticated => Self::unauthenticated(message),
            FleetError::DuplicateIqn { .. } => Self::already_exists(message),
            FleetError::NotPublished { .. } | FleetError::NameTaken { .. } => {
                Self::permission_denied(message)
            }
            FleetError::NodeInUse { .. } => Self::failed_precondition(message),
            FleetError::Store(_) => Self::internal(message),
        }
    }
}

#[tonic::async_trait]
impl Fleet for FleetService {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let request = request.into_inner();
        let subject = request.node_id.clone();
        traced("Register", &subject, async {
            let token = self.controller.register_node(&self.join_token, request).await?;
            Ok(RegisterResponse {
                node_token: token.expose().clone(),
                controller_version: env!("CARGO_PKG_VERSION").to_owned(),
            })
        })
        .await
    }

    async fn get_access(
        &self,
        request: Request<GetAccessRequest>,
    ) -> Result<Response<GetAccessResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        traced("GetAccess", &request.volume_id, self.access(&metadata, &request)).await
    }

    type SyncStream = ReceiverStream<Result<DesiredState, Status>>;

    async fn sync(
        &self,
        request: Request<Streaming<NodeObservation>>,
    ) -> Result<Response<Self::SyncStream>, Status> {
        let (metadata, _, mut observations) = request.into_parts();
        let first = tokio::time::timeout(FIRST_WORD, observations.message()).await.map_err(|_| {
            let seconds = FIRST_WORD.as_secs();
            Status::deadline_exceeded(format!(
                "the stream has named no node within {seconds} s: open it again"
            ))
        })??;
        let first =
            first.ok_or_else(|| Status::invalid_argument("the stream says nothing: name the node first"))?;
        let node = self.controller.authenticate(&first.node_id, token(&metadata)).await?;
        let node: NodeId = node.id;
        tracing::info!(%node, "agent connected");
        let (desired, answers) = mpsc::channel(sync::QUEUE);
        let (controller, stop) = (Arc::clone(&self.controller), self.stop.clone());
        tokio::spawn(async move {
            sync::serve(controller, node.clone(), first, observations, desired, stop).await;
            tracing::info!(%node, "agent disconnected");
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
