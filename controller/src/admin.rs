//! The administrator's door: `tinectl` on the controller's second Unix socket.

use std::sync::Arc;

use fleet_proto::admin;
use fleet_proto::admin::admin_server::Admin;
use tonic::{Request, Response, Status};

use crate::array::{Pool, Protocol};
use crate::backend::{Backend, BackendError, BackendState};
use crate::controller::Controller;
use crate::rpc::traced;
use crate::store::{NodeRecord, PublicationRecord, StoreError, VolumeRecord};

/// See `admin.proto`.
#[derive(Debug)]
pub(crate) struct AdminService {
    controller: Arc<Controller>,
}

impl AdminService {
    /// Serves the use cases of `controller`.
    pub(crate) fn new(controller: Arc<Controller>) -> Self {
        Self { controller }
    }

    async fn shown_backend(&self, backend: &Backend) -> Result<admin::Backend, Status> {
        let volumes = self.controller.store.all::<VolumeRecord>().await.map_err(internal)?;
        let volumes = volumes.iter().filter(|volume| volume.backend == backend.name).count();
        let (state, reason, pools) = match backend.state() {
            BackendState::Online(array) => {
                ("online", String::new(), array.pools().iter().map(shown_pool).collect())
            }
            BackendState::Offline(reason) => ("offline", reason, Vec::new()),
            BackendState::Unasked => ("offline", "its array has not answered yet".to_owned(), Vec::new()),
        };
        Ok(admin::Backend {
            name: backend.name.clone(),
            uuid: backend.uuid.to_string(),
            driver: backend.config.driver_name().to_owned(),
            state: state.to_owned(),
            reason,
            volumes: u32::try_from(volumes).unwrap_or(u32::MAX),
            pools,
        })
    }

    fn shown_volume(&self, volume: VolumeRecord, publications: &[PublicationRecord]) -> admin::Volume {
        let state = self.controller.backends.require(&volume.backend).map(|backend| backend.state());
        let protocol = match state {
            Ok(BackendState::Online(array)) if array.protocol() == Protocol::File => "file",
            Ok(BackendState::Online(_)) => "block",
            _ if volume.filesystem.is_some() || volume.uses.iter().any(|r#use| r#use.block) => "block",
            _ => "file",
        };
        let published_to = publications
            .iter()
            .filter(|publication| publication.volume == volume.id)
            .map(|publication| publication.node.to_string())
            .collect();
        admin::Volume {
            volume_id: volume.id.to_string(),
            name: volume.name,
            size: volume.size,
            // CSI does not tell the name of the class.
            storage_class: String::new(),
            protocol: protocol.to_owned(),
            backend: volume.backend,
            pool: volume.pool,
            internal_name: volume.internal_name,
            published_to,
        }
    }

    fn shown_node(&self, node: NodeRecord) -> admin::Node {
        let presence = self.controller.fleet.presence(&node.id);
        let connected = presence.is_connected();
        let (attachments, defects) = presence
            .observation
            .map(|observation| (observation.attachments, observation.defects))
            .unwrap_or_default();
        admin::Node {
            node_id: node.id.to_string(),
            iqn: node.iqn.map(String::from).unwrap_or_default(),
            addresses: node.addresses.iter().map(ToString::to_string).collect(),
            connected,
            last_seen: presence.last_seen.max(node.registered),
            attachments,
            defects,
            agent_version: node.agent_version,
        }
    }
}

fn shown_pool(pool: &Pool) -> admin::Pool {
    let iops =
        pool.iops.as_ref().map(|range| ("IOPS".to_owned(), format!("{}-{}", range.start(), range.end())));
    let attributes = pool.attributes.clone().into_iter().chain(iops).collect();
    admin::Pool { name: pool.name.clone(), attributes }
}

fn internal(error: StoreError) -> Status {
    BackendError::from(error).into()
}

impl From<BackendError> for Status {
    fn from(error: BackendError) -> Self {
        let message = telemetry::chain(&error).to_string();
        match error {
            BackendError::Config(_) => Self::invalid_argument(message),
            BackendError::Exists { .. } => Self::already_exists(message),
            BackendError::NotFound { .. } => Self::not_found(message),
            BackendError::InUse { .. } | BackendError::OtherArray { .. } => {
                Self::failed_precondition(message)
            }
            BackendError::Offline { .. } => Self::unavailable(message),
            BackendError::Store(_) => Self::internal(message),
        }
    }
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn create_backend(
        &self,
        request: Request<admin::CreateBackendRequest>,
    ) -> Result<Response<admin::CreateBackendResponse>, Status> {
        let request = request.into_inner();
        traced("CreateBackend", &request.file_name, async {
            let backend = self.controller.backends.create(&request.file_name, &request.content).await?;
            Ok(admin::CreateBackendResponse { backend: Some(self.shown_backend(&backend).await?) })
        })
        .await
    }

    async fn list_backends(
        &self,
        _: Request<admin::ListBackendsRequest>,
    ) -> Result<Response<admin::ListBackendsResponse>, Status> {
        traced("ListBackends", "", async {
            let mut backends = Vec::new();
            for backend in self.controller.backends.all() {
                backends.push(self.shown_backend(&backend).await?);
            }
            Ok(admin::ListBackendsResponse { backends })
        })
        .await
    }

    async fn delete_backend(
        &self,
        request: Request<admin::DeleteBackendRequest>,
    ) -> Result<Response<admin::DeleteBackendResponse>, Status> {
        let name = request.into_inner().name;
        traced("DeleteBackend", &name, async {
            self.controller.backends.delete(&name).await?;
            Ok(admin::DeleteBackendResponse {})
        })
        .await
    }

    async fn list_volumes(
        &self,
        _: Request<admin::ListVolumesRequest>,
    ) -> Result<Response<admin::ListVolumesResponse>, Status> {
        traced("ListVolumes", "", async {
            let store = &self.controller.store;
            let publications = store.all::<PublicationRecord>().await.map_err(internal)?;
            let volumes = store.all::<VolumeRecord>().await.map_err(internal)?;
            let volumes =
                volumes.into_iter().map(|volume| self.shown_volume(volume, &publications)).collect();
            Ok(admin::ListVolumesResponse { volumes })
        })
        .await
    }

    async fn list_nodes(
        &self,
        _: Request<admin::ListNodesRequest>,
    ) -> Result<Response<admin::ListNodesResponse>, Status> {
        traced("ListNodes", "", async {
            let nodes = self.controller.store.all::<NodeRecord>().await.map_err(internal)?;
            let nodes = nodes.into_iter().map(|node| self.shown_node(node)).collect();
            Ok(admin::ListNodesResponse { nodes })
        })
        .await
    }

    async fn delete_node(
        &self,
        request: Request<admin::DeleteNodeRequest>,
    ) -> Result<Response<admin::DeleteNodeResponse>, Status> {
        let name = request.into_inner().node_id;
        traced("DeleteNode", &name, async {
            let unknown = || Status::not_found(format!("node {} has not registered", name.escape_debug()));
            let node = name.parse().map_err(|_| unknown())?;
            if self.controller.forget_node(&node).await? {
                Ok(admin::DeleteNodeResponse {})
            } else {
                Err(unknown())
            }
        })
        .await
    }

    async fn version(
        &self,
        _: Request<admin::VersionRequest>,
    ) -> Result<Response<admin::VersionResponse>, Status> {
        Ok(Response::new(admin::VersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            driver_name: self.controller.driver_name.clone(),
        }))
    }
}
