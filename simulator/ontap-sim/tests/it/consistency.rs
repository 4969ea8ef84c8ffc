//! Snapshots of several volumes at one instant, of consistency groups over HTTPS and of ZAPI: what they have of
//! LUNs that are written meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ontap_sim::state::LunId;
use serde_json::json;

use crate::support::Bench;

/// Snapshots taken while the writer writes.
const ROUNDS: u64 = 60;

/// The content of a LUN.
async fn content(bench: &Bench, path: &str) -> blockstore::Volume {
    let uuid =
        bench.one(&format!("/api/storage/luns?name={path}")).await["uuid"].as_str().unwrap().to_owned();
    bench.sim.array().planes().find_content(LunId(uuid.parse().unwrap())).unwrap()
}

async fn furnish(bench: &Bench, volume: &str) -> blockstore::Volume {
    let body =
        json!({ "name": volume, "svm.name": "svm1", "aggregates": [{ "name": "aggr1" }], "size": "100MB" });
    bench.succeed(bench.post("/api/storage/volumes", body).await).await;
    let path = format!("/vol/{volume}/l");
    let body = json!({ "name": path, "svm.name": "svm1", "os_type": "linux", "space.size": 1 << 20 });
    assert_eq!(bench.post("/api/storage/luns", body).await.status, 201);
    content(bench, &path).await
}

/// The number that was last written to a LUN before a snapshot.
async fn number(bench: &Bench, volume: &str, snapshot: &str) -> u64 {
    let path = format!("/vol/{volume}/of-{snapshot}");
    let body = json!({ "name": path, "svm.name": "svm1",
        "clone.source.name": format!("/vol/{volume}/.snapshot/{snapshot}/l") });
    assert_eq!(bench.post("/api/storage/luns", body).await.status, 201);
    let mut number = [0; 8];
    content(bench, &path).await.read_at(0, &mut number).unwrap();
    u64::from_le_bytes(number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_groups_snapshot_never_has_a_later_write_without_the_earlier_one() {
    let bench = Bench::start().await;
    let (first, second) = (furnish(&bench, "v1").await, furnish(&bench, "v2").await);
    let add = |name: &str| json!({ "name": name, "provisioning_options": { "action": "add" } });
    let group = json!({ "name": "cg", "svm": { "name": "svm1" }, "volumes": [add("v2"), add("v1")] });
    bench.succeed(bench.post("/api/application/consistency-groups", group).await).await;
    let group = bench.one("/api/application/consistency-groups?name=cg&fields=*").await;
    let snapshots =
        format!("/api/application/consistency-groups/{}/snapshots", group["uuid"].as_str().unwrap());

    let take =
        async |name: String| bench.succeed(bench.post(&snapshots, json!({ "name": name })).await).await;
    taken_amid_writes(&bench, (first, second), take).await;
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_zapi_takes_together_never_has_a_later_write_without_the_earlier_one() {
    let bench = Bench::start().await;
    let (first, second) = (furnish(&bench, "v1").await, furnish(&bench, "v2").await);
    let start = |name: &str, volumes: &[&str]| {
        let volumes: String =
            volumes.iter().map(|volume| format!("<volume-name>{volume}</volume-name>")).collect();
        let request = format!(
            "<?xml version=\"1.0\"?><netapp version=\"1.21\" xmlns=\"http://www.netapp.com/filer/admin\"><cg-start>\
             <snapshot>{name}</snapshot><timeout>relaxed</timeout><volumes>{volumes}</volumes></cg-start></netapp>"
        );
        bench.sim.array().answer_zapi(Some("svm1"), request.as_bytes())
    };
    let take = async |name: String| {
        let answer = start(&name, &["v2", "v1"]);
        assert!(answer.contains("status=\"passed\""), "{answer}");
    };
    taken_amid_writes(&bench, (first, second), take).await;
    // One that is refused leaves none of the others.
    assert!(start("once-more", &["v1", "v2", "v1"]).contains("status=\"failed\""));
    let volume = bench.one("/api/storage/volumes?name=v1").await["uuid"].as_str().unwrap().to_owned();
    let left = bench.get(&format!("/api/storage/volumes/{volume}/snapshots?name=once-more")).await;
    assert_eq!(left["num_records"], 0, "{left}");
    bench.sim.stop().await;
}

/// Takes snapshots of both volumes while numbers are written to their LUNs, to the first and then to the second.
async fn taken_amid_writes(
    bench: &Bench,
    (first, second): (blockstore::Volume, blockstore::Volume),
    take: impl AsyncFn(String),
) {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut number = 0_u64;
        while !stopped.load(Ordering::Relaxed) {
            number += 1;
            first.write_at(0, &number.to_le_bytes()).unwrap();
            second.write_at(0, &number.to_le_bytes()).unwrap();
        }
    });
    for round in 0..ROUNDS {
        take(format!("s{round}")).await;
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();

    let (mut earliest, mut latest) = (u64::MAX, 0);
    for round in 0..ROUNDS {
        let name = format!("s{round}");
        let (first, second) = (number(bench, "v1", &name).await, number(bench, "v2", &name).await);
        assert!(first == second || first == second + 1, "{name}: {first} and then {second}");
        (earliest, latest) = (earliest.min(first), latest.max(first));
    }
    assert!(earliest < latest, "nothing was written between the snapshots");
}

#[tokio::test]
async fn a_group_that_is_refused_leaves_no_volume_and_a_snapshot_that_is_refused_no_member() {
    let bench = Bench::start().await;
    furnish(&bench, "v1").await;
    let missing = json!({ "name": "cg", "svm": { "name": "svm1" }, "volumes": [
        { "name": "fresh", "space": { "size": 64 << 20 } },
        { "name": "v1", "provisioning_options": { "action": "add" } },
        { "name": "v1", "provisioning_options": { "action": "add" } },
    ] });
    let (state, job) = bench.job(&bench.post("/api/application/consistency-groups", missing).await).await;
    assert_eq!((state.as_str(), &job["code"]), ("failure", &json!(53_411_865)), "{job}");
    assert_eq!(bench.get("/api/storage/volumes?name=fresh").await["num_records"], 0);

    furnish(&bench, "v2").await;
    let add = |name: &str| json!({ "name": name, "provisioning_options": { "action": "add" } });
    let group = json!({ "name": "cg", "svm": { "name": "svm1" }, "volumes": [add("v1"), add("v2")] });
    bench.succeed(bench.post("/api/application/consistency-groups", group).await).await;
    let group = bench.one("/api/application/consistency-groups?name=cg").await;
    let of = |volume: &'static str| format!("/api/storage/volumes?name={volume}");
    let second = bench.one(&of("v2")).await["uuid"].as_str().unwrap().to_owned();
    let own = format!("/api/storage/volumes/{second}/snapshots");
    bench.succeed(bench.post(&own, json!({ "name": "s" })).await).await;
    let snapshots =
        format!("/api/application/consistency-groups/{}/snapshots", group["uuid"].as_str().unwrap());
    let (_, job) = bench.job(&bench.post(&snapshots, json!({ "name": "s" })).await).await;
    assert_eq!(job["code"], 53_411_921, "{job}");
    let first = bench.one(&of("v1")).await["uuid"].as_str().unwrap().to_owned();
    let taken = bench.get(&format!("/api/storage/volumes/{first}/snapshots")).await;
    assert_eq!(taken["num_records"], 0, "{taken}");

    // A member's snapshot that goes by itself leaves the group's behind, in part.
    bench.succeed(bench.post(&snapshots, json!({ "name": "t" })).await).await;
    let member = bench.one(&format!("/api/storage/volumes/{first}/snapshots?name=t")).await;
    let member = format!("/api/storage/volumes/{first}/snapshots/{}", member["uuid"].as_str().unwrap());
    bench.succeed(bench.delete(&member).await).await;
    let left = bench.one(&format!("{snapshots}?name=t&fields=*")).await;
    assert_eq!((&left["is_partial"], &left["missing_volumes"][0]["name"]), (&json!(true), &json!("v1")));
    bench.sim.stop().await;
}
