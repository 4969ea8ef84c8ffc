//! CSI Node: one screen an RPC.

use std::sync::Arc;
use std::time::Instant;

use agent_core::intent::Intent;
use agent_linux::own_time::OwnTime;
use contract::NodeId;
use csi_proto::v1::node_server::Node;
use csi_proto::v1::node_service_capability::{Rpc, Type, rpc};
use csi_proto::v1::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetCapabilitiesRequest,
    NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse, NodeGetVolumeStatsRequest,
    NodeGetVolumeStatsResponse, NodePublishVolumeRequest, NodePublishVolumeResponse, NodeServiceCapability,
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse,
    NodeUnstageVolumeRequest, NodeUnstageVolumeResponse,
};
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::parse::{self, ParseError};
use super::status;
use crate::coordinator::{Coordinator, Host};

/// CSI Node.
#[derive(Debug)]
pub struct NodeService<H> {
    /// This node's name.
    pub node: NodeId,
    /// Who does the work.
    pub coordinator: Arc<Coordinator<H>>,
}

impl<H: Host> NodeService<H> {
    /// Parse → submit → respond, under one span and on one account of time.
    async fn fulfil<Q, T: Default>(
        &self,
        rpc: &'static str,
        request: Request<Q>,
        parse: impl FnOnce(Q) -> Result<Intent, ParseError>,
    ) -> Result<Response<T>, Status> {
        let started = Instant::now();
        let call = async {
            let intent = parse(request.into_inner()).map_err(|error| {
                tracing::warn!(rpc, error = %telemetry::chain(&error), "malformed request");
                status::malformed(&error)
            })?;
            let span = tracing::info_span!("rpc", rpc, volume = %intent.volume());
            let report = self.coordinator.submit(intent).instrument(span).await;
            status::answer(started, &report)
        };
        OwnTime::default().count_polls(call).await
    }
}

#[tonic::async_trait]
impl<H: Host> Node for NodeService<H> {
    async fn node_stage_volume(
        &self,
        request: Request<NodeStageVolumeRequest>,
    ) -> Result<Response<NodeStageVolumeResponse>, Status> {
        self.fulfil("NodeStageVolume", request, |request| parse::stage(request).map(Intent::Stage)).await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<NodeUnstageVolumeRequest>,
    ) -> Result<Response<NodeUnstageVolumeResponse>, Status> {
        self.fulfil("NodeUnstageVolume", request, |request| parse::unstage(request).map(Intent::Unstage))
            .await
    }

    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        self.fulfil("NodePublishVolume", request, |request| parse::publish(request).map(Intent::Publish))
            .await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        self.fulfil("NodeUnpublishVolume", request, |request| {
            parse::unpublish(request).map(Intent::Unpublish)
        })
        .await
    }

    async fn node_get_info(
        &self,
        _request: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        Ok(Response::new(NodeGetInfoResponse {
            node_id: self.node.to_string(),
            ..NodeGetInfoResponse::default()
        }))
    }

    async fn node_get_capabilities(
        &self,
        _request: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        let stage = Type::Rpc(Rpc { r#type: rpc::Type::StageUnstageVolume.into() });
        Ok(Response::new(NodeGetCapabilitiesResponse {
            capabilities: vec![NodeServiceCapability { r#type: Some(stage) }],
        }))
    }

    async fn node_get_volume_stats(
        &self,
        _request: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        Err(status::unimplemented("GET_VOLUME_STATS"))
    }

    async fn node_expand_volume(
        &self,
        _request: Request<NodeExpandVolumeRequest>,
    ) -> Result<Response<NodeExpandVolumeResponse>, Status> {
        Err(status::unimplemented("EXPAND_VOLUME"))
    }
}
