//! The call sequences of the incumbent's ONTAP drivers, call for call, over real TLS: what they send, the
//! status codes they accept and the fields they read.

use crate::support::Bench;
use reqwest::Method;
use serde_json::{Value, json};

const IQN: &str = "iqn.2026-11.example:node-a";

/// Backend start of every driver: cluster, SVM, node serials, aggregates, LIFs, credentials.
async fn initialise(bench: &Bench) -> String {
    let cluster = bench.get("/api/cluster?fields=**").await;
    assert_eq!(
        (&cluster["version"]["generation"], &cluster["version"]["major"], &cluster["version"]["minor"]),
        (&json!(9), &json!(15), &json!(1))
    );
    let svm = bench.one("/api/svm/svms?name=svm1&fields=").await;
    let uuid = svm["uuid"].as_str().unwrap().to_owned();
    let nodes = bench.get("/api/cluster/nodes?name=*&fields=serial_number").await;
    assert!(nodes["records"].as_array().unwrap().iter().all(|node| node["serial_number"] != ""));
    let instance = bench.get(&format!("/api/svm/svms/{uuid}")).await;
    assert_eq!(instance["state"], "running");
    assert_eq!(instance["aggregates"][0]["name"], "aggr1");
    let media = bench.get("/api/storage/aggregates?name=*&fields=block_storage.primary.disk_type").await;
    assert_eq!(media["records"][0]["block_storage"]["primary"]["disk_type"], "ssd");
    assert_eq!(media["records"][1]["block_storage"]["primary"]["disk_type"], "hdd");
    for service in ["data_nfs", "data_iscsi"] {
        let path = format!(
            "/api/network/ip/interfaces?svm.uuid={uuid}&services={service}&fields=ip.address%2Cstate"
        );
        let lifs = bench.get(&path).await;
        for lif in lifs["records"].as_array().unwrap() {
            assert_eq!(lif["state"], "up");
            assert!(lif["ip"]["address"].as_str().unwrap().starts_with("127.0.0."));
        }
        assert_eq!(lifs["num_records"], if service == "data_nfs" { 1 } else { 2 });
    }
    let heartbeat = json!({ "app_version": "26.06", "autosupport_required": false, "category": "heartbeat",
        "computer_name": "c", "event_description": "d", "event_id": 1, "event_source": "s", "severity": "notice" });
    let filed = bench.post("/api/support/ems/application-logs?return_records=true", heartbeat).await;
    assert_eq!(filed.status, 201);
    uuid
}

async fn create_volume(bench: &Bench, svm: &str, name: &str, size: u64) -> String {
    assert_eq!(bench.get(&find_volume(svm, name, "")).await["num_records"], 0);
    let body = json!({
        "name": name, "size": size, "style": "flexvol", "state": "online", "comment": "{\"provisioning\":{}}",
        "aggregates": [{ "name": "aggr1" }], "guarantee": { "type": "none" }, "snapshot_policy": { "name": "none" },
        "space": { "snapshot": { "reserve_percent": 0 } }, "svm": { "uuid": svm }, "encryption": { "enabled": false },
        "nas": { "security_style": "unix", "unix_permissions": 777, "export_policy": { "name": "default" } },
        "tiering": { "policy": "none" },
    });
    bench.succeed(bench.post("/api/storage/volumes", body).await).await;
    let volume = bench.one(&find_volume(svm, name, "type%2Csize%2Cnas%2Cstate")).await;
    assert_eq!((&volume["size"], &volume["nas"]["unix_permissions"]), (&json!(size), &json!(777)));
    volume["uuid"].as_str().unwrap().to_owned()
}

fn find_volume(svm: &str, name: &str, fields: &str) -> String {
    format!("/api/storage/volumes?svm.uuid={svm}&name={name}&style=flexvol&fields={fields}")
}

#[tokio::test(flavor = "multi_thread")]
async fn ontap_nas_creates_publishes_unpublishes_and_deletes() {
    let bench = Bench::start().await;
    let svm = initialise(&bench).await;
    // create
    let uuid = create_volume(&bench, &svm, "trident_pvc_1", 1 << 30).await;
    let volume = format!("/api/storage/volumes/{uuid}");
    bench.succeed(bench.patch(&volume, json!({ "snapshot_directory_access_enabled": false })).await).await;
    bench.succeed(bench.patch(&volume, json!({ "nas": { "path": "/trident_pvc_1" } })).await).await;
    let shown = bench.one(&find_volume(&svm, "trident_pvc_1", "nas.path")).await;
    assert_eq!(shown["nas"], json!({ "path": "/trident_pvc_1" }));
    // publish, with a policy of the volume's own
    let policies = "/api/protocols/nfs/export-policies";
    assert_eq!(bench.get(&format!("{policies}?svm.uuid={svm}&name=own&fields=")).await["num_records"], 0);
    let made = bench.post(policies, json!({ "name": "own", "svm": { "uuid": svm } })).await;
    assert_eq!((made.status, made.body), (201, json!({})));
    let again = bench.post(policies, json!({ "name": "own", "svm": { "uuid": svm } })).await;
    assert_eq!((again.status, &again.body["error"]["code"]), (409, &json!("1")));
    let id = bench.one(&format!("{policies}?svm.uuid={svm}&name=own&fields=")).await["id"].as_i64().unwrap();
    let rules = format!("{policies}/{id}/rules");
    let rule = json!({ "clients": [{ "match": "10.0.0.7" }], "protocols": ["nfs"], "ro_rule": ["any"],
        "rw_rule": ["any"], "superuser": ["any"] });
    assert_eq!(bench.post(&rules, rule.clone()).await.status, 201);
    let twice = bench.post(&rules, rule).await;
    assert_eq!((twice.status, &twice.body["error"]["code"]), (409, &json!("1704070")));
    let listed = bench.one(&format!("{rules}?fields=clients")).await;
    assert_eq!((&listed["index"], &listed["clients"][0]["match"]), (&json!(1), &json!("10.0.0.7")));
    let policy = |name: &str| json!({ "nas": { "export_policy": { "name": name } } });
    bench.succeed(bench.patch(&volume, policy("own")).await).await;
    let (state, job) = bench.job(&bench.patch(&volume, policy("nowhere")).await).await;
    assert_eq!((state.as_str(), &job["code"]), ("failure", &json!(1_703_954)));
    let in_use = bench.delete(&format!("{policies}/{id}")).await;
    assert_eq!((in_use.status, &in_use.body["error"]["code"]), (409, &json!("1703945")));
    // unpublish
    assert_eq!(bench.delete(&format!("{rules}/1")).await.status, 200);
    assert_eq!(bench.delete(&format!("{rules}/1")).await.body["error"]["code"], "4");
    bench.succeed(bench.patch(&volume, policy("default")).await).await;
    assert_eq!(bench.delete(&format!("{policies}/{id}")).await.status, 200);
    // resize, delete: mounted and online as it is
    bench.succeed(bench.patch(&volume, json!({ "size": 2_u64 << 30 })).await).await;
    bench.succeed(bench.delete(&format!("{volume}?force=true")).await).await;
    assert_eq!(bench.get(&find_volume(&svm, "trident_pvc_1", "")).await["num_records"], 0);
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ontap_san_creates_publishes_unpublishes_and_deletes() {
    let bench = Bench::start().await;
    let svm = initialise(&bench).await;
    let credentials = format!(
        "/api/protocols/san/iscsi/credentials?svm.uuid={svm}&initiator=default&return_records=true\
         &fields=svm.name,chap.inbound.user,chap.outbound.user,initiator,authentication_type"
    );
    assert_eq!(bench.one(&credentials).await["authentication_type"], "none");
    // create
    let volume = create_volume(&bench, &svm, "pvc_a", 1_200_000_000).await;
    let path = "/vol/pvc_a/lun0";
    let luns = format!("/api/storage/luns?svm.uuid={svm}&name={path}");
    assert_eq!(bench.get(&luns).await["num_records"], 0);
    let body = json!({ "name": path, "os_type": "linux", "svm": { "uuid": svm }, "space": { "size": 1_u64 << 30,
        "guarantee": { "requested": false }, "scsi_thin_provisioning_support_enabled": true } });
    let made = bench.post("/api/storage/luns?return_records=true", body).await;
    assert_eq!((made.status, &made.body["num_records"]), (201, &json!(1)));
    let lun = made.body["records"][0]["uuid"].as_str().unwrap().to_owned();
    assert_eq!(made.location, Some(format!("/api/storage/luns/{lun}")));
    for (name, value) in [("com.netapp.ndvp.fstype", "ext4"), ("context", "csi"), ("LUKS", "false")] {
        let attributes = format!("/api/storage/luns/{lun}/attributes");
        assert_eq!(bench.post(&attributes, json!({ "name": name, "value": value })).await.status, 201);
    }
    let noted = bench.one(&format!("{luns}&fields=attributes.name%2Cattributes.value")).await;
    assert_eq!(noted["attributes"][0], json!({ "name": "com.netapp.ndvp.fstype", "value": "ext4" }));
    publish(&bench, &svm, path).await;
    let shown = bench
        .one(&format!(
            "{luns}&fields=lun_maps.igroup.name,lun_maps.logical_unit_number,serial_number,status.mapped"
        ))
        .await;
    assert_eq!(shown["lun_maps"][0]["logical_unit_number"], 0);
    assert_eq!(shown["serial_number"].as_str().map(str::len), Some(12));
    // while it is mapped neither LUN nor volume go
    let refused = bench.delete(&format!("/api/storage/luns/{lun}")).await;
    assert_eq!((refused.status, &refused.body["error"]["code"]), (409, &json!("1254197")));
    let (state, _) = bench.job(&bench.delete(&format!("/api/storage/volumes/{volume}")).await).await;
    assert_eq!(state, "failure");
    unpublish(&bench, &svm, path).await;
    assert_eq!(bench.delete(&format!("/api/storage/luns/{lun}")).await.status, 200);
    bench.succeed(bench.delete(&format!("/api/storage/volumes/{volume}")).await).await;
    bench.sim.stop().await;
}

async fn publish(bench: &Bench, svm: &str, path: &str) {
    let igroups = "/api/protocols/san/igroups";
    assert_eq!(bench.get(&format!("{igroups}?svm.uuid={svm}&name=node-a-1&fields=")).await["num_records"], 0);
    let igroup =
        json!({ "name": "node-a-1", "protocol": "iscsi", "os_type": "linux", "svm": { "uuid": svm } });
    let made = bench.post(&format!("{igroups}?return_records=true"), igroup.clone()).await;
    assert_eq!((made.status, &made.body["num_records"]), (201, &json!(1)));
    assert_eq!(bench.post(igroups, igroup).await.status, 409);
    let uuid = made.body["records"][0]["uuid"].as_str().unwrap();
    let initiators = format!("{igroups}/{uuid}/initiators");
    assert_eq!(bench.post(&initiators, json!({ "name": IQN })).await.status, 201);
    let twice = bench.post(&initiators, json!({ "records": [{ "name": IQN }] })).await;
    assert_eq!((twice.status, &twice.body["error"]["code"]), (409, &json!("5374035")));
    let maps = "/api/protocols/san/lun-maps";
    let find = format!(
        "{maps}?svm.uuid={svm}&lun.name={path}&igroup.name=node-a-1&fields=svm,lun,igroup,logical-unit-number"
    );
    assert_eq!(bench.get(&find).await["num_records"], 0);
    let map = json!({ "lun": { "name": path }, "igroup": { "name": "node-a-1" }, "svm": { "uuid": svm } });
    let mapped = bench.post(&format!("{maps}?return_records=true"), map.clone()).await;
    assert_eq!((mapped.status, &mapped.body["records"][0]["logical_unit_number"]), (201, &json!(0)));
    assert_eq!(bench.post(maps, map).await.body["error"]["code"], "1254207");
    let found = bench.one(&find).await;
    let (lun, igroup) = (&found["lun"]["uuid"], &found["igroup"]["uuid"]);
    let nodes = format!("{maps}/{}/{}/reporting-nodes", lun.as_str().unwrap(), igroup.as_str().unwrap());
    let reporting = bench.get(&nodes).await;
    let lifs = bench
        .get("/api/network/ip/interfaces?services=data_iscsi&fields=location.node.name,ip.address")
        .await;
    let names = |value: &Value, pointer: &str| -> Vec<String> {
        let records = value["records"].as_array().unwrap().iter();
        records.map(|record| record.pointer(pointer).unwrap().as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&reporting, "/name"), names(&lifs, "/location/node/name"));
    let service = bench.get(&format!("/api/protocols/san/iscsi/services/{svm}?fields=target.name")).await;
    let target = service["target"]["name"].as_str().unwrap();
    assert_eq!(target, format!("iqn.1992-08.com.netapp:sn.{}:vs.2", svm.replace('-', "")));
}

async fn unpublish(bench: &Bench, svm: &str, path: &str) {
    let find = format!("/api/protocols/san/lun-maps?svm.uuid={svm}&lun.name={path}&igroup.name=*&fields=");
    let map = bench.one(&find).await;
    let (lun, igroup) = (map["lun"]["uuid"].as_str().unwrap(), map["igroup"]["uuid"].as_str().unwrap());
    let place = format!("/api/protocols/san/lun-maps/{lun}/{igroup}");
    let still = bench.delete(&format!("/api/protocols/san/igroups/{igroup}")).await;
    assert_eq!((still.status, &still.body["error"]["code"]), (409, &json!("1254213")));
    assert_eq!(bench.delete(&place).await.status, 200);
    let gone = bench.delete(&place).await;
    assert_eq!((gone.status, &gone.body["error"]["code"]), (404, &json!("5374922")));
    let initiator = format!("/api/protocols/san/igroups/{igroup}/initiators/{}", IQN.replace(':', "%3A"));
    assert_eq!(bench.delete(&initiator).await.status, 200);
    assert_eq!(bench.delete(&format!("/api/protocols/san/igroups/{igroup}")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn chap_is_set_in_any_case_and_its_password_never_shown() {
    let bench = Bench::start().await;
    let svm = bench.one("/api/svm/svms?name=svm1").await["uuid"].as_str().unwrap().to_owned();
    let record = format!("/api/protocols/san/iscsi/credentials/{svm}/default");
    let chap = json!({ "authentication_type": "CHAP", "chap": {
        "inbound": { "user": "u", "password": "secret-in-123" }, "outbound": { "user": "t", "password": "secret-out-12" } } });
    assert_eq!(bench.patch(&record, chap).await.status, 200);
    let shown = bench.get(&format!("{record}?fields=**")).await;
    assert_eq!(
        (&shown["authentication_type"], &shown["chap"]["inbound"]),
        (&json!("chap"), &json!({ "user": "u" }))
    );
    let (_, state) = bench.control(Method::GET, "/sim/v1/state", None).await;
    let (_, events) = bench.control(Method::GET, "/sim/v1/events", None).await;
    assert!(!format!("{shown}{state}{events}").contains("secret-"));
    let same =
        json!({ "authentication_type": "chap", "chap": { "outbound": { "password": "secret-in-123" } } });
    assert_eq!(bench.patch(&record, same).await.body["error"]["code"], "5374147");
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_the_right_password() {
    let bench = Bench::start().await;
    let url = format!("https://{}/api/cluster", bench.sim.management());
    for request in [bench.client.get(&url), bench.client.get(&url).basic_auth("admin", Some("wrong"))] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body, json!({ "error": { "message": "User is not authorized.", "code": "6691623" } }));
    }
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_clients_at_once_are_all_answered_and_ids_stay_unique() {
    let bench = Bench::start().await;
    let svm = bench.one("/api/svm/svms?name=svm1").await["uuid"].as_str().unwrap().to_owned();
    let volume = create_volume(&bench, &svm, "shared", 1 << 30).await;
    let (svm, bench_ref) = (&svm, &bench);
    let made = (0..20).map(|number| async move {
        let body = json!({ "name": format!("/vol/shared/l{number}"), "os_type": "linux", "svm.uuid": svm,
            "space.size": "20MB" });
        bench_ref.post("/api/storage/luns", body).await.status
    });
    let statuses = futures_util::future::join_all(made).await;
    assert!(statuses.iter().all(|status| *status == 201), "{statuses:?}");
    let luns =
        bench.get(&format!("/api/storage/luns?location.volume.uuid={volume}&fields=serial_number")).await;
    let serials: std::collections::BTreeSet<_> =
        luns["records"].as_array().unwrap().iter().map(|lun| lun["serial_number"].to_string()).collect();
    assert_eq!(serials.len(), 20);
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_endpoint_digests_a_lun_lists_calls_and_pulls_levers() {
    let bench = Bench::start().await;
    let svm = bench.one("/api/svm/svms?name=svm1").await["uuid"].as_str().unwrap().to_owned();
    create_volume(&bench, &svm, "v", 1 << 30).await;
    let body = json!({ "name": "/vol/v/lun0", "os_type": "linux", "svm.name": "svm1", "space.size": 4096 });
    assert_eq!(bench.post("/api/storage/luns", body).await.status, 201);
    let (status, digest) = bench.control(Method::GET, "/sim/v1/luns/digest?name=/vol/v/lun0", None).await;
    assert_eq!(status, 200);
    // SHA-256 of 4096 zero bytes.
    let zeroes = "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7";
    assert_eq!(digest, json!({ "sha256": zeroes, "bytes": 4096 }));
    let (status, missing) = bench.control(Method::GET, "/sim/v1/luns/digest?name=/vol/v/lun9", None).await;
    assert!(status == 404 && missing["error"].as_str().unwrap().contains("/vol/v/lun0"));
    let (_, events) = bench.control(Method::GET, "/sim/v1/events", None).await;
    let posts = events.as_array().unwrap().iter().filter(|event| event["fields"]["method"] == "POST");
    assert_eq!(posts.count(), 2);
    let portal = bench.sim.array().planes().portals()[0].address;
    let fault = Some(json!({ "fault": "refuse" }));
    let (status, _) =
        bench.control(Method::PUT, &format!("/sim/v1/portals/{portal}/fault"), fault.clone()).await;
    assert_eq!(status, 200);
    let (status, error) = bench.control(Method::PUT, "/sim/v1/portals/10.9.9.9/fault", fault).await;
    assert!(status == 404 && error["error"].as_str().unwrap().contains(&portal.to_string()), "{error}");
    let nonsense = Some(json!({ "fault": "explode" }));
    let (status, _) =
        bench.control_raw(Method::PUT, &format!("/sim/v1/portals/{portal}/fault"), nonsense).await;
    assert!(status.is_client_error());
    bench.sim.stop().await;
}

/// MOUNT v3 MNT (RFC 1813 appendix I) with no credential; the status it is answered.
async fn mount_status(lif: std::net::SocketAddr, path: &str) -> u32 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let padded = path.len().next_multiple_of(4);
    let mut call = Vec::new();
    // xid, CALL, RPC 2, program, version, MNT, AUTH_NONE twice, length of the path
    for word in [1_u32, 0, 2, 100_005, 3, 1, 0, 0, 0, 0, u32::try_from(path.len()).unwrap()] {
        call.extend(word.to_be_bytes());
    }
    call.extend(path.bytes());
    call.resize(44 + padded, 0);
    let mut stream = tokio::net::TcpStream::connect(lif).await.unwrap();
    let header = 0x8000_0000 | u32::try_from(call.len()).unwrap();
    stream.write_all(&header.to_be_bytes()).await.unwrap();
    stream.write_all(&call).await.unwrap();
    // record mark, xid, REPLY, accepted, verifier (2 words), success, status
    let mut reply = [0; 32];
    tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_exact(&mut reply))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(reply[24..28], [0; 4], "not executed: {reply:?}");
    u32::from_be_bytes(reply[28..32].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_job_says_is_already_true_for_nfs_clients() {
    const OK: u32 = 0;
    const NOENT: u32 = 2;
    const ACCES: u32 = 13;
    let bench = Bench::start().await;
    let lif = bench.sim.array().planes().nfs_lifs()[0].address;
    let svm = bench.one("/api/svm/svms?name=svm1").await["uuid"].as_str().unwrap().to_owned();
    let volume = format!("/api/storage/volumes/{}", create_volume(&bench, &svm, "v", 1 << 30).await);
    assert_eq!(mount_status(lif, "/").await, OK);
    assert_eq!(mount_status(lif, "/v").await, NOENT);
    bench.succeed(bench.patch(&volume, json!({ "nas.path": "/v" })).await).await;
    assert_eq!(mount_status(lif, "/v").await, OK);
    let policies = "/api/protocols/nfs/export-policies";
    let made = bench.post(policies, json!({ "name": "p", "svm.name": "svm1" })).await;
    bench.succeed(bench.patch(&volume, json!({ "nas.export_policy.name": "p" })).await).await;
    assert_eq!(mount_status(lif, "/v").await, ACCES);
    let rules = format!("{}/rules", made.location.unwrap());
    let rule = json!({ "clients": [{ "match": "127.0.0.1" }], "ro_rule": ["any"], "rw_rule": ["any"] });
    assert_eq!(bench.post(&rules, rule).await.status, 201);
    assert_eq!(mount_status(lif, "/v").await, OK);
    assert_eq!(bench.delete(&format!("{rules}/1")).await.status, 200);
    assert_eq!(mount_status(lif, "/v").await, ACCES);
    bench.succeed(bench.delete(&volume).await).await;
    assert_eq!(mount_status(lif, "/v").await, NOENT);
    bench.sim.stop().await;
}
