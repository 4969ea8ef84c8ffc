//! Real HTTPS requests, in the forms that real clients use.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

mod support;

use reqwest::StatusCode;
use serde_json::{Value, json};

use self::support::Bench;

#[tokio::test]
async fn a_request_needs_no_content_type_and_its_id_may_be_anything() {
    let bench = Bench::new().await;
    for (id, echoed) in [(json!(7), json!(7)), (json!("x-1"), json!("x-1")), (Value::Null, Value::Null)] {
        let response = bench.post("/json-rpc/8.0", json!({"method": "GetAPI", "id": id}).to_string()).await;
        let envelope: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(envelope["id"], echoed);
    }
    let response = bench.post("/json-rpc/8.0", r#"{"method":"GetAPI"}"#).await;
    let envelope: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(envelope["id"], Value::Null);
    assert_eq!(envelope["result"]["currentVersion"], "12.8");
    bench.running.stop().await;
}

#[tokio::test]
async fn every_version_of_the_path_is_served_and_no_other() {
    let bench = Bench::new().await;
    let body = r#"{"method":"GetAPI"}"#;
    for path in ["/json-rpc/1.0", "/json-rpc/7.0", "/json-rpc/8.0/", "/json-rpc/12.3", "/json-rpc/12.8/"] {
        assert_eq!(bench.post(path, body).await.status(), StatusCode::OK, "{path}");
    }
    for path in ["/json-rpc/12.9", "/json-rpc/13.0", "/json-rpc/x", "/json-rpc", "/", "/json-rpc/8.0/more"] {
        assert_eq!(bench.post(path, body).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    bench.running.stop().await;
}

#[tokio::test]
async fn wrong_credentials_get_the_page_that_clients_look_for() {
    let bench = Bench::new().await;
    let request = bench.client.post(bench.url("/json-rpc/8.0")).body(r#"{"method":"GetAPI"}"#);
    for request in [request.try_clone().unwrap(), request.basic_auth("admin", Some("wrong"))] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(response.headers().contains_key("www-authenticate"));
        assert!(response.text().await.unwrap().contains("401 Unauthorized."));
    }
    bench.running.stop().await;
}

#[tokio::test]
async fn an_unknown_method_is_told_in_the_words_that_ansible_greps() {
    let bench = Bench::new().await;
    let refused = bench.refused("ListDriveHardware", json!({})).await;
    assert_eq!(refused, ("xUnknownAPIMethod".into(), "method=ListDriveHardware".into()));
    bench.running.stop().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_not_a_crash() {
    let bench = Bench::new().await;
    for body in ["", "{", "[]", "7", "null", r#"{"method":7}"#, r#"{"method":"GetAPI","params":[1]}"#] {
        let response = bench.post("/json-rpc/8.0", body).await;
        assert_eq!(response.status(), StatusCode::OK, "{body}");
        let envelope: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(envelope["error"]["code"], 500, "{body}");
    }
    bench.running.stop().await;
}

#[tokio::test]
async fn a_missing_parameter_is_named() {
    let bench = Bench::new().await;
    for (method, given, member) in [
        ("GetAccountByName", json!({}), "username"),
        ("CreateVolume", json!({"name": "v", "accountID": 1}), "totalSize"),
        ("CreateVolume", json!({"accountID": 1, "totalSize": 1_000_000_000}), "name"),
        ("CreateVolume", json!({"name": "v", "accountID": null, "totalSize": 1_000_000_000}), "accountID"),
        ("DeleteVolume", json!({}), "volumeID"),
        ("ListVolumesForAccount", json!({}), "accountID"),
    ] {
        let refused = bench.refused(method, given).await;
        assert_eq!(refused, ("xMissingParameter".into(), format!("Missing member=[{member}]")), "{method}");
    }
    bench.running.stop().await;
}

#[tokio::test]
async fn a_volume_has_every_field_and_no_null_where_clients_want_text() {
    let bench = Bench::new().await;
    bench.call("AddAccount", json!({"username": "tenant"})).await;
    let params = json!({
        "name": "vol-a", "accountID": 1, "totalSize": 10_000_000_000_u64, "enable512e": true,
        "qos": {"minIOPS": 1000, "maxIOPS": 2000, "burstIOPS": 4000}, "attributes": {"fstype": "ext4"},
    });
    let created = bench.call("CreateVolume", params).await;
    assert_eq!(created["volumeID"], 1);
    assert_eq!(created["curve"]["1048576"], 15_000);
    let volume = &created["volume"];
    let expected = json!({
        "volumeID": 1, "name": "vol-a", "accountID": 1, "status": "active", "access": "readWrite",
        "enable512e": true, "deleteTime": "", "purgeTime": "", "sliceCount": 1, "totalSize": 10_000_269_312_u64,
        "blockSize": 4096, "virtualVolumeID": null, "qosPolicyID": null, "volumeAccessGroups": [],
        "volumePairs": [], "attributes": {"fstype": "ext4"}, "currentProtectionScheme": "doubleHelix",
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&volume[member], value, "{member}");
    }
    assert_eq!(volume["qos"]["minIOPS"], 1000);
    assert_eq!(volume["qos"]["burstTime"], 60);
    assert_eq!(volume["qos"]["curve"]["4096"], 100);
    let unique_id = bench.call("GetClusterInfo", json!({})).await["clusterInfo"]["uniqueID"].take();
    let unique_id = unique_id.as_str().unwrap();
    assert_eq!(volume["iqn"], format!("iqn.2010-01.com.solidfire:{unique_id}.vol-a.1"));
    let hexadecimal: String = unique_id.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(volume["scsiNAADeviceID"], format!("6f47acc100000000{hexadecimal}00000001"));
    assert_eq!(volume["scsiEUIDeviceID"], format!("{hexadecimal}00000001f47acc0100000000"));
    let time = volume["createTime"].as_str().unwrap();
    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    bench.running.stop().await;
}

#[tokio::test]
async fn an_account_shows_both_secrets_and_its_volumes() {
    let bench = Bench::new().await;
    let given = json!({"username": "tenant", "initiatorSecret": "initiator123456", "attributes": null});
    let added = bench.call("AddAccount", given).await;
    assert_eq!(added["accountID"], 1);
    bench.call("CreateVolume", json!({"name": "v", "accountID": 1, "totalSize": 1_000_000_000})).await;
    for (method, params) in
        [("GetAccountByName", json!({"username": "tenant"})), ("GetAccountByID", json!({"accountID": "1"}))]
    {
        let account = bench.call(method, params).await["account"].take();
        assert_eq!(account["initiatorSecret"], "initiator123456");
        assert_eq!(account["targetSecret"].as_str().unwrap().len(), 16);
        assert_eq!(account["volumes"], json!([1]));
        assert_eq!(account["status"], "active");
        assert_eq!(account["attributes"], json!({}));
    }
    bench.running.stop().await;
}

#[tokio::test]
async fn unknown_parameters_are_reported_and_sloppy_ones_understood() {
    let bench = Bench::new().await;
    bench.call("AddAccount", json!({"username": "tenant"})).await;
    let sloppy = json!({
        "name": "v", "accountID": "1", "totalSize": "1000000000", "enable512e": "true", "sliceCount": 1,
        "attributes": null, "qos": null, "qosPolicyID": null,
    });
    let envelope = bench.envelope("CreateVolume", sloppy).await;
    assert_eq!(envelope["unusedParameters"], json!({"sliceCount": 1}));
    assert_eq!(envelope["result"]["volume"]["enable512e"], true);
    let envelope =
        bench.envelope("ListVolumes", json!({"accounts": [], "startVolumeID": "1", "limit": 0})).await;
    assert_eq!(envelope["result"]["volumes"].as_array().unwrap().len(), 1);
    assert!(envelope.get("unusedParameters").is_none());
    bench.running.stop().await;
}

#[tokio::test]
async fn the_get_form_takes_its_parameters_from_the_query() {
    let bench = Bench::new().await;
    bench.call("AddAccount", json!({"username": "tenant"})).await;
    let url = bench.url("/json-rpc/8.0?method=GetAccountByID&accountID=1");
    let response = bench.client.get(url).basic_auth("admin", Some("admin")).send().await.unwrap();
    let envelope: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(envelope["result"]["account"]["username"], "tenant");
    bench.running.stop().await;
}

#[tokio::test]
async fn the_life_of_a_volume_from_creation_to_purge() {
    let bench = Bench::new().await;
    bench.call("AddAccount", json!({"username": "tenant"})).await;
    bench.call("CreateVolume", json!({"name": "v", "accountID": 1, "totalSize": 1_000_000_000})).await;
    let id = json!({"volumeID": 1});
    let grown = bench.call("ModifyVolume", json!({"volumeID": 1, "totalSize": 2_000_000_000_u64})).await;
    assert_eq!(grown["volume"]["totalSize"], 2_000_683_008_u64);
    let (name, message) =
        bench.refused("ModifyVolume", json!({"volumeID": 1, "totalSize": 1_000_000_000})).await;
    assert_eq!(
        (name.as_str(), message.as_str()),
        ("xVolumeShrinkProhibited", "Lowering a volume size is not allowed.")
    );
    let stats = bench.call("GetVolumeStats", id.clone()).await;
    assert_eq!(stats["volumeStats"]["volumeSize"], 2_000_683_008_u64);
    let deleted = bench.call("DeleteVolume", id.clone()).await;
    assert_eq!(deleted["volume"]["status"], "deleted");
    assert_ne!(deleted["volume"]["purgeTime"], "");
    assert_eq!(bench.call("ListActiveVolumes", json!({})).await["volumes"], json!([]));
    assert_eq!(bench.call("ListDeletedVolumes", json!({})).await["volumes"][0]["volumeID"], 1);
    let both = bench.call("ListVolumesForAccount", json!({"accountID": 1})).await;
    assert_eq!(both["volumes"][0]["status"], "deleted", "deleted volumes are listed for their account");
    let restored = bench.call("RestoreDeletedVolume", id.clone()).await;
    assert_eq!(restored["volume"]["deleteTime"], "");
    bench.call("DeleteVolume", id.clone()).await;
    bench.call("PurgeDeletedVolume", id.clone()).await;
    let gone = bench.refused("GetVolumeStats", id).await;
    assert_eq!(gone, ("xVolumeIDDoesNotExist".into(), "VolumeID 1 does not exist.".into()));
    bench.running.stop().await;
}

#[tokio::test]
async fn the_cluster_tells_who_it_is_and_what_it_can() {
    let bench = Bench::new().await;
    let info = bench.call("GetClusterInfo", json!({})).await["clusterInfo"].take();
    assert_eq!(info["mvip"], "127.0.0.1");
    assert_eq!(info["uniqueID"].as_str().unwrap().len(), 4);
    assert_eq!(bench.call("GetLimits", json!({})).await["volumeSizeMax"], 17_592_186_044_416_u64);
    assert_eq!(bench.call("GetDefaultQoS", json!({})).await["burstIOPS"], 15_000);
    assert_eq!(bench.call("GetClusterVersionInfo", json!({})).await["clusterAPIVersion"], "12.8");
    let hardware = bench.call("GetClusterHardwareInfo", json!({"type": "nodes"})).await;
    assert!(!hardware["clusterHardwareInfo"]["nodes"]["1"]["serial"].as_str().unwrap().is_empty());
    assert!(hardware["clusterHardwareInfo"].get("drives").is_none());
    bench.call("AddAccount", json!({"username": "tenant"})).await;
    bench.call("CreateVolume", json!({"name": "v", "accountID": 1, "totalSize": 1_000_000_000})).await;
    let capacity = bench.call("GetClusterCapacity", json!({})).await["clusterCapacity"].take();
    assert_eq!(capacity["provisionedSpace"], 1_000_341_504);
    assert_eq!(capacity["usedSpace"], 0);
    bench.running.stop().await;
}

#[tokio::test]
async fn the_control_endpoint_shows_calls_volumes_and_digests_but_no_secret() {
    let bench = Bench::new().await;
    let added = bench.call("AddAccount", json!({"username": "tenant"})).await;
    bench.call("CreateVolume", json!({"name": "v", "accountID": 1, "totalSize": 1_000_000_000})).await;
    let events = bench.control("/sim/v1/events?since=0").await.to_string();
    assert!(events.contains("CreateVolume"), "{events}");
    let state = bench.control("/sim/v1/state").await;
    assert_eq!(state["volumes"][0]["name"], "v");
    for secret in ["initiatorSecret", "targetSecret"] {
        let secret = added["account"][secret].as_str().unwrap();
        assert!(!events.contains(secret) && !state.to_string().contains(secret));
    }
    // SHA-256 of 1 000 341 504 zero bytes.
    let digest = json!({
        "sha256": "464158b7ae396453979b0ec1727f5828727a2d772674c54b6a185184a196e3b9",
        "bytes": 1_000_341_504,
    });
    assert_eq!(bench.control("/sim/v1/luns/digest?name=v").await, digest);
    assert_eq!(bench.control("/sim/v1/luns/digest?name=1").await, digest);
    bench.call("CreateVolume", json!({"name": "v", "accountID": 1, "totalSize": 1_000_000_000})).await;
    let ambiguous = bench.control("/sim/v1/luns/digest?name=v").await;
    assert!(ambiguous["error"].as_str().unwrap().contains("1, 2"), "{ambiguous}");
    bench.running.stop().await;
}

#[tokio::test]
async fn a_refusing_svip_accepts_nobody_until_the_fault_is_lifted() {
    let bench = Bench::new().await;
    let svip = bench.running.svip();
    let set = async |address: &str, fault: &str| {
        let url = format!("http://{}/sim/v1/portals/{address}/fault", bench.running.control());
        bench.client.put(url).json(&json!({"fault": fault})).send().await.unwrap().status()
    };
    tokio::net::TcpStream::connect(svip).await.unwrap();
    assert_eq!(set("127.0.0.1", "refuse").await, StatusCode::OK);
    let refused = tokio::net::TcpStream::connect(svip).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(set(&svip.to_string(), "none").await, StatusCode::OK);
    tokio::net::TcpStream::connect(svip).await.unwrap();
    assert_eq!(set("192.0.2.1", "refuse").await, StatusCode::NOT_FOUND);
    bench.running.stop().await;
}

#[tokio::test]
async fn rules_make_methods_fail_by_name_and_new_volumes_appear_late() {
    let bench = Bench::new().await;
    let rules = format!("http://{}/sim/v1/api/faults", bench.running.control());
    let rule = async |rule: Value| {
        let response = bench.client.post(&rules).body(rule.to_string()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    };
    let account = bench.call("AddAccount", json!({"username": "tenant"})).await["accountID"].clone();
    let volume =
        json!({"name": "v", "accountID": account, "totalSize": 1_000_000_000_i64, "enable512e": true});
    rule(json!({"operation": "CreateVolume", "count": 1, "fault": {"refuse": {"status": 503}}})).await;
    bench.call("ListVolumes", json!({})).await;
    let body = json!({"method": "CreateVolume", "params": volume}).to_string();
    assert_eq!(bench.post("/json-rpc/12.5", body).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    rule(
        json!({"operation": "Create*", "count": 1, "fault": {"half_done": {"message": "lost the database"}}}),
    )
    .await;
    assert_eq!(bench.refused("CreateVolume", volume.clone()).await.1, "lost the database");
    let listed = async || bench.call("ListVolumes", json!({})).await["volumes"].as_array().unwrap().len();
    assert_eq!(listed().await, 1);
    rule(json!({"fault": {"appear_late": {}}})).await;
    rule(json!({"fault": {"disappear_late": {}}})).await;
    bench.call("CreateVolume", volume).await;
    assert_eq!(listed().await, 1);
    bench.call("DeleteVolume", json!({"volumeID": 1})).await;
    let active = bench.call("ListActiveVolumes", json!({})).await;
    assert_eq!(active["volumes"][0]["volumeID"], 1);
    assert_eq!(bench.client.delete(&rules).send().await.unwrap().status(), StatusCode::OK);
    let active = bench.call("ListActiveVolumes", json!({})).await;
    assert_eq!(active["volumes"][0]["volumeID"], 2);
    bench.running.stop().await;
}
