//! The levers over HTTP: each is pulled, and its effect is looked for where a client would see it.

use std::time::Duration;

use crate::support::Bench;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sim_front::Controlled as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(10);

async fn bench_with_lun() -> Bench {
    let bench = Bench::start().await;
    let volume = json!({ "name": "v", "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1GB", "nas.path": "/v" });
    assert_eq!(bench.post("/api/storage/volumes?return_timeout=9", volume).await.status, 201);
    let lun = json!({ "name": "/vol/v/lun0", "svm.name": "svm1", "os_type": "linux", "space.size": "10MB" });
    assert_eq!(bench.post("/api/storage/luns", lun).await.status, 201);
    bench
}

/// Pulls a lever that is there.
async fn pull(bench: &Bench, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = bench.control(method.clone(), path, Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{method} {path}: {answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_lun_are_kept_under_its_serial_and_a_wrong_one_is_refused_by_name() {
    let bench = bench_with_lun().await;
    let path = "/sim/v1/luns/faults?name=/vol/v/lun0";
    let faults = json!({ "medium_errors": [{ "first": 8, "last": 9, "access": "both" }], "offline": true });
    pull(&bench, Method::PUT, path, faults).await;
    let (_, kept) = bench.control(Method::GET, path, None).await;
    assert_eq!((&kept["offline"], &kept["medium_errors"][0]["last"]), (&json!(true), &json!(9)));
    let serial = bench.one("/api/storage/luns?fields=serial_number").await["serial_number"].clone();
    let lever = bench.sim.array().levers().lun(serial.as_str().unwrap());
    assert!(lever.faults().unwrap().offline);

    let attention = json!({ "asc": 0x2a, "ascq": 1 });
    pull(&bench, Method::POST, "/sim/v1/luns/attention?name=/vol/v/lun0", attention).await;
    assert_eq!(lever.attention_count(), 1);

    let (status, error) = bench.control(Method::PUT, path, Some(json!({ "offlien": true }))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(error["error"].as_str().unwrap().contains("offlien"), "{error}");
    let missing = "/sim/v1/luns/faults?name=/vol/v/lun9";
    let (status, error) = bench.control(Method::PUT, missing, Some(json!({}))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error["error"].as_str().unwrap().contains("/vol/v/lun0"), "{error}");
}

/// Whether somebody answers an NFS NULL call at `address`.
async fn nfs_answers(address: std::net::SocketAddr) -> bool {
    // Record mark, XID, CALL, RPC 2, program 100003, version 3, procedure 0, two AUTH_NONE.
    let words = [0x8000_0028_u32, 7, 0, 2, 100_003, 3, 0, 0, 0, 0, 0];
    let call: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(&call).await.ok()?;
        let mut reply = [0; 28];
        stream.read_exact(&mut reply).await.ok()
    };
    timeout(LONG, asked).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nfs_lif_that_refuses_and_a_stopped_service_answer_nobody_until_lifted() {
    let bench = bench_with_lun().await;
    let lif = bench.sim.array().planes().nfs_lifs()[0].address;
    assert!(nfs_answers(lif).await);
    let fault = format!("/sim/v1/portals/{lif}/fault");
    let service = "/sim/v1/nfs/svm1/faults";
    for (path, on, off) in [
        (fault.as_str(), json!({ "fault": "refuse" }), json!({ "fault": "none" })),
        (fault.as_str(), json!({ "fault": "reset" }), json!({ "fault": "none" })),
        (service, json!({ "stopped": true }), json!({})),
    ] {
        pull(&bench, Method::PUT, path, on.clone()).await;
        assert!(!nfs_answers(lif).await, "{path} {on}");
        pull(&bench, Method::PUT, path, off).await;
        let up = async {
            // The listener is opened again by its own task, a moment after the lever.
            while !nfs_answers(lif).await {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, up).await.unwrap_or_else(|_| panic!("{path} {on}: not back"));
    }
    let (status, error) = bench.control(Method::PUT, "/sim/v1/nfs/svm9/faults", Some(json!({}))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error["error"].as_str().unwrap().contains("svm1"), "{error}");
    for path in ["/sim/v1/nfs/svm1/restart", "/sim/v1/nfs/svm1/expire-leases"] {
        pull(&bench, Method::POST, path, json!({})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lif_that_migrates_stands_on_the_other_node_in_api_and_alua() {
    let bench = bench_with_lun().await;
    let portal = bench.sim.array().planes().portals()[0].clone();
    assert_eq!((portal.node.as_str(), portal.group.id), ("sim-01", 1));
    let path = format!("/sim/v1/portals/{}/migrate", portal.address);
    pull(&bench, Method::POST, &path, json!({ "node": "sim-02" })).await;
    let moved = bench.sim.array().planes().portals()[0].clone();
    assert_eq!((moved.node.as_str(), moved.group.id), ("sim-02", 2));
    assert_eq!(moved.group.relative_port, portal.group.relative_port);
    let lifs = bench.get("/api/network/ip/interfaces?services=data_iscsi&fields=location.node.name").await;
    let nodes: Vec<_> = lifs["records"].as_array().unwrap().iter().collect();
    assert!(nodes.iter().all(|lif| lif["location"]["node"]["name"] == "sim-02"), "{lifs}");
    let (status, error) = bench.control(Method::POST, &path, Some(json!({ "node": "sim-09" }))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error["error"].as_str().unwrap().contains("sim-02"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_the_unflushed_writes_of_an_armed_lun_and_leaves_the_flushed_ones() {
    let bench = bench_with_lun().await;
    pull(&bench, Method::PUT, "/sim/v1/power-cut", json!({})).await;
    let lun = bench.sim.array().read(|cluster| {
        let svm = cluster.find_svm_named("svm1").unwrap().id;
        cluster.find_lun_named(svm, "/vol/v/lun0").unwrap().id
    });
    let content = bench.sim.array().planes().find_content(lun).unwrap();
    content.write_at(0, b"kept").unwrap();
    content.flush().unwrap();
    content.write_at(0, b"lost").unwrap();
    pull(&bench, Method::POST, "/sim/v1/power-cut", json!({})).await;
    let mut bytes = [0; 4];
    content.read_at(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
    let (_, events) = bench.control(Method::GET, "/sim/v1/events", None).await;
    let cut = events.as_array().unwrap().iter().find(|event| event["kind"] == "power.cut").unwrap();
    assert_eq!(cut["fields"]["lost_writes"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_fault_comes_with_its_event_and_the_stream_tells_both() {
    let bench = bench_with_lun().await;
    let portal = bench.sim.array().planes().portals()[0].address;
    let trigger = json!({ "on": { "kind": "rest.call", "count": 2, "fields": { "path": "/api/cluster" } } });
    let action = json!({ "portal": { "address": portal, "fault": "refuse" } });
    let planned = json!({ "trigger": trigger, "action": action });
    assert_eq!(pull(&bench, Method::POST, "/sim/v1/schedule", planned).await["pending"], 1);
    let since = bench.sim.array().event_log().snapshot().len();
    let url = format!("http://{}/sim/v1/events/stream?since={since}", bench.sim.control());
    let mut stream = bench.client.get(url).send().await.unwrap();
    let fault = bench.sim.array().levers().watch_portal(portal);
    bench.get("/api/cluster").await;
    assert_eq!(*fault.borrow(), levers::PortalFault::None);
    bench.get("/api/cluster").await;
    assert_eq!(*fault.borrow(), levers::PortalFault::Refuse);
    let mut told = String::new();
    let both = async {
        while !told.contains("schedule.fired") {
            told.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    timeout(LONG, both).await.unwrap();
    assert_eq!(told.matches("rest.call").count(), 2, "{told}");
    for line in told.lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_step_mode_a_call_waits_for_its_step() {
    let bench = bench_with_lun().await;
    let lif = bench.sim.array().planes().nfs_lifs()[0].address;
    pull(&bench, Method::PUT, "/sim/v1/mode", json!({ "mode": "step" })).await;
    let call = tokio::spawn(nfs_answers(lif));
    let gate = bench.sim.array().levers().gate().clone();
    timeout(LONG, gate.await_waiting(1)).await.unwrap();
    assert!(!call.is_finished());
    pull(&bench, Method::POST, "/sim/v1/step", json!({ "count": 1 })).await;
    assert!(timeout(LONG, call).await.unwrap().unwrap());
    pull(&bench, Method::PUT, "/sim/v1/mode", json!({ "mode": "auto" })).await;
    assert!(nfs_answers(lif).await);
}
