//! Judged by clients that others wrote, unmodified and from the Python package index: the REST
//! library's classes, the ZAPI library's calls, the playbook an administrator would write, and a tester
//! of HTTP APIs on the control endpoint.
//!
//! What they do is in `tests/strangers/`. Each test has an array of its own.

use ontap_sim::{OntapSim, rest};
use serde_json::{Map, Value};
use strangers::{Recap, Stage};

use crate::support::configuration;

/// What the cases of the ZAPI library must reach: calls that pass, and kinds of call.
const LEAST_ZAPI: (u64, u64) = (100, 60);

/// What the scripts of the REST library must reach: calls, and classes they are made on.
const LEAST: (u64, u64) = (350, 50);

/// Everything in the array but what stays when its objects are gone: jobs, events, deleted volumes.
fn portrait(sim: &OntapSim) -> Map<String, Value> {
    let mut portrait = sim.array().read(rest::portrait);
    for past in ["cluster/jobs", "support/ems/events", "private/cli/volume/recovery-queue"] {
        portrait.remove(past);
    }
    portrait
}

async fn start() -> (OntapSim, Stage) {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let stage = Stage::new(env!("CARGO_MANIFEST_DIR"));
    let ca_out = Some(stage.ca());
    (OntapSim::start(ontap_sim::Configuration { ca_out, ..configuration() }).await.unwrap(), stage)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_rest_library_does_with_each_class_what_its_script_says() {
    let (sim, stage) = start().await;
    let before = portrait(&sim);
    let ca = stage.ca();
    let counts = stage.counts("rest_client/run.py", &[ca.to_str().unwrap()], sim.management()).await;
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert!(count("calls") >= LEAST.0 && count("classes") >= LEAST.1, "{counts}");
    assert_eq!(portrait(&sim), before, "the scripts leave the array as it was");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_zapi_library_is_challenged_for_its_password_and_does_what_its_cases_say() {
    let (sim, stage) = start().await;
    let before = portrait(&sim);
    let counts = stage.counts("zapi_client/run.py", &[], sim.management()).await;
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert!(count("calls") >= LEAST_ZAPI.0 && count("apis") >= LEAST_ZAPI.1, "{counts}");
    assert_eq!(portrait(&sim), before, "the cases leave the array as it was");
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_administrators_playbook_changes_nothing_when_it_runs_again_and_is_taken_back_whole() {
    let (sim, stage) = start().await;
    let before = portrait(&sim);
    let first = stage.play("present.yml", sim.management()).await;
    assert_eq!((first.changed, first.failed), (first.ok, 0), "every task makes something");
    let made = portrait(&sim);
    assert_ne!(made, before);
    let second = stage.play("present.yml", sim.management()).await;
    assert_eq!(second, Recap { ok: first.ok, changed: 0, failed: 0 });
    assert_eq!(portrait(&sim), made);
    let back = stage.play("absent.yml", sim.management()).await;
    assert_eq!((back.changed, back.failed), (back.ok, 0), "every task takes something away");
    assert_eq!(portrait(&sim), before);
    sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_control_endpoint_answers_as_its_description_says_whatever_it_is_sent() {
    let (sim, stage) = start().await;
    let description = format!("http://{}/openapi.json", sim.control());
    // The stream of events has no end to wait for.
    let told = "run --phases fuzzing --max-examples 10 --workers 4 --seed 7 --request-timeout 10 --no-color \
                --exclude-path /sim/v1/events/stream --checks not_a_server_error,status_code_conformance,\
                content_type_conformance,response_schema_conformance";
    let arguments: Vec<_> = told.split_whitespace().chain([description.as_str()]).collect();
    let (good, said) = stage.client("schemathesis", &arguments, sim.management()).await;
    println!("{said}");
    assert!(good, "the endpoint does not do what its description says");
    assert!(said.contains(" passed"), "nothing was tried");
    sim.stop().await;
}
