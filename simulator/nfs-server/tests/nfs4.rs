//! NFS v4 over loopback, byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test fail it by panicking")]

#[allow(dead_code, reason = "shared with the tests of v3")]
mod client;
mod nfs4_client;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Args, Client};
use levers::EventLog;
use nfs_server::{
    AuthRule, Export, ExportPolicy, ExportRule, FileTree, NfsServer, NfsVersions, RootAttributes,
};
use nfs4_client::*;

const NOENT: u32 = 2;
const ACCES: u32 = 13;
const GRACE: u32 = 10013;
const SHARE_DENIED: u32 = 10015;
const MINOR_VERS_MISMATCH: u32 = 10021;
const DENIED: u32 = 10010;
const NO_GRACE: u32 = 10033;
const ILLEGAL: u32 = 10044;
const BADSESSION: u32 = 10052;
const SEQUENCE_POS: u32 = 10064;
const NOT_IN_SESSION: u32 = 10071;
const FALSE_RETRY: u32 = 10076;
/// NFS4ERR_REP_TOO_BIG_TO_CACHE
const TOO_BIG_TO_KEEP: u32 = 10067;
const BAD_STATEID: u32 = 10025;
const ANONYMOUS: [u8; 16] = [0; 16];

struct Svm {
    server: NfsServer,
    events: EventLog,
    lif: SocketAddr,
}

fn policy(clients: &str) -> Arc<ExportPolicy> {
    let any = AuthRule::Any;
    let clients = vec![clients.parse().unwrap()];
    let rule = ExportRule { index: 1, clients, ro: any, rw: any, superuser: any, anonymous_uid: 65534 };
    Arc::new(ExportPolicy { name: "p".into(), rules: vec![rule] })
}

impl Svm {
    async fn start() -> Self {
        let events = EventLog::new();
        let server = NfsServer::new(events.clone());
        let lif = server.bind_lif("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let svm = Self { server, events, lif };
        svm.export("/v", "0.0.0.0/0");
        svm
    }

    fn export(&self, path: &str, clients: &str) -> FileTree {
        let tree = FileTree::new(64 << 20, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        let policy = policy(clients);
        self.server.put_export(Export { path: path.into(), tree: tree.clone(), policy });
        tree
    }

    async fn client(&self, last: u8) -> Client {
        Client::connect(self.lif, last).await
    }

    async fn session(&self, last: u8) -> Session {
        Session::start(self.client(last).await, &format!("owner {last}")).await
    }

    fn recorded(&self, kind: &str) -> usize {
        self.events.since(0).iter().filter(|event| event.kind == kind).count()
    }
}

#[tokio::test]
async fn a_file_is_made_written_read_and_closed_in_a_session() {
    let svm = Svm::start().await;
    let mut one = svm.session(1).await;
    let dir = one.walk(&["v"]).await.unwrap();
    let (state, file) = one.open(&dir, "f", (3, 0)).await.unwrap();
    let data = vec![7; 100_000];
    assert_eq!(one.write(&file, &state, &data).await, 0);
    assert_eq!(one.read(&file, &state).await, Ok((true, data.clone())));
    assert_eq!(one.read_keeping(&file, &state, true).await, Err(TOO_BIG_TO_KEEP));
    assert_eq!(one.close(&file, &state).await, 0);
    assert_eq!(one.close(&file, &state).await, BAD_STATEID);
    assert_eq!(one.write(&file, &state, &data).await, BAD_STATEID);
    assert_eq!(one.read(&file, &ANONYMOUS).await, Ok((true, data)));
    assert_eq!((svm.recorded("nfs.client"), svm.recorded("nfs.mount")), (1, 1));
}

#[tokio::test]
async fn a_retransmission_on_another_connection_gets_the_first_reply_and_does_not_run() {
    let svm = Svm::start().await;
    let mut one = svm.session(1).await;
    let dir = one.walk(&["v"]).await.unwrap();
    one.open(&dir, "f", (3, 0)).await.unwrap();
    one.sequence += 1;
    let remove = |name: &str| {
        Ops::default().op(PUTFH, |args| args.bytes(&dir)).op(REMOVE, |args| args.bytes(name.as_bytes()))
    };
    let args = one.compound(remove("f"), true);
    let first = one.client.call(NFS4, 1, args.clone()).await;
    let mut elsewhere = svm.client(2).await;
    let again = elsewhere.call(NFS4, 1, args).await;
    assert_eq!(first.0, again.0);
    assert_eq!(first.0[..4], [0; 4]);
    let mut other = elsewhere.call(NFS4, 1, one.compound(remove("g"), true)).await;
    assert_eq!(other.word(), FALSE_RETRY);
    assert_eq!(one.run(remove("f")).await.status, NOENT);
}

#[tokio::test]
async fn without_a_session_only_the_way_to_one_is_open() {
    let svm = Svm::start().await;
    let mut client = svm.client(1).await;
    let root = Ops::default().plain(PUTROOTFH);
    assert_eq!(compound(&mut client, 1, root.clone()).await.status, NOT_IN_SESSION);
    let mut reply = compound(&mut client, 0, root.plain(77)).await;
    assert_eq!((reply.status, reply.count), (ILLEGAL, 2));
    reply.ok(PUTROOTFH);
    assert_eq!(reply.next(ILLEGAL), ILLEGAL);
    let mut one = svm.session(1).await;
    let second = Ops::default().op(SEQUENCE, |args| Args([args.0, vec![0; 32]].concat()));
    assert_eq!(one.run(second).await.status, SEQUENCE_POS);
}

#[tokio::test]
async fn versions_switched_off_are_told_as_such() {
    let svm = Svm::start().await;
    let mut client = svm.client(1).await;
    let root = Ops::default().plain(PUTROOTFH);
    assert_eq!(compound(&mut client, 3, root.clone()).await.status, MINOR_VERS_MISMATCH);
    svm.server.set_versions(NfsVersions { v4_0: false, ..NfsVersions::default() });
    assert_eq!(compound(&mut client, 0, root.clone()).await.status, MINOR_VERS_MISMATCH);
    let none = NfsVersions { v3: true, v4_0: false, v4_1: false, v4_2: false };
    svm.server.set_versions(none);
    let mut refused = client.reply_to(NFS4, 0, Args::default()).await;
    let words: Vec<_> = (0..7).map(|_| refused.word()).collect();
    assert_eq!(words, [1, 0, 0, 0, 2, 3, 3], "PROG_MISMATCH, from 3 to 3");
}

#[tokio::test]
async fn an_open_that_denies_keeps_the_other_client_out() {
    let svm = Svm::start().await;
    let (mut one, mut two) = (svm.session(1).await, svm.session(2).await);
    let dir = one.walk(&["v"]).await.unwrap();
    let (state, file) = one.open(&dir, "f", (3, 2)).await.unwrap();
    assert_eq!(two.open(&dir, "f", (2, 0)).await, Err(SHARE_DENIED));
    assert!(two.open(&dir, "f", (1, 0)).await.is_ok());
    one.close(&file, &state).await;
    assert!(two.open(&dir, "f", (2, 0)).await.is_ok());
}

#[tokio::test]
async fn a_lock_in_the_way_is_told_with_its_range_and_owner() {
    let svm = Svm::start().await;
    let (mut one, mut two) = (svm.session(1).await, svm.session(2).await);
    let dir = one.walk(&["v"]).await.unwrap();
    let (mine, file) = one.open(&dir, "f", (3, 0)).await.unwrap();
    let (other, _) = two.open(&dir, "f", (3, 0)).await.unwrap();
    assert_eq!(one.lock(&file, &mine, (100, u64::MAX)).await.0, 0);
    assert_eq!(two.lock(&file, &other, (0, 100)).await.0, 0);
    let (status, mut denied) = two.lock(&file, &other, (50, 51)).await;
    assert_eq!(status, DENIED);
    assert_eq!((denied.long(), denied.long(), denied.word()), (100, u64::MAX, 2));
    assert_eq!((denied.long(), denied.bytes()), (one.id, b"locker".to_vec()));
    svm.server.expire_leases();
    assert_eq!(one.try_run(Ops::default()).await.status, BADSESSION);
    assert_eq!(svm.recorded("nfs.lease_expired"), 2);
}

#[tokio::test]
async fn a_silent_client_loses_its_lock_with_its_lease() {
    let svm = Svm::start().await;
    svm.server.set_lease(Duration::from_millis(50), Duration::ZERO);
    let mut one = svm.session(1).await;
    let dir = one.walk(&["v"]).await.unwrap();
    let (state, file) = one.open(&dir, "f", (3, 2)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let mut two = svm.session(2).await;
    assert!(two.open(&dir, "f", (3, 0)).await.is_ok());
    one.sequence += 1;
    let late = Ops::default().op(PUTFH, |args| args.bytes(&file));
    assert_eq!(one.try_run(late).await.status, BADSESSION);
    drop(state);
}

#[tokio::test]
async fn above_the_exports_there_are_directories_to_walk_through() {
    let svm = Svm::start().await;
    svm.export("/a/b/deep", "0.0.0.0/0");
    let mut one = svm.session(1).await;
    assert_eq!(one.walk(&["a", "x"]).await, Err(NOENT));
    let deep = one.walk(&["a", "b", "deep"]).await.unwrap();
    let list = Ops::default()
        .plain(PUTROOTFH)
        .op(READDIR, |args| args.long(0).long(0).word(4096).word(4096).word(0));
    let mut reply = one.run(list).await;
    reply.ok(PUTROOTFH);
    let results = reply.ok(READDIR);
    results.long();
    let mut names = Vec::new();
    while results.word() == 1 {
        results.long();
        names.push(String::from_utf8(results.bytes()).unwrap());
        results.take(8);
    }
    names.sort();
    assert_eq!((names, results.word()), (vec!["a".to_owned(), "v".to_owned()], 1));
    let up = Ops::default().op(PUTFH, |args| args.bytes(&deep)).plain(LOOKUPP).plain(LOOKUPP).plain(GETFH);
    let mut reply = one.run(up).await;
    reply.pass(&[PUTFH, LOOKUPP, LOOKUPP]);
    let parent = reply.ok(GETFH).bytes();
    assert_eq!(parent, one.walk(&["a"]).await.unwrap());
    let make = Ops::default().plain(PUTROOTFH).op(CREATE, |args| args.word(2).bytes(b"d").word(0).word(0));
    assert_eq!(one.run(make).await.status, 30, "NFS4ERR_ROFS");
}

#[tokio::test]
async fn a_junction_changes_the_fsid_and_tells_what_it_is_mounted_on() {
    let svm = Svm::start().await;
    let root = svm.export("/", "0.0.0.0/0");
    let mut one = svm.session(1).await;
    let both = Ops::default().plain(PUTROOTFH).attributes(&[8, 20, 55]).lookup("v").attributes(&[8, 20, 55]);
    let mut reply = one.run(both).await;
    reply.ok(PUTROOTFH);
    let mut above = reply.attributes();
    assert_eq!((above.long(), above.long(), above.long(), above.long()), (root.fsid(), 0, 64, 64));
    reply.ok(LOOKUP);
    let mut below = reply.attributes();
    assert_ne!(below.long(), root.fsid());
    assert_eq!((below.long(), below.long()), (0, 64));
    assert_ne!(below.long(), 64, "mounted_on_fileid is the junction's");
}

#[tokio::test]
async fn the_export_policy_judges_every_access() {
    let svm = Svm::start().await;
    let tree = svm.export("/v", "127.0.0.1");
    let (mut one, mut two) = (svm.session(1).await, svm.session(2).await);
    let dir = one.walk(&["v"]).await.unwrap();
    assert_eq!(two.walk(&["v"]).await, Err(ACCES));
    let (state, file) = one.open(&dir, "f", (3, 0)).await.unwrap();
    svm.server.put_export(Export { path: "/v".into(), tree, policy: policy("127.0.0.9") });
    assert_eq!(one.write(&file, &state, b"x").await, ACCES);
    assert_eq!(svm.recorded("nfs.mount_refused"), 1);
}

#[tokio::test]
async fn after_a_restart_the_client_reclaims_and_others_wait() {
    let svm = Svm::start().await;
    let (mut one, two) = (svm.session(1).await, svm.session(2).await);
    let dir = one.walk(&["v"]).await.unwrap();
    let (_, file) = one.open(&dir, "f", (3, 0)).await.unwrap();
    svm.server.restart();
    assert_eq!(one.try_run(Ops::default()).await.status, BADSESSION);
    let mut one = Session::reclaiming(one.client, "owner 1", 1).await;
    let mut two = Session::start(two.client, "owner 2").await;
    assert_eq!(two.open(&dir, "f", (1, 0)).await, Err(GRACE));
    let (state, _) = one.reclaim(&file).await.unwrap();
    assert_eq!(one.write(&file, &state, b"still mine").await, 0);
    one.reclaim_complete().await;
    assert!(two.open(&dir, "f", (1, 0)).await.is_ok());
    assert_eq!(one.reclaim(&file).await, Err(NO_GRACE));
    svm.server.enter_grace(Duration::from_secs(3600));
    assert_eq!(two.open(&dir, "f", (1, 0)).await, Err(GRACE));
}

async fn client_of_version_zero(client: &mut Client) -> u64 {
    let set = Ops::default().op(SETCLIENTID, |args| {
        args.long(1).bytes(b"zero").word(0x4000_0000).bytes(b"tcp").bytes(b"127.0.0.1.0.0").word(1)
    });
    let mut reply = compound(client, 0, set).await;
    let results = reply.ok(SETCLIENTID);
    let (id, confirm) = (results.long(), results.long());
    let confirmed = Ops::default().op(SETCLIENTID_CONFIRM, |args| args.long(id).long(confirm));
    compound(client, 0, confirmed).await.ok(SETCLIENTID_CONFIRM);
    id
}

#[tokio::test]
async fn version_zero_confirms_its_opens_and_numbers_them() {
    let svm = Svm::start().await;
    let mut client = svm.client(1).await;
    let id = client_of_version_zero(&mut client).await;
    let open = |seqid| {
        Ops::default()
            .plain(PUTROOTFH)
            .lookup("v")
            .op(OPEN, move |args| {
                let args = args.word(seqid).word(3).word(0).long(id).bytes(b"opener").word(1).word(0);
                args.word(0).word(0).word(0).bytes(b"f")
            })
            .plain(GETFH)
    };
    let mut reply = compound(&mut client, 0, open(5)).await;
    reply.pass(&[PUTROOTFH, LOOKUP]);
    let results = reply.ok(OPEN);
    let state = results.take(16);
    results.take(20);
    assert_eq!(results.word(), 4 | 2, "POSIX locks, to be confirmed");
    results.take(8);
    let file = reply.ok(GETFH).bytes();
    let confirm = |seqid: u32, state: Vec<u8>| {
        Ops::default().op(PUTFH, |args| args.bytes(&file)).op(OPEN_CONFIRM, |mut args| {
            args.0.extend(state);
            args.word(seqid)
        })
    };
    let mut reply = compound(&mut client, 0, confirm(6, state.clone())).await;
    reply.ok(PUTFH);
    let confirmed = reply.ok(OPEN_CONFIRM).take(16);
    assert_eq!(confirmed[..4], [0, 0, 0, 2]);
    // The same number again: the same answer, and no further step of the stateid.
    let mut reply = compound(&mut client, 0, confirm(6, state.clone())).await;
    reply.ok(PUTFH);
    assert_eq!(reply.ok(OPEN_CONFIRM).take(16), confirmed);
    let absent = Ops::default().plain(PUTROOTFH).lookup("v").op(OPEN, |args| {
        args.word(7).word(3).word(0).long(id).bytes(b"opener").word(0).word(0).bytes(b"absent")
    });
    for _ in 0..2 {
        assert_eq!(compound(&mut client, 0, absent.clone()).await.status, 2, "NFS4ERR_NOENT, also again");
    }
    assert_eq!(compound(&mut client, 0, open(9)).await.status, 10026, "NFS4ERR_BAD_SEQID");
}

#[tokio::test]
async fn version_zero_runs_a_retransmitted_remove_once() {
    let svm = Svm::start().await;
    let mut client = svm.client(1).await;
    let id = client_of_version_zero(&mut client).await;
    let open = Ops::default().plain(PUTROOTFH).lookup("v").op(OPEN, |args| {
        let args = args.word(1).word(3).word(0).long(id).bytes(b"opener").word(1).word(0);
        args.word(0).word(0).word(0).bytes(b"f")
    });
    assert_eq!(compound(&mut client, 0, open).await.status, 0);
    let remove = Ops::default().plain(PUTROOTFH).lookup("v").op(REMOVE, |args| args.bytes(b"f"));
    let xid = client.xid;
    assert_eq!(compound(&mut client, 0, remove.clone()).await.status, 0);
    client.xid = xid;
    assert_eq!(compound(&mut client, 0, remove.clone()).await.status, 0, "from the reply cache");
    assert_eq!(compound(&mut client, 0, remove).await.status, NOENT);
    let access = Ops::default().plain(PUTROOTFH).op(ACCESS, |args| args.word(0x3f));
    let mut reply = compound(&mut client, 0, access).await;
    reply.ok(PUTROOTFH);
    let results = reply.ok(ACCESS);
    assert_eq!((results.word(), results.word()), (0x3f, 3), "a directory made up is read only");
}
