//! Arrays that a file declares (`--config`): the documented one as clients meet it, and files that are wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Bench, configuration};
use ontap_sim::declaration::Declaration;
use ontap_sim::state::Blueprint;
use ontap_sim::{Configuration, OntapSim};
use serde_json::json;

/// The example of the documentation.
fn example() -> String {
    let text = include_str!("../../../../docs/simulators.md");
    let (_, after) = text.split_once("\n```yaml config\n").unwrap();
    after.split_once("\n```\n").unwrap().0.to_owned()
}

fn declared(text: &str, data: Option<&Path>) -> Configuration {
    let usual = configuration();
    Configuration {
        declaration: Some(Declaration::parse(Path::new("array.yaml"), text).unwrap()),
        data_dir: data.map(Path::to_owned),
        blueprint: Blueprint { addressed: false, ..usual.blueprint },
        ..usual
    }
}

/// A file with this text, in a directory that goes away.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("array.yaml");
    std::fs::write(&path, text).unwrap();
    (place, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_array_is_there_for_its_clients() {
    let bench = Bench::with(declared(&example(), None)).await;
    let volume = bench.one("/api/storage/volumes?name=projects&fields=*,nas.path").await;
    assert_eq!((&volume["svm"]["name"], &volume["nas"]["path"]), (&json!("gold"), &json!("/projects")));
    let map = bench.one("/api/protocols/san/lun-maps?igroup.name=hosts").await;
    assert_eq!(map["lun"]["name"], "/vol/databases/lun0");
    let lifs = bench.get("/api/network/ip/interfaces?svm.name=gold&fields=state").await;
    assert_eq!(lifs["num_records"], 3);
    assert!(lifs["records"].as_array().unwrap().iter().all(|lif| lif["state"] == "up"), "{lifs}");
    let planes = bench.sim.array().planes();
    assert_eq!((planes.nfs_lifs().len(), planes.portals().len()), (1, 2));
    let at = format!("https://{}/api/storage/volumes", bench.sim.management());
    let get = async |user, password| {
        let asked = bench.client.get(&at).basic_auth(user, Some(password)).send().await;
        asked.unwrap().status().as_u16()
    };
    assert_eq!(get("watcher", "Watch-over-9").await, 200);
    assert_eq!(get("vsadmin", "Tenant-pass1").await, 200);
    assert_eq!(get("watcher", "Tenant-pass1").await, 401);
    bench.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_keeps_the_array_of_the_first_start_whatever_the_file_says_later() {
    let place = tempfile::tempdir().unwrap();
    let first = Bench::with(declared(&example(), Some(place.path()))).await;
    let uuid = first.one("/api/storage/volumes?name=projects").await["uuid"].clone();
    first.sim.stop().await;
    let later = example().replace("projects", "other").replace("gold", "lead");
    let second = Bench::with(declared(&later, Some(place.path()))).await;
    assert_eq!(second.one("/api/storage/volumes?name=projects").await["uuid"], uuid);
    assert_eq!(second.get("/api/svm/svms?name=lead").await["num_records"], 0);
    second.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lif_that_cannot_be_served_is_told_with_its_place_and_nothing_is_kept_of_the_array() {
    let place = tempfile::tempdir().unwrap();
    // An address for documentation (RFC 5737): no host has it.
    let wrong = example().replace("127.0.0.31", "192.0.2.31");
    let line = 1 + wrong.lines().position(|line| line.contains("192.0.2.31")).unwrap();
    let error = OntapSim::start(declared(&wrong, Some(place.path()))).await.unwrap_err().to_string();
    let expected = format!("--config array.yaml: line {line}, ");
    assert!(error.starts_with(&expected) && error.contains("lifs[0].ip.address: 192.0.2.31"), "{error}");
    assert!(error.contains("give an address of this host"), "{error}");
    let bench = Bench::with(declared(&example(), Some(place.path()))).await;
    assert_eq!(bench.get("/api/network/ip/interfaces?svm.name=gold").await["num_records"], 3);
    bench.sim.stop().await;
}

#[test]
fn the_program_tells_a_wrong_file_in_one_line_and_does_not_start() {
    let (_place, path) = file(&example().replace("size: 1GB", "size: much"));
    for (flags, expected) in [
        (vec!["--config", path.to_str().unwrap()], "volumes[0].size"),
        (vec!["--config", "/nowhere/array.yaml"], "--config /nowhere/array.yaml: cannot be read"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ontap-sim")).args(flags).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.starts_with("ontap-sim: --config ") && said.contains(expected), "{said}");
    }
}

#[test]
fn a_file_and_the_flags_that_it_replaces_are_not_given_together() {
    let output = Command::new(env!("CARGO_BIN_EXE_ontap-sim"))
        .args(["--config", "array.yaml", "--svm", "svm1"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("--svm") && said.contains("--config"), "{said}");
}
