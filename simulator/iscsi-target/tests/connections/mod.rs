//! What connections and sessions may and may not do, and how they are ended.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use iscsi_target::{AsyncEvent, AuthPolicy, Keepalive, Options, PortGroup, Redirect, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::initiator::{Initiator, NODE_A, NODE_B, Offer, transfer};
use crate::{Array, Auth, IQN, POWER_ON, Visibility, bind, lun};

const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_login_is_sent_on_to_the_node_that_serves_the_volume() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let node = bind(&array.server, 7, 2).await;
    assert_eq!(Initiator::log_in(node, Offer::of(NODE_A, IQN)).await.err(), Some((2, 3)), "not its own");
    for (permanent, status) in [(false, (1, 1)), (true, (1, 2))] {
        array.server.set_redirect(IQN, array.portal, Some(Redirect { address: node, permanent }));
        let mut at_svip = Initiator::dial(array.portal, Offer::of(NODE_A, IQN)).await;
        let names = format!("InitiatorName={NODE_A}\0TargetName={IQN}\0");
        let answer = at_svip.log_in_step(0x87, &names).await.unwrap();
        assert_eq!((answer.header[36], answer.header[37]), status);
        assert_eq!(answer.data, format!("TargetAddress={node}\0").into_bytes());
    }
    let mut at_node = Initiator::log_in(node, Offer::of(NODE_A, IQN)).await.unwrap();
    assert_eq!(at_node.test_unit_ready(0).await, POWER_ON);
    let mut discovery = Initiator::log_in(array.portal, Offer::discovery(NODE_A)).await.unwrap();
    let told = [format!("TargetName={IQN}"), format!("TargetAddress={},1030", array.portal)];
    assert_eq!(discovery.send_targets("All").await, told, "the node stays behind the SVIP");
    array.server.set_redirect(IQN, array.portal, None);
    array.log_in(NODE_B).await;
    assert_eq!(array.kinds().iter().filter(|kind| *kind == "iscsi.login_redirected").count(), 2);
}

#[tokio::test]
async fn discovery_lists_every_portal_with_its_own_group_tag() {
    let array = Array::start().await;
    let second = bind(&array.server, 1031, 2).await;
    let auth = AuthPolicy { default: Auth::Open, initiators: BTreeMap::new() };
    let portals = vec![array.portal, second];
    array.server.put_target(Target { iqn: IQN.into(), alias: None, portals, auth, luns: vec![] });
    let told = [
        format!("TargetName={IQN}"),
        format!("TargetAddress={},1030", array.portal),
        format!("TargetAddress={second},1031"),
    ];
    for portal in [array.portal, second] {
        let mut discovery = Initiator::log_in(portal, Offer::discovery(NODE_A)).await.unwrap();
        assert_eq!(discovery.send_targets("All").await, told);
        assert_eq!(discovery.send_targets(IQN).await, told);
    }
    let mut normal = Initiator::log_in(second, Offer::of(NODE_A, IQN)).await.unwrap();
    assert_eq!(normal.send_targets("").await, told, "a normal session asks for its own");
    assert_eq!(normal.send_targets("All").await, [""; 0], "and for no other");
}

#[tokio::test]
async fn a_connection_is_reinstated_with_its_session_and_a_second_one_refused() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut first = array.log_in(NODE_A).await;
    assert_eq!(first.test_unit_ready(0).await, POWER_ON);
    let offer = Offer { tsih: first.tsih, cmd_sn: first.next_cmd_sn(), ..Offer::of(NODE_A, IQN) };
    let login = |offer| Initiator::log_in(array.portal, offer);
    assert_eq!(login(Offer { cid: 1, ..offer }).await.err(), Some((2, 6)), "a second connection");
    assert_eq!(login(Offer { tsih: first.tsih + 1, ..offer }).await.err(), Some((2, 0x0a)));
    assert_eq!(login(Offer { isid: 9, ..offer }).await.err(), Some((2, 0x0a)), "the session of another");
    let mut again = login(offer).await.unwrap();
    assert_eq!(again.tsih, first.tsih);
    assert!(first.receive().await.is_none(), "the connection it takes the place of ends");
    assert_eq!(again.test_unit_ready(0).await, None, "the nexus has lost nothing");
    assert_eq!(array.server.sessions().len(), 1);
}

#[tokio::test]
async fn an_initiator_asked_to_log_out_does_or_is_dropped() {
    let array = Array::with_luns(vec![]).await;
    let event = AsyncEvent::LogoutRequest { within: Duration::from_secs(1) };
    for obeys in [true, false] {
        let mut node = array.log_in(NODE_A).await;
        assert!(array.server.announce(node.tsih, event));
        let message = node.receive().await.unwrap();
        assert_eq!((message.opcode(), message.header[36], message.header[43]), (0x32, 1, 1));
        if obeys {
            assert_eq!(node.ask(0x06, 0, &[], &[]).await.opcode(), 0x26);
        }
        assert!(node.receive().await.is_none());
    }
    assert!(!array.server.announce(999, event), "no such session");
    assert!(array.kinds().contains(&"iscsi.logout".to_owned()));
}

#[tokio::test]
async fn a_drop_announced_is_a_drop_done_and_a_request_to_negotiate_is_none() {
    let array = Array::with_luns(vec![]).await;
    let (wait, within) = (Duration::from_secs(2), Duration::from_secs(3));
    for (event, code, parameters, ends) in [
        (AsyncEvent::ConnectionDrop { wait }, 2, [0, 0, 0, 2, 0, 0], true),
        (AsyncEvent::SessionDrop { wait }, 3, [0, 0, 0, 2, 0, 0], true),
        (AsyncEvent::NegotiationRequest { within }, 4, [0, 0, 0, 0, 0, 3], false),
    ] {
        let mut node = array.log_in(NODE_A).await;
        assert!(array.server.announce(node.tsih, event));
        let message = node.receive().await.unwrap();
        assert_eq!((message.header[36], &message.header[38..44]), (code, &parameters[..]));
        if ends {
            assert!(node.receive().await.is_none());
        } else {
            assert_eq!(node.ask(0x00, 0, &[], b"here").await.data, b"here");
        }
    }
}

#[tokio::test]
async fn a_silent_initiator_is_asked_and_dropped_when_it_does_not_answer() {
    let short = Duration::from_millis(100);
    let keepalive = Keepalive { every: short, answer_within: short };
    let array = Array::with_options(Options { keepalive, ..Options::default() }).await;
    array.put(IQN, Auth::Open, vec![]);
    let mut node = array.log_in(NODE_A).await;
    for _ in 0..2 {
        let ping = node.receive().await.unwrap();
        assert_eq!((ping.opcode(), ping.u32(16)), (0x20, u32::MAX));
        let mut answer = [0; 48];
        (answer[0], answer[1]) = (0x40, 0x80);
        answer[16..20].copy_from_slice(&[0xff; 4]);
        answer[20..24].copy_from_slice(&ping.header[20..24]);
        node.send(answer, &[]).await;
    }
    assert_eq!(node.receive().await.unwrap().opcode(), 0x20);
    assert!(node.receive().await.is_none(), "no answer, no connection");
}

#[tokio::test]
async fn one_who_does_not_come_to_the_end_of_a_login_is_dropped() {
    let options = Options { login_deadline: Duration::from_millis(200), ..Options::default() };
    let array = Array::with_options(options).await;
    let mut stream = TcpStream::connect(array.portal).await.unwrap();
    stream.write_all(&[0x43, 0x87]).await.unwrap();
    let mut byte = [0];
    assert_eq!(timeout(DEADLINE, stream.read(&mut byte)).await.unwrap().unwrap_or(0), 0);
}

#[tokio::test]
async fn five_hundred_sessions_are_served_at_once_and_no_more_than_allowed() {
    let options = Options { max_sessions: 500, ..Options::default() };
    let array = Array::with_options(options).await;
    array.put(IQN, Auth::Open, vec![lun(0, Visibility::Everyone)]);
    let mut nodes = Vec::new();
    for n in 0..500u16 {
        let offer =
            Offer { isid: n as u8, name: if n < 256 { NODE_A } else { NODE_B }, ..Offer::of("", IQN) };
        nodes.push(Initiator::log_in(array.portal, offer).await.unwrap());
    }
    let more = Offer { isid: 255, ..Offer::of(NODE_B, IQN) };
    assert_eq!(Initiator::log_in(array.portal, more).await.err(), Some((3, 2)));
    let mut open = Vec::new();
    for node in &mut nodes {
        assert_eq!(node.test_unit_ready(0).await, POWER_ON);
        open.push(node.begin(0, &transfer(0x28, 0, 4096), 4096, &[]).await);
    }
    for (node, tag) in nodes.iter_mut().zip(open) {
        let answers = node.finish(HashMap::from([(tag, vec![])])).await;
        assert_eq!(answers[&tag].data.len(), 4096);
    }
    assert_eq!(array.server.sessions().len(), 500);
}

#[tokio::test]
async fn a_portal_that_moves_to_the_other_node_tells_its_sessions() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut node = array.log_in(NODE_A).await;
    assert_eq!(node.test_unit_ready(0).await, POWER_ON);
    let report = [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    let state = |data: Vec<u8>| (data[4] & 0x0f, u16::from_be_bytes([data[6], data[7]]));
    assert_eq!(state(node.command(0, &report, 256, &[]).await.good()), (0, 1000));
    assert!(array.server.move_portal(array.portal, PortGroup { id: 1001, relative_port: 1 }));
    assert_eq!(node.test_unit_ready(0).await, Some((6, 0x2a, 6)));
    assert_eq!(state(node.command(0, &report, 256, &[]).await.good()), (1, 1001));
    let mut near = lun(0, Visibility::Everyone);
    near.optimized_groups = [1001].into();
    array.put(IQN, Auth::Open, vec![near]);
    assert_eq!(node.test_unit_ready(0).await, Some((6, 0x2a, 6)));
    assert_eq!(state(node.command(0, &report, 256, &[]).await.good()), (0, 1001));
    assert!(!array.server.move_portal("127.0.0.1:1".parse().unwrap(), PortGroup { id: 1, relative_port: 1 }));
}

#[tokio::test]
async fn as_many_bursts_are_asked_for_at_once_as_were_agreed_on() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let offer = Offer { max_r2t: 3, initial_r2t: true, immediate: false, ..Offer::of(NODE_A, IQN) };
    let mut node = Initiator::log_in(array.portal, offer).await.unwrap();
    node.test_unit_ready(0).await;
    let data = crate::pattern(1 << 20, 5);
    let tag = node.begin(0, &transfer(0x2a, 0, data.len()), 0, &data).await;
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(node.receive().await.unwrap());
    }
    assert!(asked.iter().all(|pdu| pdu.opcode() == 0x31), "three R2Ts before any data");
    assert!(node.is_silent().await, "and no fourth");
    for r2t in asked {
        let (offset, length) = (r2t.u32(40) as usize, r2t.u32(44) as usize);
        node.data_out(tag, r2t.u32(20), &data[..offset + length], offset).await;
    }
    let answer = node.finish(HashMap::from([(tag, data.clone())])).await.remove(&tag).unwrap();
    answer.good();
    assert!(node.command(0, &transfer(0x28, 0, data.len()), 1 << 20, &[]).await.good() == data);
}
