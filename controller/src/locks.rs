//! One asynchronous lock a name, so that work on one volume never waits for another's.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Locks by name. A name nobody holds or awaits takes no room.
#[derive(Debug, Default)]
pub struct Locks {
    by_name: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
}

impl Locks {
    /// Waits until `name` is free and holds it until the guard is dropped. First come, first served.
    pub async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut by_name = self.by_name.lock();
            by_name.retain(|_, lock| lock.strong_count() > 0);
            match by_name.get(name).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(AsyncMutex::new(()));
                    by_name.insert(name.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn a_held_name_makes_only_its_own_callers_wait() {
        let locks = Locks::default();
        let held = locks.lock("a").await;
        assert!(locks.lock("b").now_or_never().is_some());
        assert!(locks.lock("a").now_or_never().is_none());
        drop(held);
        assert!(locks.lock("a").now_or_never().is_some());
        drop(locks.lock("c").await);
        assert_eq!(locks.by_name.lock().len(), 1);
    }
}
