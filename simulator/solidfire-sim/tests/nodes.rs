//! Nodes behind the cluster's addresses: logins that the SVIP sends on, followed by libiscsi, and the
//! API of each node.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's helpers fail the test")]

mod support;

use serde_json::{Value, json};
use tokio::process::Command;

use self::support::Bench;

const SECRET: &str = "initiator1234";

/// What a program of libiscsi says.
async fn libiscsi(program: &str, arguments: &[&str]) -> String {
    let path = format!("/usr/bin/{program}");
    let output = Command::new(&path).args(arguments).kill_on_drop(true).output().await;
    let output = output.expect("libiscsi-bin is missing; `cargo xtask test` installs it");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A cluster of two nodes with the account `tenant`, and volumes 1 and 2 of it.
async fn two_nodes() -> Bench {
    let bench = Bench::with(&["--node-address", "127.0.0.1:0,127.0.0.2:0"]).await;
    bench.call("AddAccount", json!({"username": "tenant", "initiatorSecret": SECRET})).await;
    for name in ["first", "second"] {
        bench
            .call(
                "CreateVolume",
                json!({"name": name, "accountID": 1, "totalSize": 1_000_000_000, "enable512e": true}),
            )
            .await;
    }
    bench
}

async fn volume(bench: &Bench, id: u64) -> Value {
    bench.call("ListVolumes", json!({"volumeIDs": [id]})).await["volumes"][0].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_svip_sends_each_login_to_the_node_of_its_volume() {
    let bench = two_nodes().await;
    let svip = bench.running.svip();
    let nodes: Vec<_> = bench.control("/sim/v1/state").await["nodes"].as_array().unwrap().clone();
    for (id, node) in [(1, &nodes[0]), (2, &nodes[1])] {
        let volume = volume(&bench, id).await;
        let iqn = volume["iqn"].as_str().unwrap();
        let url = format!("iscsi://tenant%{SECRET}@{svip}/{iqn}/0");
        let inquiry = libiscsi("iscsi-inq", &[&url]).await;
        assert!(inquiry.contains("Vendor:SolidFir") && inquiry.contains("Product:SSD SAN"), "{inquiry}");
        let serial = libiscsi("iscsi-inq", &[&url, "--evpd=1", "--pagecode", "128"]).await;
        assert!(serial.contains(volume["scsiEUIDeviceID"].as_str().unwrap()), "{serial}");
        let logins = bench.control("/sim/v1/events?kind=iscsi.login").await;
        let last = &logins.as_array().unwrap().last().unwrap()["fields"];
        assert_eq!((&last["target"], &last["portal"]), (&volume["iqn"], &node["sip"]), "{last}");
        let stats = bench.call("GetVolumeStats", json!({"volumeID": id})).await;
        assert_eq!(stats["volumeStats"]["metadataHosts"]["primary"], node["nodeID"]);
    }
    bench.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_names_the_svip_alone_and_only_the_accounts_volumes() {
    let bench = two_nodes().await;
    bench.call("AddAccount", json!({"username": "other"})).await;
    bench.call("CreateVolume", json!({"name": "alien", "accountID": 2, "totalSize": 1_000_000_000})).await;
    let svip = bench.running.svip();
    let found = libiscsi("iscsi-ls", &[&format!("iscsi://tenant%{SECRET}@{svip}")]).await;
    let mut expected = Vec::new();
    for id in [1, 2] {
        expected
            .push(format!("Target:{} Portal:{svip},1", volume(&bench, id).await["iqn"].as_str().unwrap()));
    }
    let mut found: Vec<_> = found.lines().map(str::trim_end).collect();
    // The program prints them in an order of its own.
    found.sort_unstable();
    assert_eq!(found, expected);
    bench.running.stop().await;
}

#[tokio::test]
async fn a_node_that_refuses_keeps_its_volumes_out_and_no_others() {
    let bench = two_nodes().await;
    let nodes = bench.control("/sim/v1/state").await["nodes"].take();
    let sip = |node: usize| nodes[node]["sip"].as_str().unwrap().to_owned();
    let url = format!("http://{}/sim/v1/portals/{}/fault", bench.running.control(), sip(0));
    let set = bench.client.put(url).json(&json!({"fault": "refuse"})).send().await.unwrap();
    assert!(set.status().is_success());
    assert!(tokio::net::TcpStream::connect(sip(0)).await.is_err());
    tokio::net::TcpStream::connect(sip(1)).await.unwrap();
    tokio::net::TcpStream::connect(bench.running.svip()).await.unwrap();
    bench.running.stop().await;
}

#[tokio::test]
async fn each_node_tells_of_itself_what_the_cluster_tells_of_it() {
    let bench = two_nodes().await;
    let listed = bench.call("ListAllNodes", json!({})).await;
    assert_eq!(listed["pendingNodes"], json!([]));
    let drives = bench.call("ListDrives", json!({})).await["drives"].take();
    let hardware = bench.call("GetClusterHardwareInfo", json!({})).await["clusterHardwareInfo"].take();
    for (index, endpoint) in bench.running.node_managements().into_iter().enumerate() {
        let node = &listed["nodes"][index];
        let config = bench.ask(endpoint, "GetConfig", json!({})).await["result"]["config"].take();
        assert_eq!(config["cluster"]["nodeID"], node["nodeID"]);
        assert_eq!(config["cluster"]["name"], node["name"]);
        assert_eq!(config["cluster"]["cluster"], "solidfire-sim");
        assert_eq!(config["network"]["Bond10G"]["address"], node["sip"]);
        let network = bench.ask(endpoint, "GetNetworkConfig", json!({})).await["result"]["network"].take();
        assert_eq!(network, config["network"]);
        let id = node["nodeID"].to_string();
        let own = bench.ask(endpoint, "GetHardwareInfo", json!({})).await["result"]["hardwareInfo"].take();
        assert_eq!(own, hardware["nodes"][&id]);
        let its = drives.as_array().unwrap().iter().filter(|drive| drive["nodeID"] == node["nodeID"]);
        assert_eq!(its.count(), 4);
        for quiet in ["GetPendingOperation", "GetBootstrapConfig", "GetClusterState", "ListTests", "GetAPI"] {
            assert!(bench.ask(endpoint, quiet, json!({})).await.get("result").is_some(), "{quiet}");
        }
        let bootstrap = bench.ask(endpoint, "GetBootstrapConfig", json!({})).await["result"].take();
        assert_eq!(bootstrap["mvip"], bench.running.management().ip().to_string());
    }
    assert_eq!(hardware["drives"].as_object().unwrap().len(), drives.as_array().unwrap().len());
    let state = bench.call("GetClusterState", json!({"force": true})).await;
    assert_eq!(state["nodes"][1]["result"]["state"], "Active");
    assert_eq!(bench.refused("GetClusterState", json!({})).await.0, "xMissingParameter");
    assert_eq!(bench.refused("GetNodeHardwareInfo", json!({"nodeID": 3})).await.0, "xNodeIDDoesNotExist");
    bench.running.stop().await;
}

#[tokio::test]
async fn a_node_knows_no_volumes_and_a_cluster_no_nodes_configuration() {
    let bench = Bench::new().await;
    let endpoint = *bench.running.node_managements().first().unwrap();
    let refused = bench.ask(endpoint, "ListAccounts", json!({})).await["error"].take();
    assert_eq!(
        (&refused["name"], &refused["message"]),
        (&json!("xUnknownAPIMethod"), &json!("method=ListAccounts"))
    );
    assert_eq!(bench.refused("GetConfig", json!({})).await.0, "xUnknownAPIMethod");
    bench.running.stop().await;
}

#[tokio::test]
async fn a_node_reaches_its_cluster_and_nothing_else() {
    let bench = two_nodes().await;
    let endpoint = *bench.running.node_managements().first().unwrap();
    let ping = bench.ask(endpoint, "TestPing", json!({"hosts": "127.0.0.2, 192.0.2.1", "attempts": 2})).await;
    let result = &ping["result"];
    assert_eq!(result["result"], "Failed");
    assert_eq!(result["details"]["127.0.0.2"]["individualStatus"], json!([true, true]));
    assert_eq!(result["details"]["192.0.2.1"]["successful"], false);
    assert_eq!(bench.ask(endpoint, "TestPing", json!({})).await["result"]["result"], "Passed");
    for (test, member) in [("TestConnectMvip", "mvip"), ("TestConnectSvip", "svip")] {
        let result = bench.ask(endpoint, test, json!({})).await["result"].take();
        assert_eq!(
            (&result["result"], &result["details"]["connected"]),
            (&json!("Passed"), &json!(true)),
            "{member}"
        );
        let elsewhere = bench.ask(endpoint, test, json!({member: "192.0.2.1"})).await["result"].take();
        assert_eq!(elsewhere["details"]["connected"], false);
    }
    let ensemble = bench.ask(endpoint, "TestConnectEnsemble", json!({})).await["result"].take();
    assert_eq!(ensemble["details"]["nodes"].as_object().unwrap().len(), 2);
    bench.running.stop().await;
}
