//! Levers on portals, the gate and units, seen from the initiator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use iscsi_target::{Direction, Governor, Lun, PortalFault, Transfer};
use levers::{Latency, LunFaults, Mode};
use serde_json::json;
use tokio::time::timeout;

use crate::initiator::{Initiator, NODE_A, Offer, transfer};
use crate::{Array, IQN, Visibility, lun};

const DEADLINE: Duration = Duration::from_secs(20);

async fn ready() -> (Array, Initiator) {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut node = array.log_in(NODE_A).await;
    node.test_unit_ready(0).await;
    (array, node)
}

#[tokio::test]
async fn a_portal_that_resets_cuts_old_connections_and_new_ones() {
    let (array, mut node) = ready().await;
    array.server.set_portal_fault(array.portal, PortalFault::Reset);
    assert!(node.was_reset().await);
    let mut fresh = Initiator::dial(array.portal, Offer::of(NODE_A, IQN)).await;
    assert!(fresh.was_reset().await);
    array.server.set_portal_fault(array.portal, PortalFault::None);
    array.log_in(NODE_A).await;
}

#[tokio::test]
async fn a_connection_is_dropped_after_so_many_messages() {
    let (array, mut node) = ready().await;
    array.server.set_portal_fault(array.portal, PortalFault::DropAfter { messages: 2 });
    for _ in 0..2 {
        assert_eq!(node.test_unit_ready(0).await, None);
    }
    node.begin(0, &[0; 6], 0, &[]).await;
    assert!(node.receive().await.is_none());
}

#[tokio::test]
async fn answers_of_a_slow_portal_are_late() {
    let (array, mut node) = ready().await;
    let late = Duration::from_millis(150);
    array.server.set_portal_fault(array.portal, PortalFault::Slow(Latency::Fixed { us: 150_000 }));
    let begun = Instant::now();
    assert_eq!(node.test_unit_ready(0).await, None);
    assert!(begun.elapsed() >= late);
}

#[tokio::test]
async fn a_late_command_holds_no_other_up() {
    let (array, mut node) = ready().await;
    let lever = array.levers.lun("81DaR$Qq/1ii");
    lever.set(LunFaults { latency: Some(Latency::Fixed { us: 400_000 }), ..LunFaults::default() });
    let read = node.begin(0, &transfer(0x28, 0, 4096), 4096, &[]).await;
    let pong = node.ask(0x00, 0, &[], b"first").await;
    assert_eq!((pong.opcode(), &pong.data[..]), (0x20, &b"first"[..]));
    let answer = node.finish(HashMap::from([(read, vec![])])).await.remove(&read).unwrap();
    assert_eq!(answer.good().len(), 4096);
    let doomed = node.begin(0, &transfer(0x28, 0, 4096), 4096, &[]).await;
    let abort = node.ask(0x02, 1, &[(20, &doomed.to_be_bytes())], &[]).await;
    assert_eq!((abort.opcode(), abort.header[2]), (0x22, 0));
    lever.set(LunFaults::default());
    assert_eq!(node.test_unit_ready(0).await, None, "the next answer is not that of the aborted read");
}

/// Holds writes back, and keeps what it is told.
#[derive(Debug, Default)]
struct HoldsWrites(Mutex<Vec<Transfer>>);

const HELD: Duration = Duration::from_millis(300);

impl Governor for HoldsWrites {
    fn admit(&self, transfer: Transfer, _: Instant) -> Duration {
        self.0.lock().unwrap().push(transfer);
        if transfer.direction == Direction::Write { HELD } else { Duration::ZERO }
    }
}

#[tokio::test]
async fn a_governor_is_told_of_every_transfer_once_and_those_it_holds_back_hold_no_other_up() {
    let governor = Arc::new(HoldsWrites::default());
    let unit = Lun { governor: Some(governor.clone()), ..lun(0, Visibility::Everyone) };
    let array = Array::with_luns(vec![unit]).await;
    let mut node = array.log_in(NODE_A).await;
    node.test_unit_ready(0).await;
    let begun = Instant::now();
    let data = crate::pattern(8192, 1);
    let write = node.begin(0, &transfer(0x2a, 0, data.len()), 0, &data).await;
    let read = node.begin(0, &transfer(0x28, 0, 512), 512, &[]).await;
    let first = node.receive().await.unwrap();
    assert_eq!(first.u32(16), read, "the read is answered while the write waits");
    node.finish(HashMap::from([(write, vec![])])).await.remove(&write).unwrap().good();
    assert!(begun.elapsed() >= HELD);
    node.test_unit_ready(0).await;
    let of = |direction, bytes| Transfer { direction, bytes };
    let seen = governor.0.lock().unwrap().clone();
    assert_eq!(
        seen,
        [of(Direction::Write, 8192), of(Direction::Read, 512)],
        "no other command is a transfer"
    );
}

#[tokio::test]
async fn in_single_step_mode_each_command_waits_for_its_step() {
    let (array, mut node) = ready().await;
    let gate = array.levers.gate();
    gate.set_mode(Mode::Step);
    let data = crate::pattern(65_536, 1);
    let write = node.begin(0, &transfer(0x2a, 0, data.len()), 0, &data).await;
    let read = node.begin(0, &transfer(0x28, 0, 512), 512, &[]).await;
    timeout(DEADLINE, gate.await_waiting(2)).await.unwrap();
    assert!(node.is_silent().await);
    gate.step(2);
    let answers = node.finish(HashMap::from([(write, data), (read, vec![])])).await;
    assert!(answers.values().all(|answer| answer.status == 0));
    gate.set_mode(Mode::Auto);
    assert_eq!(node.test_unit_ready(0).await, None);
}

#[tokio::test]
async fn commands_are_recorded_in_order_when_asked_for() {
    let (array, mut node) = ready().await;
    let begun = array.events.snapshot().len() as u64;
    node.test_unit_ready(0).await;
    array.events.set_tracing(true);
    node.command(0, &[0x12, 1, 0x80, 0, 255, 0], 255, &[]).await.good();
    node.command(0, &transfer(0x2a, 8, 512), 0, &[7; 512]).await.good();
    let seen = array.events.since(begun);
    let inquiry = json!({ "initiator": NODE_A, "serial": "81DaR$Qq/1ii", "opcode": 0x12 });
    let write = json!({ "target": IQN, "lun": 0, "opcode": 0x2a, "lba": 8, "blocks": 1 });
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert!(seen.iter().all(|event| event.kind == "scsi.command"));
    assert!(seen[0].has(&inquiry) && seen[1].has(&write), "{seen:?}");
}
