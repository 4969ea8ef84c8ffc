//! Single-step mode: nothing passes the data planes until a test lets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore, watch};

/// How commands and calls pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As they come.
    #[default]
    Auto,
    /// One for each [`Gate::step`].
    Step,
}

/// The gate that each SCSI command and each RPC call passes before it is executed. Clones are the
/// same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The mode again, for the one look that a command in auto mode takes.
    stepping: AtomicBool,
    mode: watch::Sender<Mode>,
    steps: Semaphore,
    waiting: AtomicUsize,
    arrival: Notify,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Inner {
            stepping: AtomicBool::new(false),
            mode: watch::Sender::new(Mode::Auto),
            steps: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            arrival: Notify::new(),
        }))
    }
}

impl Gate {
    /// Passes at once in auto mode (one atomic load), else with the next step. Cancelling the
    /// future uses no step up.
    pub async fn pass(&self) {
        if !self.is_stepping() {
            return;
        }
        let _here = Waiting::new(&self.0);
        let mut mode = self.0.mode.subscribe();
        tokio::select! {
            biased;
            _ = mode.wait_for(|mode| *mode == Mode::Auto) => {}
            step = self.0.steps.acquire() => {
                if let Ok(step) = step {
                    step.forget();
                }
            }
        }
    }

    /// Whether [`Self::pass`] would wait: a data plane that cannot wait asks first.
    #[must_use]
    pub fn is_stepping(&self) -> bool {
        self.0.stepping.load(Ordering::Acquire)
    }

    /// Changes the mode; to auto, everything that waits passes, and steps not used are gone.
    pub fn set_mode(&self, mode: Mode) {
        self.0.stepping.store(mode == Mode::Step, Ordering::Release);
        self.0.mode.send_replace(mode);
        if mode == Mode::Auto {
            self.0.steps.forget_permits(Semaphore::MAX_PERMITS);
        }
    }

    /// Lets `count` more commands pass.
    pub fn step(&self, count: usize) {
        let room = Semaphore::MAX_PERMITS - self.0.steps.available_permits();
        self.0.steps.add_permits(count.min(room));
    }

    /// Commands that wait at the gate.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Acquire)
    }

    /// Returns when at least `count` commands wait. The caller has the deadline.
    pub async fn await_waiting(&self, count: usize) {
        loop {
            let arrival = self.0.arrival.notified();
            tokio::pin!(arrival);
            arrival.as_mut().enable();
            if self.waiting() >= count {
                return;
            }
            arrival.await;
        }
    }
}

/// Counts one that waits, for as long as it does.
struct Waiting<'gate>(&'gate Inner);

impl<'gate> Waiting<'gate> {
    fn new(gate: &'gate Inner) -> Self {
        gate.waiting.fetch_add(1, Ordering::AcqRel);
        gate.arrival.notify_waiters();
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn each_step_lets_one_pass_and_auto_lets_all() {
        let gate = Gate::default();
        timeout(LONG, gate.pass()).await.unwrap();
        gate.set_mode(Mode::Step);
        let (sender, mut passed) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..3 {
            let (gate, sender) = (gate.clone(), sender.clone());
            tokio::spawn(async move {
                gate.pass().await;
                let _ = sender.send(());
            });
        }
        timeout(LONG, gate.await_waiting(3)).await.unwrap();
        assert!(passed.try_recv().is_err(), "passed without a step");
        gate.step(1);
        timeout(LONG, passed.recv()).await.unwrap().unwrap();
        assert_eq!(gate.waiting(), 2);
        assert!(passed.try_recv().is_err(), "one step let two pass");
        gate.set_mode(Mode::Auto);
        for _ in 0..2 {
            timeout(LONG, passed.recv()).await.unwrap().unwrap();
        }
    }
}
