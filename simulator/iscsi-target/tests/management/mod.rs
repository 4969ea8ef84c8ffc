//! Task management, and what damaged data do.

use crate::initiator::{Initiator, NODE_A, NODE_B, Offer, transfer};
use crate::{Array, IQN, Visibility, lun, pattern};

/// An initiator with a write that waits for its data; its tag.
async fn waiting(array: &Array, name: &'static str) -> (Initiator, u32) {
    let offer = Offer { initial_r2t: true, immediate: false, ..Offer::of(name, IQN) };
    let mut node = Initiator::log_in(array.portal, offer).await.unwrap();
    node.test_unit_ready(0).await;
    let tag = node.begin(0, &transfer(0x2a, 0, 4096), 0, &pattern(4096, 1)).await;
    assert_eq!(node.receive().await.unwrap().opcode(), 0x31);
    (node, tag)
}

#[tokio::test]
async fn an_aborted_write_writes_nothing_and_others_go_on() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let (mut node, tag) = waiting(&array, NODE_A).await;
    let abort = node.ask(0x02, 1, &[(20, &tag.to_be_bytes())], &[]).await;
    assert_eq!((abort.opcode(), abort.header[2]), (0x22, 0));
    let again = node.ask(0x02, 1, &[(20, &tag.to_be_bytes())], &[]).await;
    assert_eq!(again.header[2], 1, "it is gone");
    node.data_out(tag, 1, &pattern(4096, 1), 0).await;
    let read = node.command(0, &transfer(0x28, 0, 4096), 4096, &[]).await.good();
    assert!(read.iter().all(|byte| *byte == 0));
    let (mut other, tag) = waiting(&array, NODE_B).await;
    assert_eq!(node.ask(0x02, 2, &[], &[]).await.header[2], 0, "one's own task set");
    assert_eq!(other.ask(0x02, 1, &[(20, &tag.to_be_bytes())], &[]).await.header[2], 0, "and not another's");
}

#[tokio::test]
async fn a_cleared_task_set_is_that_of_everyone_who_is_told() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let (mut other, tag) = waiting(&array, NODE_B).await;
    let mut node = array.log_in(NODE_A).await;
    node.test_unit_ready(0).await;
    assert_eq!(node.ask(0x02, 4, &[], &[]).await.header[2], 0);
    assert_eq!(node.test_unit_ready(0).await, None, "it knows what it did");
    assert_eq!(other.test_unit_ready(0).await, Some((6, 0x2f, 0)));
    assert_eq!(other.ask(0x02, 1, &[(20, &tag.to_be_bytes())], &[]).await.header[2], 1);
}

#[tokio::test]
async fn a_target_reset_is_news_and_a_cold_one_ends_every_connection() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone), lun(1, Visibility::Everyone)]).await;
    let (mut a, mut b) = (array.log_in(NODE_A).await, array.log_in(NODE_B).await);
    for node in [&mut a, &mut b] {
        for lun in [0, 1] {
            node.test_unit_ready(lun).await;
        }
    }
    assert_eq!(a.ask(0x02, 6, &[], &[]).await.header[2], 0);
    for lun in [0, 1] {
        assert_eq!(b.test_unit_ready(lun).await, Some((6, 0x29, 3)));
    }
    assert_eq!(a.ask(0x02, 8, &[], &[]).await.header[2], 4, "no reassignment");
    assert_eq!(a.ask(0x02, 3, &[], &[]).await.header[2], 5, "no ACA to clear");
    assert_eq!(a.ask(0x02, 7, &[], &[]).await.header[2], 0);
    assert!(a.receive().await.is_none() && b.receive().await.is_none());
    assert!(array.kinds().contains(&"iscsi.task_management".to_owned()));
    array.log_in(NODE_A).await;
}

#[tokio::test]
async fn damaged_data_fail_the_write_and_a_damaged_header_the_connection() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let offer = Offer { initial_r2t: true, immediate: false, digests: true, ..Offer::of(NODE_A, IQN) };
    let mut node = Initiator::log_in(array.portal, offer).await.unwrap();
    node.test_unit_ready(0).await;
    let data = pattern(4096, 1);
    let tag = node.begin(0, &transfer(0x2a, 0, 4096), 0, &data).await;
    let r2t = node.receive().await.unwrap();
    let mut header = [0; 48];
    (header[0], header[1]) = (0x05, 0x80);
    header[16..20].copy_from_slice(&tag.to_be_bytes());
    header[20..24].copy_from_slice(&r2t.header[20..24]);
    node.send_damaged(header, &data, 1000).await;
    let reject = node.receive().await.unwrap();
    assert_eq!((reject.opcode(), reject.header[2], reject.data.len()), (0x3f, 2, 48));
    let status = node.receive().await.unwrap();
    assert_eq!((status.opcode(), status.header[3]), (0x21, 2));
    assert_eq!((status.data[4], status.data[14], status.data[15]), (0x0b, 0x47, 0x05));
    let read = node.command(0, &transfer(0x28, 0, 4096), 4096, &[]).await.good();
    assert!(read.iter().all(|byte| *byte == 0), "nothing of it was written");
    node.send_damaged(header, &data, 30).await;
    assert!(node.receive().await.is_none());
}
