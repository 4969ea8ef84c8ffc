//! The task that keeps the controller informed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use contract::Iqn;
use fleet_proto::fleet::{Attachment, DesiredState, NodeObservation, RegisterRequest};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::FleetClient;
use crate::coordinator::{Coordinator, Host};
use crate::preflight::Preflight;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An observation is sent on every change, and at least this often.
const OBSERVE_EVERY: Duration = Duration::from_secs(30);

/// What a node says of itself when it registers.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// Name of its initiator, where it has one.
    pub iqn: Option<Iqn>,
    /// Addresses it reaches storage from.
    pub addresses: Vec<IpAddr>,
    /// `uname -r`.
    pub kernel: String,
}

/// Registers and keeps a `Sync` stream open, for ever. Ends only when it is dropped.
pub async fn keep_in_sync<H: Host>(
    client: Arc<FleetClient>,
    identity: NodeIdentity,
    coordinator: Arc<Coordinator<H>>,
    preflight: Arc<Preflight>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let registration = registration(&identity, &preflight);
        match client.register(registration).await {
            Ok(controller) => {
                tracing::info!(controller_version = controller, "registered with the controller");
                pause = FIRST_PAUSE;
                if let Err(status) = converse(&client, &coordinator, &preflight).await {
                    tracing::warn!(code = ?status.code(), message = status.message(), "sync with the controller broke off");
                }
            }
            Err(status) => {
                tracing::warn!(code = ?status.code(), message = status.message(), pause_ms = pause.as_millis(),
                    "cannot register with the controller");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn registration(identity: &NodeIdentity, preflight: &Preflight) -> RegisterRequest {
    RegisterRequest {
        iqn: identity.iqn.as_ref().map(ToString::to_string).unwrap_or_default(),
        addresses: identity.addresses.iter().map(ToString::to_string).collect(),
        protocols: preflight.protocols(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: identity.kernel.clone(),
        ..RegisterRequest::default()
    }
}

/// One stream, until it breaks.
async fn converse<H: Host>(
    client: &FleetClient,
    coordinator: &Coordinator<H>,
    preflight: &Preflight,
) -> Result<(), Status> {
    let (up, observations) = mpsc::channel(4);
    let mut changes = coordinator.changes();
    let mut generation = 1;
    let closed = |_closed| Status::unavailable("the stream is closed");
    up.send(observation(client, coordinator, preflight, generation)).await.map_err(closed)?;
    let request = client.signed(ReceiverStream::new(observations))?;
    let mut down = client.wire().sync(request).await?.into_inner();
    let mut tick = interval(OBSERVE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tokio::select! {
            desired = down.message() => match desired? {
                Some(desired) => compare(coordinator, &desired),
                None => return Ok(()),
            },
            _ = tick.tick() => {}
            changed = changes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
        }
        generation += 1;
        up.send(observation(client, coordinator, preflight, generation)).await.map_err(closed)?;
    }
}

fn observation<H: Host>(
    client: &FleetClient,
    coordinator: &Coordinator<H>,
    preflight: &Preflight,
    generation: u64,
) -> NodeObservation {
    let count = |paths: usize| u32::try_from(paths).unwrap_or(u32::MAX);
    let attachments = coordinator.journal().records().into_iter().map(|record| {
        let paths = coordinator.find_paths(&record.volume);
        let standing = coordinator.standing(&record.volume);
        Attachment {
            volume_id: record.volume.to_string(),
            phase: standing.phase.as_str().to_owned(),
            paths_expected: paths.map_or(0, |paths| count(paths.expected)),
            paths_usable: paths.map_or(0, |paths| count(paths.usable)),
            message: standing.message,
        }
    });
    NodeObservation {
        node_id: client.node().to_string(),
        generation,
        attachments: attachments.collect(),
        defects: preflight.defects(),
    }
}

/// Names volumes that are staged here although this node may not use them any more (hazard H07).
fn compare<H: Host>(coordinator: &Coordinator<H>, desired: &DesiredState) {
    let allowed: BTreeSet<&str> = desired.published_volume_ids.iter().map(String::as_str).collect();
    for record in coordinator.journal().records() {
        if !allowed.contains(record.volume.as_str()) {
            tracing::warn!(volume = %record.volume, "staged here, but no longer published to this node");
        }
    }
}
