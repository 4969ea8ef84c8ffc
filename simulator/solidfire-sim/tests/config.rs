//! What a file declares is there when the cluster is ready, and stays as clients left it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::path::Path;

use clap::Parser as _;
use reqwest::Client;
use serde_json::{Value, json};
use solidfire_sim::{Arguments, LaunchError, Running, start};

const LAB: &str = "
cluster:
  name: lab
admins:
  - {username: ops, password: secret-of-ops}
accounts:
  - {username: tenant, initiatorSecret: initiator-sec, targetSecret: target-secret}
volumes:
  - {name: data, account: tenant, totalSize: 2000000000}
";

async fn launch(place: &Path, text: &str) -> Result<Running, LaunchError> {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let (file, data) = (place.join("lab.yaml"), place.join("data"));
    std::fs::write(&file, text).unwrap();
    let flags = ["solidfire-sim", "--config", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    start(Arguments::parse_from(flags)).await
}

async fn call(running: &Running, method: &str, params: Value) -> Value {
    let ca = reqwest::Certificate::from_pem(running.ca_pem().as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
    let url = format!("https://{}/json-rpc/12.5", running.management());
    let body = json!({ "method": method, "params": params }).to_string();
    // One whom the file declares.
    let request = client.post(url).basic_auth("ops", Some("secret-of-ops")).body(body);
    let mut envelope: Value =
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
    assert!(envelope.get("error").is_none(), "{method}: {envelope}");
    envelope["result"].take()
}

#[tokio::test]
async fn a_declared_cluster_is_made_once_and_then_stays_as_clients_left_it() {
    let place = tempfile::tempdir().unwrap();
    let running = launch(place.path(), LAB).await.unwrap();
    assert_eq!(call(&running, "GetClusterInfo", json!({})).await["clusterInfo"]["name"], "lab");
    let volumes = call(&running, "ListVolumes", json!({})).await;
    assert_eq!(volumes["volumes"][0]["name"], "data");
    call(&running, "ModifyVolume", json!({"volumeID": 1, "totalSize": 3_000_000_000_i64})).await;
    call(&running, "AddAccount", json!({"username": "other"})).await;
    let left = call(&running, "ListVolumes", json!({})).await;
    running.stop().await;
    let running = launch(place.path(), LAB).await.unwrap();
    assert_eq!(call(&running, "ListVolumes", json!({})).await, left);
    assert_eq!(call(&running, "ListAccounts", json!({})).await["accounts"].as_array().unwrap().len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn a_cluster_that_the_file_declares_wrongly_does_not_start_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let error = launch(place.path(), &LAB.replace("2000000000", "7")).await.unwrap_err().to_string();
    assert!(error.contains("lab.yaml: line 9, column"), "{error}");
    assert!(error.contains("volumes[0].totalSize: totalSize 7 is not in"), "{error}");
    let running = launch(place.path(), LAB).await.unwrap();
    assert_eq!(call(&running, "ListVolumes", json!({})).await["volumes"].as_array().unwrap().len(), 1);
    running.stop().await;
}
