//! Killed after any step, the same call and the opposite call end in the same world (invariant 8).
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail this way")]

mod harness;

use std::path::Path;
use std::time::Duration;

use agent_core::intent::{Intent, Stage, Usage};
use contract::PublishContext;
use harness::model::{Data, export};
use harness::{Node, agent, lun_volume, publish, unpublish, unstage};
use tine_agent::coordinator::Phase;
use tokio::runtime::Runtime;

/// Runs one agent process until `intent` is settled, or until the node's fuse kills it.
fn run(node: &Node, state: &Path, intent: &Intent) -> Option<bool> {
    let runtime = Runtime::new().unwrap();
    node.died.send_replace(false);
    let mut died = node.died.subscribe();
    let settled = runtime.block_on(async {
        let agent = agent(node, state);
        tokio::select! {
            report = agent.submit(intent.clone()) => Some(report.result.is_ok()),
            _ = died.wait_for(|died| *died) => None,
        }
    });
    // The journal is free once every task is dropped.
    runtime.shutdown_timeout(Duration::from_secs(10));
    settled
}

/// Kills the agent after 0, 1, 2 … steps of `intent`, in a world that `prepare` made, and calls
/// `then` for each; answers how many places there were to die.
fn at_every_step(
    prepare: &dyn Fn() -> (Node, tempfile::TempDir, Vec<Intent>, Intent),
    then: &dyn Fn(&Node, &Path, usize),
) -> usize {
    for steps in 0..64 {
        let (node, state, before, intent) = prepare();
        for intent in before {
            assert_eq!(run(&node, state.path(), &intent), Some(true));
        }
        *node.fuse.lock() = Some(steps);
        let settled = run(&node, state.path(), &intent);
        *node.fuse.lock() = None;
        then(&node, state.path(), steps);
        assert_eq!(node.world.lock().harm, Vec::<String>::new(), "killed after {steps} steps");
        if let Some(fulfilled) = settled {
            assert!(fulfilled, "uninterrupted");
            return steps;
        }
    }
    panic!("the intent never settles");
}

fn volumes() -> Vec<fn(&Node) -> Stage> {
    fn export_volume(_: &Node) -> Stage {
        Stage {
            volume: "share".parse().unwrap(),
            attachment: PublishContext::Nfs(export()),
            staging: "/staging/share".parse().unwrap(),
            usage: Usage::Filesystem { fs: None, mount_options: Vec::new() },
        }
    }
    fn blank(node: &Node) -> Stage {
        lun_volume(node, 1, Data::Zeros)
    }
    fn block(node: &Node) -> Stage {
        Stage { usage: Usage::Block, ..lun_volume(node, 1, Data::Foreign("a workload's bytes")) }
    }
    vec![export_volume, blank, block]
}

#[test]
fn after_a_restart_a_volume_counts_as_staged_only_if_the_node_shows_it() {
    for volume in volumes() {
        let look = |node: &Node, state: &Path, stage: &Stage| {
            let runtime = Runtime::new().unwrap();
            let phase = runtime.block_on(async {
                let agent = agent(node, state);
                agent.review().await;
                agent.standing(&stage.volume).phase
            });
            runtime.shutdown_timeout(Duration::from_secs(10));
            phase
        };
        let (node, state, stage) = start(volume);
        *node.fuse.lock() = Some(1);
        assert_eq!(run(&node, state.path(), &Intent::Stage(stage.clone())), None);
        assert_eq!(look(&node, state.path(), &stage), Phase::Staging);
        *node.fuse.lock() = None;
        assert_eq!(run(&node, state.path(), &Intent::Stage(stage.clone())), Some(true));
        assert_eq!(look(&node, state.path(), &stage), Phase::Staged);
    }
}

fn start(volume: fn(&Node) -> Stage) -> (Node, tempfile::TempDir, Stage) {
    let node = Node::default();
    let stage = volume(&node);
    (node, tempfile::tempdir().unwrap(), stage)
}

#[test]
fn a_stage_that_died_anywhere_is_finished_or_undone_by_the_next_process() {
    for volume in volumes() {
        let prepare = || {
            let (node, state, stage) = start(volume);
            (node, state, Vec::new(), Intent::Stage(stage))
        };
        let (pristine, state, stage) = start(volume);
        assert_eq!(run(&pristine, state.path(), &Intent::Stage(stage.clone())), Some(true));
        let same = at_every_step(&prepare, &|node, state, steps| {
            let again = run(node, state, &Intent::Stage(stage.clone()));
            assert_eq!(again, Some(true), "killed after {steps} steps");
            let (left, right) = (node.world.lock().mounts().len(), pristine.world.lock().mounts().len());
            assert_eq!(left, right, "killed after {steps} steps");
            assert_eq!(run(node, state, &publish(&stage)), Some(true));
            assert_eq!(run(node, state, &unpublish(&stage)), Some(true));
            assert_eq!(run(node, state, &unstage(&stage)), Some(true));
            assert!(node.world.lock().is_clean(), "{}", node.world.lock().residue());
        });
        let opposite = at_every_step(&prepare, &|node, state, steps| {
            assert_eq!(run(node, state, &unstage(&stage)), Some(true), "killed after {steps} steps");
            assert!(node.world.lock().is_clean(), "{}", node.world.lock().residue());
            assert_eq!(std::fs::read_dir(state.join("volumes")).unwrap().count(), 0, "the record is gone");
        });
        assert_eq!(same, opposite);
        assert!(same >= 2, "there were places to die");
    }
}

#[test]
fn an_unstage_that_died_anywhere_is_finished_by_the_next_process() {
    for volume in volumes() {
        let prepare = || {
            let (node, state, stage) = start(volume);
            (node, state, vec![Intent::Stage(stage.clone())], unstage(&stage))
        };
        let (_, _, stage) = start(volume);
        at_every_step(&prepare, &|node, state, steps| {
            assert_eq!(run(node, state, &unstage(&stage)), Some(true), "killed after {steps} steps");
            assert!(node.world.lock().is_clean(), "{}", node.world.lock().residue());
        });
        at_every_step(&prepare, &|node, state, steps| {
            let again = run(node, state, &Intent::Stage(stage.clone()));
            assert_eq!(again, Some(true), "killed after {steps} steps");
            assert_eq!(run(node, state, &publish(&stage)), Some(true), "killed after {steps} steps");
        });
    }
}

#[test]
fn a_publish_or_unpublish_that_died_anywhere_is_finished_by_the_next_process() {
    for volume in volumes() {
        let (_, _, stage) = start(volume);
        let staged = || {
            let (node, state, stage) = start(volume);
            (node, state, vec![Intent::Stage(stage.clone())], publish(&stage))
        };
        at_every_step(&staged, &|node, state, _| {
            assert_eq!(run(node, state, &publish(&stage)), Some(true));
            assert_eq!(run(node, state, &unpublish(&stage)), Some(true));
            assert_eq!(run(node, state, &unstage(&stage)), Some(true));
            assert!(node.world.lock().is_clean(), "{}", node.world.lock().residue());
        });
        let published = || {
            let (node, state, stage) = start(volume);
            (node, state, vec![Intent::Stage(stage.clone()), publish(&stage)], unpublish(&stage))
        };
        at_every_step(&published, &|node, state, _| {
            assert_eq!(run(node, state, &unpublish(&stage)), Some(true));
            assert_eq!(run(node, state, &unstage(&stage)), Some(true));
            assert!(node.world.lock().is_clean(), "{}", node.world.lock().residue());
        });
    }
}
