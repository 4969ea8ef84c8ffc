//! An array with a data directory dies at any moment, by `kill -9`, and comes back: what it answered
//! is there, under the same identifiers, and contents and state name the same objects.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Bench, configuration};
use ontap_sim::{Configuration, OntapSim};
use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};

/// Lives that end by `kill -9`.
const KILLS: usize = 4;
/// Answers after which a life ends; the calls then under way have none.
const ANSWERS: usize = 12;

/// An array in a process of its own.
struct Array {
    process: Child,
    client: Client,
    address: String,
    ready: Value,
}

impl Array {
    fn start(data: &Path) -> Self {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let ca = data.with_extension("pem");
        let mut process = Command::new(env!("CARGO_BIN_EXE_ontap-sim"))
            .args(["--seed", "7", "--svm", "svm1", "--data-dir"])
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
            panic!("the array did not start: {text}");
        };
        // The pipe must not fill.
        std::thread::spawn(move || errors.read_to_end(&mut Vec::new()));
        let ca = Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
        let client = Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
        let address = ready["management"].as_str().unwrap().to_owned();
        Self { process, client, address, ready }
    }

    /// Status and body; nothing when the array died meanwhile.
    async fn call(&self, method: Method, path: &str, body: Value) -> Option<(u16, Value)> {
        let url = format!("https://{}{path}", self.address);
        let request = self.client.request(method, url).basic_auth("admin", Some("Netapp1!"));
        let response = request.body(body.to_string()).send().await.ok()?;
        let status = response.status().as_u16();
        Some((status, serde_json::from_str(&response.text().await.ok()?).ok()?))
    }

    /// Names and identities of what there is.
    async fn inventory(&self) -> BTreeMap<String, String> {
        let mut inventory = BTreeMap::new();
        for (path, identity) in [
            ("/api/storage/volumes?fields=uuid", "/uuid"),
            ("/api/storage/luns?fields=serial_number", "/serial_number"),
            ("/api/svm/svms?fields=uuid", "/uuid"),
            ("/api/network/ip/interfaces?fields=uuid", "/uuid"),
        ] {
            let (status, body) = self.call(Method::GET, path, Value::Null).await.unwrap();
            assert_eq!(status, 200, "{body}");
            for record in body["records"].as_array().unwrap() {
                let name = record["name"].as_str().unwrap().to_owned();
                inventory.insert(name, record.pointer(identity).unwrap().to_string());
            }
        }
        inventory
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Makes volumes with a LUN each, and deletes every third volume again; what was answered.
async fn work(array: &Array, life: usize, worker: usize, answered: &std::sync::Mutex<Answered>) {
    for number in 0.. {
        let name = format!("v{life}_{worker}_{number}");
        let volume = json!({ "name": name, "svm.name": "svm1", "aggregates.name": ["aggr1"],
            "guarantee.type": "none", "nas.path": format!("/{name}") });
        let volumes = "/api/storage/volumes?return_timeout=9&return_records=true";
        let Some((status, made)) = array.call(Method::POST, volumes, volume).await else { return };
        assert_eq!(status, 201, "{made}");
        let record = &made["records"][0];
        answered.lock().unwrap().made(&name, record["uuid"].to_string());
        let path = format!("/vol/{name}/l");
        let lun = json!({ "name": path, "os_type": "linux", "svm.name": "svm1", "space.size": "1MB" });
        let luns = "/api/storage/luns?return_records=true";
        let Some((status, made)) = array.call(Method::POST, luns, lun).await else { return };
        assert_eq!(status, 201, "{made}");
        answered.lock().unwrap().made(&path, made["records"][0]["serial_number"].to_string());
        if number % 3 == 2 {
            answered.lock().unwrap().doubtful.extend([name.clone(), path.clone()]);
            // Past the recovery queue, which keeps the content.
            let volume = format!("/api/storage/volumes/{}?force=true", record["uuid"].as_str().unwrap());
            if array.call(Method::DELETE, &volume, Value::Null).await.is_some() {
                answered.lock().unwrap().deleted([name, path]);
            }
        }
    }
}

#[derive(Default)]
struct Answered {
    there: BTreeMap<String, String>,
    gone: Vec<String>,
    /// Asked to be deleted, and perhaps never answered.
    doubtful: Vec<String>,
    count: usize,
    enough: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Answered {
    fn made(&mut self, name: &str, identity: String) {
        self.there.insert(name.to_owned(), identity);
        self.counted();
    }

    fn deleted(&mut self, names: [String; 2]) {
        for name in names {
            self.there.remove(&name);
            self.gone.push(name);
        }
        self.counted();
    }

    fn counted(&mut self) {
        self.count += 1;
        if self.count == ANSWERS
            && let Some(enough) = self.enough.take()
        {
            let _gone = enough.send(());
        }
    }
}

/// Every directory under `volumes` is a volume's, and every volume has one.
fn require_contents(data: &Path, inventory: &BTreeMap<String, String>) {
    let mut kept: Vec<_> = std::fs::read_dir(data.join("volumes"))
        .unwrap()
        .map(|entry| format!("\"{}\"", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    let of_volume = |name: &str| name == "svm1_root" || name.starts_with('v');
    let mut named: Vec<_> =
        inventory.iter().filter(|(name, _)| of_volume(name)).map(|(_, uuid)| uuid.clone()).collect();
    kept.sort();
    named.sort();
    assert_eq!(kept, named);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_kill_9_under_the_same_identifiers_and_nothing_else_stays() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let mut there = BTreeMap::new();
    let mut identity = None;
    for life in 0..KILLS {
        let array = Array::start(&data);
        let target = array.ready["target"].clone();
        assert_eq!(*identity.get_or_insert_with(|| target.clone()), target);
        let (enough, killing) = tokio::sync::oneshot::channel();
        let answered = std::sync::Mutex::new(Answered { enough: Some(enough), ..Answered::default() });
        {
            let workers = (0..3).map(|worker| work(&array, life, worker, &answered));
            let workers = futures_util::future::join_all(workers);
            tokio::select! {
                _ = killing => {}
                _ = workers => panic!("the array answers no more"),
            }
        }
        array.kill();
        let answered = answered.into_inner().unwrap();
        there.retain(|name, _| !answered.gone.contains(name));
        there.extend(answered.there);

        let array = Array::start(&data);
        let inventory = array.inventory().await;
        for (name, identity) in &there {
            let kept = inventory.get(name);
            let perhaps_gone = kept.is_none() && answered.doubtful.contains(name);
            assert!(kept == Some(identity) || perhaps_gone, "{name}: {identity}, and now {kept:?}");
        }
        assert!(answered.gone.iter().all(|name| !inventory.contains_key(name)), "a deleted object came back");
        require_contents(&data, &inventory);
        // What was under way may have been done; from here on it has its identifier too.
        there = inventory;
        array.kill();
    }
}

fn client_authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "clients");
    authority.self_signed(&key).unwrap().pem()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_go_on_trusting_and_accounts_logging_in_after_kill_9_and_nobody_else_reads_them() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let first = Array::start(&data);
    let role = json!({ "name": "watcher",
        "privileges": [{ "path": "/api/storage/volumes", "access": "readonly" }] });
    let account = json!({ "name": "ops", "role": "watcher", "password": "Secret-word1",
        "applications": [{ "application": "http", "authentication_methods": ["password"] }] });
    let authority = json!({ "type": "client_ca", "public_certificate": client_authority() });
    for (path, body) in [("roles", role), ("accounts", account), ("certificates", authority)] {
        let made = first.call(Method::POST, &format!("/api/security/{path}"), body).await.unwrap();
        assert_eq!(made.0, 201, "{}", made.1);
    }
    let trusting = first.client.clone();
    first.kill();
    let second = Array::start(&data);
    let get = async |password: &str, path: &str| {
        let url = format!("https://{}/api/{path}", second.address);
        let response = trusting.get(url).basic_auth("ops", Some(password)).send().await;
        response.expect("the first life's authority is trusted").status().as_u16()
    };
    assert_eq!(get("Secret-word1", "storage/volumes").await, 200);
    assert_eq!(get("Secret-word1", "svm/svms").await, 403);
    assert_eq!(get("Secret-word2", "storage/volumes").await, 401);
    let kept = second.call(Method::GET, "/api/security/certificates?type=client_ca", Value::Null).await;
    assert_eq!(kept.unwrap().1["num_records"], 1);
    second.kill();
    for file in ["state.redb", "authority.pem"] {
        let path = data.join(file);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{file}");
        let bytes = std::fs::read(path).unwrap();
        assert!(!bytes.windows(12).any(|window| window == b"Secret-word1"), "{file} has a password in clear");
    }
}

#[tokio::test]
async fn an_authority_that_is_not_what_was_kept_is_refused_with_file_and_cure() {
    let place = tempfile::tempdir().unwrap();
    Bench::with(kept_in(place.path())).await.sim.stop().await;
    let file = place.path().join("authority.pem");
    let kept = std::fs::read_to_string(&file).unwrap();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let certificate = kept.split("-----BEGIN PRIVATE KEY").next().unwrap();
    for (damaged, reason) in [
        ("nothing".to_owned(), "no private key"),
        (other.clone(), "no certificate"),
        (format!("{certificate}{other}"), "not that of its certificate"),
    ] {
        std::fs::write(&file, damaged).unwrap();
        let error = OntapSim::start(kept_in(place.path())).await.unwrap_err().to_string();
        assert!(error.contains("authority.pem") && error.contains(reason), "{error}");
        assert!(error.contains("copy"), "{error}");
    }
}

fn kept_in(data: &Path) -> Configuration {
    Configuration { data_dir: Some(data.to_owned()), ..configuration() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_content_of_a_lun_and_what_its_hosts_see_are_the_same_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let serial = {
        let bench = Bench::with(kept_in(place.path())).await;
        let volume = json!({ "name": "v", "svm.name": "svm1", "aggregates.name": ["aggr1"], "size": "1GB" });
        assert_eq!(bench.post("/api/storage/volumes?return_timeout=9", volume).await.status, 201);
        let lun = json!({ "name": "/vol/v/l", "os_type": "linux", "svm.name": "svm1", "space.size": "1MB" });
        let made = bench.post("/api/storage/luns?return_records=true", lun).await;
        assert_eq!(made.status, 201, "{}", made.body);
        let igroup = json!({ "name": "ig", "os_type": "linux", "svm.name": "svm1",
            "initiators": [{ "name": "iqn.2026-11.example:a" }] });
        assert_eq!(bench.post("/api/protocols/san/igroups", igroup).await.status, 201);
        let map = json!({ "lun.name": "/vol/v/l", "igroup.name": "ig", "svm.name": "svm1" });
        assert_eq!(bench.post("/api/protocols/san/lun-maps", map).await.status, 201);
        let uuid = made.body["records"][0]["uuid"].as_str().unwrap().parse().unwrap();
        let content = bench.sim.array().planes().find_content(ontap_sim::state::LunId(uuid)).unwrap();
        content.write_at(4096, b"what a host wrote").unwrap();
        content.flush().unwrap();
        drop(content);
        bench.sim.stop().await;
        made.body["records"][0]["serial_number"].clone()
    };
    let bench = Bench::with(kept_in(place.path())).await;
    let lun = bench.one("/api/storage/luns?name=/vol/v/l&fields=uuid,serial_number,lun_maps").await;
    assert_eq!((&lun["serial_number"], &lun["lun_maps"][0]["logical_unit_number"]), (&serial, &json!(0)));
    let uuid = lun["uuid"].as_str().unwrap().parse().unwrap();
    let content = bench.sim.array().planes().content_of(ontap_sim::state::LunId(uuid)).unwrap();
    let mut read = [0; 17];
    content.read_at(4096, &mut read).unwrap();
    assert_eq!(&read, b"what a host wrote");
    drop(content);
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_array_in_the_directory_and_lost_content_are_refused_with_place_and_cure() {
    let place = tempfile::tempdir().unwrap();
    let first = Bench::with(kept_in(place.path())).await;
    let error = OntapSim::start(kept_in(place.path())).await.unwrap_err().to_string();
    assert!(error.contains("in use") && error.contains(place.path().to_str().unwrap()), "{error}");
    first.sim.stop().await;
    std::fs::remove_dir_all(place.path().join("volumes")).unwrap();
    let error = OntapSim::start(kept_in(place.path())).await.unwrap_err().to_string();
    assert!(error.contains("svm1_root") && error.contains("copy"), "{error}");
}
