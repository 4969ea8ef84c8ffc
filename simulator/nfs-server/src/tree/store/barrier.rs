//! What a reply waits for.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use crate::tree::store::{Log, StoreError};

/// A place in the log of a tree that must be durable before a reply goes out.
#[derive(Debug, Clone)]
pub(crate) struct Barrier {
    /// Not kept alive: a reply kept for retransmissions outlives the tree, whose log writes what is
    /// pending when it goes.
    log: Weak<Log>,
    position: u64,
    /// Must it be on disk, or is it enough that the kernel has it?
    durable: bool,
}

impl Barrier {
    pub(in crate::tree) fn new(log: &Arc<Log>, position: u64, durable: bool) -> Self {
        Self { log: Arc::downgrade(log), position, durable }
    }
}

thread_local! {
    /// Barriers of the call that this thread serves. A call runs on one thread from beginning to end,
    /// and every change of a tree comes by here: no procedure, of whatever protocol, can forget it.
    static PENDING: RefCell<Vec<Barrier>> = const { RefCell::new(Vec::new()) };
}

/// Adds to what the reply of the call being served waits for.
pub(in crate::tree) fn note(barrier: Barrier) {
    PENDING.with_borrow_mut(|pending| {
        let same = pending.iter_mut().find(|other| Weak::ptr_eq(&other.log, &barrier.log));
        match same {
            Some(other) => {
                other.position = other.position.max(barrier.position);
                other.durable |= barrier.durable;
            }
            None => pending.push(barrier),
        }
    });
}

/// What the reply of the call just served on this thread must wait for.
pub(crate) fn take_barriers() -> Vec<Barrier> {
    PENDING.with_borrow_mut(std::mem::take)
}

/// Waits until all of them are durable.
pub(crate) async fn await_durable(barriers: &[Barrier]) -> Result<(), StoreError> {
    for barrier in barriers {
        if let Some(log) = barrier.log.upgrade() {
            log.await_position(barrier.position, barrier.durable).await?;
        }
    }
    Ok(())
}
