//! Snapshots, clones, qtrees and the rest of a volume: what the API says against what NFS clients and
//! the content of LUNs show.

/// The client that the NFS server is judged by.
#[allow(dead_code, clippy::cast_possible_truncation)]
#[path = "../../../nfs-server/tests/client/mod.rs"]
pub(crate) mod client;

use crate::support::{Bench, Reply};
use client::Client;
use serde_json::{Value, json};

const NOENT: u32 = 2;

/// A volume of 1 GiB mounted at `/<name>` that everybody may write; its path in the API.
async fn mounted_volume(bench: &Bench, name: &str) -> String {
    let body = json!({ "name": name, "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1GB",
        "nas.path": format!("/{name}"), "nas.unix_permissions": 777, "space.snapshot.reserve_percent": 0 });
    made(bench, "/api/storage/volumes", body).await
}

/// What a creation made: its path in the API.
async fn made(bench: &Bench, collection: &str, body: Value) -> String {
    let reply = bench.post(&format!("{collection}?return_timeout=20"), body).await;
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.location.unwrap()
}

async fn changed(bench: &Bench, path: &str, body: Value) -> Reply {
    let separator = if path.contains('?') { '&' } else { '?' };
    bench.patch(&format!("{path}{separator}return_timeout=20"), body).await
}

async fn nfs(bench: &Bench) -> Client {
    Client::connect(bench.sim.array().planes().nfs_lifs()[0].address, 1).await
}

fn code(reply: &Reply) -> &str {
    reply.body["error"]["code"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_holds_files_and_luns_as_they_were_and_a_restore_brings_them_back() {
    let bench = Bench::start().await;
    let volume = mounted_volume(&bench, "v").await;
    let lun = json!({ "name": "/vol/v/l", "svm.name": "svm1", "os_type": "linux", "space.size": "1MB" });
    let lun = made(&bench, "/api/storage/luns", lun).await;
    let content = |path: &str| {
        let id = path.rsplit('/').next().unwrap().parse().map(ontap_sim::state::LunId).unwrap();
        bench.sim.array().planes().find_content(id).unwrap()
    };
    let mut client = nfs(&bench).await;
    let root = client.mount("/v").await.unwrap();
    let file = client.create(&root, "f", 0o644).await.unwrap();
    client.write(&file, 0, b"old").await;
    content(&lun).write_at(0, b"old").unwrap();
    let snapshots = format!("{volume}/snapshots");
    bench.succeed(bench.post(&snapshots, json!({ "name": "s1", "svm.name": "svm1" })).await).await;
    client.write(&file, 0, b"new").await;
    content(&lun).write_at(0, b"new").unwrap();
    // in `.snapshot` there is what was, as long as it is to be seen
    let within = client.lookup(&root, ".snapshot").await.unwrap();
    let then = client.lookup(&within, "s1").await.unwrap();
    let held = client.lookup(&then, "f").await.unwrap();
    assert_eq!(client.read(&held, 0, 9).await.unwrap().0, b"old");
    let hidden = json!({ "snapshot_directory_access_enabled": false });
    assert_eq!(changed(&bench, &volume, hidden).await.status, 200);
    assert_eq!(client.lookup(&root, ".snapshot").await, Err(NOENT));
    // a later LUN and a later snapshot go with the restore, a LUN deleted since comes back
    let later =
        json!({ "name": "/vol/v/later", "svm.name": "svm1", "os_type": "linux", "space.size": "1MB" });
    made(&bench, "/api/storage/luns", later).await;
    bench.succeed(bench.post(&snapshots, json!({ "name": "s2" })).await).await;
    let serial = bench.get(&lun).await["serial_number"].clone();
    assert_eq!(bench.delete(&lun).await.status, 200);
    bench.succeed(bench.patch(&format!("{volume}?restore_to.snapshot.name=s1"), json!({})).await).await;
    assert_eq!(client.read(&file, 0, 9).await.unwrap().0, b"old");
    let mut restored = [0; 3];
    content(&lun).read_at(0, &mut restored).unwrap();
    assert_eq!(&restored, b"old");
    let left = bench.one("/api/storage/luns?fields=serial_number").await;
    assert_eq!((&left["name"], &left["serial_number"]), (&json!("/vol/v/l"), &serial));
    assert_eq!(bench.one(&snapshots).await["name"], "s1");
    let unknown = changed(&bench, &format!("{volume}?restore_to.snapshot.name=s2"), json!({})).await;
    assert_eq!((unknown.status, code(&unknown)), (404, "1638600"));
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_is_its_parents_snapshot_and_goes_its_own_way() {
    let bench = Bench::start().await;
    let parent = mounted_volume(&bench, "p").await;
    let lun = json!({ "name": "/vol/p/l", "svm.name": "svm1", "os_type": "linux", "space.size": "1MB" });
    let lun = made(&bench, "/api/storage/luns", lun).await;
    let mut client = nfs(&bench).await;
    let root = client.mount("/p").await.unwrap();
    let file = client.create(&root, "f", 0o666).await.unwrap();
    client.write(&file, 0, b"parent").await;
    let snapshot = made(&bench, &format!("{parent}/snapshots"), json!({ "name": "s" })).await;
    client.write(&file, 0, b"later!").await;
    let body = json!({ "name": "c", "svm": { "name": "svm1" }, "nas.path": "/c", "clone": { "is_flexclone": true,
        "parent_volume": { "name": "p" }, "parent_snapshot": { "name": "s" } } });
    let clone = made(&bench, "/api/storage/volumes", body).await;
    let shown = bench.get(&format!("{clone}?fields=clone,state")).await;
    assert_eq!(shown["clone"]["parent_snapshot"]["name"], "s");
    assert_eq!((&shown["clone"]["is_flexclone"], &shown["state"]), (&json!(true), &json!("online")));
    let cloned_root = client.mount("/c").await.unwrap();
    let cloned = client.lookup(&cloned_root, "f").await.unwrap();
    assert_eq!(client.read(&cloned, 0, 9).await.unwrap().0, b"parent");
    assert_eq!(client.write(&cloned, 0, b"clone!").await.0, 0);
    assert_eq!(client.read(&file, 0, 9).await.unwrap().0, b"later!");
    let serials = bench.get("/api/storage/luns?fields=serial_number&order_by=name").await;
    assert_eq!(
        (&serials["records"][0]["name"], serials["num_records"].as_u64()),
        (&json!("/vol/c/l"), Some(2))
    );
    assert_ne!(serials["records"][0]["serial_number"], bench.get(&lun).await["serial_number"]);
    // as long as the clone depends on it, neither snapshot nor parent go
    let children = "/api/storage/volumes?clone.parent_volume.name=p&clone.parent_snapshot.name=s&fields=name";
    assert_eq!(bench.one(children).await["clone"]["parent_snapshot"]["name"], "s");
    let (state, job) = bench.job(&bench.delete(&snapshot).await).await;
    assert_eq!((state.as_str(), &job["code"]), ("failure", &json!(1_638_555)));
    assert!(!job["message"].as_str().unwrap().contains(','), "clients split the message on commas");
    let (state, job) = bench.job(&bench.delete(&parent).await).await;
    assert_eq!((state.as_str(), &job["code"]), ("failure", &json!(524_615)));
    bench.succeed(bench.patch(&clone, json!({ "clone": { "split_initiated": true } })).await).await;
    assert_eq!(bench.get(&format!("{clone}?fields=clone")).await["clone"]["is_flexclone"], false);
    bench.succeed(bench.delete(&snapshot).await).await;
    assert_eq!(bench.delete(&lun).await.status, 200);
    bench.succeed(bench.delete(&parent).await).await;
    assert_eq!(client.read(&cloned, 0, 9).await.unwrap().0, b"clone!");
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lun_is_cloned_from_the_present_and_from_a_snapshot() {
    let bench = Bench::start().await;
    let volume = mounted_volume(&bench, "v").await;
    let lun = json!({ "name": "/vol/v/l", "svm.name": "svm1", "os_type": "linux", "space.size": "1MB" });
    let lun = made(&bench, "/api/storage/luns", lun).await;
    let read = |path: &str| {
        let id = path.rsplit('/').next().unwrap().parse().map(ontap_sim::state::LunId).unwrap();
        let (content, mut bytes) = (bench.sim.array().planes().find_content(id).unwrap(), [0; 3]);
        content.read_at(0, &mut bytes).unwrap();
        bytes
    };
    let id = lun.rsplit('/').next().unwrap().parse().map(ontap_sim::state::LunId).unwrap();
    let content = bench.sim.array().planes().find_content(id).unwrap();
    content.write_at(0, b"old").unwrap();
    made(&bench, &format!("{volume}/snapshots"), json!({ "name": "s" })).await;
    content.write_at(0, b"new").unwrap();
    let cloned = |name: &str, source: &str| json!({ "name": format!("/vol/v/{name}"), "svm.name": "svm1", "clone.source.name": source });
    let then = made(&bench, "/api/storage/luns", cloned("then", "/vol/v/.snapshot/s/l")).await;
    let now = made(&bench, "/api/storage/luns", cloned("now", "/vol/v/l")).await;
    assert_eq!((&read(&then), &read(&now)), (b"old", b"new"));
    content.write_at(0, b"own").unwrap();
    assert_eq!(&read(&now), b"new");
    let (one, other) = (bench.get(&then).await, bench.get(&now).await);
    assert_eq!(one["os_type"], "linux");
    assert_ne!(one["serial_number"], other["serial_number"]);
    let missing = bench.post("/api/storage/luns", cloned("x", "/vol/v/.snapshot/none/l")).await;
    assert_eq!((missing.status, code(&missing)), (404, "5374875"));
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_shrinks_no_further_than_to_what_it_holds() {
    let bench = Bench::start().await;
    let volume = mounted_volume(&bench, "v").await;
    let mut client = nfs(&bench).await;
    let root = client.mount("/v").await.unwrap();
    let file = client.create(&root, "f", 0o644).await.unwrap();
    for megabyte in 0..30 {
        assert_eq!(client.write(&file, megabyte << 20, &vec![1; 1 << 20]).await.0, 0);
    }
    let refused = changed(&bench, &volume, json!({ "size": "25MB" })).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("too small to hold the current volume data")
    );
    assert_eq!(bench.get(&volume).await["size"], 1 << 30);
    assert_eq!(changed(&bench, &volume, json!({ "size": "40MB" })).await.status, 200);
    assert_eq!(bench.get(&volume).await["space"]["used"], 30 << 20);
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_volume_waits_in_the_recovery_queue_unless_it_is_forced_out() {
    let bench = Bench::start().await;
    let (kept, forced) = (mounted_volume(&bench, "kept").await, mounted_volume(&bench, "forced").await);
    let mut client = nfs(&bench).await;
    let root = client.mount("/kept").await.unwrap();
    client.create(&root, "f", 0o644).await.unwrap();
    bench.succeed(bench.delete(&kept).await).await;
    bench.succeed(bench.delete(&format!("{forced}?force=true")).await).await;
    assert_eq!(client.mount("/kept").await, Err(NOENT));
    let queue = "/api/private/cli/volume/recovery-queue";
    let waiting = bench.one(&format!("{queue}?vserver=svm1&volume=kept*")).await;
    let name = waiting["volume"].as_str().unwrap().to_owned();
    assert!(name.starts_with("kept_"), "{name}");
    assert_eq!(bench.get(&format!("{queue}?volume=forced*")).await["num_records"], 0);
    // dashes and underscores are the same
    let recovered = json!({ "vserver": "svm1", "volume": name });
    assert!(bench.post("/api/private/cli/volume/recovery_queue/recover", recovered).await.status < 300);
    let back = bench.one(&format!("/api/storage/volumes?name={name}&fields=state")).await;
    assert_eq!(back["state"], "offline");
    assert_eq!(changed(&bench, &kept, json!({ "state": "online", "nas.path": "/again" })).await.status, 200);
    let root = client.mount("/again").await.unwrap();
    assert!(client.lookup(&root, "f").await.is_ok());
    bench.succeed(bench.delete(&kept).await).await;
    let name = bench.one(queue).await["volume"].clone();
    let purge = json!({ "vserver": "svm1", "volume": name });
    assert_eq!(bench.post("/api/private/cli/volume/recovery-queue/purge", purge).await.status, 202);
    assert_eq!(bench.get(queue).await["num_records"], 0);
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_quota_binds_while_quotas_are_on_and_is_told() {
    const DQUOT: u32 = 69;
    let bench = Bench::start().await;
    let volume = mounted_volume(&bench, "v").await;
    let uuid = volume.rsplit('/').next().unwrap().to_owned();
    let body = json!({ "name": "q1", "volume.name": "v", "svm.name": "svm1", "unix_permissions": 777,
        "export_policy.name": "default", "security_style": "unix" });
    let qtree = made(&bench, "/api/storage/qtrees", body.clone()).await;
    assert_eq!(qtree, format!("/api/storage/qtrees/{uuid}/1"));
    let twice = bench.post("/api/storage/qtrees?return_timeout=20", body).await;
    assert_eq!(twice.status, 409, "{}", twice.body);
    let listed = bench.get("/api/storage/qtrees?volume.name=v&order_by=id").await;
    assert_eq!(listed["num_records"], 2, "the volume itself counts: {listed}");
    assert_eq!((&listed["records"][0]["id"], &listed["records"][0]["name"]), (&json!(0), &json!("")));
    let rule = json!({ "type": "tree", "qtree.name": "q1", "volume.name": "v", "svm.name": "svm1",
        "space.hard_limit": 1_u64 << 20 });
    let rule = made(&bench, "/api/storage/quota/rules", rule).await;
    let mut client = nfs(&bench).await;
    let root = client.mount("/v/q1").await.unwrap();
    let file = client.create(&root, "f", 0o644).await.unwrap();
    let chunk = vec![7; 1 << 20];
    assert_eq!(client.write(&file, 0, &chunk).await.0, 0);
    assert_eq!(client.write(&file, 1 << 20, &chunk).await.0, 0, "quotas are off");
    assert_eq!(changed(&bench, &volume, json!({ "quota.enabled": true })).await.status, 200);
    assert_eq!(bench.get(&format!("{volume}?fields=quota.state")).await["quota"]["state"], "on");
    assert_eq!(client.write(&file, 2 << 20, &chunk).await.0, DQUOT);
    let report = bench.one(&format!("/api/storage/quota/reports?volume.uuid={uuid}&fields=*")).await;
    assert_eq!(
        (&report["qtree"]["name"], &report["space"]["used"]["total"]),
        (&json!("q1"), &json!(2 << 20))
    );
    assert_eq!(changed(&bench, &rule, json!({ "space.hard_limit": 8_u64 << 20 })).await.status, 200);
    assert_eq!(client.write(&file, 2 << 20, &chunk).await.0, 0);
    // renamed, its handles stay good; deleted, its rule goes with it
    assert_eq!(changed(&bench, &qtree, json!({ "name": "q2" })).await.status, 200);
    assert_eq!(client.read(&file, 0, 3).await.unwrap().0, [7; 3]);
    assert!(client.mount("/v/q2").await.is_ok());
    assert_eq!(bench.delete(&format!("{qtree}?return_timeout=20")).await.status, 200);
    assert_eq!(client.mount("/v/q2").await, Err(NOENT));
    assert_eq!(bench.get("/api/storage/quota/rules").await["num_records"], 0);
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_changed_and_moved_and_a_policy_renamed_under_its_clients() {
    const ACCES: u32 = 13;
    let bench = Bench::start().await;
    mounted_volume(&bench, "v").await;
    let policies = "/api/protocols/nfs/export-policies";
    let policy = made(&bench, policies, json!({ "name": "p", "svm.name": "svm1" })).await;
    let rule = json!({ "clients": [{ "match": "127.0.0.1" }], "ro_rule": ["any"], "rw_rule": ["any"],
        "superuser": ["any"] });
    let rule = made(&bench, &format!("{policy}/rules"), rule).await;
    let volume = bench.one("/api/storage/volumes?name=v").await["uuid"].as_str().unwrap().to_owned();
    let volume = format!("/api/storage/volumes/{volume}");
    assert_eq!(changed(&bench, &volume, json!({ "nas.export_policy.name": "p" })).await.status, 200);
    let mut client = nfs(&bench).await;
    let root = client.mount("/v").await.unwrap();
    let elsewhere = json!({ "clients": [{ "match": "10.0.0.0/8" }], "chown_mode": "unrestricted" });
    assert_eq!(bench.patch(&rule, elsewhere).await.status, 200);
    assert_eq!(client.getattr(&root).await, Err(ACCES));
    assert_eq!(
        bench
            .patch(&format!("{rule}?new_index=5"), json!({ "clients": [{ "match": "0.0.0.0/0" }] }))
            .await
            .status,
        200
    );
    assert!(client.getattr(&root).await.is_ok());
    let shown = bench.one(&format!("{policy}/rules?fields=*")).await;
    assert_eq!((&shown["index"], &shown["chown_mode"]), (&json!(5), &json!("unrestricted")));
    assert_eq!(bench.patch(&policy, json!({ "name": "renamed" })).await.status, 200);
    assert_eq!(bench.get(&format!("{volume}?fields=nas")).await["nas"]["export_policy"]["name"], "renamed");
    let used = bench.delete(&policy).await;
    assert_eq!((used.status, code(&used)), (409, "1703945"));
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_nfs_are_switched_by_the_service_of_the_svm() {
    let bench = Bench::start().await;
    mounted_volume(&bench, "v").await;
    let service = bench.one("/api/protocols/nfs/services?svm.name=svm1&fields=*").await;
    assert_eq!(
        (&service["protocol"]["v3_enabled"], &service["protocol"]["v41_enabled"]),
        (&json!(true), &json!(true))
    );
    let path = format!("/api/protocols/nfs/services/{}", service["svm"]["uuid"].as_str().unwrap());
    assert!(nfs(&bench).await.mount("/v").await.is_ok());
    let patch = json!({ "protocol": { "v3_enabled": false }, "showmount_enabled": false });
    assert_eq!(bench.patch(&path, patch).await.status, 200);
    let shown = bench.get(&path).await;
    assert_eq!(
        (&shown["protocol"]["v3_enabled"], &shown["showmount_enabled"]),
        (&json!(false), &json!(false))
    );
    // PROG_UNAVAIL (RFC 5531 §9): MOUNT has no other version
    let mut client = nfs(&bench).await;
    let mut reply = client.reply_to(client::MOUNT, 1, client::Args::default().bytes(b"/v")).await;
    assert_eq!((0..5).map(|_| reply.word()).collect::<Vec<_>>(), [1, 0, 0, 0, 1]);
    assert_eq!(bench.delete(&path).await.status, 200);
    let made = bench.post("/api/protocols/nfs/services", json!({ "svm.name": "svm1" })).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert!(nfs(&bench).await.mount("/v").await.is_ok());
    let twice = bench.post("/api/protocols/nfs/services", json!({ "svm.name": "svm1" })).await;
    assert_eq!((twice.status, code(&twice)), (409, "1"));
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_moves_groups_and_keeps_what_it_is_told() {
    let bench = Bench::start().await;
    let volume = mounted_volume(&bench, "v").await;
    let moved = bench.patch(&volume, json!({ "movement.destination_aggregate.name": "aggr2" })).await;
    assert!(moved.body["job"]["uuid"].is_string(), "{}", moved.body);
    let shown = bench.get(&format!("{volume}?fields=movement,aggregates")).await;
    assert_eq!(
        (&shown["movement"]["state"], &shown["aggregates"][0]["name"]),
        (&json!("success"), &json!("aggr2"))
    );
    let told = json!({ "_tags": ["a:b"], "efficiency.compression": "inline", "autosize.mode": "grow",
        "tiering.policy": "auto", "qos.policy.name": "extreme", "files.maximum": 1000 });
    assert_eq!(changed(&bench, &volume, told).await.status, 200);
    let shown = bench.get(&format!("{volume}?fields=_tags,efficiency,autosize,tiering,qos,files")).await;
    assert_eq!((&shown["_tags"], &shown["efficiency"]["state"]), (&json!(["a:b"]), &json!("enabled")));
    assert_eq!(
        (&shown["qos"]["policy"]["name"], &shown["files"]["maximum"]),
        (&json!("extreme"), &json!(1000))
    );
    let unknown = changed(&bench, &volume, json!({ "qos.policy.name": "none-such" })).await;
    assert_eq!(code(&unknown), "8454154");
    let group = |name: &str, size: &str| json!({ "name": name, "svm.name": "svm1", "style": "flexgroup", "size": size, "nas.path": format!("/{name}") });
    let (state, job) = bench.job(&bench.post("/api/storage/volumes", group("small", "100MB")).await).await;
    assert_eq!((state.as_str(), &job["code"]), ("failure", &json!(917_534)));
    let group = made(&bench, "/api/storage/volumes", group("fg", "2GB")).await;
    let shown = bench.get(&format!("{group}?fields=style,aggregates,constituents")).await;
    assert_eq!(
        (&shown["style"], shown["aggregates"].as_array().map(Vec::len)),
        (&json!("flexgroup"), Some(2))
    );
    assert_eq!(shown["constituents"].as_array().map(Vec::len), Some(8));
    assert!(nfs(&bench).await.mount("/fg").await.is_ok());
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_clone_is_the_file_and_goes_its_own_way() {
    let bench = Bench::start().await;
    mounted_volume(&bench, "v").await;
    let mut client = nfs(&bench).await;
    let root = client.mount("/v").await.unwrap();
    let dir = client.mkdir(&root, "images", 0o755).await.unwrap();
    let file = client.create(&dir, "disk", 0o640).await.unwrap();
    client.write(&file, 0, b"first").await;
    client.write(&file, 1 << 20, b"last").await;
    let wanted = |destination: &str, replace: bool| {
        json!({ "volume.name": "v", "svm.name": "svm1", "source_path": "images/disk",
            "destination_path": destination, "overwrite_destination": replace })
    };
    bench.succeed(bench.post("/api/storage/file/clone", wanted("images/copy", false)).await).await;
    let copy = client.lookup(&dir, "copy").await.unwrap();
    assert_eq!(client.read(&copy, 1 << 20, 9).await.unwrap().0, b"last");
    assert_eq!(client.read(&copy, 0, 5).await.unwrap().0, b"first");
    client.write(&copy, 0, b"other").await;
    assert_eq!(client.read(&file, 0, 5).await.unwrap().0, b"first");
    let (_, job) =
        bench.job(&bench.post("/api/storage/file/clone", wanted("images/copy", false)).await).await;
    assert_eq!(job["code"], 1, "{job}");
    bench.succeed(bench.post("/api/storage/file/clone", wanted("/images/copy", true)).await).await;
    let copy = client.lookup(&dir, "copy").await.unwrap();
    assert_eq!(client.read(&copy, 0, 5).await.unwrap().0, b"first");
    for nowhere in ["none/copy", "images/disk/copy", "/", ".snapshot/copy"] {
        let refused = bench.post("/api/storage/file/clone", wanted(nowhere, true)).await;
        assert_eq!(refused.status, 400, "{nowhere}: {}", refused.body);
    }

    // Blocks of a file alone: the rest of the destination stays.
    let blocks = |destination: &str, ranges: &[&str]| {
        json!({ "volume.name": "v", "svm.name": "svm1", "source_path": "images/disk",
            "destination_path": destination, "range": ranges, "is_backup": true })
    };
    client.write(&copy, 0, b"other").await;
    client.write(&copy, 4096, b"its own").await;
    bench
        .succeed(bench.post("/api/storage/file/clone", blocks("images/copy", &["0:2:1", "256:3:1"])).await)
        .await;
    for (offset, bytes) in [(0, &b"other"[..]), (4096, b"its own"), (8192, b"first"), (12_288, b"last")] {
        assert_eq!(client.read(&copy, offset, bytes.len() as u32).await.unwrap().0, bytes, "at {offset}");
    }
    bench.succeed(bench.post("/api/storage/file/clone", blocks("images/disk", &["0:1:1"])).await).await;
    assert_eq!(client.read(&file, 4096, 5).await.unwrap().0, b"first");
    for bad in [
        &["0:0:2"][..],
        &["0:8:2", "1:16:1"],
        &["0:8:2", "4:9:1"],
        &["256:0:2"],
        &["0:0:0"],
        &["0:0"],
        &["0:1:18446744073709551615"],
    ] {
        let refused = bench.post("/api/storage/file/clone", blocks("images/disk", bad)).await;
        assert_eq!(code(&refused), "262197", "{bad:?}: {}", refused.body);
    }
    let nowhere = bench.post("/api/storage/file/clone?return_timeout=20", blocks("none", &["0:0:1"])).await;
    assert_eq!(code(&nowhere), "4", "{}", nowhere.body);
}
