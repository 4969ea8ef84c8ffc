//! What a data directory brings back of a cluster: everything that was answered, and nothing else.

use std::path::Path;
use std::sync::Arc;

use iscsi_target::IscsiServer;
use levers::{EventLog, Levers};
use parking_lot::Mutex;
use proptest::prelude::*;
use records::DataDir;
use serde_json::{Value, json};
use sim_front::BasicAuth;

use super::tests::{answer, call, request};
use super::{Api, Endpoint};
use crate::cluster::Cluster;
use crate::contents::Contents;
use crate::dataplane::DataPlane;
use crate::state::{State, VolumeId};

fn open(dir: &Path) -> Api {
    let address = "127.0.0.1:1".parse().unwrap();
    let (events, levers) = (EventLog::new(), Levers::new());
    let server = IscsiServer::with_levers(events.clone(), levers.clone());
    let data = DataDir::open(dir, "solidfire-sim").unwrap();
    let state = data.load().unwrap().unwrap_or_else(|| State::new("test", address, address, 1));
    let contents = Contents::in_directory(dir, &state).unwrap();
    let data_plane = DataPlane::new(server, address, 200_000).with_contents(contents);
    let cluster = Cluster::new(state, data_plane, events, levers).revived(Some(data)).unwrap();
    let (cluster, endpoint) = (Arc::new(cluster), Endpoint::Cluster);
    Api { cluster, endpoint, auth: BasicAuth::new(Vec::new()), veil: Mutex::default() }
}

fn rows(api: &Api) -> Vec<records::RowWrite> {
    api.cluster.with_state(|state| state.all_rows().unwrap())
}

fn write(api: &Api, volume: i64, data: &[u8; 4]) {
    let content = api.cluster.data_plane().find_content(VolumeId(volume)).unwrap();
    content.write_at(0, data).unwrap();
    content.flush().unwrap();
}

fn read(api: &Api, volume: i64) -> [u8; 4] {
    let mut bytes = [0; 4];
    api.cluster.data_plane().find_content(VolumeId(volume)).unwrap().read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn volumes_snapshots_and_clones_come_back_with_what_they_held() {
    let place = tempfile::tempdir().unwrap();
    let api = open(place.path());
    call(&api, "AddAccount", &json!({"username": "tenant"}));
    let new = json!({"name": "one", "accountID": 1, "totalSize": 1_000_000_000});
    call(&api, "CreateVolume", &new);
    write(&api, 1, b"then");
    call(&api, "CreateSnapshot", &json!({"volumeID": 1}));
    call(&api, "CreateSnapshot", &json!({"volumeID": 1, "snapshotID": 1}));
    write(&api, 1, b"now!");
    call(&api, "CloneVolume", &json!({"volumeID": 1, "name": "copy", "newSize": 2_000_000_000}));
    call(&api, "CreateVolume", &new);
    call(&api, "DeleteVolume", &json!({"volumeID": 3}));
    let shown = |api: &Api| call(api, "ListVolumes", &json!({}));
    let before = (rows(&api), shown(&api));
    drop(api);
    let api = open(place.path());
    assert_eq!((rows(&api), shown(&api)), before);
    assert_eq!((read(&api, 1), read(&api, 2)), (*b"now!", *b"now!"));
    let back = json!({"volumeID": 1, "snapshotID": 1, "saveCurrentState": true});
    call(&api, "RollbackToSnapshot", &back);
    call(&api, "DeleteSnapshot", &json!({"snapshotID": 1}));
    drop(api);
    let api = open(place.path());
    assert_eq!(read(&api, 1), *b"then");
    for (snapshot, held) in [(3, b"now!"), (2, b"then")] {
        call(
            &api,
            "RollbackToSnapshot",
            &json!({"volumeID": 1, "snapshotID": snapshot, "saveCurrentState": 0}),
        );
        assert_eq!(&read(&api, 1), held);
    }
    call(&api, "RestoreDeletedVolume", &json!({"volumeID": 3}));
    assert_eq!(read(&api, 3), [0; 4]);
    // Numbers go on where they were.
    assert_eq!(call(&api, "CreateVolume", &new)["volumeID"], 4);
}

#[test]
fn what_died_before_its_rows_is_removed_and_a_lost_content_is_told() {
    let place = tempfile::tempdir().unwrap();
    let api = open(place.path());
    call(&api, "AddAccount", &json!({"username": "tenant"}));
    call(&api, "CreateVolume", &json!({"name": "one", "accountID": 1, "totalSize": 1_000_000_000}));
    call(&api, "CreateSnapshot", &json!({"volumeID": 1}));
    drop(api);
    let store = blockstore::Store::open(place.path().join("volumes")).unwrap();
    let [one] = store.list()[..] else { panic!("one volume has one content") };
    store.clone_volume(one, blockstore::VolumeId(77)).unwrap();
    store.snapshot(one, blockstore::SnapshotId(88)).unwrap();
    drop(store);
    drop(open(place.path()));
    let store = blockstore::Store::open(place.path().join("volumes")).unwrap();
    assert_eq!((store.list(), store.list_snapshots().len()), (vec![one], 1));
    store.remove(one).unwrap();
    drop(store);
    let data = DataDir::open(place.path(), "solidfire-sim").unwrap();
    let state = data.load().unwrap().unwrap();
    let error = Contents::in_directory(place.path(), &state).unwrap_err().to_string();
    assert!(error.contains("volume 1 (one) has no content") && error.contains("copy"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn after_any_calls_a_restart_at_any_point_finds_the_same_state_and_a_refusal_changed_nothing(
        calls in prop::collection::vec((request(), prop::bool::weighted(0.1)), 0..40)
    ) {
        let place = tempfile::tempdir().unwrap();
        let mut api = open(place.path());
        call(&api, "AddAccount", &json!({"username": "tenant"}));
        call(&api, "CreateVolume", &json!({"name": "one", "accountID": 1, "totalSize": 1_000_000_000}));
        for (request, restart) in calls {
            // What has expired goes whatever is asked.
            answer(&api, "GetAPI", &json!({}));
            let before = rows(&api);
            let envelope = answer(&api, request["method"].as_str().unwrap(), &request["params"]);
            if envelope.get("error").is_some_and(Value::is_object) {
                prop_assert_eq!(rows(&api), before, "{} -> {}", request, envelope);
            }
            if restart {
                let (held, shown) = (rows(&api), answer(&api, "ListVolumes", &json!({})));
                drop(api);
                api = open(place.path());
                prop_assert_eq!(rows(&api), held);
                prop_assert_eq!(answer(&api, "ListVolumes", &json!({})), shown);
            }
        }
    }
}
