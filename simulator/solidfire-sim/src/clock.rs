//! What happens by itself when its time has come: schedules run, snapshots expire, deleted volumes are
//! purged. It sleeps until the next such moment, and is woken when that may have become another one.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::select;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::state::State;

/// How long a moment waits whose work could not be made durable.
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) async fn run(cluster: Arc<Cluster>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let next = cluster.with_state(State::next_event);
        let due = async {
            match next {
                // One that has passed is due at once: its distance has no unsigned form.
                Some(at) => sleep(Timestamp::now().duration_until(at).try_into().unwrap_or_default()).await,
                None => pending().await,
            }
        };
        select! {
            () = stop.cancelled() => return,
            () = cluster.changed().notified() => {}
            () = due => {
                if cluster.tick().is_err() {
                    sleep(AGAIN).await;
                }
            }
        }
    }
}
