//! The agent's own time: CPU time that its threads consume on behalf of one call.
//!
//! **Counted** is what the kernel's clock of the thread says (`CLOCK_THREAD_CPUTIME_ID`,
//! clock_gettime(2): user and system), around each poll of the call's futures and inside the work
//! that the call moves to other threads: bulkheads, file operations of the journal, tasks that ask
//! disks. So parsing, planning, reading /proc and /sys, formatting and writing the log.
//!
//! **Not counted** is time in which no thread of the agent runs for the call: sleep in the kernel,
//! disk, network, daemons, programs that were started (their CPU time is theirs), the CPU given to
//! others. Nor what belongs to no single call: the gRPC transport, the runtime's own bookkeeping, a
//! call that comes back from the kernel after its caller has left.
//!
//! **Counted apart**, as the kernel's share, is the CPU time inside the system calls that hand the
//! kernel a job ([`in_kernel`]): mounting and unmounting, scanning for and deleting a disk, reading
//! and flushing a device, starting a program, making directories and files, flushing them. The
//! kernel does such a job on the caller's thread or on one of its own as it sees fit; either way the
//! agent waits for it.
//!
//! It is an **upper bound**: interrupts and softirqs that hit a running thread are on its clock, in a
//! VM so is the time in which the host ran something else, and on an emulated CPU so is the
//! translation of code that runs for the first time.
//!
//! An account may be part of another: what a step consumes counts in its call too, once. A thread
//! counts for one account at a time; an inner one interrupts the outer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// An account of CPU time; clones are the same account.
#[derive(Debug, Clone, Default)]
pub struct OwnTime(Arc<Account>);

#[derive(Debug, Default)]
struct Account {
    own: AtomicU64,
    kernel: AtomicU64,
    within: Option<OwnTime>,
}

thread_local! {
    /// For whom this thread runs.
    static RUNNING: RefCell<Option<OwnTime>> = const { RefCell::new(None) };
    /// Whether it is inside [`in_kernel`].
    static IN_KERNEL: Cell<bool> = const { Cell::new(false) };
    /// The thread's clock when that was last charged.
    static CHARGED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

impl OwnTime {
    /// The account this thread runs for now; outside of any, one that nobody reads.
    pub fn current() -> Self {
        RUNNING.with_borrow(|running| running.clone().unwrap_or_default())
    }

    /// A new account; what is counted there counts here too.
    #[must_use]
    pub fn part(&self) -> Self {
        Self(Arc::new(Account { within: Some(self.clone()), ..Account::default() }))
    }

    /// Does `work` on this account.
    pub fn count<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = Turn::begin(Some(self.clone()), false);
        work()
    }

    /// Polls `work` on this account, wherever the runtime does it.
    pub async fn count_polls<F: Future>(self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|context| self.count(|| work.as_mut().poll(context))).await
    }

    /// What was consumed so far, by this thread up to this moment.
    pub fn so_far(&self) -> Duration {
        charge();
        Duration::from_nanos(self.0.own.load(Ordering::Relaxed))
    }

    /// The kernel's share so far: CPU time inside [`in_kernel`], not in [`OwnTime::so_far`].
    pub fn kernel_so_far(&self) -> Duration {
        charge();
        Duration::from_nanos(self.0.kernel.load(Ordering::Relaxed))
    }

    fn add(&self, nanos: u64, in_kernel: bool) {
        let mut account = Some(self);
        while let Some(OwnTime(counted)) = account {
            let share = if in_kernel { &counted.kernel } else { &counted.own };
            share.fetch_add(nanos, Ordering::Relaxed);
            account = counted.within.as_ref();
        }
    }
}

/// Makes a system call that hands the kernel a job. Nothing but that call belongs inside.
pub fn in_kernel<T>(call: impl FnOnce() -> T) -> T {
    let _turn = Turn::begin(RUNNING.with_borrow(Option::clone), true);
    call()
}

/// Charges what this thread consumed since it was last charged to whom it runs for.
fn charge() {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from);
    let passed = now.saturating_sub(CHARGED.replace(now));
    RUNNING.with_borrow(|running| {
        if let Some(account) = running {
            account.add(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX), IN_KERNEL.get());
        }
    });
}

/// A stretch in which this thread runs for one account; its end, by a panic too, goes back to what
/// was before.
struct Turn {
    before: (Option<OwnTime>, bool),
}

impl Turn {
    fn begin(account: Option<OwnTime>, in_kernel: bool) -> Self {
        charge();
        Self { before: (RUNNING.replace(account), IN_KERNEL.replace(in_kernel)) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        charge();
        RUNNING.set(self.before.0.take());
        IN_KERNEL.set(self.before.1);
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Instant;

    use super::*;
    use crate::blocking::Bulkheads;

    /// Consumes CPU time, not wall-clock time, so that a busy machine makes no difference.
    fn spin(amount: Duration) {
        let clock = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        let until = clock() + amount;
        while clock() < until {
            black_box(0);
        }
    }

    const WORK: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn sleep_is_not_own_time_and_work_is() {
        let own = OwnTime::default();
        let started = Instant::now();
        own.clone().count_polls(tokio::time::sleep(Duration::from_millis(200))).await;
        assert!(own.so_far() < started.elapsed() / 2, "{:?}", own.so_far());

        let before = own.so_far();
        own.clone().count_polls(async { spin(WORK) }).await;
        assert!(own.so_far() - before >= WORK);
        let after = own.so_far();
        spin(WORK);
        assert_eq!(own.so_far(), after, "nobody ran for it");
    }

    #[tokio::test]
    async fn steps_at_the_same_time_count_apart_and_once_in_the_whole() {
        let whole = OwnTime::default();
        let steps = [whole.part(), whole.part()];
        let [one, other] = steps.clone();
        let both = async {
            spin(WORK);
            let work = async {
                tokio::task::yield_now().await;
                spin(WORK);
            };
            tokio::join!(one.count_polls(work), other.count_polls(std::future::ready(())));
        };
        whole.clone().count_polls(both).await;
        let [one, other] = steps.map(|step| step.so_far());
        let whole = whole.so_far();
        assert!(one >= WORK && whole >= WORK + one + other, "{one:?} {other:?} {whole:?}");
        assert!(whole < WORK + one + other + WORK, "{one:?} {other:?} {whole:?}");
    }

    #[tokio::test]
    async fn work_on_another_thread_counts_and_its_sleep_does_not() {
        let whole = OwnTime::default();
        let step = whole.part();
        let (bulkheads, deadline) = (Bulkheads::default(), Instant::now() + Duration::from_secs(30));
        let started = Instant::now();
        let call = |_: &_| {
            spin(WORK);
            let (_keep, silence) = std::sync::mpsc::channel::<()>();
            let _timeout = silence.recv_timeout(Duration::from_millis(200));
        };
        let run = step.clone().count_polls(bulkheads.run("x", deadline, call));
        whole.clone().count_polls(run).await.unwrap();
        assert!(step.so_far() >= WORK && whole.so_far() >= step.so_far());
        assert!(whole.so_far() < started.elapsed(), "{whole:?}");
    }

    #[test]
    fn a_job_of_the_kernel_counts_apart() {
        let own = OwnTime::default();
        own.count(|| {
            in_kernel(|| spin(WORK));
            assert!(own.kernel_so_far() >= WORK && own.so_far() < WORK);
            spin(WORK);
        });
        assert!(own.so_far() >= WORK);
    }

    #[test]
    fn a_panic_ends_the_turn() {
        let own = OwnTime::default();
        let panicked = std::panic::catch_unwind(|| own.count(|| panic!("on purpose")));
        assert!(panicked.is_err());
        let after = own.so_far();
        spin(WORK);
        assert_eq!(own.so_far(), after);
    }
}
