//! Who may end a target's sessions: nobody while a volume is being staged on them.
//!
//! A stage shares the target for its whole flight. An unstage takes it for itself only for the
//! moment of its logout, and only if that needs no waiting: a stage that hangs never delays it
//! (hazard H09), it then leaves the sessions to the other volume.

use std::collections::HashMap;
use std::sync::Arc;

use contract::Iqn;
use parking_lot::Mutex;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

#[derive(Debug, Default)]
pub(super) struct Targets(Mutex<HashMap<Iqn, Arc<RwLock<()>>>>);

impl Targets {
    fn lock_of(&self, target: &Iqn) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock();
        // Forget targets nobody holds: one array has a target a volume.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(target.clone()).or_default().clone()
    }

    /// Keeps the target's sessions; waits for a logout that is under way.
    pub(super) async fn share(&self, target: &Iqn) -> OwnedRwLockReadGuard<()> {
        self.lock_of(target).read_owned().await
    }

    /// The right to end the target's sessions, unless a stage keeps them.
    pub(super) fn find_exclusive(&self, target: &Iqn) -> Option<OwnedRwLockWriteGuard<()>> {
        self.lock_of(target).try_write_owned().ok()
    }
}
