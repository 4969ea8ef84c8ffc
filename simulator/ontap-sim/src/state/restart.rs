//! What a data directory brings back of an array: everything that was answered, and nothing else.

use proptest::prelude::*;
use records::DataDir;
use serde_json::{Value, json};

use super::{Blueprint, Cluster};
use crate::rest::{Call, Method, answer};

fn cluster() -> Cluster {
    let blueprint = Blueprint {
        seed: 7,
        svm: "svm1".into(),
        nfs: Vec::new(),
        iscsi: Vec::new(),
        management: "127.0.0.1".parse().unwrap(),
        default_export_clients: vec!["0.0.0.0/0".into()],
        addressed: true,
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    Cluster::boot(&blueprint).unwrap()
}

/// A call of a client that makes, changes and deletes, rightly or wrongly.
fn call() -> impl Strategy<Value = Call> {
    let volume = || (0..3_u8).prop_map(|number| format!("v{number}"));
    let request = |method, target: String, body| {
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        Call { method, path: path.into(), query: query.into(), svm: None, body }
    };
    prop_oneof![
        (volume(), any::<bool>(), any::<bool>()).prop_map(move |(name, wait, here)| {
            let aggregate = if here { "aggr1" } else { "aggr9" };
            let body = json!({ "name": name, "svm.name": "svm1", "aggregates.name": [aggregate],
                "nas.path": format!("/{name}"), "size": "100MB" });
            let query = if wait { "?return_timeout=9" } else { "" };
            request(Method::Post, format!("/api/storage/volumes{query}"), body)
        }),
        (volume(), any::<bool>()).prop_map(move |(name, online)| {
            let body = json!({ "state": if online { "online" } else { "offline" }, "comment": name });
            request(Method::Patch, format!("/api/storage/volumes?name={name}"), body)
        }),
        (volume(), volume()).prop_map(move |(name, new)| {
            let body = json!({ "name": new, "nas.path": "/moved" });
            request(Method::Patch, format!("/api/storage/volumes?name={name}&return_timeout=9"), body)
        }),
        volume().prop_map(move |name| {
            request(Method::Delete, format!("/api/storage/volumes?name={name}"), Value::Null)
        }),
        (volume(), 0..2_u8).prop_map(move |(volume, unit)| {
            let body = json!({ "name": format!("/vol/{volume}/l{unit}"), "os_type": "linux",
                "svm.name": "svm1", "space.size": "10MB" });
            request(Method::Post, "/api/storage/luns".into(), body)
        }),
        Just(request(
            Method::Post,
            "/api/protocols/san/igroups".into(),
            json!({ "name": "ig", "os_type": "linux", "svm.name": "svm1",
                "initiators": [{ "name": "iqn.2026-11.example:a" }] })
        )),
        volume().prop_map(move |volume| {
            let body = json!({ "lun.name": format!("/vol/{volume}/l0"), "igroup.name": "ig",
                "svm.name": "svm1" });
            request(Method::Post, "/api/protocols/san/lun-maps".into(), body)
        }),
        // The second of these is there already, or is no client.
        Just(request(
            Method::Post,
            "/api/protocols/nfs/export-policies/1/rules".into(),
            json!({ "records": [
                { "clients.match": "10.0.0.1", "ro_rule": "any", "rw_rule": "any" },
                { "clients.match": "no client", "ro_rule": "any", "rw_rule": "any" },
            ] })
        )),
        Just(request(Method::Delete, "/api/protocols/san/igroups?name=ig".into(), Value::Null)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn after_any_calls_a_restart_at_any_point_finds_the_same_state_and_a_refusal_changed_nothing(
        calls in prop::collection::vec((call(), prop::bool::weighted(0.2)), 0..25)
    ) {
        let place = tempfile::tempdir().unwrap();
        let mut data = DataDir::open(place.path(), "ontap-sim").unwrap();
        let mut cluster = cluster();
        cluster.take_changes();
        data.save(&cluster.dirty_rows().unwrap()).unwrap();
        cluster.forget_dirty();
        for (call, restart) in calls {
            let before = cluster.all_rows().unwrap();
            let answer = answer(&mut cluster, &call);
            let changes = cluster.take_changes();
            if answer.status >= 400 {
                prop_assert_eq!(cluster.all_rows().unwrap(), before, "{:?}: {}", call, answer.body);
                prop_assert!(changes.is_empty(), "{:?}", changes);
            }
            data.save(&cluster.dirty_rows().unwrap()).unwrap();
            cluster.forget_dirty();
            if restart {
                drop(data);
                data = DataDir::open(place.path(), "ontap-sim").unwrap();
                let kept = data.load::<Cluster>().unwrap().unwrap();
                prop_assert_eq!(kept.all_rows().unwrap(), cluster.all_rows().unwrap());
                cluster = kept;
            }
        }
    }
}
