//! Who waits for whom, what a refused stage leaves, what never leaves memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail this way")]

mod harness;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use agent_core::intent::{Intent, Stage, Usage};
use contract::{ChapCredentials, ChapPair, PublishContext, Secret};
use harness::model::{Data, portal};
use harness::{Fixed, Node, agent, agent_with, lun_volume, publish, unstage};
use parking_lot::Mutex;
use tine_agent::coordinator::Failure;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

fn node() -> (Node, tempfile::TempDir) {
    (Node::default(), tempfile::tempdir().unwrap())
}

#[tokio::test]
async fn a_retry_joins_the_running_operation_and_gets_its_result() {
    let (node, state) = node();
    let stage = Intent::Stage(lun_volume(&node, 1, Data::Zeros));
    let agent = agent(&node, state.path());
    let mut gate = node.hold("MakeFilesystem");
    // The first caller's deadline passes while the step runs.
    tokio::select! {
        _ = agent.submit(stage.clone()) => panic!("the step is held"),
        () = gate.reached() => {}
    }
    let retry = tokio::spawn({
        let (agent, stage) = (Arc::clone(&agent), stage.clone());
        async move { agent.submit(stage).await }
    });
    tokio::task::yield_now().await;
    gate.open();
    let report = timeout(SOON, retry).await.unwrap().unwrap();
    assert!(report.result.is_ok(), "{:?}", report.result);
    assert_eq!((node.applied("MakeFilesystem"), node.applied("LogIn")), (1, 2));
    assert!(report.timeline.to_json().contains("MakeFilesystem"));
}

#[tokio::test]
async fn a_hanging_volume_delays_no_other_not_even_on_the_same_target() {
    let (node, state) = node();
    let slow = lun_volume(&node, 1, Data::Zeros);
    let quick = lun_volume(&node, 2, Data::Zeros);
    let agent = agent(&node, state.path());
    let mut gate = node.hold("MountDevice 3600a0980000000000000000000000001");
    let hanging = tokio::spawn({
        let (agent, slow) = (Arc::clone(&agent), slow.clone());
        async move { agent.submit(Intent::Stage(slow)).await }
    });
    gate.reached().await;
    for intent in [Intent::Stage(quick.clone()), publish(&quick), harness::unpublish(&quick), unstage(&quick)]
    {
        let report = timeout(SOON, agent.submit(intent)).await.unwrap();
        assert!(report.result.is_ok(), "{:?}", report.result);
    }
    assert_eq!(node.world.lock().sessions(), 2, "the sessions are the slow volume's");
    gate.open();
    assert!(hanging.await.unwrap().result.is_ok());
    assert!(agent.submit(unstage(&slow)).await.result.is_ok());
    assert!(node.world.lock().is_clean() && node.world.lock().harm.is_empty());
}

#[tokio::test]
async fn two_volumes_of_one_target_unstaged_together_leave_no_session() {
    let (node, state) = node();
    let volumes = [lun_volume(&node, 1, Data::Zeros), lun_volume(&node, 2, Data::Zeros)];
    let agent = agent(&node, state.path());
    for stage in &volumes {
        assert!(agent.submit(Intent::Stage(stage.clone())).await.result.is_ok());
    }
    // Both have planned, each with the other still there, when the first goes on.
    let mut gate = node.hold("RemoveMap");
    let flights = volumes.each_ref().map(|stage| {
        let (agent, intent) = (Arc::clone(&agent), unstage(stage));
        tokio::spawn(async move { agent.submit(intent).await })
    });
    gate.reached_by(2).await;
    gate.open();
    for flight in flights {
        let report = timeout(SOON, flight).await.unwrap().unwrap();
        assert!(report.result.is_ok(), "{:?}", report.result);
    }
    assert!(node.world.lock().is_clean(), "{}", node.world.lock().residue());
    assert_eq!(node.world.lock().harm, Vec::<String>::new());
}

#[tokio::test]
async fn the_opposite_call_waits_its_turn() {
    let (node, state) = node();
    let stage = lun_volume(&node, 1, Data::Zeros);
    let agent = agent(&node, state.path());
    let mut gate = node.hold("LogIn");
    let first = tokio::spawn({
        let (agent, stage) = (Arc::clone(&agent), stage.clone());
        async move { agent.submit(Intent::Stage(stage)).await }
    });
    gate.reached().await;
    let second = tokio::spawn({
        let (agent, intent) = (Arc::clone(&agent), unstage(&stage));
        async move { agent.submit(intent).await }
    });
    tokio::task::yield_now().await;
    gate.open();
    assert!(first.await.unwrap().result.is_ok());
    assert!(second.await.unwrap().result.is_ok());
    assert!(node.world.lock().is_clean());
}

#[tokio::test]
async fn a_refused_stage_leaves_nothing_behind() {
    let (node, state) = node();
    let stage = lun_volume(&node, 1, Data::Foreign("a GPT at 512"));
    let before = node.world.lock().luns.clone();
    let agent = agent(&node, state.path());
    let report = agent.submit(Intent::Stage(stage.clone())).await;
    let Err(Failure::Refused(refusal)) = &report.result else { panic!("{:?}", report.result) };
    assert_eq!(refusal.hazard.to_string(), "H01");
    assert!(node.world.lock().is_clean(), "{}", node.world.lock().residue());
    assert_eq!(agent.journal().records(), []);
    assert_eq!(format!("{before:?}"), format!("{:?}", node.world.lock().luns));
    assert!(agent.submit(unstage(&stage)).await.result.is_ok());
}

#[tokio::test]
async fn a_refusal_for_a_mounted_volume_unmounts_nothing() {
    let (node, state) = node();
    let stage = lun_volume(&node, 1, Data::Zeros);
    let agent = agent(&node, state.path());
    assert!(agent.submit(Intent::Stage(stage.clone())).await.result.is_ok());
    assert!(agent.submit(publish(&stage)).await.result.is_ok());
    let mounted = node.world.lock().mounts().to_vec();
    // The array maps another LUN at this number, under the mounted filesystem.
    let other = harness::model::lun(9, Data::Zeros);
    node.world.lock().luns.insert((harness::model::target("a"), 1), other);
    assert!(agent.submit(Intent::Stage(stage.clone())).await.result.is_err());
    // The same volume id cannot mean another use, place or device either.
    let block = Stage { usage: Usage::Block, ..stage.clone() };
    let elsewhere = Stage { staging: "/elsewhere".parse().unwrap(), ..stage.clone() };
    for intent in [block, elsewhere] {
        let report = agent.submit(Intent::Stage(intent)).await;
        assert!(matches!(&report.result, Err(Failure::Refused(_))), "{:?}", report.result);
    }
    assert_eq!(node.world.lock().mounts(), mounted);
    assert_eq!(agent.journal().records().len(), 1);
}

#[tokio::test]
async fn a_dead_portal_costs_a_moment_and_is_reported() {
    let (node, state) = node();
    let stage = lun_volume(&node, 1, Data::Zeros);
    node.world.lock().dead.insert(portal(22).socket_addr());
    let agent = agent(&node, state.path());
    let report = timeout(SOON, agent.submit(Intent::Stage(stage.clone()))).await.unwrap();
    assert!(report.result.is_ok(), "{:?}", report.result);
    let paths = agent.find_paths(&stage.volume).unwrap();
    assert_eq!((paths.usable, paths.expected), (1, 2));
    node.world.lock().dead.insert(portal(21).socket_addr());
    assert!(agent.submit(unstage(&stage)).await.result.is_ok(), "teardown needs no path");
    assert!(node.world.lock().is_clean(), "{}", node.world.lock().residue());
}

#[tokio::test]
async fn a_volume_that_asks_for_chap_needs_a_controller_and_says_so() {
    let (node, state) = node();
    let stage = authenticated(lun_volume(&node, 1, Data::Zeros));
    let agent = agent(&node, state.path());
    let report = agent.submit(Intent::Stage(stage)).await;
    assert!(report.result.as_ref().unwrap_err().to_string().contains("--controller"));
    assert_eq!(agent.journal().records(), [], "nothing was begun, nothing is remembered");
}

fn authenticated(mut stage: Stage) -> Stage {
    if let PublishContext::Iscsi(iscsi) = &mut stage.attachment {
        iscsi.authenticated = true;
    }
    stage
}

/// Everything `tracing` says.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_chap_secret_reaches_neither_journal_nor_log_nor_timeline() {
    let (node, state) = node();
    let log = Captured::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let pair = |secret: &str| ChapPair { username: "node-1".into(), secret: Secret::new(secret.to_owned()) };
    let good = ChapCredentials { initiator: pair("canary-0815"), target: Some(pair("canary-4711")) };
    node.world.lock().chap = Some(good.clone());
    let stage = authenticated(lun_volume(&node, 1, Data::Zeros));
    let stale = ChapCredentials { initiator: pair("canary-old"), target: None };

    let wrong = agent_with(&node, state.path(), Arc::new(Fixed(stale)));
    let refused = wrong.submit(Intent::Stage(stage.clone())).await;
    drop(wrong);
    let agent = agent_with(&node, state.path(), Arc::new(Fixed(good)));
    let report = agent.submit(Intent::Stage(stage.clone())).await;
    assert!(refused.result.is_err() && report.result.is_ok(), "{:?} {:?}", refused.result, report.result);

    let mut text = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(text.contains("with CHAP"), "the log was captured");
    for file in std::fs::read_dir(state.path().join("volumes")).unwrap() {
        text.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    assert!(text.contains("\"authenticated\": true"), "the journal was read");
    text.push_str(&report.timeline.to_json());
    text.push_str(&format!("{refused:?} {agent:?}"));
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_rehearsal_changes_nothing() {
    let node = Node::default();
    let state = tempfile::tempdir().unwrap();
    let agent = agent(&node, state.path());
    let stage = lun_volume(&node, 1, Data::Zeros);
    assert!(agent.submit(Intent::Stage(stage)).await.result.is_ok());
    let (applied, residue) = (node.applied(""), node.world.lock().residue());
    agent.rehearse().await;
    assert_eq!((node.applied(""), node.world.lock().residue()), (applied, residue));
    assert_eq!(agent.journal().records().len(), 1);
}
