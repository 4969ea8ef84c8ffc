//! Judged by clients that others wrote, unmodified and from the Python package index: the vendor's SDK
//! and the playbook an administrator would write.
//!
//! What they do is in `tests/strangers/`. Each test has a cluster of its own.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use clap::Parser as _;
use serde_json::{Value, json};
use sim_front::Controlled as _;
use solidfire_sim::{Arguments, Running, start};
use strangers::{Recap, Stage};

/// What the cases of the SDK must reach: calls, and kinds of call.
const LEAST: (u64, u64) = (150, 57);

async fn cluster() -> (Running, Stage) {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let stage = Stage::new(env!("CARGO_MANIFEST_DIR"));
    let ca = stage.ca();
    let arguments = ["solidfire-sim", "--seed", "1", "--ca-out", ca.to_str().unwrap()];
    (start(Arguments::parse_from(arguments)).await.unwrap(), stage)
}

/// Everything in the cluster.
fn portrait(running: &Running) -> Value {
    running.cluster().state()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_sdk_lives_through_the_life_of_everything_an_administrator_makes() {
    let (running, stage) = cluster().await;
    let before = portrait(&running);
    let counts = stage.counts("sdk/run.py", &[], running.management()).await;
    let count = |name: &str| counts[name].as_u64().unwrap();
    assert!(count("calls") >= LEAST.0 && count("methods") >= LEAST.1, "{counts}");
    assert_eq!(portrait(&running), before, "the cases leave the cluster as it was");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs clients from the Python package index: cargo xtask strangers"]
async fn the_administrators_playbook_changes_nothing_when_it_runs_again_and_is_taken_back_whole() {
    let (running, stage) = cluster().await;
    let before = portrait(&running);
    let first = stage.play("present.yml", running.management()).await;
    assert_eq!((first.changed, first.failed), (first.ok, 0), "every task makes something");
    let made = portrait(&running);
    assert_eq!(made["volumes"].as_array().map(Vec::len), Some(3));
    assert_eq!(made["volumes"][1]["volumeAccessGroups"], json!([1]));
    let second = stage.play("present.yml", running.management()).await;
    assert_eq!(second, Recap { ok: first.ok, changed: 0, failed: 0 });
    assert_eq!(portrait(&running), made);
    let back = stage.play("absent.yml", running.management()).await;
    assert_eq!((back.changed, back.failed), (back.ok, 0), "every task takes something away");
    assert_eq!(portrait(&running), before);
    running.stop().await;
}
