//! The server over loopback, against a small initiator of the tests' own.

// Code of tests alone: an array that does not start fails the test.
#![allow(clippy::unwrap_used)]

mod authentication;
mod connections;
mod faults;
mod initiator;
mod management;
mod reservations;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use blockstore::Volume;
use initiator::{Initiator, NODE_A, NODE_B, Offer, transfer};
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, ChapSecret, Identity, IscsiServer, Lun, Options, PortGroup, Portal,
    PortalFault, Target, Visibility,
};
use levers::{EventLog, Levers};

const IQN: &str = "iqn.1992-08.com.netapp:sn.1:vs.4";
const SIZE: u64 = 64 << 20;
const POWER_ON: Option<(u8, u8, u8)> = Some((6, 0x29, 0));
const LUNS_CHANGED: Option<(u8, u8, u8)> = Some((6, 0x3f, 0x0e));
const NOT_SUPPORTED: Option<(u8, u8, u8)> = Some((5, 0x25, 0));

struct Array {
    server: IscsiServer,
    events: EventLog,
    levers: Levers,
    portal: SocketAddr,
}

fn lun(number: u16, access: Visibility) -> Lun {
    let mut naa = *b"\x60\x0a\x09\x8081DaR$Qq/1ii";
    naa[15] = number as u8;
    Lun {
        number,
        volume: Volume::new(SIZE),
        identity: Identity {
            vendor: "NETAPP".into(),
            product: "LUN C-Mode".into(),
            revision: "9151".into(),
            serial: "81DaR$Qq/1ii".into(),
            naa,
            eui: None,
            t10: "LUN 81DaR$Qq/1ii".into(),
        },
        block_size: BlockSize::Emulated512,
        access,
        thin: true,
        read_only: false,
        optimized_groups: BTreeSet::from([1000]),
        governor: None,
    }
}

async fn bind(server: &IscsiServer, tag: u16, relative_port: u16) -> SocketAddr {
    let listen = "127.0.0.1:0".parse().unwrap();
    let group = PortGroup { id: 999 + relative_port, relative_port };
    server.bind_portal(Portal { listen, tag, group }).await.unwrap()
}

fn only(name: &str) -> Visibility {
    Visibility::Initiators(BTreeSet::from([name.to_owned()]))
}

impl Array {
    async fn start() -> Self {
        Self::with_options(Options::default()).await
    }

    async fn with_options(options: Options) -> Self {
        let (events, levers) = (EventLog::new(), Levers::new());
        let server = IscsiServer::with_options(events.clone(), levers.clone(), options);
        let portal = bind(&server, 1030, 1).await;
        Self { server, events, levers, portal }
    }

    /// What was recorded, in order.
    fn kinds(&self) -> Vec<String> {
        self.events.snapshot().into_iter().map(|event| event.kind).collect()
    }

    fn put(&self, iqn: &str, auth: Auth, luns: Vec<Lun>) {
        self.server.put_target(Target {
            iqn: iqn.into(),
            alias: Some("svm1".into()),
            portals: vec![self.portal],
            auth: AuthPolicy { default: auth, initiators: BTreeMap::new() },
            luns,
        });
    }

    async fn with_luns(luns: Vec<Lun>) -> Self {
        let array = Self::start().await;
        array.put(IQN, Auth::Open, luns);
        array
    }

    async fn log_in(&self, name: &'static str) -> Initiator {
        Initiator::log_in(self.portal, Offer::of(name, IQN)).await.unwrap()
    }
}

/// Bytes that tell where they belong.
fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| ((n / 512) * 31 + n + seed) as u8).collect()
}

#[tokio::test]
async fn writes_of_every_size_come_back_under_every_way_to_send_them() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    for (n, (initial_r2t, immediate, digests)) in
        [(false, true, false), (false, false, true), (true, true, true), (true, false, false)]
            .into_iter()
            .enumerate()
    {
        let offer = Offer { initial_r2t, immediate, digests, ..Offer::of(NODE_A, IQN) };
        let mut node = Initiator::log_in(array.portal, offer).await.unwrap();
        assert_eq!(node.test_unit_ready(0).await, POWER_ON);
        for length in [512, 4096, 8192, 12_288, 65_536, 66_048, 262_144, 1 << 20, 4 << 20] {
            let data = pattern(length, n);
            let lba = 7 + n as u32;
            node.command(0, &transfer(0x2a, lba, length), 0, &data).await.good();
            let read = node.command(0, &transfer(0x28, lba, length), length as u32, &[]).await.good();
            assert!(read == data, "{length} bytes, {offer:?}");
        }
    }
}

#[tokio::test]
async fn many_writes_at_once_do_not_mix_and_each_has_one_r2t_at_a_time() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut node = array.log_in(NODE_A).await;
    node.test_unit_ready(0).await;
    let length = 1 << 20;
    let mut open = HashMap::new();
    for n in 0..32 {
        let data = pattern(length, n);
        let tag = node.begin(0, &transfer(0x2a, (n * length / 512) as u32, length), 0, &data).await;
        open.insert(tag, data);
    }
    assert!(node.finish(open).await.into_values().all(|answer| answer.status == 0));
    for n in 0..32 {
        let cdb = transfer(0x28, (n * length / 512) as u32, length);
        assert!(node.command(0, &cdb, length as u32, &[]).await.good() == pattern(length, n), "write {n}");
    }
}

#[tokio::test]
async fn discovery_shows_what_can_be_reached_and_where() {
    let array = Array::with_luns(vec![]).await;
    array.put("iqn.2026-11.example:denied", Auth::Deny, vec![]);
    let chap = Auth::Chap { user: "u".into(), secret: ChapSecret::new("s"), mutual: None };
    array.put("iqn.2026-11.example:chap", chap, vec![]);
    let mut node = Initiator::log_in(array.portal, Offer::discovery(NODE_A)).await.unwrap();
    let expected = [format!("TargetName={IQN}"), format!("TargetAddress={},1030", array.portal)];
    assert_eq!(node.send_targets("All").await, expected);
    assert_eq!(node.send_targets(IQN).await, expected);
    assert_eq!(node.send_targets("iqn.2026-11.example:none").await, [""; 0]);
    assert_eq!(array.server.sessions(), [], "a discovery session is not listed");
}

#[tokio::test]
async fn a_long_list_of_targets_comes_in_pieces() {
    let array = Array::start().await;
    for n in 0..100 {
        array.put(&format!("iqn.2010-01.com.solidfire:mn4y.volume-{n}.{n}"), Auth::Open, vec![]);
    }
    let mut node = Initiator::log_in(array.portal, Offer::discovery(NODE_A)).await.unwrap();
    assert_eq!(node.send_targets("All").await.len(), 200);
}

#[tokio::test]
async fn an_initiator_sees_its_own_units_and_no_others() {
    let array =
        Array::with_luns(vec![lun(0, only("iqn.2026-11.Example:NODE-B")), lun(5, only(NODE_A))]).await;
    let report = [0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    let mut a = array.log_in(NODE_A).await;
    assert_eq!(a.command(0, &report, 256, &[]).await.good()[8..], [0, 5, 0, 0, 0, 0, 0, 0]);
    assert_eq!(a.command(0, &[0x12, 0, 0, 0, 96, 0], 96, &[]).await.good()[0], 0x7f);
    assert_eq!(a.test_unit_ready(0).await, NOT_SUPPORTED);
    assert_eq!(a.test_unit_ready(5).await, POWER_ON);
    let mut b = array.log_in(NODE_B).await;
    assert_eq!(b.command(0, &report, 256, &[]).await.good()[8..], [0, 0, 0, 0, 0, 0, 0, 0]);
    let seen: Vec<_> = array.server.sessions().into_iter().map(|session| session.luns).collect();
    assert_eq!(seen, [[5], [0]]);
}

#[tokio::test]
async fn changes_of_a_target_reach_a_live_session_with_its_next_command() {
    let (zero, one) = (lun(0, Visibility::Everyone), lun(1, Visibility::Everyone));
    let array = Array::with_luns(vec![zero.clone()]).await;
    let mut node = array.log_in(NODE_A).await;
    assert_eq!(node.test_unit_ready(0).await, POWER_ON);
    array.put(IQN, Auth::Open, vec![zero.clone(), one]);
    assert_eq!(node.test_unit_ready(0).await, LUNS_CHANGED);
    zero.volume.resize(2 * SIZE);
    assert_eq!(node.test_unit_ready(0).await, Some((6, 0x2a, 9)));
    assert_eq!(node.test_unit_ready(0).await, None);
    array.put(IQN, Auth::Open, vec![]);
    assert_eq!(node.test_unit_ready(0).await, NOT_SUPPORTED);
    array.put(IQN, Auth::Deny, vec![]);
    assert!(node.receive().await.is_none(), "a denied initiator is dropped");
    let refused = Initiator::log_in(array.portal, Offer::of(NODE_A, IQN)).await.err();
    assert_eq!(refused, Some((2, 2)));
}

#[tokio::test]
async fn a_removed_target_drops_its_sessions_and_is_not_found() {
    let array = Array::with_luns(vec![]).await;
    let mut node = array.log_in(NODE_A).await;
    array.server.remove_target(&IQN.to_uppercase());
    assert!(node.receive().await.is_none());
    assert_eq!(Initiator::log_in(array.portal, Offer::of(NODE_A, IQN)).await.err(), Some((2, 3)));
    assert_eq!(
        array.kinds(),
        ["iscsi.portal_bound", "iscsi.login", "iscsi.session_closed", "iscsi.login_failed"]
    );
}

#[tokio::test]
async fn the_same_isid_reinstates_and_another_one_adds_a_session() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut first = array.log_in(NODE_A).await;
    let mut second = array.log_in(NODE_A).await;
    assert!(first.receive().await.is_none(), "the first is over before the second begins");
    assert_eq!(array.server.sessions().len(), 1);
    let other = Offer { isid: 2, ..Offer::of(NODE_A, IQN) };
    let _third = Initiator::log_in(array.portal, other).await.unwrap();
    assert_eq!(array.server.sessions().len(), 2);
    assert_eq!(second.test_unit_ready(0).await, POWER_ON);
}

#[tokio::test]
async fn a_refusing_portal_refuses_and_comes_back() {
    let array = Array::with_luns(vec![]).await;
    let mut node = array.log_in(NODE_A).await;
    array.server.set_portal_fault(array.portal, PortalFault::Refuse);
    assert!(node.receive().await.is_none());
    let refused = tokio::net::TcpStream::connect(array.portal).await.map(drop);
    assert_eq!(refused.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionRefused));
    array.server.set_portal_fault(array.portal, PortalFault::None);
    // The listener returns in a task of its own: dial until it has.
    let dial = async { while tokio::net::TcpStream::connect(array.portal).await.is_err() {} };
    tokio::time::timeout(std::time::Duration::from_secs(5), dial).await.unwrap();
    array.log_in(NODE_A).await;
}

#[tokio::test]
async fn a_blackholed_portal_is_silent_until_it_heals() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut node = array.log_in(NODE_A).await;
    node.test_unit_ready(0).await;
    array.server.set_portal_fault(array.portal, PortalFault::Blackhole);
    let tag = node.begin(0, &[0; 6], 0, &[]).await;
    assert!(node.is_silent().await);
    array.server.set_portal_fault(array.portal, PortalFault::None);
    assert_eq!(node.finish(HashMap::from([(tag, vec![])])).await[&tag].status, 0);
}

#[tokio::test]
async fn an_unbound_portal_frees_its_address_and_drops_its_sessions() {
    let array = Array::with_luns(vec![]).await;
    let mut node = array.log_in(NODE_A).await;
    array.server.unbind_portal(array.portal).await;
    assert!(node.receive().await.is_none());
    let group = PortGroup { id: 1, relative_port: 1 };
    let again = Portal { listen: array.portal, tag: 1, group };
    assert_eq!(array.server.bind_portal(again).await.unwrap(), array.portal);
    assert!(array.server.bind_portal(again).await.is_err(), "twice is once too often");
}

#[tokio::test]
async fn a_unit_reset_drops_waiting_writes_and_is_news_to_everyone() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut a =
        Initiator::log_in(array.portal, Offer { initial_r2t: true, ..Offer::of(NODE_A, IQN) }).await.unwrap();
    let mut b = array.log_in(NODE_B).await;
    a.test_unit_ready(0).await;
    b.test_unit_ready(0).await;
    let tag = b.begin(0, &transfer(0x2a, 0, 131_072), 0, &pattern(131_072, 0)).await;
    let r2t = b.receive().await.unwrap();
    assert_eq!((r2t.opcode(), r2t.u32(16)), (0x31, tag));
    let reset = a.ask(0x02, 5, &[], &[]).await;
    assert_eq!((reset.opcode(), reset.header[2]), (0x22, 0));
    for node in [&mut a, &mut b] {
        assert_eq!(node.test_unit_ready(0).await, Some((6, 0x29, 3)));
        assert_eq!(node.test_unit_ready(0).await, None);
    }
    let read = b.command(0, &transfer(0x28, 0, 131_072), 131_072, &[]).await.good();
    assert!(read.iter().all(|byte| *byte == 0), "nothing of the dropped write arrived");
    let absent = a.ask(0x02, 5, &[(9, &[7])], &[]).await;
    assert_eq!(absent.header[2], 2, "no such unit");
    let unknown = a.ask(0x02, 1, &[(20, &[0, 0, 9, 9])], &[]).await;
    assert_eq!(unknown.header[2], 1, "no such task");
}

#[tokio::test]
async fn immediate_writes_that_wait_for_data_have_a_bound() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut node = array.log_in(NODE_A).await;
    node.test_unit_ready(0).await;
    let (cdb, length) = (transfer(0x2a, 0, 4096), 4096u32.to_be_bytes());
    let write: [(usize, &[u8]); 2] = [(20, &length), (32, &cdb)];
    for _ in 0..8 {
        assert_eq!(node.ask(0x01, 0x20, &write, &[]).await.opcode(), 0x31, "asked for its data");
    }
    let refused = node.ask(0x01, 0x20, &write, &[]).await;
    assert_eq!((refused.opcode(), refused.header[2]), (0x3f, 6), "too many immediate commands");
}

#[tokio::test]
async fn a_ping_is_echoed_and_a_logout_answered() {
    let array = Array::with_luns(vec![]).await;
    let mut node = array.log_in(NODE_A).await;
    let pong = node.ask(0x00, 0, &[], b"are you there").await;
    assert_eq!((pong.opcode(), &pong.data[..]), (0x20, &b"are you there"[..]));
    let snack = node.ask(0x10, 0, &[], &[]).await;
    assert_eq!((snack.opcode(), snack.header[2], snack.data.len()), (0x3f, 5, 48));
    let answer = node.ask(0x06, 0, &[], &[]).await;
    assert_eq!((answer.opcode(), answer.header[2]), (0x26, 0));
    assert!(node.receive().await.is_none());
    assert_eq!(array.server.sessions(), []);
}

#[tokio::test]
async fn a_login_under_way_when_access_ends_does_not_get_in() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut slow = Initiator::dial(array.portal, Offer::of(NODE_A, IQN)).await;
    let names = format!("InitiatorName={NODE_A}\0SessionType=Normal\0TargetName={IQN}\0");
    assert_eq!(slow.log_in_step(0x81, &names).await.map(|answer| answer.header[36]), Some(0));
    array.put(IQN, Auth::Deny, vec![lun(0, Visibility::Everyone)]);
    assert!(slow.log_in_step(0x87, "").await.is_none(), "the connection ends");
    assert_eq!(array.server.sessions(), []);
}

#[tokio::test]
async fn garbage_costs_its_sender_the_connection_and_nobody_else() {
    let array = Array::with_luns(vec![lun(0, Visibility::Everyone)]).await;
    let mut good = array.log_in(NODE_A).await;
    let mut bad = array.log_in(NODE_B).await;
    let mut header = [0xff; 48];
    // No additional header segments, which would be waited for.
    (header[0], header[4]) = (0x01, 0);
    bad.send(header, &[]).await;
    let mut header = [0xff; 48];
    (header[0], header[4]) = (0x03, 0);
    bad.send(header, &[]).await;
    while bad.receive().await.is_some() {}
    assert_eq!(good.test_unit_ready(0).await, POWER_ON);
}
