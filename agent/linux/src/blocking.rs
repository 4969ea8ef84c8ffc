//! Bulkheads for kernel calls that may never return.
//!
//! A mount of a dead server, a read of a map that queues, the delete of a disk whose cache cannot be
//! written: the kernel may keep the caller for ever and nothing can call it back. Such a call runs
//! on a thread of its own, never on the runtime's (which would wait for it at shutdown, and whose
//! pool it would use up), under a key; while one is outstanding, no second one with that key starts.
//!
//! A thread whose call has returned is kept for the next one: most calls return at once, and a new
//! thread costs more than they do. One whose call hangs is nobody's but the call's.
//!
//! A call that comes back late must not do late what nobody expects any more: it asks
//! [`Claim::commit`] before the effect, which fails once the caller has left.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::own_time::OwnTime;

const WAITED_FOR: u8 = 0;
const COMMITTED: u8 = 1;
const ABANDONED: u8 = 2;
/// Between commit and return there is only the attaching of something ready; longer is a hang.
const AFTER_COMMIT: Duration = Duration::from_secs(2);

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum BulkheadError {
    /// The deadline came first; the call is still in the kernel.
    #[error(
        "{what} did not return within {limit:?}: the kernel waits for storage or a server that does not answer"
    )]
    Overdue {
        /// The call.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// An earlier call with this key is still in the kernel.
    #[error("an earlier call still waits in the kernel: {0}")]
    Occupied(String),
    /// No thread could be started.
    #[error("cannot start a thread for {what}")]
    NoThread {
        /// The call.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The call ended without an answer.
    #[error("the thread of {0} ended without an answer")]
    Vanished(String),
}

/// The right of a call to take effect.
#[derive(Debug)]
pub struct Claim(Arc<AtomicU8>);

impl Claim {
    /// Says that the effect comes now. `false`: the caller has left, nothing may be done any more.
    #[must_use]
    pub fn commit(&self) -> bool {
        self.0.compare_exchange(WAITED_FOR, COMMITTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Abandons the claim when the caller leaves, for whatever reason.
struct Caller(Arc<AtomicU8>);

impl Caller {
    /// `false`: the call has committed and is about to return.
    fn abandon(&self) -> bool {
        self.0.compare_exchange(WAITED_FOR, ABANDONED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// The set of outstanding calls.
#[derive(Debug, Clone, Default)]
pub struct Bulkheads {
    outstanding: Arc<Mutex<HashSet<String>>>,
    idle: Arc<Idle>,
}

/// Threads kept without work; a batch of steps seldom needs more.
const KEPT: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that wait for a call.
#[derive(Debug, Default)]
struct Idle(Mutex<Vec<mpsc::Sender<Job>>>);

impl Idle {
    /// Gives `job` to a waiting thread, or back.
    fn offer(&self, job: Job) -> Option<Job> {
        let Some(thread) = self.0.lock().pop() else { return Some(job) };
        thread.send(job).err().map(|mpsc::SendError(job)| job)
    }

    /// Waits for the next job; `None` when enough others wait, or nobody can send one any more.
    fn next(idle: &Weak<Self>) -> Option<Job> {
        let (sender, receiver) = mpsc::channel();
        {
            let idle = idle.upgrade()?;
            let mut waiting = idle.0.lock();
            if waiting.len() >= KEPT {
                return None;
            }
            waiting.push(sender);
        }
        receiver.recv().ok()
    }
}

/// Frees the key when the call has returned, even by a panic.
struct Occupied {
    outstanding: Arc<Mutex<HashSet<String>>>,
    what: String,
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.outstanding.lock().remove(&self.what);
    }
}

impl Bulkheads {
    /// Runs `call` on its own thread until `deadline`. `what` names it for people and is the key:
    /// it should hold the mount point or device concerned.
    ///
    /// # Errors
    /// [`BulkheadError`].
    pub async fn run<T: Send + 'static>(
        &self,
        what: impl Into<String>,
        deadline: Instant,
        call: impl FnOnce(&Claim) -> T + Send + 'static,
    ) -> Result<T, BulkheadError> {
        let what = what.into();
        if !self.outstanding.lock().insert(what.clone()) {
            return Err(BulkheadError::Occupied(what));
        }
        let occupied = Occupied { outstanding: Arc::clone(&self.outstanding), what: what.clone() };
        let state = Arc::new(AtomicU8::new(WAITED_FOR));
        let claim = Claim(Arc::clone(&state));
        let caller = Caller(state);
        let (sender, mut receiver) = oneshot::channel();
        let started = Instant::now();
        let own = OwnTime::current();
        let body = move || {
            // Declared in this order, so that even a panic frees the key before the caller hears.
            let sender = sender;
            let occupied = occupied;
            let value = own.count(|| call(&claim));
            drop(occupied);
            // Nobody receives it when the caller has left: then it is of no use.
            let _unheard = sender.send(value);
        };
        if let Some(job) = self.idle.offer(Box::new(body)) {
            let idle = Arc::downgrade(&self.idle);
            let work = move || {
                let mut next = Some(job);
                while let Some(job) = next {
                    job();
                    next = Idle::next(&idle);
                }
            };
            thread::Builder::new()
                .name("bulkhead".into())
                .spawn(work)
                .map_err(|source| BulkheadError::NoThread { what: what.clone(), source })?;
        }
        let mut answer = tokio::time::timeout_at(deadline.into(), &mut receiver).await;
        if answer.is_err() && !caller.abandon() {
            answer = tokio::time::timeout(AFTER_COMMIT, &mut receiver).await;
        }
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_sender_gone)) => Err(BulkheadError::Vanished(what)),
            Err(_elapsed) => Err(BulkheadError::Overdue { what, limit: started.elapsed() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn a_call_that_hangs_holds_up_neither_its_caller_nor_another_key() {
        let bulkheads = Bulkheads::default();
        let (release, held) = mpsc::channel::<()>();
        let hung = bulkheads.run("umount /a", soon(), move |_| held.recv().is_ok()).await;
        assert!(matches!(hung, Err(BulkheadError::Overdue { .. })));
        assert!(matches!(bulkheads.run("umount /a", later(), |_| ()).await, Err(BulkheadError::Occupied(_))));
        assert_eq!(bulkheads.run("umount /b", later(), |_| 7).await.unwrap(), 7);
        drop(release);
    }

    #[tokio::test]
    async fn calls_that_return_share_a_thread_and_one_that_hangs_keeps_its_own() {
        let bulkheads = Bulkheads::default();
        let (release, held) = mpsc::channel::<()>();
        let hung = bulkheads.run("umount /a", soon(), move |_| held.recv().is_ok());
        hung.await.unwrap_err();
        let mut threads = HashSet::new();
        for round in 0..20 {
            let (tell, told) = tokio::sync::oneshot::channel();
            let call = move |_: &Claim| tell.send(thread::current().id()).unwrap();
            bulkheads.run(format!("call {round}"), later(), call).await.unwrap();
            threads.insert(told.await.unwrap());
        }
        // The one that answered may still be on its way to wait when the next call comes.
        assert!(threads.len() <= KEPT + 1, "{threads:?}");
        drop(release);
    }

    #[tokio::test]
    async fn a_call_that_comes_back_late_may_not_take_effect() {
        let bulkheads = Bulkheads::default();
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let call = move |claim: &Claim| {
            let _released = held.recv();
            tell.send(claim.commit()).unwrap();
        };
        bulkheads.run("mount /a", soon(), call).await.unwrap_err();
        drop(release);
        assert!(!told.recv_timeout(Duration::from_secs(10)).unwrap());
    }

    #[tokio::test]
    async fn a_call_that_returned_leaves_its_key_free_even_by_a_panic() {
        let bulkheads = Bulkheads::default();
        let panicked = bulkheads.run("x", later(), |_| panic!("on purpose")).await;
        assert!(matches!(panicked, Err(BulkheadError::Vanished(_))));
        assert!(bulkheads.run("x", later(), Claim::commit).await.unwrap());
    }
}
