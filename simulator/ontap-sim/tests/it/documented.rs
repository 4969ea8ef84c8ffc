//! The examples of `docs/simulators.md` that talk to the management API with `curl`, run as they
//! stand: curl's own configuration leads the documented address to the port of this test.
//!
//! Mounting, and what else needs the addresses themselves, is tried on worker nodes by
//! `integration/tests/simulator_docs.rs`.

use std::process::Stdio;
use std::time::Duration;

use crate::support::configuration;
use ontap_sim::{Configuration, OntapSim};
use tokio::process::Command;

/// The management address in the document.
const DOCUMENTED: &str = "192.168.0.101";
/// Clients of the data planes: their addresses are not there.
const OF_DATA_PLANES: [&str; 2] = ["nfs-", "iscsi-"];

/// The fenced blocks that call the array's API, without the lines for clients of its data planes.
fn examples(document: &str) -> Vec<String> {
    let url = format!("https://{DOCUMENTED}/api");
    let fenced = document.split("\n```").skip(1).step_by(2);
    let wanted = |line: &&str| !OF_DATA_PLANES.iter().any(|client| line.starts_with(client));
    fenced
        .filter(|block| block.contains(&url))
        .map(|block| block.lines().skip(1).filter(wanted).collect::<Vec<_>>().join("\n"))
        .collect()
}

/// Follows one example on an array of its own; answers what it printed.
async fn follow(example: &str) -> String {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let mut wanted = configuration();
    wanted.blueprint.management = DOCUMENTED.parse().unwrap();
    let ca_out = Some(directory.path().join("ca.pem"));
    let sim = OntapSim::start(Configuration { ca_out, ..wanted }).await.unwrap();
    let led = format!("connect-to = \"{DOCUMENTED}:443:{}\"\nnoproxy = \"*\"\n", sim.management());
    std::fs::write(directory.path().join(".curlrc"), led).unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-euc", example]).current_dir(directory.path()).env("CURL_HOME", directory.path());
    shell.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), shell.output()).await.unwrap().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && !said.contains("\"error\""), "{example}\n{said}");
    sim.stop().await;
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_document_does_with_curl_succeeds_as_it_stands() {
    let examples = examples(include_str!("../../../../docs/simulators.md"));
    assert!(examples.len() >= 2, "{} examples were found", examples.len());
    for example in &examples {
        let said = follow(example).await;
        let calls = example.lines().filter(|line| line.starts_with("api ")).count();
        let answers = said.lines().filter(|line| line.starts_with('{')).count();
        assert_eq!(answers, calls, "each call is answered:\n{example}\n{said}");
    }
}
