//! Judged by clients that others wrote, unmodified and from the Python package index: the REST
//! library's classes, the ZAPI library's calls, the playbook an administrator would write, and a tester
//! of HTTP APIs on the control endpoint.
//!
//! `cargo xtask test` and `cargo xtask strangers` install them into a venv and say where it is; what
//! they do is in `tests/strangers/`. Each test has an array of its own.

use std::path::{Path, PathBuf};

use ontap_sim::{OntapSim, rest};
use serde_json::{Map, Value};
use tokio::process::Command;

use crate::support::configuration;

/// What the cases of the ZAPI library must reach: calls that pass, and kinds of call.
const LEAST_ZAPI: (u64, u64) = (100, 60);

/// What the scripts of the REST library must reach: calls, and classes they are made on.
const LEAST: (u64, u64) = (350, 50);

/// Where the clients are installed.
fn venv() -> PathBuf {
    let named = std::env::var_os("STRANGERS_VENV");
    PathBuf::from(
        named.expect("STRANGERS_VENV names the venv; `cargo xtask strangers` makes it and runs this"),
    )
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/strangers")
}

/// What a playbook's last line counts.
#[derive(Debug, PartialEq, Eq)]
struct Recap {
    ok: u32,
    changed: u32,
    failed: u32,
}

/// Everything in the array but what stays when its objects are gone: jobs, events, deleted volumes.
fn portrait(sim: &OntapSim) -> Map<String, Value> {
    let mut portrait = sim.array().read(rest::portrait);
    for past in ["cluster/jobs", "support/ems/events", "private/cli/volume/recovery-queue"] {
        portrait.remove(past);
    }
    portrait
}

/// An array and the file with its CA certificate.
async fn start() -> (OntapSim, tempfile::TempDir) {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().unwrap();
    let ca_out = Some(directory.path().join("ca.pem"));
    (OntapSim::start(ontap_sim::Configuration { ca_out, ..configuration() }).await.unwrap(), directory)
}

/// Runs a program of the venv in `directory`; answers whether it succeeded and what it printed.
async fn client(program: &str, arguments: &[&str], directory: &Path, sim: &OntapSim) -> (bool, String) {
    let mut command = Command::new(venv().join("bin").join(program));
    command.args(arguments).current_dir(directory).kill_on_drop(true);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", directory).env("TMPDIR", directory);
    command.env("PATH", format!("{}:/usr/bin:/bin", venv().join("bin").display()));
    command.env("SIM_MANAGEMENT", sim.management().to_string());
    // An array on loopback is not reached through a proxy, nor judged by the machine's own list of CAs.
    for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C.UTF-8").env("ANSIBLE_COLLECTIONS_PATH", venv().join("collections"));
    command.env("ANSIBLE_PIPELINING", "true").env("ANSIBLE_PYTHON_INTERPRETER", venv().join("bin/python"));
    let ca = directory.join("ca.pem");
    command.env("REQUESTS_CA_BUNDLE", &ca).env("SSL_CERT_FILE", &ca);
    let output = command.output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Plays the cases of a library; answers what the last line of its output counts.
async fn counts(run: &str, more: &[&str], directory: &Path, sim: &OntapSim) -> Value {
    let (run, management) = (scripts().join(run), sim.management().to_string());
    let arguments: Vec<_> =
        [run.to_str().unwrap(), &management].into_iter().chain(more.iter().copied()).collect();
    let (good, said) = client("python", &arguments, directory, sim).await;
    println!("{said}");
    assert!(good, "a case failed");
    let counts: Value = serde_json::from_str(said.trim_end().lines().last().unwrap()).unwrap();
    assert_eq!(counts["failed"], 0);
    counts
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_rest_library_does_with_each_class_what_its_script_says() {
    let (sim, directory) = start().await;
    let before = portrait(&sim);
    let ca = directory.path().join("ca.pem");
    let counts = counts("rest_client/run.py", &[ca.to_str().unwrap()], directory.path(), &sim).await;
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert!(count("calls") >= LEAST.0 && count("classes") >= LEAST.1, "{counts}");
    assert_eq!(portrait(&sim), before, "the scripts leave the array as it was");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_zapi_library_is_challenged_for_its_password_and_does_what_its_cases_say() {
    let (sim, directory) = start().await;
    let before = portrait(&sim);
    let counts = counts("zapi_client/run.py", &[], directory.path(), &sim).await;
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert!(count("calls") >= LEAST_ZAPI.0 && count("apis") >= LEAST_ZAPI.1, "{counts}");
    assert_eq!(portrait(&sim), before, "the cases leave the array as it was");
    sim.stop().await;
}

async fn play(playbook: &str, directory: &Path, sim: &OntapSim) -> Recap {
    let playbook = scripts().join("ansible").join(playbook);
    let arguments = ["--inventory", "localhost,", "--connection", "local", playbook.to_str().unwrap()];
    let (good, said) = client("ansible-playbook", &arguments, directory, sim).await;
    println!("{said}");
    assert!(good, "a task failed");
    let recap = said.lines().rfind(|line| line.starts_with("localhost ")).unwrap();
    let count = |name: &str| {
        let mut words = recap.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok()).unwrap()
    };
    Recap { ok: count("ok"), changed: count("changed"), failed: count("failed") }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_administrators_playbook_changes_nothing_when_it_runs_again_and_is_taken_back_whole() {
    let (sim, directory) = start().await;
    let before = portrait(&sim);
    let first = play("present.yml", directory.path(), &sim).await;
    assert_eq!((first.changed, first.failed), (first.ok, 0), "every task makes something");
    let made = portrait(&sim);
    assert_ne!(made, before);
    let second = play("present.yml", directory.path(), &sim).await;
    assert_eq!(second, Recap { ok: first.ok, changed: 0, failed: 0 });
    assert_eq!(portrait(&sim), made);
    let back = play("absent.yml", directory.path(), &sim).await;
    assert_eq!((back.changed, back.failed), (back.ok, 0), "every task takes something away");
    assert_eq!(portrait(&sim), before);
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_control_endpoint_answers_as_its_description_says_whatever_it_is_sent() {
    let (sim, directory) = start().await;
    let description = format!("http://{}/openapi.json", sim.control());
    // The stream of events has no end to wait for.
    let told = "run --phases fuzzing --max-examples 10 --workers 4 --seed 7 --request-timeout 10 --no-color \
                --exclude-path /sim/v1/events/stream --checks not_a_server_error,status_code_conformance,\
                content_type_conformance,response_schema_conformance";
    let arguments: Vec<_> = told.split_whitespace().chain([description.as_str()]).collect();
    let (good, said) = client("schemathesis", &arguments, directory.path(), &sim).await;
    println!("{said}");
    assert!(good, "the endpoint does not do what its description says");
    assert!(said.contains(" passed"), "nothing was tried");
    sim.stop().await;
}
