//! Reservations as initiators meet them: one table for every session and portal.

use super::*;

/// RESERVATION CONFLICT (SAM-5 table 34).
const CONFLICT: u8 = 0x18;
const RELEASED: Option<(u8, u8, u8)> = Some((6, 0x2a, 0x04));
const PREEMPTED: Option<(u8, u8, u8)> = Some((6, 0x2a, 0x05));

/// Service actions and types.
const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const RELEASE: u8 = 2;
const PREEMPT_AND_ABORT: u8 = 5;
const WRITE_EXCLUSIVE: u8 = 1;
const EXCLUSIVE_REGISTRANTS: u8 = 6;

/// PERSISTENT RESERVE OUT; its status.
async fn order(node: &mut Initiator, action: u8, kind: u8, key: u64, other: u64) -> u8 {
    let mut list = [0; 24];
    list[..8].copy_from_slice(&key.to_be_bytes());
    list[8..16].copy_from_slice(&other.to_be_bytes());
    node.command(0, &[0x5f, action, kind, 0, 0, 0, 0, 0, 24, 0], 0, &list).await.status
}

/// The registered keys.
async fn keys(node: &mut Initiator) -> Vec<u64> {
    let data = node.command(0, &[0x5e, 0, 0, 0, 0, 0, 0, 1, 0, 0], 256, &[]).await.good();
    data[8..].chunks_exact(8).map(|key| u64::from_be_bytes(key.try_into().unwrap())).collect()
}

async fn write(node: &mut Initiator) -> u8 {
    node.command(0, &transfer(0x2a, 0, 512), 0, &[7; 512]).await.status
}

/// A unit seen through two portals, and a session of each of two nodes that has heard of power on.
async fn two_nodes() -> (Array, Target, Initiator, Initiator) {
    let array = Array::start().await;
    let second = bind(&array.server, 1031, 2).await;
    let target = Target {
        iqn: IQN.into(),
        alias: None,
        portals: vec![array.portal, second],
        auth: AuthPolicy { default: Auth::Open, initiators: BTreeMap::new() },
        luns: vec![lun(0, Visibility::Everyone)],
    };
    array.server.put_target(target.clone());
    let mut a = array.log_in(NODE_A).await;
    let mut b = Initiator::log_in(second, Offer::of(NODE_B, IQN)).await.unwrap();
    assert_eq!((a.test_unit_ready(0).await, b.test_unit_ready(0).await), (POWER_ON, POWER_ON));
    (array, target, a, b)
}

#[tokio::test]
async fn a_reservation_holds_through_other_portals_sessions_and_a_new_target() {
    let (array, target, mut a, mut b) = two_nodes().await;
    assert_eq!(order(&mut a, REGISTER, 0, 0, 0xa).await, 0);
    assert_eq!(order(&mut a, RESERVE, WRITE_EXCLUSIVE, 0xa, 0).await, 0);
    assert_eq!((write(&mut a).await, write(&mut b).await), (0, CONFLICT));
    b.command(0, &transfer(0x28, 0, 512), 512, &[]).await.good();
    array.server.put_target(target.clone());
    assert_eq!((write(&mut a).await, write(&mut b).await), (0, CONFLICT));
    // The nexus is known again when it comes back: the registration outlived its session.
    drop(a);
    let mut a = array.log_in(NODE_A).await;
    assert_eq!(a.test_unit_ready(0).await, POWER_ON);
    assert_eq!((write(&mut a).await, write(&mut b).await), (0, CONFLICT));
    // Another session of the same node is another nexus.
    let offer = Offer { isid: 2, ..Offer::of(NODE_A, IQN) };
    let mut other = Initiator::log_in(array.portal, offer).await.unwrap();
    assert_eq!(write(&mut other).await, CONFLICT);
}

#[tokio::test]
async fn a_conflict_comes_before_an_attention_and_the_attention_stays() {
    let (_array, _target, mut a, mut b) = two_nodes().await;
    for (node, key) in [(&mut a, 0xa), (&mut b, 0xb)] {
        assert_eq!(order(node, REGISTER, 0, 0, key).await, 0);
    }
    assert_eq!(order(&mut a, RESERVE, EXCLUSIVE_REGISTRANTS, 0xa, 0).await, 0);
    assert_eq!(write(&mut b).await, 0, "a registrant has access");
    assert_eq!(order(&mut a, RELEASE, EXCLUSIVE_REGISTRANTS, 0xa, 0).await, 0);
    assert_eq!(order(&mut a, RESERVE, WRITE_EXCLUSIVE, 0xa, 0).await, 0);
    assert_eq!(write(&mut b).await, CONFLICT);
    assert_eq!(b.test_unit_ready(0).await, RELEASED);
    assert_eq!(b.test_unit_ready(0).await, None);
}

#[tokio::test]
async fn preempting_fences_the_other_node_and_drops_what_it_was_writing() {
    let (_array, _target, mut a, mut b) = two_nodes().await;
    for (node, key) in [(&mut a, 0xa), (&mut b, 0xb)] {
        assert_eq!(order(node, REGISTER, 0, 0, key).await, 0);
    }
    assert_eq!(order(&mut a, RESERVE, EXCLUSIVE_REGISTRANTS, 0xa, 0).await, 0);
    // A write that waits for the rest of its data when its node is fenced.
    let mut header = [0; 48];
    (header[0], header[1]) = (0x01, 0xa0);
    header[16..20].copy_from_slice(&0x7777u32.to_be_bytes());
    header[20..24].copy_from_slice(&4096u32.to_be_bytes());
    header[24..28].copy_from_slice(&b.next_cmd_sn().to_be_bytes());
    header[32..42].copy_from_slice(&transfer(0x2a, 8, 4096));
    b.send(header, &[]).await;
    let solicited = b.receive().await.unwrap();
    assert_eq!(solicited.opcode(), 0x31);
    assert_eq!(order(&mut a, PREEMPT_AND_ABORT, EXCLUSIVE_REGISTRANTS, 0xa, 0xb).await, 0);
    b.data_out(0x7777, solicited.u32(20), &[9; 4096], 0).await;
    assert!(b.is_silent().await, "an aborted command is not answered");
    let data = a.command(0, &transfer(0x28, 8, 4096), 4096, &[]).await.good();
    assert!(data.iter().all(|byte| *byte == 0), "and not carried out");
    assert_eq!(keys(&mut a).await, [0xa]);
    assert_eq!(write(&mut a).await, 0);
}

#[tokio::test]
async fn a_fenced_node_is_told_when_it_looks() {
    let (_array, _target, mut a, mut b) = two_nodes().await;
    for (node, key) in [(&mut a, 0xa), (&mut b, 0xb)] {
        assert_eq!(order(node, REGISTER, 0, 0, key).await, 0);
    }
    assert_eq!(order(&mut b, RESERVE, EXCLUSIVE_REGISTRANTS, 0xb, 0).await, 0);
    assert_eq!(order(&mut a, PREEMPT_AND_ABORT, EXCLUSIVE_REGISTRANTS, 0xa, 0xb).await, 0);
    assert_eq!(write(&mut b).await, CONFLICT);
    assert_eq!(b.test_unit_ready(0).await, PREEMPTED);
    assert_eq!(order(&mut b, RESERVE, WRITE_EXCLUSIVE, 0xb, 0).await, CONFLICT, "its key is gone");
}

#[tokio::test]
async fn with_its_unit_a_reservation_is_gone() {
    let (array, target, mut a, _b) = two_nodes().await;
    assert_eq!(order(&mut a, REGISTER, 0, 0, 0xa).await, 0);
    array.server.put_target(Target { luns: vec![], ..target.clone() });
    assert_eq!(a.test_unit_ready(0).await, NOT_SUPPORTED);
    array.server.put_target(target);
    assert_eq!((a.test_unit_ready(0).await, a.test_unit_ready(0).await), (POWER_ON, LUNS_CHANGED));
    assert_eq!(keys(&mut a).await, [0u64; 0]);
}
