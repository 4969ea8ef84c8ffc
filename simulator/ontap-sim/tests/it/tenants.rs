//! SVMs and LIFs over HTTPS: what is made, stopped, moved and deleted there is so on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::Bench;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;

async fn make_svm(bench: &Bench, name: &str) -> String {
    let body = json!({ "name": name, "aggregates": [{ "name": "aggr1" }], "comment": "c",
        "nfs": { "allowed": true, "enabled": true }, "iscsi": { "allowed": true, "enabled": true },
        "cifs": { "allowed": false } });
    bench.succeed(bench.post("/api/svm/svms", body).await).await;
    bench.one(&format!("/api/svm/svms?name={name}")).await["uuid"].as_str().unwrap().to_owned()
}

async fn make_lif(bench: &Bench, svm: &str, address: &str, policy: &str) -> String {
    let body = json!({ "name": format!("lif_{address}"), "svm.name": svm, "ip": { "address": address, "netmask": "255.255.255.0" },
        "location.home_node.name": "sim-02", "service_policy.name": policy });
    let made = bench.post("/api/network/ip/interfaces?return_records=true", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["records"][0]["uuid"].as_str().unwrap().to_owned()
}

async fn listens(address: SocketAddr) -> bool {
    timeout(Duration::from_secs(5), TcpStream::connect(address)).await.is_ok_and(|stream| stream.is_ok())
}

fn wire(bench: &Bench, last: u8) -> (SocketAddr, SocketAddr) {
    let planes = bench.sim.array().planes();
    let ip = std::net::IpAddr::from([127, 0, 0, last]);
    (
        SocketAddr::new(ip, planes.nfs_lifs()[0].address.port()),
        SocketAddr::new(ip, planes.portals()[0].address.port()),
    )
}

#[tokio::test]
async fn a_new_svm_serves_at_its_own_lifs_until_it_is_stopped_and_again_when_started() {
    let bench = Bench::start().await;
    let uuid = make_svm(&bench, "svm2").await;
    let svm = bench.get(&format!("/api/svm/svms/{uuid}")).await;
    assert_eq!(svm["aggregates"][0]["name"], "aggr1");
    assert_eq!(svm["cifs"]["allowed"], false);
    assert_eq!(svm["iscsi"]["_links"]["self"]["href"], format!("/api/protocols/san/iscsi/services/{uuid}"));
    assert_eq!(svm["fcp"].get("_links"), None);
    assert_eq!(bench.one("/api/storage/volumes?name=svm2_root&fields=nas.path").await["nas"]["path"], "/");
    let nfs_lif = make_lif(&bench, "svm2", "127.0.0.31", "default-data-files").await;
    make_lif(&bench, "svm2", "127.0.0.32", "default-data-blocks").await;
    let (nfs, iscsi) = (wire(&bench, 31).0, wire(&bench, 32).1);
    assert!(listens(nfs).await && listens(iscsi).await);

    let lif = format!("/api/network/ip/interfaces/{nfs_lif}");
    for (state, up) in [("stopped", false), ("running", true)] {
        let patched =
            bench.patch(&format!("/api/svm/svms/{uuid}?return_timeout=9"), json!({ "state": state })).await;
        assert_eq!(patched.status, 200, "{}", patched.body);
        assert_eq!(bench.get(&format!("/api/svm/svms/{uuid}")).await["state"], state);
        assert_eq!(bench.get(&lif).await["state"], if up { "up" } else { "down" });
        assert_eq!((listens(nfs).await, listens(iscsi).await), (up, up), "{state}");
    }
    // The first SVM never noticed.
    assert!(listens(wire(&bench, 1).0).await);
    bench.succeed(bench.delete(&format!("/api/svm/svms/{uuid}")).await).await;
    assert!(!listens(nfs).await && !listens(iscsi).await);
    assert_eq!(bench.get("/api/network/ip/interfaces?svm.name=svm2").await["num_records"], 0);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_lif_goes_up_down_to_another_address_and_away_and_the_wire_follows() {
    let bench = Bench::start().await;
    let uuid = make_lif(&bench, "svm1", "127.0.0.33", "default-data-files").await;
    let lif = format!("/api/network/ip/interfaces/{uuid}");
    let (first, second) = (wire(&bench, 33).0, wire(&bench, 34).0);
    assert!(listens(first).await);
    assert_eq!(bench.patch(&lif, json!({ "enabled": false })).await.status, 200);
    assert!(!listens(first).await);
    assert_eq!(bench.get(&lif).await["state"], "down");
    let moved = json!({ "enabled": "true", "ip": { "address": "127.0.0.34", "netmask": 24 } });
    assert_eq!(bench.patch(&lif, moved).await.status, 200);
    assert!(!listens(first).await && listens(second).await);
    assert_eq!(bench.delete(&lif).await.status, 200);
    assert!(!listens(second).await);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_lif_whose_address_this_host_has_not_is_there_and_down_and_the_log_says_why() {
    let bench = Bench::start().await;
    let uuid = make_lif(&bench, "svm1", "192.0.2.7", "default-data-files").await;
    let lif = bench.get(&format!("/api/network/ip/interfaces/{uuid}")).await;
    assert_eq!((&lif["state"], &lif["enabled"]), (&json!("down"), &json!(true)));
    let up = bench.get("/api/network/ip/interfaces?services=data_nfs&state=up").await;
    assert!(!up["records"].as_array().unwrap().iter().any(|record| record["uuid"] == uuid.as_str()));
    let (_, events) = bench.control_raw(Method::GET, "/sim/v1/events", None).await;
    assert!(events.contains("lif.down") && events.contains("192.0.2.7"), "{events}");
    bench.sim.stop().await;
}

#[tokio::test]
async fn names_and_addresses_in_use_and_nodes_ports_and_policies_unknown_are_refused() {
    let bench = Bench::start().await;
    make_lif(&bench, "svm1", "127.0.0.35", "default-data-files").await;
    let good =
        json!({ "name": "l", "svm": { "name": "svm1" }, "ip": { "address": "127.0.0.36", "netmask": "24" } });
    let before = bench.get("/api/network/ip/interfaces").await["num_records"].clone();
    for (path, value, status, code) in [
        ("/name", json!("lif_127.0.0.35"), 409, "1966140"),
        ("/ip/address", json!("127.0.0.35"), 409, "1376963"),
        ("/ip/address", json!("nonsense"), 400, "262197"),
        ("/ip/netmask", json!("33"), 400, "262197"),
        ("/svm/name", json!("nobody"), 404, "2621462"),
        ("/name", Value::Null, 400, "2"),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(path).unwrap() = value.clone();
        let refused = bench.post("/api/network/ip/interfaces", body).await;
        assert_eq!(
            (refused.status, refused.body["error"]["code"].as_str()),
            (status, Some(code)),
            "{path} {value}"
        );
    }
    assert_eq!(bench.get("/api/network/ip/interfaces").await["num_records"], before);
    bench.sim.stop().await;
}

#[tokio::test]
async fn an_svm_with_a_volume_stays_and_one_without_goes_with_everything_in_it() {
    let bench = Bench::start().await;
    let uuid = make_svm(&bench, "svm2").await;
    let volume = json!({ "name": "v", "svm.name": "svm2", "aggregates.name": ["aggr1"], "size": "20MB" });
    bench.succeed(bench.post("/api/storage/volumes", volume).await).await;
    let svm = format!("/api/svm/svms/{uuid}?return_timeout=9");
    let refused = bench.delete(&svm).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (409, &json!("8")));
    let taken = bench.patch(&svm, json!({ "aggregates": [{ "name": "aggr2" }] })).await;
    assert_eq!(taken.status, 409);
    assert_eq!(bench.delete("/api/storage/volumes?name=v&return_timeout=9").await.status, 200);
    let igroup = json!({ "name": "ig", "svm.name": "svm2", "os_type": "linux" });
    assert_eq!(bench.post("/api/protocols/san/igroups", igroup).await.status, 201);
    assert_eq!(bench.delete(&svm).await.status, 200);
    for path in ["svm/svms", "storage/volumes", "protocols/san/igroups", "protocols/nfs/export-policies"] {
        let body = bench.get(&format!("/api/{path}?fields=*")).await.to_string();
        assert!(!body.contains("svm2"), "{path}: {body}");
    }
    let again = json!({ "name": "svm1" });
    let refused = bench.post("/api/svm/svms?return_timeout=9", again).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (409, &json!("13434908")));
    bench.sim.stop().await;
}

#[tokio::test]
async fn an_iscsi_service_is_made_stopped_and_deleted_and_its_credentials_are_by_initiator() {
    let bench = Bench::start().await;
    let services = "/api/protocols/san/iscsi/services";
    let uuid = bench.one(&format!("{services}?svm.name=svm1")).await["svm"]["uuid"].clone();
    let service = format!("{services}/{}", uuid.as_str().unwrap());
    let twice = bench.post(services, json!({ "svm.name": "svm1" })).await;
    assert_eq!((twice.status, &twice.body["error"]["code"]), (409, &json!("5374077")));
    assert_eq!(bench.delete(&service).await.body["error"]["code"], "5374078");

    let credentials = "/api/protocols/san/iscsi/credentials";
    let record = json!({ "svm.name": "svm1", "initiator": "iqn.2026-11.example:A", "authentication_type": "chap",
        "chap": { "inbound": { "user": "u", "password": "s3cret-s3cret" } } });
    let made = bench.post(credentials, record.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(bench.post(credentials, record).await.status, 409);
    let location = made.location.unwrap();
    assert_eq!(bench.get(&location).await["chap"]["inbound"]["user"], "u");
    let denied = bench.patch(&location, json!({ "authentication_type": "deny" })).await;
    assert_eq!(denied.status, 200);
    assert_eq!(bench.get(&location).await["authentication_type"], "deny");
    assert_eq!(bench.delete(&location).await.status, 200);
    assert_eq!(bench.get(credentials).await["num_records"], 1);

    assert_eq!(bench.patch(&service, json!({ "enabled": false })).await.status, 200);
    assert_eq!(bench.get(&service).await["enabled"], false);
    assert_eq!(bench.delete(&service).await.status, 200);
    assert_eq!(bench.get(services).await["num_records"], 0);
    assert_eq!(
        bench.post(services, json!({ "svm": { "uuid": uuid }, "target.alias": "t" })).await.status,
        201
    );
    assert_eq!(bench.get(&service).await["target"]["alias"], "t");
    bench.sim.stop().await;
}

#[tokio::test]
async fn protocols_are_switched_with_their_svm_and_a_service_is_made_where_there_is_none() {
    let bench = Bench::start().await;
    let body = json!({ "name": "svm2", "aggregates": [{ "name": "aggr1" }] });
    bench.succeed(bench.post("/api/svm/svms", body).await).await;
    let svm = bench.one("/api/svm/svms?name=svm2").await["uuid"].as_str().unwrap().to_owned();
    assert_eq!(bench.get("/api/protocols/san/iscsi/services?svm.name=svm2").await["num_records"], 0);
    for enabled in [true, false] {
        let body = json!({ "nfs.enabled": enabled, "iscsi": { "enabled": enabled } });
        bench.succeed(bench.patch(&format!("/api/svm/svms/{svm}"), body).await).await;
        let shown = bench.get(&format!("/api/svm/svms/{svm}?fields=nfs,iscsi")).await;
        assert_eq!(
            (&shown["nfs"]["enabled"], &shown["iscsi"]["enabled"]),
            (&json!(enabled), &json!(enabled))
        );
        let service = bench.get(&format!("/api/protocols/san/iscsi/services/{svm}")).await;
        assert_eq!(service["enabled"], enabled);
    }
    let fibre = bench.patch(&format!("/api/svm/svms/{svm}"), json!({ "fcp.enabled": true })).await;
    assert_eq!(fibre.body["error"]["code"], "3", "{}", fibre.body);
    bench.sim.stop().await;
}
