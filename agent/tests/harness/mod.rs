//! The agent over the model kernel: a process that can be killed after any step, steps that can be
//! held, and the same world and journal for the process that comes after.
#![allow(
    clippy::expect_used,
    clippy::panic,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "several test binaries use different parts of it"
)]

#[path = "../../core/tests/model/mod.rs"]
pub mod model;

use std::collections::HashMap;
use std::future::{Future, pending};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use agent_core::facts::{Facts, Query};
use agent_core::intent::{Intent, Publish, Stage, Unpublish, Unstage, Usage};
use agent_core::outcome::{ApplyContext, ObserveError, Outcome, StepError};
use agent_core::step::Step;
use contract::{ChapCredentials, PublishContext, VolumeId};
use parking_lot::Mutex;
use tine_agent::coordinator::{Coordinator, Host};
use tine_agent::fleet::{AccessError, Credentials, NoController};
use tine_agent::journal::Journal;
use tine_agent::preflight::Preflight;
use tokio::sync::{Semaphore, watch};

use model::World;

/// What a test shares with the agents it starts and kills.
#[derive(Debug, Clone, Default)]
pub struct Node {
    pub world: Arc<Mutex<World>>,
    /// The process dies after this many more steps.
    pub fuse: Arc<Mutex<Option<usize>>>,
    pub died: Arc<watch::Sender<bool>>,
    /// Steps whose text begins so wait here.
    gates: Arc<Mutex<HashMap<String, Held>>>,
}

/// Where held steps wait, and how many do.
type Held = (Arc<Semaphore>, watch::Sender<usize>);

/// Lets held steps go.
#[derive(Debug)]
pub struct Gate {
    semaphore: Arc<Semaphore>,
    waiting: watch::Receiver<usize>,
}

impl Gate {
    /// Waits until a step stands at the gate.
    pub async fn reached(&mut self) {
        self.reached_by(1).await;
    }

    /// Waits until `steps` steps stand at the gate.
    pub async fn reached_by(&mut self, steps: usize) {
        self.waiting.wait_for(|count| *count >= steps).await.expect("the gate stands");
    }

    pub fn open(&self) {
        self.semaphore.add_permits(1000);
    }
}

impl Node {
    pub fn hold(&self, step: &str) -> Gate {
        let semaphore = Arc::new(Semaphore::new(0));
        let (waiting, receiver) = watch::channel(0);
        self.gates.lock().insert(step.to_owned(), (Arc::clone(&semaphore), waiting));
        Gate { semaphore, waiting: receiver }
    }

    pub fn applied(&self, prefix: &str) -> usize {
        self.world.lock().applied.iter().filter(|step| step.starts_with(prefix)).count()
    }
}

impl Host for Node {
    async fn observe(&self, query: &Query) -> Result<Facts, ObserveError> {
        Ok(self.world.lock().observe(query))
    }

    async fn apply(&self, step: Step, context: &ApplyContext) -> Result<Outcome, StepError> {
        let text = step.to_string();
        let gate = self
            .gates
            .lock()
            .iter()
            .find(|(prefix, _)| text.starts_with(*prefix))
            .map(|(_, gate)| gate.clone());
        if let Some((semaphore, waiting)) = gate {
            waiting.send_modify(|count| *count += 1);
            let _permit = semaphore.acquire().await.expect("the gate stands");
        }
        let dead = {
            let mut fuse = self.fuse.lock();
            match fuse.as_mut() {
                Some(0) => true,
                Some(steps) => {
                    *steps -= 1;
                    false
                }
                None => false,
            }
        };
        if dead {
            self.died.send_replace(true);
            pending::<()>().await;
        }
        self.world.lock().apply(step, context)
    }
}

/// A controller that always answers the same.
#[derive(Debug)]
pub struct Fixed(pub ChapCredentials);

impl Credentials for Fixed {
    fn chap<'a>(
        &'a self,
        _volume: &'a VolumeId,
    ) -> Pin<Box<dyn Future<Output = Result<ChapCredentials, AccessError>> + Send + 'a>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

/// A fresh agent process on `node` with its journal in `state`.
pub fn agent(node: &Node, state: &Path) -> Arc<Coordinator<Node>> {
    agent_with(node, state, Arc::new(NoController))
}

pub fn agent_with(node: &Node, state: &Path, credentials: Arc<dyn Credentials>) -> Arc<Coordinator<Node>> {
    let preflight = Preflight::default();
    preflight.learn(&model::fit_host());
    let journal = Arc::new(Journal::open(state).expect("a journal"));
    Coordinator::new(node.clone(), journal, credentials, Arc::new(preflight))
}

/// A LUN with `data` under `number` of target `a`, and the stage that wants it.
pub fn lun_volume(node: &Node, digit: u8, data: model::Data) -> Stage {
    let lun = model::lun(digit, data);
    let target = model::target("a");
    let attachment = model::attachment(&target, u16::from(digit), &lun);
    node.world.lock().luns.insert((target, u16::from(digit)), lun);
    Stage {
        volume: format!("vol-{digit}").parse().expect("an id"),
        attachment: PublishContext::Iscsi(attachment),
        staging: format!("/staging/{digit}").parse().expect("a path"),
        usage: Usage::Filesystem { fs: None, mount_options: Vec::new() },
    }
}

pub fn unstage(stage: &Stage) -> Intent {
    Intent::Unstage(Unstage { volume: stage.volume.clone(), staging: stage.staging.clone() })
}

pub fn publish(stage: &Stage) -> Intent {
    Intent::Publish(Publish {
        volume: stage.volume.clone(),
        attachment: None,
        staging: stage.staging.clone(),
        target: target_of(stage),
        usage: stage.usage.clone(),
        read_only: false,
    })
}

pub fn unpublish(stage: &Stage) -> Intent {
    Intent::Unpublish(Unpublish { volume: stage.volume.clone(), target: target_of(stage) })
}

fn target_of(stage: &Stage) -> agent_core::path::HostPath {
    format!("/pods/{}/mount", stage.volume).parse().expect("a path")
}
