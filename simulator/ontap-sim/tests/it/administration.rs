//! What an administrator keeps of the cluster over HTTPS: aggregates, schedules, peers, networks, QoS,
//! NVMe, initiator groups and how LUN maps are reported.

use crate::support::{Bench, Reply};
use reqwest::Method;
use serde_json::{Value, json};

fn code(reply: &Reply) -> (u16, &str) {
    (reply.status, reply.body["error"]["code"].as_str().unwrap_or_default())
}

/// Makes a record, finds it, changes it, sees the change, and deletes it.
async fn life(bench: &Bench, collection: &str, body: Value, patch: Value, shows: (&str, Value)) {
    let wait = if collection.contains('?') { "&return_timeout=9" } else { "?return_timeout=9" };
    let made = bench.post(&format!("{collection}{wait}"), body.clone()).await;
    assert_eq!(made.status, 201, "POST {collection}: {}", made.body);
    let location = made.location.unwrap();
    let twice = bench.post(&format!("{collection}{wait}"), body).await;
    assert_eq!(twice.status, 409, "POST {collection} twice: {}", twice.body);
    let patched = bench.patch(&format!("{location}?return_timeout=9"), patch).await;
    assert_eq!(patched.status, 200, "PATCH {location}: {}", patched.body);
    let record = bench.get(&location).await;
    assert_eq!(record.pointer(shows.0), Some(&shows.1), "{location}: {record}");
    let unknown = bench.patch(&format!("{location}?return_timeout=9"), json!({ "no_such_field": 1 })).await;
    assert_eq!(code(&unknown), (400, "262179"));
    let gone = bench.delete(&format!("{location}?return_timeout=9")).await;
    assert_eq!(gone.status, 200, "DELETE {location}: {}", gone.body);
    assert_eq!(code(&bench.call(Method::GET, &location, None).await), (404, "4"), "{location}");
}

#[tokio::test]
async fn what_an_administrator_makes_can_be_found_changed_and_deleted_once() {
    let bench = Bench::start().await;
    let lives = [
        (
            "/api/storage/aggregates",
            json!({ "name": "aggr3", "node.name": "sim-02",
                "block_storage.primary": { "disk_count": 10, "disk_class": "capacity" } }),
            json!({ "block_storage": { "hybrid_cache": { "enabled": true } } }),
            ("/block_storage/primary/disk_type", json!("hybrid")),
        ),
        (
            "/api/cluster/schedules",
            json!({ "name": "s", "cron": { "minutes": [5], "hours": [1, 13] } }),
            json!({ "cron": { "minutes": [6] } }),
            ("/cron/minutes", json!([6])),
        ),
        (
            "/api/network/ipspaces",
            json!({ "name": "space" }),
            json!({ "name": "space2" }),
            ("/name", json!("space2")),
        ),
        (
            "/api/network/ethernet/broadcast-domains",
            json!({ "name": "d", "mtu": 9000 }),
            json!({ "mtu": 1500 }),
            ("/mtu", json!(1500)),
        ),
        (
            "/api/network/ip/service-policies",
            json!({ "name": "p", "svm.name": "svm1", "services": ["data_core", "data_nfs"] }),
            json!({ "services": ["data_core", "data_iscsi"] }),
            ("/services/1", json!("data_iscsi")),
        ),
        (
            "/api/network/ip/subnets",
            json!({ "name": "n", "subnet": { "address": "10.0.0.0", "netmask": "24" }, "broadcast_domain.name": "Default" }),
            json!({ "gateway": "10.0.0.1" }),
            ("/gateway", json!("10.0.0.1")),
        ),
        (
            "/api/storage/qos/policies",
            json!({ "name": "q", "svm.name": "svm1", "fixed": { "max_throughput_iops": 100 } }),
            json!({ "fixed": { "max_throughput_iops": "200" } }),
            ("/fixed/max_throughput_iops", json!(200)),
        ),
        (
            "/api/cluster/peers",
            json!({ "name": "other", "remote.ip_addresses": ["10.1.0.1"], "authentication.passphrase": "long enough" }),
            json!({ "remote": { "ip_addresses": ["10.1.0.2"] } }),
            ("/remote/ip_addresses/0", json!("10.1.0.2")),
        ),
        (
            "/api/protocols/nvme/subsystems",
            json!({ "name": "sub", "os_type": "linux", "svm.name": "svm1" }),
            json!({ "comment": "c" }),
            ("/comment", json!("c")),
        ),
        (
            "/api/protocols/san/igroups",
            json!({ "name": "ig", "os_type": "linux", "svm.name": "svm1" }),
            json!({ "name": "ig2" }),
            ("/name", json!("ig2")),
        ),
    ];
    for (collection, body, patch, shows) in lives {
        life(&bench, collection, body, patch, shows).await;
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn what_is_in_use_or_built_in_stays() {
    let bench = Bench::start().await;
    for (query, status) in [
        ("storage/aggregates?name=aggr1", 409),
        ("network/ipspaces?name=Default", 409),
        ("network/ethernet/broadcast-domains?name=Default", 409),
        ("network/ip/service-policies?name=default-data-files", 409),
        ("storage/qos/policies?name=extreme", 409),
    ] {
        let refused = bench.delete(&format!("/api/{query}&return_timeout=9")).await;
        assert_eq!(code(&refused), (status, "8"), "{query}: {}", refused.body);
        assert_eq!(bench.get(&format!("/api/{query}")).await["num_records"], 1, "{query}");
    }
    for (path, body) in [
        ("cluster/schedules", json!({ "name": "s", "cron": { "minutes": [60] } })),
        ("cluster/schedules", json!({ "name": "s", "interval": "soon" })),
        ("cluster/peers", json!({ "remote.ip_addresses": ["nowhere"] })),
        (
            "storage/qos/policies",
            json!({ "name": "q", "fixed": { "min_throughput_iops": 2, "max_throughput_iops": 1 } }),
        ),
        ("storage/qos/policies", json!({ "name": "q", "fixed": {}, "adaptive": {} })),
        ("network/ip/service-policies", json!({ "name": "p", "svm.name": "svm1", "services": ["data_ftp"] })),
        (
            "storage/aggregates",
            json!({ "name": "a", "node.name": "sim-01", "block_storage.primary.disk_count": 2 }),
        ),
    ] {
        let refused = bench.post(&format!("/api/{path}?return_timeout=9"), body.clone()).await;
        assert_eq!(refused.status, 400, "{path} {body}: {}", refused.body);
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_namespace_is_seen_by_the_hosts_of_its_subsystem_in_the_api() {
    let bench = Bench::start().await;
    let volume = json!({ "name": "v", "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1GB" });
    bench.succeed(bench.post("/api/storage/volumes", volume).await).await;
    let namespace = json!({ "name": "/vol/v/namespace0", "os_type": "linux", "svm.name": "svm1",
        "space": { "size": "10MB", "block_size": "4096" }, "comment": "{}" });
    let made = bench.post("/api/storage/namespaces?return_records=true", namespace.clone()).await;
    assert_eq!((made.status, &made.body["num_records"]), (201, &json!(1)), "{}", made.body);
    assert_eq!(bench.post("/api/storage/namespaces", namespace).await.status, 409);
    let namespace = made.body["records"][0]["uuid"].as_str().unwrap().to_owned();
    let subsystem = json!({ "name": "host", "os_type": "linux", "svm.name": "svm1" });
    let made = bench.post("/api/protocols/nvme/subsystems?return_records=true", subsystem.clone()).await;
    let record = &made.body["records"][0];
    assert!(record["target_nqn"].as_str().unwrap().ends_with(":subsystem.host"), "{record}");
    let twice = bench.post("/api/protocols/nvme/subsystems", subsystem).await;
    assert_eq!(code(&twice), (409, "72090025"));
    let subsystem = record["uuid"].as_str().unwrap().to_owned();
    let hosts = format!("/api/protocols/nvme/subsystems/{subsystem}/hosts");
    assert_eq!(bench.post(&hosts, json!({ "nqn": "nqn.2014-08.org.nvmexpress:uuid:1" })).await.status, 201);
    let map = json!({ "svm.name": "svm1", "subsystem.uuid": subsystem, "namespace.uuid": namespace });
    assert_eq!(bench.post("/api/protocols/nvme/subsystem-maps", map).await.status, 201);
    let seen = bench.one(&format!("/api/protocols/nvme/subsystem-maps?namespace.uuid={namespace}")).await;
    assert_eq!(seen["subsystem"]["name"], "host");
    let delete = format!("/api/protocols/nvme/subsystems/{subsystem}");
    assert_eq!(code(&bench.delete(&delete).await), (409, "72090023"));
    let unmap = format!("/api/protocols/nvme/subsystem-maps/{subsystem}/{namespace}");
    assert_eq!(bench.delete(&unmap).await.status, 200);
    assert_eq!(bench.delete(&format!("{delete}?allow_delete_with_hosts=true")).await.status, 200);
    assert_eq!(bench.delete(&format!("/api/storage/namespaces/{namespace}")).await.status, 200);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_map_is_reported_by_more_nodes_and_fewer_and_by_one_at_least() {
    let bench = Bench::start().await;
    let volume = json!({ "name": "v", "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1GB" });
    bench.succeed(bench.post("/api/storage/volumes", volume).await).await;
    let lun = json!({ "name": "/vol/v/l", "svm.name": "svm1", "os_type": "linux", "space.size": "1MB" });
    assert_eq!(bench.post("/api/storage/luns", lun).await.status, 201);
    let igroup = json!({ "name": "ig", "svm.name": "svm1", "os_type": "linux" });
    assert_eq!(bench.post("/api/protocols/san/igroups", igroup).await.status, 201);
    let map = json!({ "svm.name": "svm1", "lun.name": "/vol/v/l", "igroup.name": "ig" });
    let map = bench.post("/api/protocols/san/lun-maps", map).await.location.unwrap();
    let nodes = format!("{map}/reporting-nodes");
    let all = bench.get(&nodes).await;
    assert_eq!(all["num_records"], 2);
    let (first, second) =
        (all["records"][0]["uuid"].as_str().unwrap(), all["records"][1]["uuid"].as_str().unwrap());
    assert_eq!(bench.delete(&format!("{nodes}/{first}")).await.status, 200);
    assert_eq!(code(&bench.delete(&format!("{nodes}/{first}")).await), (404, "4"));
    assert_eq!(code(&bench.delete(&format!("{nodes}/{second}")).await), (409, "5374608"));
    assert_eq!(bench.post(&nodes, json!({ "name": "sim-01" })).await.status, 201);
    assert_eq!(bench.get(&nodes).await["num_records"], 2);
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_cluster_says_the_release_and_model_it_was_given_and_the_name_it_gets() {
    let mut configuration = crate::support::configuration();
    configuration.version = "9.17.1".parse().unwrap();
    configuration.model = "AFF-A250".into();
    let bench = Bench::with(configuration).await;
    assert_eq!(bench.patch("/api/cluster", json!({ "name": "lab" })).await.status, 200);
    let cluster = bench.get("/api/cluster").await;
    assert_eq!((&cluster["name"], &cluster["version"]["major"]), (&json!("lab"), &json!(17)));
    assert!(cluster["version"]["full"].as_str().unwrap().contains("9.17.1"));
    assert_eq!(bench.get("/api/cluster/nodes?fields=model").await["records"][0]["model"], "AFF-A250");
    assert_eq!(bench.patch("/api/cluster", json!({ "name": "1 bad" })).await.status, 400);
    assert!("9.15".parse::<ontap_sim::state::Version>().is_err());
    bench.sim.stop().await;
}
