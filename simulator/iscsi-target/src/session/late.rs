//! Commands that wait: for a step of the gate, a delay that a lever gives, or the disk under the
//! store. They wait beside the session, which goes on with the others.

use std::collections::BTreeMap;
use std::time::Duration;

use blockstore::{BlockError, Volume};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::Session;
use super::command::Ready;
use crate::pdu::Pdu;
use crate::scsi::{block, luns};
use crate::transport::Closed;

/// What a command waits for; all of it, in this order.
#[derive(Debug, Default)]
pub(super) struct Wait {
    /// A step of the gate.
    pub(super) gate: bool,
    pub(super) delay: Duration,
    /// The content of the volume to be on its medium.
    pub(super) flush: Option<Volume>,
}

/// What waits.
#[derive(Debug)]
pub(super) enum Work {
    /// A command that has not been looked at.
    Begin(Pdu),
    /// A command with its data.
    Execute(Ready, Vec<u8>),
    /// A command that was carried out, and what it has to return.
    Finish(Ready, Bytes),
}

/// What became of the flush, if there was one.
type Flushed = Result<(), BlockError>;

/// One that waits.
#[derive(Debug)]
pub(super) struct LateTask {
    pub(super) tag: u32,
    pub(super) number: Option<u16>,
    pub(super) numbered: bool,
    work: Work,
}

/// All that wait, by a number of their own: a tag may be used again after an abort.
#[derive(Debug, Default)]
pub(super) struct LateTasks {
    next: u64,
    tasks: BTreeMap<u64, LateTask>,
    waits: FuturesUnordered<BoxFuture<'static, (u64, Flushed)>>,
}

impl LateTasks {
    fn push(&mut self, task: LateTask, wait: impl Future<Output = Flushed> + Send + 'static) {
        let id = self.next;
        self.next += 1;
        self.tasks.insert(id, task);
        self.waits.push(Box::pin(async move { (id, wait.await) }));
    }

    /// Whether none waits, those aborted included.
    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// The next whose wait is over, unless it was aborted. Cancelling the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<(LateTask, Flushed)> {
        let (id, flushed) = self.waits.next().await?;
        Some((self.tasks.remove(&id)?, flushed))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LateTask> {
        self.tasks.values()
    }

    /// Takes out those that a condition names; their waits end for nothing.
    pub(super) fn extract(&mut self, condition: impl Fn(&LateTask) -> bool) -> Vec<LateTask> {
        self.tasks.extract_if(.., |_, task| condition(task)).map(|(_, task)| task).collect()
    }
}

impl Session {
    /// What holds a command with all its data back; nothing in the common case. `gate`: it has not
    /// passed the gate yet.
    pub(super) fn wait_for(&self, ready: &Ready, gate: bool) -> Option<Wait> {
        let gate = gate && self.levers.gate().is_stepping();
        let scsi = self.scsi.as_ref()?;
        let unit = ready.number.and_then(|number| scsi.nexus.find_unit(&scsi.view, number, &[]));
        let latency = unit.as_ref().and_then(|unit| unit.latency(&ready.command));
        let drawn = latency.map_or(Duration::ZERO, |latency| self.levers.draw(latency));
        let delay = drawn + unit.map_or(Duration::ZERO, |unit| unit.govern(&ready.command));
        (gate || latency.is_some() || !delay.is_zero()).then_some(Wait { gate, delay, flush: None })
    }

    /// Lets work wait.
    pub(super) fn put_off(&mut self, wait: Wait, numbered: bool, work: Work) {
        if numbered {
            self.wire.window.hold();
        }
        let (tag, number) = match &work {
            Work::Begin(pdu) => (pdu.task_tag(), luns::decode(pdu.lun())),
            Work::Execute(ready, _) | Work::Finish(ready, _) => (ready.ending.tag, ready.number),
        };
        let gate = wait.gate.then(|| self.levers.gate().clone());
        self.late.push(LateTask { tag, number, numbered, work }, async move {
            if let Some(gate) = gate {
                gate.pass().await;
            }
            if !wait.delay.is_zero() {
                tokio::time::sleep(wait.delay).await;
            }
            match wait.flush {
                Some(volume) => flush(volume).await,
                None => Ok(()),
            }
        });
    }

    /// Goes on with a command that has waited.
    pub(super) async fn resume(&mut self, task: LateTask, flushed: Flushed) -> Result<(), Closed> {
        self.give_place(task.numbered);
        // A reset while it waited took the command with it.
        let aborted = self.refresh();
        if task.number.is_some_and(|number| aborted.contains(&number)) {
            return Ok(());
        }
        match (task.work, flushed) {
            (Work::Begin(pdu), _) => self.begin(&pdu.lend()).await,
            (Work::Execute(ready, _) | Work::Finish(ready, _), Err(error)) => {
                self.wire.finish(ready.ending, Err(block::sense_of(&error))).await
            }
            (Work::Execute(ready, data), Ok(())) => self.execute(ready, &data).await,
            (Work::Finish(ready, data), Ok(())) => self.wire.finish(ready.ending, Ok(data)).await,
        }
    }
}

/// Waits for the disk where waiting harms nobody.
async fn flush(volume: Volume) -> Flushed {
    match tokio::task::spawn_blocking(move || volume.flush()).await {
        Ok(flushed) => flushed,
        // The runtime is shutting down, and with it the connection.
        Err(_) => std::future::pending().await,
    }
}
