//! The server over loopback, byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of a test fail it by panicking")]

mod client;
#[path = "loopback/crash.rs"]
mod crash;
#[path = "loopback/faults.rs"]
mod faults;
#[path = "loopback/snapshots.rs"]
mod snapshots;
#[path = "loopback/space.rs"]
mod space;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::{Args, Caller, Client, MOUNT, NFS, Results};
use levers::{EventLog, Levers};
use nfs_server::{AuthRule, Export, ExportPolicy, ExportRule, FileTree, LifError, NfsServer, RootAttributes};

const STALE: u32 = 70;
const ACCES: u32 = 13;
const BADHANDLE: u32 = 10001;

struct Svm {
    server: NfsServer,
    events: EventLog,
    levers: Levers,
    lif: SocketAddr,
}

fn tree(capacity: u64) -> FileTree {
    FileTree::new(capacity, RootAttributes { mode: 0o777, uid: 0, gid: 0 })
}

fn rule(clients: &str, ro: AuthRule, rw: AuthRule, superuser: AuthRule) -> ExportRule {
    ExportRule { index: 1, clients: vec![clients.parse().unwrap()], ro, rw, superuser, anonymous_uid: 65534 }
}

fn open_to(clients: &str) -> ExportRule {
    rule(clients, AuthRule::Any, AuthRule::Any, AuthRule::Any)
}

impl Svm {
    async fn start() -> Self {
        let (events, levers) = (EventLog::new(), Levers::new());
        let server = NfsServer::with_levers(events.clone(), levers.clone(), "svm1");
        let lif = server.bind_lif("127.0.0.1:0".parse().unwrap()).await.unwrap();
        Self { server, events, levers, lif }
    }

    fn export(&self, path: &str, tree: &FileTree, rules: Vec<ExportRule>) {
        let policy = Arc::new(ExportPolicy { name: "p".into(), rules });
        self.server.put_export(Export { path: path.into(), tree: tree.clone(), policy });
    }

    async fn client(&self) -> Client {
        Client::connect(self.lif, 1).await
    }
}

/// An SVM with `/v` open to everyone, a client, and the root handle.
async fn open_volume(capacity: u64) -> (Svm, FileTree, Client, Vec<u8>) {
    let svm = Svm::start().await;
    let tree = tree(capacity);
    svm.export("/v", &tree, vec![open_to("0.0.0.0/0")]);
    let mut client = svm.client().await;
    let root = client.mount("/v").await.unwrap();
    (svm, tree, client, root)
}

#[tokio::test]
async fn a_file_goes_out_and_comes_back_over_holes_and_ends() {
    let (_svm, tree, mut client, root) = open_volume(64 << 20).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    assert_eq!(client.write(&file, 100_000, b"tail").await.0, 0);
    assert_eq!(client.getattr(&file).await.unwrap().size, 100_004);
    assert_eq!(tree.used(), 36 << 10);
    let (data, end) = client.read(&file, 99_998, 100).await.unwrap();
    assert_eq!((&data[..], end), (&b"\0\0tail"[..], true));
    assert_eq!(client.read(&file, 0, 10).await.unwrap(), (vec![0; 10], false));
    assert_eq!(client.read(&file, 1 << 40, 10).await.unwrap(), (vec![], true));
    let whole = vec![7; 1 << 20];
    assert_eq!(client.write(&file, 0, &whole).await.0, 0);
    assert_eq!(client.read(&file, 0, 1 << 20).await.unwrap(), (whole, true));
}

#[tokio::test]
async fn policies_judge_each_operation_by_the_callers_address() {
    let svm = Svm::start().await;
    let tree = tree(1 << 20);
    svm.export("/v", &tree, vec![open_to("127.0.0.1")]);
    let (mut one, mut two) = (Client::connect(svm.lif, 1).await, Client::connect(svm.lif, 2).await);
    let root = one.mount("/v").await.unwrap();
    assert_eq!(two.mount("/v").await, Err(ACCES));
    assert_eq!(two.getattr(&root).await, Err(ACCES), "a handle heard of elsewhere opens nothing");
    assert_eq!(two.create(&root, "x", 0o644).await, Err(ACCES));
    svm.export("/v", &tree, vec![open_to("127.0.0.2")]);
    assert_eq!(one.getattr(&root).await, Err(ACCES));
    assert!(two.getattr(&root).await.is_ok());
    svm.export("/v", &tree, vec![]);
    assert_eq!(two.getattr(&root).await, Err(ACCES));
    assert_eq!(two.mount("/v").await, Err(ACCES));
    let kinds: Vec<_> = svm.events.snapshot().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["nfs.mount", "nfs.mount_refused", "nfs.mount_refused"]);
}

#[tokio::test]
async fn a_read_only_rule_lets_read_and_answers_writes_with_rofs() {
    let (svm, tree, mut client, root) = open_volume(1 << 20).await;
    let file = client.create(&root, "f", 0o666).await.unwrap();
    svm.export("/v", &tree, vec![rule("127.0.0.0/8", AuthRule::Any, AuthRule::Never, AuthRule::Any)]);
    assert!(client.read(&file, 0, 10).await.is_ok());
    assert_eq!(client.write(&file, 0, b"x").await.0, 30);
    assert_eq!(client.create(&root, "g", 0o644).await, Err(30));
    assert_eq!(client.unlink(12, &root, "f").await, 30);
    let (_, mut access) = client.nfs(4, Args::default().bytes(&file).word(0x3f)).await;
    access.attributes();
    assert_eq!(access.word(), 0x01, "READ, and neither MODIFY nor EXTEND");
}

#[tokio::test]
async fn squashed_root_and_callers_without_credential_create_as_the_anonymous_user() {
    let (svm, tree, mut client, root) = open_volume(1 << 20).await;
    svm.export("/v", &tree, vec![rule("127.0.0.0/8", AuthRule::Any, AuthRule::Any, AuthRule::None)]);
    let file = client.create(&root, "by-root", 0o644).await.unwrap();
    let attributes = client.getattr(&file).await.unwrap();
    assert_eq!((attributes.uid, attributes.gid), (65534, 65534));
    client.caller = Caller::Nobody;
    let file = client.create(&root, "by-nobody", 0o644).await.unwrap();
    assert_eq!(client.getattr(&file).await.unwrap().uid, 65534);
    svm.export("/v", &tree, vec![rule("127.0.0.0/8", AuthRule::Sys, AuthRule::Sys, AuthRule::Sys)]);
    assert_eq!(client.getattr(&root).await, Err(ACCES));
}

#[tokio::test]
async fn mode_bits_bind_users_and_the_owner_passes_them_for_data() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let dir = client.mkdir(&root, "shared", 0o770).await.unwrap();
    let chown = Args::default().bytes(&dir).word(0).word(1).word(500).word(1).word(50);
    assert_eq!(client.nfs(2, chown.word(0).word(0).word(0).word(0)).await.0, 0);
    let mut member = svm.client().await.with_user(1000, 1, &[50]);
    let mut stranger = svm.client().await.with_user(1001, 1, &[]);
    let file = member.create(&dir, "f", 0o400).await.unwrap();
    assert_eq!(stranger.lookup(&dir, "f").await, Err(ACCES));
    assert_eq!(stranger.read(&file, 0, 1).await, Err(ACCES));
    assert_eq!(member.write(&file, 0, b"still open").await.0, 0);
    assert_eq!(stranger.create(&dir, "g", 0o644).await, Err(ACCES));
    let give_away = Args::default().bytes(&file).word(0).word(1).word(0).word(0);
    assert_eq!(member.nfs(2, give_away.word(0).word(0).word(0).word(0)).await.0, 1, "NFS3ERR_PERM");
}

#[tokio::test]
async fn handles_that_are_not_ours_or_no_more_are_told_apart() {
    let (svm, tree, mut client, root) = open_volume(1 << 20).await;
    assert_eq!(client.getattr(b"not a handle at all").await, Err(BADHANDLE));
    assert_eq!(client.getattr(b"").await, Err(BADHANDLE));
    for byte in 4..root.len() {
        let mut forged = root.clone();
        forged[byte] ^= 1;
        assert_eq!(client.getattr(&forged).await, Err(STALE), "byte {byte}");
    }
    let file = client.create(&root, "f", 0o644).await.unwrap();
    assert_eq!(client.unlink(12, &root, "f").await, 0);
    assert_eq!(client.write(&file, 0, b"x").await.0, STALE);
    svm.server.remove_export("/v");
    assert_eq!(client.getattr(&root).await, Err(STALE));
    assert_eq!(client.mount("/v").await, Err(2));
    svm.export("/elsewhere", &tree, vec![open_to("0.0.0.0/0")]);
    assert!(client.getattr(&root).await.is_ok(), "the handle follows its tree");
}

#[tokio::test]
async fn a_mount_below_a_junction_and_the_policy_of_the_root_above_it() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let qtree = client.mkdir(&root, "qtree", 0o755).await.unwrap();
    client.create(&root, "file", 0o644).await.unwrap();
    assert_eq!(client.mount("/v/qtree/").await, Ok(qtree));
    assert_eq!(client.mount("/v/none").await, Err(2));
    assert_eq!(client.mount("/v/file").await, Err(20));
    assert_eq!(client.mount("/").await, Err(2));
    svm.export("/", &tree(1), vec![open_to("10.0.0.0/8")]);
    assert_eq!(client.mount("/v").await, Err(ACCES), "the way leads through the root volume");
    svm.export("/", &tree(1), vec![rule("127.0.0.1", AuthRule::Any, AuthRule::Never, AuthRule::None)]);
    assert!(client.mount("/v").await.is_ok());
}

#[tokio::test]
async fn the_root_volume_shows_the_volumes_mounted_in_it_as_far_as_their_policies_let() {
    let (svm, tree_of_v, mut client, v) = open_volume(1 << 20).await;
    let root_volume = tree(1 << 20);
    svm.export("/", &root_volume, vec![open_to("0.0.0.0/0")]);
    svm.export("/closed", &tree(1), vec![]);
    svm.export("/v/nested", &tree(1), vec![]);
    let root = client.mount("/").await.unwrap();
    client.create(&root, "own", 0o644).await.unwrap();
    let (entries, ended) = client.readdir(&root, 0, 4096).await.unwrap();
    let mut names: Vec<_> = entries.iter().map(|(_, name)| &**name).collect();
    names.sort_unstable();
    assert_eq!((names, ended), (vec![".", "..", "closed", "own", "v"], true));
    let (behind, ended) = client.readdir(&root, entries[3].0, 4096).await.unwrap();
    assert_eq!((behind, ended), (entries[4..].to_vec(), true), "a listing goes on between junctions");
    assert_eq!(client.lookup(&root, "v").await.as_ref(), Ok(&v));
    assert_eq!(client.lookup(&root, "closed").await, Err(ACCES));
    assert_eq!(client.lookup(&v, "nested").await, Err(ACCES));
    assert_eq!(client.lookup(&v, "..").await.as_ref(), Ok(&v));
    svm.server.remove_export("/v");
    assert_eq!(client.lookup(&root, "v").await, Err(2));
    drop(tree_of_v);
}

#[tokio::test]
async fn the_mount_table_lists_who_came_and_forgets_who_left() {
    let (svm, _tree, mut client, _root) = open_volume(1 << 20).await;
    let clients = svm.server.clients();
    assert_eq!((&*clients[0].path, &*clients[0].machine), ("/v", "tester"));
    let mut dump = client.call(MOUNT, 2, Args::default()).await;
    assert_eq!(
        (dump.word(), dump.bytes(), dump.bytes(), dump.word()),
        (1, b"tester".to_vec(), b"/v".to_vec(), 0)
    );
    let mut exports = client.call(MOUNT, 5, Args::default()).await;
    assert_eq!((exports.word(), exports.bytes()), (1, b"/v".to_vec()));
    assert_eq!((exports.word(), exports.bytes()), (1, b"0.0.0.0/0".to_vec()));
    client.call(MOUNT, 3, Args::default().bytes(b"/v")).await;
    assert!(svm.server.clients().is_empty());
}

#[tokio::test]
async fn exclusive_create_succeeds_twice_for_one_verifier_and_fails_for_another() {
    let (_svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let exclusive = |verifier| Args::default().bytes(&root).bytes(b"f").word(2).long(verifier);
    let (first, mut made) = client.nfs(8, exclusive(1)).await;
    let (again, mut met) = client.nfs(8, exclusive(1)).await;
    assert_eq!((first, again), (0, 0));
    assert_eq!((made.word(), made.bytes()), (met.word(), met.bytes()));
    assert_eq!(client.nfs(8, exclusive(2)).await.0, 17);
}

#[tokio::test]
async fn a_retransmitted_remove_over_a_new_connection_is_answered_as_the_first() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    client.create(&root, "f", 0o644).await.unwrap();
    let xid = client.xid;
    assert_eq!(client.unlink(12, &root, "f").await, 0);
    let mut reconnected = svm.client().await;
    reconnected.xid = xid;
    assert_eq!(reconnected.unlink(12, &root, "f").await, 0, "the reply was kept");
    assert_eq!(reconnected.unlink(12, &root, "f").await, 2, "a new call finds nothing");
}

#[tokio::test]
async fn wcc_data_enclose_each_change_and_times_only_grow() {
    let (_svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    let mut known = client.getattr(&file).await.unwrap();
    for round in 0..50u64 {
        let (status, mut results) = client.write(&file, round, b"x").await;
        let (before, after) = results.wcc();
        let after = after.unwrap();
        assert_eq!((status, before), (0, Some((known.size, known.modified, known.changed))));
        assert!(after.changed > known.changed && after.modified > known.modified);
        known = after;
    }
    let guard = |changed: u64| Args::default().bytes(&file).mode(0o600).word(1).long(changed);
    assert_eq!(client.nfs(2, guard(known.changed - 1)).await.0, 10002, "NFS3ERR_NOT_SYNC");
    assert_eq!(client.nfs(2, guard(known.changed)).await.0, 0);
}

#[tokio::test]
async fn unstable_writes_and_their_commit_carry_one_verifier_per_server() {
    let (_svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    let (_, mut written) = client.write(&file, 0, b"abc").await;
    written.wcc();
    assert_eq!((written.word(), written.word()), (3, 0), "3 bytes, UNSTABLE");
    let verifier = written.long();
    let (_, mut committed) = client.nfs(21, Args::default().bytes(&file).long(0).word(0)).await;
    committed.wcc();
    assert_eq!(committed.long(), verifier);
    let (_other, _tree, mut client, root) = open_volume(1 << 20).await;
    let (status, mut results) = client.nfs(21, Args::default().bytes(&root).long(0).word(0)).await;
    assert_eq!(status, 21, "a directory is not committed");
    results.wcc();
    let file = client.create(&root, "f", 0o644).await.unwrap();
    let (_, mut committed) = client.nfs(21, Args::default().bytes(&file).long(0).word(0)).await;
    committed.wcc();
    assert_ne!(committed.long(), verifier);
}

#[tokio::test]
async fn a_full_tree_takes_nothing_more_until_it_grows() {
    let (_svm, tree, mut client, root) = open_volume(8192).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    assert_eq!(client.write(&file, 0, &[1; 8192]).await.0, 0);
    assert_eq!(client.write(&file, 8192, b"x").await.0, 28);
    assert_eq!(client.write(&file, 0, b"y").await.0, 0, "what is held may change");
    let (_, mut space) = client.nfs(18, Args::default().bytes(&root)).await;
    space.attributes();
    assert_eq!((space.long(), space.long()), (8192, 0));
    tree.resize(12288).unwrap();
    assert_eq!(client.write(&file, 8192, b"x").await.0, 0);
    assert_eq!(client.unlink(12, &root, "f").await, 0);
    assert_eq!(tree.used(), 0);
}

#[tokio::test]
async fn a_listing_is_paged_by_count_and_survives_deletion_on_the_way() {
    let (_svm, _tree, mut client, root) = open_volume(64 << 20).await;
    for n in 0..300 {
        client.create(&root, &format!("file-{n:03}"), 0o644).await.unwrap();
    }
    let (mut seen, mut cookie, mut pages) = (Vec::new(), 0, 0);
    loop {
        let (entries, ended) = client.readdir(&root, cookie, 1024).await.unwrap();
        for (at, name) in entries {
            cookie = at;
            if name.starts_with("file-") {
                assert_eq!(client.unlink(12, &root, &name).await, 0);
            }
            seen.push(name);
        }
        pages += 1;
        if ended {
            break;
        }
    }
    let mut expected = vec![".".to_owned(), "..".to_owned()];
    expected.extend((0..300).map(|n| format!("file-{n:03}")));
    assert_eq!(seen, expected);
    assert!(pages > 10);
    assert_eq!(client.readdir(&root, 0, 110).await, Err(10005), "NFS3ERR_TOOSMALL");
}

#[tokio::test]
async fn readdirplus_gives_handles_that_work() {
    let (_svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let file = client.create(&root, "f", 0o640).await.unwrap();
    let args = Args::default().bytes(&root).long(2).long(0).word(512).word(4096);
    let (status, mut results) = client.nfs(17, args).await;
    assert_eq!(status, 0);
    results.attributes();
    results.long();
    assert_eq!(results.word(), 1);
    results.long();
    assert_eq!(results.bytes(), b"f");
    results.long();
    assert_eq!(results.attributes().unwrap().mode, 0o640);
    assert_eq!((results.word(), results.bytes()), (1, file));
    assert_eq!((results.word(), results.word()), (0, 1), "no more entries, end of the list");
}

#[tokio::test]
async fn renames_and_links_over_two_trees_are_refused() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    svm.export("/w", &tree(1 << 20), vec![open_to("0.0.0.0/0")]);
    let other = client.mount("/w").await.unwrap();
    let file = client.create(&root, "f", 0o644).await.unwrap();
    let rename = Args::default().bytes(&root).bytes(b"f").bytes(&other).bytes(b"f");
    assert_eq!(client.nfs(14, rename).await.0, 18);
    let link = Args::default().bytes(&file).bytes(&other).bytes(b"f");
    assert_eq!(client.nfs(15, link).await.0, 18);
}

fn words(mut results: Results) -> Vec<u32> {
    (0..results.0.len() / 4).map(|_| results.word()).collect()
}

#[tokio::test]
async fn calls_that_cannot_be_served_say_why() {
    let (_svm, _tree, mut client, _root) = open_volume(1 << 20).await;
    let mismatch = |low, high| vec![1, 0, 0, 0, 2, low, high];
    assert_eq!(words(client.reply_to((100_003, 5), 0, Args::default()).await), mismatch(3, 4));
    assert_eq!(words(client.reply_to((100_005, 1), 0, Args::default()).await), mismatch(3, 3));
    assert_eq!(
        words(client.reply_to((100_227, 3), 0, Args::default()).await),
        [1, 0, 0, 0, 1],
        "PROG_UNAVAIL"
    );
    assert_eq!(words(client.reply_to(NFS, 22, Args::default()).await), [1, 0, 0, 0, 3], "PROC_UNAVAIL");
    assert_eq!(words(client.reply_to(NFS, 1, Args::default()).await), [1, 0, 0, 0, 4], "GARBAGE_ARGS");
    let too_long = Args::default().word(u32::MAX).word(0);
    assert_eq!(words(client.reply_to(NFS, 3, too_long).await), [1, 0, 0, 0, 4]);
    let rpc_3: Vec<u8> = [9u32, 0, 3, 0].iter().flat_map(|word| word.to_be_bytes()).collect();
    client.send_record(&rpc_3).await;
    assert_eq!(words(Results(client.receive_record().await.unwrap())), [9, 1, 1, 0, 2, 2], "RPC_MISMATCH");
}

#[tokio::test]
async fn noise_and_oversized_records_close_the_connection_and_no_other() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    let mut noisy = svm.client().await;
    noisy.send_record(b"GET / HTTP/1.1\r\n").await;
    assert_eq!(noisy.receive_record().await, None);
    let mut huge = svm.client().await;
    tokio::io::AsyncWriteExt::write_all(&mut huge.stream, &[0xff; 8]).await.unwrap();
    assert_eq!(huge.receive_record().await, None);
    assert!(client.getattr(&root).await.is_ok());
}

#[tokio::test]
async fn calls_sent_without_waiting_are_all_answered() {
    let (_svm, _tree, mut client, root) = open_volume(64 << 20).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    let mut open = std::collections::BTreeSet::new();
    for _ in 0..64 {
        open.insert(client.send(NFS, 1, Args::default().bytes(&file)).await);
    }
    while !open.is_empty() {
        let mut reply = Results(client.receive_record().await.unwrap());
        assert!(open.remove(&reply.word()));
    }
}

#[tokio::test]
async fn a_stalled_connection_holds_up_no_other() {
    let (svm, _tree, mut client, root) = open_volume(64 << 20).await;
    let file = client.create(&root, "f", 0o644).await.unwrap();
    client.write(&file, 0, &vec![1; 1 << 20]).await;
    let mut deaf = svm.client().await;
    let read = Args::default().bytes(&file).long(0).word(1 << 20);
    let stuffing = async {
        for _ in 0..1_000_000 {
            deaf.send(NFS, 6, read.clone()).await;
        }
    };
    let stuffed = tokio::time::timeout(Duration::from_millis(500), stuffing).await;
    assert!(stuffed.is_err(), "the server took calls whose replies nobody reads");
    let answer = tokio::time::timeout(Duration::from_secs(5), client.getattr(&root)).await;
    assert!(answer.expect("an answer in time").is_ok());
}

#[tokio::test]
async fn an_unbound_lif_cuts_its_connections_and_frees_its_port() {
    let (svm, _tree, mut client, root) = open_volume(1 << 20).await;
    assert!(matches!(svm.server.bind_lif(svm.lif).await, Err(LifError::AlreadyBound(_))));
    let second = NfsServer::new(EventLog::new());
    assert!(matches!(second.bind_lif(svm.lif).await, Err(LifError::Listen { .. })));
    svm.server.unbind(svm.lif).await;
    client.send(NFS, 1, Args::default().bytes(&root)).await;
    assert_eq!(client.receive_record().await, None);
    assert_eq!(svm.server.bind_lif(svm.lif).await.unwrap(), svm.lif);
    assert!(svm.client().await.getattr(&root).await.is_ok(), "handles outlive the LIF's absence");
}

#[tokio::test]
async fn a_lif_that_retires_answers_what_it_did_and_does_no_more() {
    let (svm, tree, mut client, root) = open_volume(16 << 20).await;
    let before = tree.inodes();
    for number in 0..400 {
        let args = Args::default().bytes(&root).bytes(format!("d{number}").as_bytes()).mode(0o755);
        client.send(NFS, 9, args).await;
    }
    let server = svm.server.clone();
    let retired = tokio::spawn(async move { server.retire(svm.lif).await });
    let mut answered = 0;
    while client.receive_record().await.is_some() {
        answered += 1;
    }
    let made = tree.inodes() - before;
    assert_eq!((answered, made > 0), (made, true), "replies, directories made");
    drop(client);
    retired.await.unwrap();
    assert_eq!(svm.server.bind_lif(svm.lif).await.unwrap(), svm.lif);
}

#[tokio::test]
async fn the_port_mapper_answers_over_tcp_and_udp() {
    let svm = Svm::start().await;
    let at = svm.server.bind_portmap("127.0.0.1:0".parse().unwrap(), svm.lif.port()).await.unwrap();
    let getport = Args::default().word(100_003).word(3).word(6).word(0);
    let mut tcp = Client::connect(at, 1).await;
    assert_eq!(tcp.call((100_000, 2), 3, getport.clone()).await.word(), u32::from(svm.lif.port()));
    assert_eq!(words(tcp.reply_to((100_000, 5), 0, Args::default()).await), [1, 0, 0, 0, 2, 2, 4]);
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let head = [5u32, 0, 2, 100_000, 2, 3, 0, 0, 0, 0].into_iter().fold(Args::default(), Args::word);
    udp.send_to(&[head.0, getport.0].concat(), at).await.unwrap();
    let mut reply = [0; 64];
    let length = tokio::time::timeout(Duration::from_secs(5), udp.recv(&mut reply)).await.unwrap().unwrap();
    assert_eq!(words(Results(reply[..length].to_vec())), [5, 1, 0, 0, 0, 0, svm.lif.port().into()]);
}
