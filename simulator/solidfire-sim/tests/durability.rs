//! A cluster with a data directory dies at any moment, by `kill -9`, and comes back: what it answered
//! is there, under the same numbers and names.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Lives that end by `kill -9`.
const KILLS: usize = 4;
/// Answers after which a life ends; the calls then under way have none.
const ANSWERS: usize = 20;

/// A cluster in a process of its own.
struct Cluster {
    process: Child,
    client: Client,
    address: String,
    ready: Value,
}

impl Cluster {
    fn start(data: &Path) -> Self {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let ca = data.with_extension("pem");
        let mut process = Command::new(env!("CARGO_BIN_EXE_solidfire-sim"))
            .arg("--data-dir")
            .arg(data)
            .arg("--ca-out")
            .arg(&ca)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut errors = process.stderr.take().unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let mut text = String::new();
            errors.read_to_string(&mut text).unwrap();
            panic!("the cluster did not start: {text}");
        };
        // The pipe must not fill.
        std::thread::spawn(move || errors.read_to_end(&mut Vec::new()));
        let ca = Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
        let client = Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
        let address = ready["management"].as_str().unwrap().to_owned();
        Self { process, client, address, ready }
    }

    /// The result; nothing when the cluster died meanwhile.
    async fn call(&self, method: &str, params: Value) -> Option<Value> {
        let url = format!("https://{}/json-rpc/12.5", self.address);
        let body = json!({ "method": method, "params": params }).to_string();
        let request = self.client.post(url).basic_auth("admin", Some("admin")).body(body);
        let text = request.send().await.ok()?.text().await.ok()?;
        let mut envelope: Value = serde_json::from_str(&text).ok()?;
        assert!(envelope.get("error").is_none(), "{method} {params}: {envelope}");
        Some(envelope["result"].take())
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[derive(Default)]
struct Answered {
    /// Volumes by number: their UUIDs, and their snapshot if it was answered.
    there: BTreeMap<i64, (Value, Option<Value>)>,
    /// Asked to be purged, and perhaps never answered.
    doubtful: Vec<i64>,
    gone: Vec<i64>,
    count: usize,
    enough: Option<oneshot::Sender<()>>,
}

impl Answered {
    fn note(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.count += 1;
        if self.count == ANSWERS
            && let Some(enough) = self.enough.take()
        {
            let _nobody = enough.send(());
        }
    }
}

/// Makes volumes with a snapshot each, and purges every third volume again.
async fn work(cluster: &Cluster, life: usize, worker: usize, answered: &Mutex<Answered>) {
    for number in 0.. {
        let new = json!({ "name": format!("v{life}-{worker}-{number}"), "accountID": 1,
            "totalSize": 1_000_000_000 });
        let Some(made) = cluster.call("CreateVolume", new).await else { return };
        let id = made["volumeID"].as_i64().unwrap();
        let uuid = made["volume"]["volumeUUID"].clone();
        answered.lock().unwrap().note(|all| drop(all.there.insert(id, (uuid, None))));
        let Some(taken) = cluster.call("CreateSnapshot", json!({ "volumeID": id })).await else { return };
        let snapshot = taken["snapshot"]["snapshotUUID"].clone();
        answered.lock().unwrap().note(|all| all.there.get_mut(&id).unwrap().1 = Some(snapshot));
        if number % 3 == 2 {
            answered.lock().unwrap().doubtful.push(id);
            let named = json!({ "volumeID": id });
            if cluster.call("DeleteVolume", named.clone()).await.is_none()
                || cluster.call("PurgeDeletedVolume", named).await.is_none()
            {
                return;
            }
            answered.lock().unwrap().note(|all| {
                all.there.remove(&id);
                all.gone.push(id);
            });
        }
    }
}

#[tokio::test]
async fn what_was_answered_survives_kills_at_any_moment() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let answered = Mutex::new(Answered::default());
    let mut unique = None;
    for life in 0..=KILLS {
        let cluster = Cluster::start(&data);
        let id = cluster.ready["uniqueID"].clone();
        assert_eq!(unique.get_or_insert_with(|| id.clone()), &id, "one cluster, one name");
        if life == 0 {
            cluster.call("AddAccount", json!({ "username": "tenant" })).await.unwrap();
        }
        // Nobody works meanwhile.
        let known = std::mem::take(&mut *answered.lock().unwrap());
        check(&cluster, &known).await;
        *answered.lock().unwrap() = known;
        if life == KILLS {
            cluster.kill();
            break;
        }
        let (enough, told) = oneshot::channel();
        {
            let mut all = answered.lock().unwrap();
            (all.count, all.enough) = (0, Some(enough));
        }
        let workers =
            async { tokio::join!(work(&cluster, life, 0, &answered), work(&cluster, life, 1, &answered)) };
        tokio::select! {
            _ = workers => panic!("the cluster died by itself"),
            _ = told => {}
        }
        cluster.kill();
    }
}

async fn check(cluster: &Cluster, answered: &Answered) {
    let volumes = cluster.call("ListVolumes", json!({})).await.unwrap();
    let snapshots = cluster.call("ListSnapshots", json!({})).await.unwrap();
    let by_id = |list: &Value, key: &str, member: &str| -> BTreeMap<i64, Value> {
        let entries = list.as_array().unwrap().iter();
        entries.map(|one| (one[key].as_i64().unwrap(), one[member].clone())).collect()
    };
    let volumes = by_id(&volumes["volumes"], "volumeID", "volumeUUID");
    let snapshots = by_id(&snapshots["snapshots"], "volumeID", "snapshotUUID");
    for (id, (uuid, snapshot)) in &answered.there {
        if answered.doubtful.contains(id) {
            continue;
        }
        assert_eq!(volumes.get(id), Some(uuid), "volume {id}");
        if let Some(snapshot) = snapshot {
            assert_eq!(snapshots.get(id), Some(snapshot), "the snapshot of volume {id}");
        }
    }
    for id in &answered.gone {
        assert_eq!(volumes.get(id), None, "volume {id} was purged");
        assert_eq!(snapshots.get(id), None, "the snapshot of volume {id}");
    }
}
