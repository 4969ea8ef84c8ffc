//! The skin without sockets: quirks of real clients, the query language, field selection, envelopes,
//! and that no request whatever panics it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Answer, Call, Method, SvmScope, answer, resources};
use crate::state::{Blueprint, Cluster, LifBlueprint};

fn cluster() -> Cluster {
    let lif = |address: &str| LifBlueprint { address: address.parse().unwrap(), node: None };
    let blueprint = Blueprint {
        nfs: vec![lif("192.168.0.121")],
        iscsi: vec![lif("192.168.0.131")],
        management: "192.168.0.101".parse().unwrap(),
        ..Blueprint::sample()
    };
    Cluster::boot(&blueprint).unwrap()
}

fn call(cluster: &mut Cluster, method: Method, target: &str, body: Value) -> Answer {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    answer(cluster, &Call { method, path: path.into(), query: query.into(), svm: None, body })
}

fn get(cluster: &mut Cluster, target: &str) -> Value {
    let answer = call(cluster, Method::Get, target, Value::Null);
    assert_eq!(answer.status, 200, "{target}: {}", answer.body);
    answer.body
}

fn names(cluster: &mut Cluster, target: &str) -> Vec<String> {
    let body = get(cluster, target);
    let mut names: Vec<_> = body["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn volume(cluster: &mut Cluster, name: &str, size: &str) -> String {
    let body = json!({ "name": name, "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": size });
    let made =
        call(cluster, Method::Post, "/api/storage/volumes?return_timeout=30&return_records=true", body);
    assert_eq!(made.status, 201, "{}", made.body);
    made.body["records"][0]["uuid"].as_str().unwrap().to_owned()
}

/// A cluster with something of everything.
fn furnished() -> Cluster {
    let mut cluster = cluster();
    for (name, size) in [("alpha", "20MB"), ("beta", "1GB"), ("gamma", "2g")] {
        volume(&mut cluster, name, size);
    }
    let lun = json!({ "name": "/vol/beta/lun0", "os_type": "linux", "svm.name": "svm1", "space.size": "100MB",
        "attributes": [{ "name": "context", "value": "csi" }] });
    assert_eq!(call(&mut cluster, Method::Post, "/api/storage/luns", lun).status, 201);
    let igroup = json!({ "name": "ig", "os_type": "linux", "svm.name": "svm1", "comment": "c",
        "initiators": [{ "name": "iqn.2026-11.example:a", "comment": "c" }, { "name": "iqn.2026-11.example:b" }] });
    assert_eq!(call(&mut cluster, Method::Post, "/api/protocols/san/igroups", igroup).status, 201);
    let map = json!({ "lun.name": "/vol/beta/lun0", "igroup.name": "ig", "svm.name": "svm1" });
    assert_eq!(call(&mut cluster, Method::Post, "/api/protocols/san/lun-maps", map).status, 201);
    let junction = json!({ "nas.path": "/alpha" });
    let patched =
        call(&mut cluster, Method::Patch, "/api/storage/volumes?name=alpha&return_timeout=15", junction);
    assert_eq!(patched.status, 200, "{}", patched.body);
    furnish_volumes(&mut cluster);
    cluster
}

/// A snapshot, a qtree with a quota that is on, and a volume in the recovery queue.
fn furnish_volumes(cluster: &mut Cluster) {
    let alpha = volume_named(cluster, "alpha");
    let snapshots = format!("/api/storage/volumes/{alpha}/snapshots?return_timeout=15");
    let target = json!({ "name": "q", "volume.name": "alpha", "svm.name": "svm1" });
    let limit = json!({ "type": "tree", "qtree.name": "q", "volume.name": "alpha", "svm.name": "svm1",
        "space.hard_limit": 4096 });
    for (path, body) in [
        (snapshots.as_str(), json!({ "name": "s" })),
        ("/api/storage/qtrees?return_timeout=15", target),
        ("/api/storage/quota/rules?return_timeout=15", limit),
    ] {
        let made = call(cluster, Method::Post, path, body);
        assert_eq!(made.status, 201, "{path}: {}", made.body);
    }
    let path = format!("/api/storage/volumes/{alpha}?return_timeout=15");
    let patched = call(cluster, Method::Patch, &path, json!({ "quota.enabled": true }));
    assert_eq!(patched.status, 200, "{}", patched.body);
    let deleted = volume(cluster, "deleted", "20MB");
    let path = format!("/api/storage/volumes/{deleted}?return_timeout=15");
    assert_eq!(call(cluster, Method::Delete, &path, Value::Null).status, 200);
}

/// A consistency group with a snapshot, name services, and an event; the group's identifier.
fn furnish_services(cluster: &mut Cluster) -> String {
    let add = json!({ "action": "add" });
    let group = json!({ "name": "cg", "svm.name": "svm1", "volumes": [{ "name": "beta", "provisioning_options": add }] });
    let groups = "/api/application/consistency-groups?return_timeout=15&return_records=true";
    let made = call(cluster, Method::Post, groups, group);
    let group = made.body["records"][0]["uuid"].as_str().unwrap().to_owned();
    let snapshots = format!("/api/application/consistency-groups/{group}/snapshots?return_timeout=15");
    let svm = cluster.svms.first().unwrap().id;
    let members = format!("/api/name-services/unix-groups/{svm}/daemon/users");
    let dns = json!({ "svm.name": "svm1", "domains": ["example.com"], "servers": ["192.0.2.53"] });
    let host = json!({ "owner.name": "svm1", "address": "192.0.2.7", "hostname": "web", "aliases": ["www"] });
    for (path, body) in [
        (snapshots.as_str(), json!({ "name": "together", "comment": "c", "snapmirror_label": "l" })),
        (members.as_str(), json!({ "name": "root" })),
        ("/api/name-services/dns", dns),
        ("/api/name-services/local-hosts", host),
        ("/api/support/ems/application-logs", json!({ "event_id": 1 })),
    ] {
        let made = call(cluster, Method::Post, path, body);
        assert_eq!(made.status, 201, "{path}: {}", made.body);
    }
    group
}

fn volume_named(cluster: &mut Cluster, name: &str) -> String {
    let found = get(cluster, &format!("/api/storage/volumes?name={name}"));
    found["records"][0]["uuid"].as_str().unwrap().to_owned()
}

#[test]
fn doubled_and_trailing_slashes_are_the_same_path() {
    let mut cluster = furnished();
    let plain = names(&mut cluster, "/api/storage/volumes");
    for path in ["/api//storage/volumes", "//api/storage//volumes/", "/api/storage/volumes///"] {
        assert_eq!(names(&mut cluster, path), plain, "{path}");
    }
}

#[test]
fn escaped_separators_in_a_segment_belong_to_the_name() {
    let mut cluster = furnished();
    let igroup = get(&mut cluster, "/api/protocols/san/igroups?name=ig")["records"][0]["uuid"].clone();
    let base = format!("/api/protocols/san/igroups/{}/initiators", igroup.as_str().unwrap());
    for name in ["iqn.2026-11.example:a", "iqn%2E2026-11.example%3Aa", "iqn.2026-11.example%3aa"] {
        assert_eq!(get(&mut cluster, &format!("{base}/{name}"))["name"], "iqn.2026-11.example:a");
    }
}

#[test]
fn dotted_nested_and_mixed_bodies_with_numbers_as_text_mean_the_same() {
    let bodies = [
        json!({ "name": "v", "svm": { "name": "svm1" }, "aggregates": [{ "name": "aggr1" }], "size": 1_073_741_824,
            "nas": { "path": "/v", "unix_permissions": 777 }, "encryption": { "enabled": false } }),
        json!({ "name": "v", "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1073741824",
            "nas.path": "/v", "nas.unix_permissions": "777", "encryption.enabled": "False" }),
        json!({ "name": "v", "svm.name": "svm1", "aggregates": [{ "name": "aggr1" }], "size": "1GB",
            "nas": { "path": "/v" }, "nas.unix_permissions": "777", "encryption": { "enabled": "false" } }),
    ];
    let records: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            let mut cluster = cluster();
            let made = call(&mut cluster, Method::Post, "/api/storage/volumes?return_timeout=1", body);
            assert_eq!(made.status, 201, "{}", made.body);
            get(&mut cluster, "/api/storage/volumes?name=v&fields=**")["records"].clone()
        })
        .collect();
    assert_eq!(records[0][0]["size"], 1_073_741_824);
    assert!(records.iter().all(|record| *record == records[0]));
}

#[test]
fn the_svm_header_scopes_lists_and_is_inherited_by_bodies() {
    let mut cluster = furnished();
    let scoped = |method, path: &str, svm: &str, body| Call {
        method,
        path: path.into(),
        query: String::new(),
        svm: Some(SvmScope::Name(svm.into())),
        body,
    };
    let body = json!({ "name": "/vol/beta/lun1", "os_type": "linux", "space.size": 4096 });
    let made = answer(&mut cluster, &scoped(Method::Post, "/api/storage/luns", "svm1", body));
    assert_eq!(made.status, 201, "{}", made.body);
    let listed = answer(&mut cluster, &scoped(Method::Get, "/api/storage/luns", "svm1", Value::Null));
    assert_eq!(listed.body["num_records"], 2);
    let unknown = answer(&mut cluster, &scoped(Method::Get, "/api/storage/luns", "svm9", Value::Null));
    assert_eq!((unknown.status, &unknown.body["error"]["code"]), (404, &json!("2621462")));
}

#[test]
fn every_operator_of_the_query_language_selects_what_it_says() {
    let mut cluster = furnished();
    let volumes = |cluster: &mut Cluster, query: &str| {
        let mut found = names(cluster, &format!("/api/storage/volumes?is_svm_root=false&{query}"));
        found.retain(|name| name != "svm1_root");
        found.join(" ")
    };
    for (query, expected) in [
        ("name=beta", "beta"),
        ("name=alpha|gamma", "alpha gamma"),
        ("name=alpha%7Cgamma", "alpha gamma"),
        ("name=alpha,beta", "alpha beta"),
        ("name=!beta", "alpha gamma"),
        ("name=*a", "alpha beta gamma"),
        ("name=*mm*", "gamma"),
        ("name=!*mm*", "alpha beta"),
        ("name=%22alpha%22", "alpha"),
        ("size=%3E100MB", "beta gamma"),
        ("size=%3E=1073741824", "beta gamma"),
        ("size=%3C1GB", "alpha"),
        ("size=%3C=1GB", "alpha beta"),
        ("size=20MB..1GB", "alpha beta"),
        ("size=1GB..", "beta gamma"),
        ("size=..1GB", "alpha beta"),
        ("size=1073741824", "beta"),
        ("size=!1GB", "alpha gamma"),
        ("nas.path=null", "beta gamma"),
        ("nas.path=!null", "alpha"),
        ("nas.path=*", "alpha"),
        ("nas.path=%2Falpha", "alpha"),
        ("aggregates.name=aggr1|aggr7", "alpha beta gamma"),
        ("aggregates.name=aggr7", ""),
        ("encryption.enabled=FALSE", "alpha beta gamma"),
        ("encryption.enabled=", "alpha beta gamma"),
        ("tiering.policy=*&state=online&style=flexvol", "alpha beta gamma"),
        ("name=a*&name=*a", "alpha"),
    ] {
        assert_eq!(volumes(&mut cluster, query), expected, "{query}");
    }
    assert_eq!(
        names(&mut cluster, "/api/protocols/san/igroups?initiators.name=iqn.2026-11.example:b"),
        ["ig"]
    );
}

#[test]
fn an_object_given_as_a_text_is_the_one_of_that_name() {
    let mut cluster = cluster();
    let body = json!({ "name": "v", "svm": "svm1", "aggregates.name": ["aggr1"], "size": "20MB" });
    let made = call(&mut cluster, Method::Post, "/api/storage/volumes?return_timeout=30", body);
    assert_eq!(made.status, 201, "{}", made.body);
    assert!(names(&mut cluster, "/api/storage/volumes?svm=svm1").contains(&"v".to_owned()));
    assert!(names(&mut cluster, "/api/storage/volumes?svm=other").is_empty());
}

#[test]
fn an_unknown_query_name_is_refused_unless_the_client_says_otherwise() {
    let mut cluster = furnished();
    let refused = call(&mut cluster, Method::Get, "/api/storage/volumes?colour=red", Value::Null);
    assert_eq!(refused.status, 400);
    assert_eq!(refused.body["error"]["message"], "Unexpected argument \"colour\".");
    assert_eq!(refused.body["error"]["code"], "262179");
    get(&mut cluster, "/api/storage/volumes?colour=red&ignore_unknown_fields=true");
}

#[test]
fn fields_select_subtrees_and_filters_are_echoed() {
    let mut cluster = furnished();
    let first = |cluster: &mut Cluster, query: &str| {
        let mut record =
            get(cluster, &format!("/api/storage/volumes?name=alpha&{query}"))["records"][0].clone();
        for known in ["uuid", "name", "svm", "_links"] {
            assert!(record.as_object_mut().unwrap().remove(known).is_some(), "{known}");
        }
        record
    };
    assert_eq!(first(&mut cluster, "fields="), json!({}));
    assert_eq!(first(&mut cluster, "fields=size"), json!({ "size": 20_971_520 }));
    assert_eq!(first(&mut cluster, "fields=nas.path%2C"), json!({ "nas": { "path": "/alpha" } }));
    assert_eq!(
        first(&mut cluster, "fields=size&fields=state"),
        json!({ "size": 20_971_520, "state": "online" })
    );
    assert_eq!(
        first(&mut cluster, "fields=guarantee.*,soruce,export-policy.name")["guarantee"]["type"],
        "volume"
    );
    assert_eq!(first(&mut cluster, "style=flexvol"), json!({ "style": "flexvol" }));
    assert_eq!(
        first(&mut cluster, "snapshot-policy.name=default"),
        json!({ "snapshot_policy": { "name": "default" } })
    );
    let (cheap, all) = (first(&mut cluster, "fields=*"), first(&mut cluster, "fields=**"));
    assert!(cheap.get("guarantee").is_none() && all.get("guarantee").is_some());
    assert!(cheap["nas"].get("path").is_none() && all["nas"].get("path").is_some());
}

#[test]
fn an_instance_shows_all_that_is_cheap_and_a_missing_one_says_so_in_the_known_words() {
    let mut cluster = furnished();
    let uuid = get(&mut cluster, "/api/svm/svms?name=svm1")["records"][0]["uuid"].clone();
    let svm = get(&mut cluster, &format!("/api/svm/svms/{}", uuid.as_str().unwrap()));
    assert!(svm.get("records").is_none() && svm["aggregates"][0]["name"] == "aggr1");
    for target in
        ["/api/storage/volumes/none", "/api/storage/luns/x/attributes", "/api/nowhere", "/elsewhere"]
    {
        let missing = call(&mut cluster, Method::Get, target, Value::Null);
        assert_eq!(missing.status, 404, "{target}");
        assert_eq!(missing.body["error"]["message"], "entry doesn't exist");
        assert_eq!(missing.body["error"]["code"], "4");
    }
}

#[test]
fn an_empty_collection_still_has_records_and_their_number() {
    let mut cluster = cluster();
    let body = get(&mut cluster, "/api/storage/luns?name=none");
    assert_eq!((&body["records"], &body["num_records"]), (&json!([]), &json!(0)));
}

#[test]
fn pages_follow_one_another_without_loss_though_records_go_meanwhile() {
    let mut cluster = cluster();
    for number in 0..7 {
        volume(&mut cluster, &format!("v{number}"), "20MB");
    }
    let (mut next, mut seen) = (Some("/api/storage/volumes?name=v*&max_records=2".to_owned()), Vec::new());
    while let Some(target) = next {
        let body = get(&mut cluster, &target);
        for record in body["records"].as_array().unwrap() {
            seen.push(record["name"].as_str().unwrap().to_owned());
            let place = format!("/api/storage/volumes/{}", record["uuid"].as_str().unwrap());
            assert_eq!(call(&mut cluster, Method::Delete, &place, Value::Null).status, 202);
        }
        next = body["_links"]["next"]["href"].as_str().map(str::to_owned);
    }
    seen.sort();
    assert_eq!(seen, (0..7).map(|number| format!("v{number}")).collect::<Vec<_>>());
}

#[test]
fn order_and_count_are_obeyed() {
    let mut cluster = furnished();
    let body = get(&mut cluster, "/api/storage/volumes?order_by=size%20desc,name&fields=size&max_records=2");
    let order: Vec<_> = body["records"].as_array().unwrap().iter().map(|record| &record["name"]).collect();
    assert_eq!(order, ["gamma", "beta"]);
    assert_eq!(get(&mut cluster, "/api/storage/volumes?return_records=false"), json!({ "num_records": 4 }));
}

#[test]
fn volumes_are_jobs_unless_the_client_waits_and_luns_never_are() {
    let mut cluster = cluster();
    let body = |name: &str| json!({ "name": name, "svm.name": "svm1", "aggregates": [{ "name": "aggr1" }] });
    let accepted = call(&mut cluster, Method::Post, "/api/storage/volumes", body("a"));
    assert_eq!(accepted.status, 202);
    let href = accepted.body["job"]["_links"]["self"]["href"].as_str().unwrap().to_owned();
    let job = get(&mut cluster, &href);
    assert_eq!(
        (&job["state"], &job["code"], &job["description"]),
        (&json!("success"), &json!(0), &json!("POST /api/storage/volumes"))
    );
    let waited = call(&mut cluster, Method::Post, "/api/storage/volumes?return_timeout=30", body("b"));
    assert!(waited.status == 201 && waited.body["job"]["uuid"].is_string());
    let place = waited.location.unwrap();
    assert_eq!(get(&mut cluster, &place)["name"], "b");
    // The same failure: in the job, or at once when the client waits.
    let late = call(&mut cluster, Method::Post, "/api/storage/volumes", body("a"));
    assert_eq!((late.status, &late.location), (202, &None));
    let failed = get(&mut cluster, late.body["job"]["_links"]["self"]["href"].as_str().unwrap());
    assert_eq!((&failed["state"], &failed["code"]), (&json!("failure"), &json!(917_526)));
    assert_eq!(failed["error"]["code"], "917526");
    let at_once = call(&mut cluster, Method::Post, "/api/storage/volumes?return_timeout=30", body("a"));
    assert_eq!((at_once.status, &at_once.body["error"]["code"]), (409, &json!("917526")));
    // What is wrong with the request itself is told at once in any case.
    let unknown = call(
        &mut cluster,
        Method::Post,
        "/api/storage/volumes",
        json!({ "name": "c", "svm.name": "nobody" }),
    );
    assert_eq!((unknown.status, &unknown.body["error"]["code"]), (404, &json!("2621462")));
    let lun = json!({ "name": "/vol/a/l", "os_type": "linux", "svm.name": "svm1", "space.size": 8192 });
    assert_eq!(call(&mut cluster, Method::Post, "/api/storage/luns", lun).status, 201);
}

#[test]
fn a_change_by_query_needs_a_filter_and_counts_what_it_changed() {
    let mut cluster = furnished();
    let all = call(&mut cluster, Method::Delete, "/api/storage/volumes", Value::Null);
    assert_eq!(all.status, 400);
    let body = json!({ "comment": "touched" });
    let some = call(&mut cluster, Method::Patch, "/api/storage/volumes?name=alpha|gamma", body);
    assert_eq!((some.status, &some.body["num_records"]), (202, &json!(2)));
    assert_eq!(some.body["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(names(&mut cluster, "/api/storage/volumes?comment=touched"), ["alpha", "gamma"]);
    let none = call(&mut cluster, Method::Delete, "/api/storage/luns?name=nothing*", Value::Null);
    assert_eq!((none.status, &none.body["num_records"]), (200, &json!(0)));
}

#[test]
fn unknown_and_read_only_fields_in_a_body_are_named() {
    let mut cluster = furnished();
    let unknown =
        call(&mut cluster, Method::Patch, "/api/storage/luns?name=*", json!({ "colour": { "hue": 1 } }));
    assert_eq!(unknown.body["error"]["message"], "Unexpected argument \"colour.hue\".");
    let fixed =
        call(&mut cluster, Method::Patch, "/api/storage/luns?name=*", json!({ "serial_number": "x" }));
    assert_eq!((fixed.status, &fixed.body["error"]["code"]), (400, &json!("262196")));
    let wrong =
        call(&mut cluster, Method::Patch, "/api/storage/luns?name=*", json!({ "space.size": "much" }));
    assert_eq!(wrong.body["error"]["message"], "The value \"much\" is invalid for field \"space.size\"");
}

#[test]
fn a_method_that_is_not_supported_says_which_are() {
    let mut cluster = cluster();
    let refused = call(&mut cluster, Method::Delete, "/api/cluster", Value::Null);
    assert_eq!((refused.status, refused.allow.as_deref()), (405, Some("GET, HEAD, PATCH, OPTIONS")));
    let options = call(&mut cluster, Method::Options, "/api/storage/luns", Value::Null);
    assert_eq!(
        (options.status, options.allow.as_deref()),
        (200, Some("GET, HEAD, POST, PATCH, DELETE, OPTIONS"))
    );
}

/// A volume that is to be a copy of another, and a transfer that waits; the relationship.
fn copied(cluster: &mut Cluster) -> String {
    let body = json!({ "source.path": "svm1:alpha", "destination.path": "svm1:copy", "state": "snapmirrored",
        "create_destination.enabled": true });
    let path = "/api/snapmirror/relationships?return_timeout=20&return_records=true";
    let answer = call(cluster, Method::Post, path, body);
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["records"][0]["transfer"]["state"], "queued", "{}", answer.body);
    answer.body["records"][0]["uuid"].as_str().unwrap().to_owned()
}

/// The schema is what filters and bodies are judged by: a field it forgets could not be asked for.
#[test]
fn every_field_that_is_shown_is_in_the_schema() {
    fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(member, &path, found);
            }),
            Value::Array(items) => items.iter().for_each(|item| leaves(item, path, found)),
            _ => found.push(path.to_owned()),
        }
    }
    let mut cluster = furnished();
    let lun = get(&mut cluster, "/api/protocols/san/lun-maps")["records"][0].clone();
    let parents =
        [lun["lun"]["uuid"].as_str().unwrap().to_owned(), lun["igroup"]["uuid"].as_str().unwrap().to_owned()];
    let alpha = volume_named(&mut cluster, "alpha");
    let mirror = copied(&mut cluster);
    let group = furnish_services(&mut cluster);
    let policy = get(&mut cluster, "/api/storage/snapshot-policies?name=default")["records"][0].clone();
    for resource in resources::ALL.iter().filter(|resource| resource.list.is_some()) {
        let path = resource
            .path
            .replace("{volume.uuid}", &alpha)
            .replace("{relationship.uuid}", &mirror)
            .replace("{consistency_group.uuid}", &group)
            .replace("{snapshot_policy.uuid}", policy["uuid"].as_str().unwrap())
            .replace("{svm.uuid}/{unix_group.name}", &format!("{}/daemon", cluster.svms.first().unwrap().id))
            .replace("{lun.uuid}", &parents[0])
            .replace("{igroup.uuid}", &parents[1])
            .replace("{uuid}", &parents[0])
            .replace("{policy.id}", "1")
            .replace("{owner.uuid}/{name}", &format!("{}/admin", cluster.about.uuid))
            .replace("{name}", "volume");
        if path.contains("{subsystem.uuid}") {
            continue;
        }
        let body = get(&mut cluster, &format!("/api/{path}?fields=**"));
        let mut records = body
            .get("records")
            .map_or_else(|| vec![body.clone()], |records| records.as_array().unwrap().clone());
        // What a cluster has only when somebody made it, and is not in `furnished`.
        let rare = [
            "rows",
            "routes",
            "subnets",
            "peers",
            "sessions",
            "certificates",
            "fc/interfaces",
            "fcp/services",
            "nvme/services",
            "namespaces",
            "subsystems",
            "maps",
        ]
        .iter()
        .any(|name| path.ends_with(name));
        assert!(rare || !records.is_empty(), "{path}");
        for record in &mut records {
            record.as_object_mut().unwrap().remove("_links");
            let mut found = Vec::new();
            leaves(record, "", &mut found);
            for leaf in found.into_iter().filter(|leaf| !leaf.contains("._links.")) {
                assert!(resource.readable.contains(&leaf.as_str()), "{path}: {leaf}");
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof!["[a-zA-Z0-9/_.*|!<>=\"-]{0,12}", "\\PC{0,8}"].prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("name"),
        Just("svm"),
        Just("svm.name"),
        Just("size"),
        Just("nas.path"),
        Just("aggregates"),
        Just("aggregates.name"),
        Just("space"),
        Just("space.size"),
        Just("initiators"),
        Just("records"),
        Just("lun"),
        Just("igroup.name"),
        Just("os_type"),
        Just("a.b.c.d.e.f.g.h.i.j.k.l"),
        Just("..."),
        Just("clients.match"),
        Just("ro_rule"),
        Just("rw_rule"),
        Just("chap"),
        Just("attributes"),
        Just("index"),
        Just("logical_unit_number"),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }),
        ]
    })
}

/// Paths of every resource under parents that are there, with keys that are there, and with nonsense.
fn any_target() -> impl Strategy<Value = String> {
    let mut cluster = furnished();
    let map = get(&mut cluster, "/api/protocols/san/lun-maps")["records"][0].clone();
    let (lun, igroup) = (map["lun"]["uuid"].as_str().unwrap(), map["igroup"]["uuid"].as_str().unwrap());
    let mut targets = Vec::new();
    let alpha = volume_named(&mut cluster, "alpha");
    for resource in resources::ALL {
        let path = resource
            .path
            .replace("{volume.uuid}", &alpha)
            .replace("{lun.uuid}", lun)
            .replace("{igroup.uuid}", igroup);
        let path = format!("/api/{}", path.replace("{policy.id}", "1"));
        let path = path.replace("tables/{name}", "tables/volume");
        if resource.list.is_some() && !path.contains('{') {
            let body = get(&mut cluster, &path);
            let links = body["records"].as_array().into_iter().flatten();
            targets.extend(links.map(|record| record["_links"]["self"]["href"].as_str().unwrap().to_owned()));
        }
        targets.push(path);
    }
    let tail =
        prop_oneof![6 => Just(String::new()), 1 => Just("/1".to_owned()), 1 => "(/[\\PC&&[^?]]{0,6}){0,3}"];
    (prop::sample::select(targets), tail).prop_map(|(path, tail)| format!("{path}{tail}"))
}

fn any_query() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "name",
        "size",
        "fields",
        "max_records",
        "order_by",
        "start.key",
        "return_timeout",
        "return_records",
        "svm.uuid",
        "initiators.name",
        "nas.path",
        "allow_delete_while_mapped",
        "ignore_unknown_fields",
        "uuid",
        "%zz",
        "",
    ]);
    let value = prop_oneof![
        "[a-z0-9*|!<>=.,\"%+-]{0,10}",
        "\\PC{0,6}",
        Just("true".to_owned()),
        Just("1".to_owned())
    ];
    prop::collection::vec((name, value), 0..5).prop_map(|pairs| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_request_panics_the_router_and_every_answer_is_an_envelope(
        calls in prop::collection::vec(
            (any_target(), any_query(), any_json(), prop::sample::select(vec!["GET", "POST", "PATCH", "DELETE", "OPTIONS"])),
            1..12,
        ),
    ) {
        let mut cluster = furnished();
        for (path, query, body, method) in calls {
            let method = Method::from_name(method).unwrap();
            let answer = answer(&mut cluster, &Call { method, path, query, svm: None, body });
            prop_assert!(answer.body.is_object());
            prop_assert_eq!(answer.status >= 400, answer.body["error"]["code"].is_string());
            cluster.take_changes();
        }
    }
}
