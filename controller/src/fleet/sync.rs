//! Sync: one stream a node. The controller's half is sent when a publication changes, never by the clock.

use std::sync::Arc;

use contract::NodeId;
use fleet_proto::fleet::{DesiredState, NodeObservation};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::FleetError;
use crate::controller::Controller;
use crate::store::PublicationRecord;

/// Desired states that may wait for a slow agent; the stream is then held, and sends the newest state.
pub(super) const QUEUE: usize = 4;

/// An open stream; the node counts as connected while it lives.
struct Connected {
    controller: Arc<Controller>,
    node: NodeId,
}

impl Connected {
    fn new(controller: Arc<Controller>, node: NodeId) -> Self {
        controller.fleet.change(&node, |presence| presence.streams += 1);
        Self { controller, node }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.controller.fleet.change(&self.node, |presence| presence.streams -= 1);
    }
}

/// Serves one stream to its end: `first` is the message that said whose it is.
pub(super) async fn serve(
    controller: Arc<Controller>,
    node: NodeId,
    first: NodeObservation,
    mut observations: Streaming<NodeObservation>,
    desired: mpsc::Sender<Result<DesiredState, Status>>,
    stop: CancellationToken,
) {
    let connected = Connected::new(controller, node);
    let mut changes = connected.controller.publications_changed();
    let (mut sent, mut generation) = (None, 0);
    connected.keep(first);
    loop {
        match connected.published().await {
            Ok(published) if sent.as_ref() != Some(&published) => {
                generation += 1;
                let state = DesiredState { generation, published_volume_ids: published.clone() };
                if desired.send(Ok(state)).await.is_err() {
                    return;
                }
                sent = Some(published);
            }
            Ok(_) => {}
            Err(error) => {
                // The agent reconnects and asks anew.
                let message = telemetry::chain(&error).to_string();
                let _gone = desired.send(Err(Status::unavailable(message))).await;
                return;
            }
        }
        // Until something of this node may have changed.
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                message = observations.message() => match message {
                    Ok(Some(observation)) => connected.keep(observation),
                    Ok(None) | Err(_) => return,
                },
            }
        }
    }
}

impl Connected {
    fn keep(&self, observation: NodeObservation) {
        self.controller.fleet.change(&self.node, |presence| presence.observation = Some(observation));
    }

    async fn published(&self) -> Result<Vec<String>, FleetError> {
        let publications = self.controller.store.all::<PublicationRecord>().await?;
        let here = publications.into_iter().filter(|publication| publication.node == self.node);
        Ok(here.map(|publication| publication.volume.to_string()).collect())
    }
}
