//! Two arrays in one process that replicate: peers, SnapMirror of volumes and of an SVM, and what NFS clients see
//! of the copy before and after the break.

mod faults;
mod luns;
mod restores;
mod schedules;

use crate::nas::client::Client;
use crate::support::{Bench, configuration};
use ontap_sim::Configuration;
use serde_json::{Value, json};
use sim_front::Controlled as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PASSPHRASE: &str = "a-long-secret\na-long-secret\n";
const READ_ONLY: u32 = 30;
const QUOTA_EXCEEDED: u32 = 69;
const RELATIONSHIPS: &str = "/api/snapmirror/relationships";

/// Source and destination, and what is between them.
struct Sites {
    prod: Bench,
    dr: Bench,
    wire: Wire,
}

/// The way to an array's management API, which lets so many bytes back and then breaks every connection.
struct Wire {
    address: SocketAddr,
    left: Arc<AtomicU64>,
}

impl Wire {
    async fn to(array: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self { address: listener.local_addr().unwrap(), left: Arc::new(u64::MAX.into()) };
        let left = wire.left.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let left = left.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(array).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = pass(from_client, to_server, Arc::new(u64::MAX.into())) => {}
                        () = pass(from_server, to_client, left) => {}
                    }
                });
            }
        });
        wire
    }

    fn break_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.left.store(u64::MAX, Ordering::SeqCst);
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, left: Arc<AtomicU64>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let before = left.load(Ordering::SeqCst);
        if before < length as u64 {
            return;
        }
        left.store(before - length as u64, Ordering::SeqCst);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

fn site(seed: u64) -> Configuration {
    let mut configuration = configuration();
    configuration.blueprint.seed = seed;
    configuration
}

/// Two arrays whose clusters and SVMs are peered.
async fn sites(dr: Configuration) -> Sites {
    let (prod, dr) = (Bench::with(site(7)).await, Bench::with(dr).await);
    for (bench, name) in [(&prod, "prod"), (&dr, "dr")] {
        assert_eq!(bench.patch("/api/cluster", json!({ "name": name })).await.status, 200);
    }
    let wire = Wire::to(prod.sim.management()).await;
    let peer = |address: SocketAddr| json!({ "remote.ip_addresses": [address.to_string()], "authentication.passphrase": "a-long-secret" });
    assert_eq!(prod.post("/api/cluster/peers", peer(dr.sim.management())).await.status, 201);
    happened(&prod, "peer.greeted", 0).await;
    let mark = mark(&dr);
    assert_eq!(dr.post("/api/cluster/peers", peer(wire.address)).await.status, 201);
    happened(&dr, "peer.greeted", mark).await;
    let body = json!({ "svm.name": "svm1", "peer.svm.name": "svm1", "peer.cluster.name": "prod",
        "applications": ["snapmirror"] });
    assert_eq!(dr.post("/api/svm/peers?return_timeout=20", body).await.status, 201);
    happened(&dr, "peer.introduced", mark).await;
    Sites { prod, dr, wire }
}

fn mark(bench: &Bench) -> u64 {
    bench.sim.array().event_log().snapshot().last().map_or(0, |event| event.sequence + 1)
}

/// Waits for an event after the mark; what it says.
async fn happened(bench: &Bench, kind: &str, mark: u64) -> Value {
    let log = bench.sim.array().event_log();
    let wanted = async { log.await_event(mark, |event| event.kind == kind).await };
    let event = tokio::time::timeout(std::time::Duration::from_secs(30), wanted).await;
    event.unwrap_or_else(|_| panic!("no {kind}: {:?}", log.snapshot())).fields
}

async fn nfs(bench: &Bench) -> Client {
    Client::connect(bench.sim.array().planes().nfs_lifs()[0].address, 1).await
}

async fn made(bench: &Bench, collection: &str, body: Value) -> String {
    let reply = bench.post(&format!("{collection}?return_timeout=20"), body).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.location.unwrap()
}

async fn changed(bench: &Bench, path: &str, body: Value) {
    let reply = bench.patch(&format!("{path}?return_timeout=20"), body).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

/// A volume of the source that clients write.
async fn source_volume(bench: &Bench, name: &str) {
    let body = json!({ "name": name, "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1GB",
        "nas.path": format!("/{name}"), "nas.unix_permissions": 777 });
    made(bench, "/api/storage/volumes", body).await;
}

/// A volume that is to be a copy; its path in the API.
async fn protected_volume(bench: &Bench, name: &str) -> String {
    let body = json!({ "name": name, "svm.name": "svm1", "aggregates.name": ["aggr1"], "type": "dp" });
    made(bench, "/api/storage/volumes", body).await
}

/// Does something at the destination, and waits until the transfer that it begins has ended so.
async fn transferred(sites: &Sites, kind: &str, path: &str, body: Option<Value>) -> Value {
    let mark = mark(&sites.dr);
    let reply = match body {
        Some(body) => sites.dr.patch(&format!("{path}?return_timeout=20"), body).await,
        None => sites.dr.post(&format!("{path}/transfers"), json!({})).await,
    };
    assert!(reply.status < 300, "{}", reply.body);
    happened(&sites.dr, kind, mark).await
}

async fn read(client: &mut Client, path: &str, name: &str) -> Vec<u8> {
    let root = client.mount(path).await.unwrap();
    let file = client.lookup(&root, name).await.unwrap();
    let mut all = Vec::new();
    loop {
        let (bytes, end) = client.read(&file, all.len() as u64, 32 << 10).await.unwrap();
        all.extend_from_slice(&bytes);
        if end {
            return all;
        }
    }
}

fn pattern(length: usize, step: usize) -> Vec<u8> {
    (0..length).map(|place| (place.wrapping_mul(step) >> 3) as u8).collect()
}

async fn write(client: &mut Client, path: &str, name: &str, bytes: &[u8]) {
    let root = client.mount(path).await.unwrap();
    let file = match client.lookup(&root, name).await {
        Ok(file) => file,
        Err(_) => client.create(&root, name, 0o666).await.unwrap(),
    };
    for (number, chunk) in bytes.chunks(32 << 10).enumerate() {
        assert_eq!(client.write(&file, (number * (32 << 10)) as u64, chunk).await.0, 0);
    }
}

/// A copy of `svm1:v` that has been initialized; the paths of relationship and volume.
async fn mirrored(sites: &Sites) -> (String, String) {
    let copy = protected_volume(&sites.dr, "v_dr").await;
    let body = json!({ "source.path": "svm1:v", "destination.path": "svm1:v_dr" });
    let mirror = made(&sites.dr, RELATIONSHIPS, body).await;
    transferred(sites, "mirror.transferred", &mirror, Some(json!({ "state": "snapmirrored" }))).await;
    (mirror, copy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_copied_updated_broken_off_written_and_resynchronized() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "v").await;
    let mut prod = nfs(&sites.prod).await;
    let first = pattern(1 << 20, 7);
    write(&mut prod, "/v", "f", &first).await;
    // What was never copied is not mounted, and what is no copy is no destination.
    let copy = protected_volume(&sites.dr, "v_dr").await;
    let early = sites.dr.patch(&format!("{copy}?return_timeout=20"), json!({ "nas.path": "/v_dr" })).await;
    assert_eq!(early.body["error"]["code"], "917536", "{}", early.body);
    let body = json!({ "source.path": "svm1:v", "destination.path": "svm1:v_dr" });
    let mirror = made(&sites.dr, RELATIONSHIPS, body.clone()).await;
    let twice = sites.dr.post(&format!("{RELATIONSHIPS}?return_timeout=20"), body).await;
    assert_eq!(twice.status, 409, "{}", twice.body);
    assert_eq!(sites.dr.get(&mirror).await["state"], "uninitialized");

    let state = json!({ "state": "snapmirrored" });
    transferred(&sites, "mirror.transferred", &mirror, Some(state.clone())).await;
    let shown = sites.dr.get(&format!("{mirror}?fields=*")).await;
    assert_eq!((&shown["state"], &shown["healthy"]), (&json!("snapmirrored"), &json!(true)), "{shown}");
    assert_eq!(
        (&shown["transfer"]["state"], &shown["source"]["cluster"]["name"]),
        (&json!("success"), &json!("prod"))
    );
    changed(&sites.dr, &copy, json!({ "nas.path": "/v_dr" })).await;
    let mut dr = nfs(&sites.dr).await;
    assert_eq!(read(&mut dr, "/v_dr", "f").await, first);
    let root = dr.mount("/v_dr").await.unwrap();
    assert_eq!(dr.create(&root, "mine", 0o666).await.unwrap_err(), READ_ONLY);

    for (collection, body, code) in [
        (format!("{copy}/snapshots"), json!({ "name": "mine" }), "1638461"),
        (
            "/api/storage/qtrees".into(),
            json!({ "svm.name": "svm1", "volume.name": "v_dr", "name": "q" }),
            "8",
        ),
        (
            "/api/storage/luns".into(),
            json!({ "svm.name": "svm1", "name": "/vol/v_dr/l", "os_type": "linux", "space.size": "1MB" }),
            "8",
        ),
        (
            "/api/storage/file/clone".into(),
            json!({ "svm.name": "svm1", "volume.name": "v_dr", "source_path": "f", "destination_path": "g" }),
            "8",
        ),
    ] {
        let refused = sites.dr.post(&format!("{collection}?return_timeout=20"), body).await;
        assert_eq!(refused.body["error"]["code"], code, "{collection}: {}", refused.body);
    }

    // An update brings what differs: less than the file.
    let second = [b"other".as_slice(), &first[5..]].concat();
    write(&mut prod, "/v", "f", b"other").await;
    let event = transferred(&sites, "mirror.transferred", &mirror, None).await;
    assert!(event["bytes"].as_u64().unwrap() < 200_000, "{event}");
    assert_eq!(read(&mut dr, "/v_dr", "f").await, second);
    let snapshots =
        sites.prod.get("/api/storage/volumes?name=v&fields=uuid").await["records"][0]["uuid"].clone();
    let snapshots = format!("/api/storage/volumes/{}/snapshots", snapshots.as_str().unwrap());
    assert_eq!(sites.prod.get(&snapshots).await["num_records"], 1, "the source keeps the last common one");

    changed(&sites.dr, &mirror, json!({ "state": "paused" })).await;
    assert_eq!(sites.dr.get(&mirror).await["state"], "paused");
    assert_eq!(sites.dr.post(&format!("{mirror}/transfers"), json!({})).await.status, 409);
    changed(&sites.dr, &mirror, json!({ "state": "broken_off" })).await;
    assert_eq!(sites.dr.get(&mirror).await["state"], "broken_off");
    assert_eq!(sites.dr.get(&format!("{copy}?fields=type")).await["type"], "rw");
    assert_eq!(read(&mut dr, "/v_dr", "f").await, second);
    write(&mut dr, "/v_dr", "f", b"lost!").await;
    write(&mut prod, "/v", "f", b"third").await;

    transferred(&sites, "mirror.transferred", &mirror, Some(state)).await;
    assert_eq!(&read(&mut dr, "/v_dr", "f").await[..5], b"third");
    assert_eq!(dr.create(&root, "mine", 0o666).await.unwrap_err(), READ_ONLY);

    // The source knows its copy until it is released.
    let given = sites.prod.one(&format!("{RELATIONSHIPS}?list_destinations_only=true&fields=*")).await;
    assert_eq!(
        (&given["source"]["path"], &given["destination"]["path"]),
        (&json!("svm1:v"), &json!("svm1:v_dr"))
    );
    assert_eq!(sites.prod.get(RELATIONSHIPS).await["num_records"], 0);
    assert_eq!(sites.dr.delete(&format!("{mirror}?return_timeout=20")).await.status, 200);
    let released =
        format!("{RELATIONSHIPS}/{}?source_only=true&return_timeout=20", given["uuid"].as_str().unwrap());
    assert_eq!(sites.prod.delete(&released).await.status, 200);
    assert_eq!(sites.prod.get(&snapshots).await["num_records"], 0);
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_goes_in_mid_transfer_leaves_the_last_whole_copy_and_says_why() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "v").await;
    let mut prod = nfs(&sites.prod).await;
    write(&mut prod, "/v", "f", b"whole").await;
    let (mirror, copy) = mirrored(&sites).await;
    changed(&sites.dr, &copy, json!({ "nas.path": "/v_dr" })).await;
    let held = sites.dr.get(&format!("{copy}/snapshots")).await;
    write(&mut prod, "/v", "f", b"newer").await;
    write(&mut prod, "/v", "large", &pattern(2 << 20, 13)).await;
    sites.wire.break_after(500_000);
    transferred(&sites, "mirror.failed", &mirror, None).await;
    let shown = sites.dr.get(&format!("{mirror}?fields=*")).await;
    assert_eq!((&shown["healthy"], &shown["state"]), (&json!(false), &json!("snapmirrored")), "{shown}");
    assert!(shown["unhealthy_reason"][0]["message"].as_str().unwrap().contains("prod"), "{shown}");
    let mut dr = nfs(&sites.dr).await;
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"whole");
    let root = dr.mount("/v_dr").await.unwrap();
    assert!(dr.lookup(&root, "large").await.is_err());
    assert_eq!(sites.dr.get(&format!("{copy}/snapshots")).await["num_records"], held["num_records"]);

    sites.wire.mend();
    transferred(&sites, "mirror.transferred", &mirror, None).await;
    let shown = sites.dr.get(&format!("{mirror}?fields=*")).await;
    assert_eq!(shown["healthy"], true, "{shown}");
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"newer");
    assert_eq!(read(&mut dr, "/v_dr", "large").await, pattern(2 << 20, 13));
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svm_is_copied_with_its_volumes_and_serves_after_break_and_start() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "a").await;
    source_volume(&sites.prod, "b").await;
    let mut prod = nfs(&sites.prod).await;
    write(&mut prod, "/a", "f", b"of a").await;
    write(&mut prod, "/b", "f", b"of b").await;
    let qtree = json!({ "svm.name": "svm1", "volume.name": "b", "name": "q", "unix_permissions": 777 });
    made(&sites.prod, "/api/storage/qtrees", qtree).await;
    let rule = json!({ "svm.name": "svm1", "volume.name": "b", "type": "tree", "qtree.name": "q",
        "space.hard_limit": 8192 });
    made(&sites.prod, "/api/storage/quota/rules", rule).await;
    let of_b = sites.prod.one("/api/storage/volumes?name=b").await["uuid"].as_str().unwrap().to_owned();
    changed(&sites.prod, &format!("/api/storage/volumes/{of_b}"), json!({ "quota.enabled": true })).await;
    let lun = json!({ "name": "/vol/a/l", "svm.name": "svm1", "os_type": "linux", "space.size": "4MB" });
    assert_eq!(sites.prod.post("/api/storage/luns", lun).await.status, 201);
    let svm = json!({ "name": "svm_dr", "subtype": "dp_destination", "aggregates.name": ["aggr1"] });
    let svm = made(&sites.dr, "/api/svm/svms", svm).await;
    let lif = json!({ "name": "data", "svm.name": "svm_dr", "ip.address": "127.0.0.41", "ip.netmask": "255.0.0.0",
        "location.home_node.name": "sim-01", "location.home_port.name": "e0c",
        "service_policy.name": "default-data-files" });
    let lif = sites.dr.post("/api/network/ip/interfaces", lif).await;
    assert_eq!(lif.status, 201, "{}", lif.body);
    let since = mark(&sites.dr);
    let peer = json!({ "svm.name": "svm_dr", "peer.svm.name": "svm1", "peer.cluster.name": "prod",
        "applications": ["snapmirror"] });
    made(&sites.dr, "/api/svm/peers", peer).await;
    happened(&sites.dr, "peer.introduced", since).await;
    let mirror = json!({ "source.path": "svm1:", "destination.path": "svm_dr:" });
    let mirror = made(&sites.dr, RELATIONSHIPS, mirror).await;
    transferred(&sites, "mirror.transferred", &mirror, Some(json!({ "state": "snapmirrored" }))).await;
    write(&mut prod, "/a", "f", b"of A").await;
    transferred(&sites, "mirror.transferred", &mirror, None).await;
    // Before the break it does not start.
    let start = json!({ "state": "running" });
    let early = sites.dr.patch(&format!("{svm}?return_timeout=20"), start.clone()).await;
    assert_eq!(early.status, 409, "{}", early.body);
    changed(&sites.dr, &mirror, json!({ "state": "broken_off" })).await;
    changed(&sites.dr, &svm, start).await;
    let lifs = sites.dr.sim.array().planes().nfs_lifs();
    let lif = lifs.iter().find(|lif| lif.address.ip().to_string() == "127.0.0.41").unwrap();
    let mut dr = Client::connect(lif.address, 1).await;
    assert_eq!(read(&mut dr, "/a", "f").await, b"of A");
    assert_eq!(read(&mut dr, "/b", "f").await, b"of b");
    write(&mut dr, "/b", "f", b"mine").await;
    // LUNs and quotas came with their volumes, and the latter hold.
    let lun = sites.dr.one("/api/storage/luns?svm.name=svm_dr&fields=name").await;
    assert_eq!(lun["name"], "/vol/a/l");
    let rule = sites.dr.one("/api/storage/quota/rules?svm.name=svm_dr&fields=*").await;
    assert_eq!((&rule["qtree"]["name"], &rule["space"]["hard_limit"]), (&json!("q"), &json!(8192)), "{rule}");
    let root = dr.mount("/b").await.unwrap();
    let within = dr.lookup(&root, "q").await.unwrap();
    let file = dr.create(&within, "large", 0o666).await.unwrap();
    assert_eq!(dr.write(&file, 0, &[1; 8192]).await.0, 0);
    assert_eq!(dr.write(&file, 8192, &[1; 4096]).await.0, QUOTA_EXCEEDED);
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relationship_and_its_copy_outlive_the_process_and_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let durable = || Configuration { data_dir: Some(directory.path().to_owned()), ..site(8) };
    let mut sites = sites(durable()).await;
    source_volume(&sites.prod, "v").await;
    let mut prod = nfs(&sites.prod).await;
    write(&mut prod, "/v", "f", b"first").await;
    let (mirror, copy) = mirrored(&sites).await;
    changed(&sites.dr, &copy, json!({ "nas.path": "/v_dr" })).await;
    sites.dr.sim.stop().await;
    sites.dr = Bench::with(durable()).await;
    assert_eq!(sites.dr.get(&mirror).await["state"], "snapmirrored");
    let mut dr = nfs(&sites.dr).await;
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"first");
    write(&mut prod, "/v", "f", b"after").await;
    transferred(&sites, "mirror.transferred", &mirror, None).await;
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"after");
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_another_passphrase_and_an_svm_without_a_peer_get_nothing() {
    let (prod, dr) = (Bench::with(site(7)).await, Bench::with(site(8)).await);
    assert_eq!(dr.patch("/api/cluster", json!({ "name": "dr" })).await.status, 200);
    let peer = |bench: &Bench, passphrase: &str| {
        json!({ "name": "other", "remote.ip_addresses": [bench.sim.management().to_string()],
            "authentication.passphrase": passphrase })
    };
    assert_eq!(prod.post("/api/cluster/peers", peer(&dr, "one-secret")).await.status, 201);
    let since = mark(&dr);
    assert_eq!(dr.post("/api/cluster/peers", peer(&prod, "another-secret")).await.status, 201);
    let event = happened(&dr, "peer.greeted", since).await;
    assert!(event["error"].as_str().unwrap().contains("passphrase"), "{event}");
    let shown = dr.one("/api/cluster/peers?fields=status.state").await;
    assert_eq!(shown["status"]["state"], "unavailable");
    // Whoever has no passphrase at all is not answered, whatever they send.
    let url = format!("https://{}/replication/v1/hello", prod.sim.management());
    let reply = prod.client.post(url).body("{\"name\":\"x\"}").send().await.unwrap();
    assert_eq!(reply.status(), 401);
    protected_volume(&dr, "v_dr").await;
    let body = json!({ "source.path": "nowhere:v", "destination.path": "svm1:v_dr" });
    let reply = dr.post(&format!("{RELATIONSHIPS}?return_timeout=20"), body).await;
    assert!(reply.body["error"]["message"].as_str().unwrap().contains("not peered"), "{}", reply.body);
    prod.sim.stop().await;
    dr.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_transfer_leaves_nothing_and_the_next_one_comes_whole() {
    let sites = sites(site(8)).await;
    source_volume(&sites.prod, "v").await;
    let mut prod = nfs(&sites.prod).await;
    write(&mut prod, "/v", "f", b"first").await;
    let (mirror, copy) = mirrored(&sites).await;
    changed(&sites.dr, &copy, json!({ "nas.path": "/v_dr" })).await;
    write(&mut prod, "/v", "f", b"after").await;
    let since = mark(&sites.dr);
    // The state refuses what comes for a transfer that was told to end, however far it is.
    let array = sites.dr.sim.array();
    let id = mirror.rsplit('/').next().unwrap().parse().unwrap();
    let aborted = array.change(|cluster| {
        let transfer = cluster.update_mirror(id, None).unwrap();
        cluster.abort_transfer(transfer).unwrap();
        cluster.find_transfer(transfer).unwrap().state
    });
    assert_eq!(aborted.unwrap(), ontap_sim::state::transfer::TransferState::Aborted);
    let mut dr = nfs(&sites.dr).await;
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"first");
    assert_eq!(sites.dr.get(&format!("{mirror}?fields=*")).await["transfer"]["state"], "aborted");
    transferred(&sites, "mirror.transferred", &mirror, None).await;
    assert!(mark(&sites.dr) > since);
    assert_eq!(read(&mut dr, "/v_dr", "f").await, b"after");
    sites.prod.sim.stop().await;
    sites.dr.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_recover_from_a_disaster_with_the_commands_of_the_guides() {
    let (prod, prod_keys) = crate::ssh::start_with(site(7)).await;
    let (dr, dr_keys) = crate::ssh::start_with(site(8)).await;
    let on_prod = |line: String, input: &'static str| crate::ssh::typed(&prod, prod_keys.path(), line, input);
    let on_dr = |line: String, input: &'static str| crate::ssh::typed(&dr, dr_keys.path(), line, input);
    on_prod("cluster identity modify -name prod".into(), "").await;
    on_dr("cluster identity modify -name dr".into(), "").await;
    on_prod(
        "volume create -vserver svm1 -volume v -aggregate aggr1 -size 1g -junction-path /v -unix-permissions 777"
            .into(),
        "",
    )
    .await;
    let served = prod.array().planes().nfs_lifs()[0].address;
    let mut client = Client::connect(served, 1).await;
    write(&mut client, "/v", "f", b"saved").await;
    on_prod(format!("cluster peer create -peer-addrs {}", dr.management()), PASSPHRASE).await;
    on_dr(format!("cluster peer create -peer-addrs {}", prod.management()), PASSPHRASE).await;
    let log = dr.array().event_log();
    log.await_event(0, |event| event.kind == "peer.greeted" && event.fields["remote"] == "prod").await;
    for line in [
        "vserver create -vserver svm_dr -subtype dp-destination",
        "network interface create -vserver svm_dr -lif data -service-policy default-data-files -address 127.0.0.42 \
         -netmask 255.0.0.0 -home-node sim-01 -home-port e0c",
        "vserver peer create -vserver svm_dr -peer-vserver svm1 -peer-cluster prod -applications snapmirror",
    ] {
        on_dr(line.into(), "").await;
    }
    log.await_event(0, |event| event.kind == "peer.introduced").await;
    on_dr(
        "snapmirror create -source-path svm1: -destination-path svm_dr: -identity-preserve false".into(),
        "",
    )
    .await;
    on_dr("snapmirror initialize -destination-path svm_dr:".into(), "").await;
    log.await_event(0, |event| event.kind == "mirror.transferred").await;
    let shown = on_dr("snapmirror show -fields state,status,healthy".into(), "").await;
    assert!(shown.contains("Snapmirrored") && shown.contains("Idle") && shown.contains("true"), "{shown}");
    let given = on_prod("snapmirror list-destinations".into(), "").await;
    assert!(given.contains("svm_dr:"), "{given}");
    prod.stop().await;
    for line in [
        "snapmirror quiesce -destination-path svm_dr:",
        "snapmirror break -destination-path svm_dr:",
        "vserver start -vserver svm_dr",
    ] {
        on_dr(line.into(), "").await;
    }
    let lifs = dr.array().planes().nfs_lifs();
    let lif = lifs.iter().find(|lif| lif.address.ip().to_string() == "127.0.0.42").unwrap();
    let mut client = Client::connect(lif.address, 1).await;
    assert_eq!(read(&mut client, "/v", "f").await, b"saved");
    dr.stop().await;
}
