//! One at a time logs in to, or out of, one portal of one target: the volumes of a target share its
//! sessions and their node records.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use contract::{Iqn, Portal};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Key = (Iqn, SocketAddr);

/// Locks by target and portal. One that nobody holds or awaits takes no room.
#[derive(Debug, Default)]
pub struct SessionLocks(Mutex<HashMap<Key, Weak<AsyncMutex<()>>>>);

impl SessionLocks {
    /// Waits until nobody else is at the session to `portal`, and holds it until the guard is
    /// dropped. First come, first served. `None`: not before the deadline.
    pub async fn lock(
        &self,
        target: &Iqn,
        portal: &Portal,
        deadline: Instant,
    ) -> Option<OwnedMutexGuard<()>> {
        let lock = self.lock_of((target.clone(), portal.socket_addr()));
        tokio::time::timeout_at(deadline.into(), lock.lock_owned()).await.ok()
    }

    fn lock_of(&self, key: Key) -> Arc<AsyncMutex<()>> {
        let mut locks = self.0.lock();
        locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_held_portal_makes_only_its_own_callers_wait() {
        let locks = SessionLocks::default();
        let target: Iqn = "iqn.2001-04.com.example:t".parse().unwrap();
        let portal = |port| Portal { address: "127.0.0.1".parse().unwrap(), port, tag: 1 };
        let soon = || Instant::now() + Duration::from_millis(50);
        let held = locks.lock(&target, &portal(1), soon()).await;
        assert!(held.is_some());
        assert!(locks.lock(&target, &portal(2), soon()).await.is_some());
        let other = "iqn.2001-04.com.example:u".parse().unwrap();
        assert!(locks.lock(&other, &portal(1), soon()).await.is_some());
        // The tag is no part of a portal's place.
        assert!(locks.lock(&target, &Portal { tag: 2, ..portal(1) }, soon()).await.is_none());
        drop(held);
        assert!(locks.lock(&target, &portal(1), soon()).await.is_some());
        assert_eq!(locks.0.lock().len(), 1, "what nobody holds takes no room");
    }
}
