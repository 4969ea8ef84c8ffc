//! What all doors of the controller share: the store, the backends, the locks, and the word that
//! publications have changed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contract::{SnapshotId, VolumeId};
use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, watch};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::array::Owner;
use crate::backend::{BackendError, BackendState, Backends};
use crate::fleet::Fleet;
use crate::locks::Locks;
use crate::store::{Identity, Store};
use crate::volume::VolumeError;

/// Longest life of one use case, and so of the lock on its volume. Longer than any single wait
/// inside it.
const OPERATION_DEADLINE: Duration = Duration::from_secs(110);
/// An array that is away is asked again after this time; nothing announces its return.
const OFFLINE_RETRY: Duration = Duration::from_secs(30);

/// The controller.
#[derive(Debug)]
pub struct Controller {
    /// What it remembers.
    pub store: Store,
    /// Where volumes live.
    pub backends: Backends,
    /// The agents, as far as they speak.
    pub fleet: Fleet,
    /// Name of the CSI driver.
    pub driver_name: String,
    volumes: Locks,
    snapshots: Locks,
    registrations: Mutex<()>,
    publications: watch::Sender<u64>,
}

impl Controller {
    /// A controller over `store`, its backends not asked yet; see [`Controller::keep_backends_online`].
    ///
    /// # Errors
    /// When the store fails or holds a backend that is not understood.
    pub async fn load(store: Store, driver_name: String) -> Result<Arc<Self>, BackendError> {
        let identity = match store.find::<Identity>("self").await? {
            Some(identity) => identity,
            None => {
                let identity = Identity { controller: Uuid::new_v4() };
                store.put(&identity).await?;
                identity
            }
        };
        let owner = Owner { controller: identity.controller };
        let backends = Backends::load(store.clone(), owner).await?;
        Ok(Arc::new(Self {
            store,
            backends,
            fleet: Fleet::default(),
            driver_name,
            volumes: Locks::default(),
            snapshots: Locks::default(),
            registrations: Mutex::new(()),
            publications: watch::Sender::new(0),
        }))
    }

    /// Brings offline backends online, now and whenever their arrays are back. Never returns.
    pub async fn keep_backends_online(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(OFFLINE_RETRY);
        loop {
            ticks.tick().await;
            let offline = self.backends.all().into_iter();
            let offline = offline.filter(|backend| !matches!(backend.state(), BackendState::Online(_)));
            // The reason is kept with the backend's state.
            futures_util::future::join_all(offline.map(|backend| async move {
                let _state_tells = backend.require_online().await;
            }))
            .await;
        }
    }

    /// Runs a use case, alone on its volume, to its end even when the caller hangs up: a call cut
    /// short by its client would leave half of its work, and the client's retry is to find it done.
    /// Until its turn comes a call waits, first come, first served; one whose caller hangs up
    /// before that never runs.
    ///
    /// # Errors
    /// The use case's own, or [`VolumeError::Deadline`].
    pub async fn run<T, F>(
        self: &Arc<Self>,
        volume: &VolumeId,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, VolumeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, VolumeError>> + Send + 'static,
    {
        let alone = self.volumes.lock(volume.as_str()).await;
        let work = work(Arc::clone(self));
        let volume = volume.clone();
        let operation = async move {
            let _alone = alone;
            match tokio::time::timeout(OPERATION_DEADLINE, work).await {
                Ok(outcome) => outcome,
                Err(_) => Err(VolumeError::Deadline { volume, after: OPERATION_DEADLINE }),
            }
        };
        tokio::spawn(operation.in_current_span()).await.unwrap_or(Err(VolumeError::Interrupted))
    }

    /// Held, besides its volume's lock and after it, while a snapshot of that name is made or deleted:
    /// the name is one for all volumes.
    pub(crate) async fn alone_with(&self, snapshot: &SnapshotId) -> OwnedMutexGuard<()> {
        self.snapshots.lock(snapshot.as_str()).await
    }

    /// Held while a node registers.
    pub(crate) async fn registrations(&self) -> MutexGuard<'_, ()> {
        self.registrations.lock().await
    }

    /// Says that publications have changed.
    pub(crate) fn announce_publications(&self) {
        self.publications.send_modify(|generation| *generation += 1);
    }

    /// Hears when publications change.
    pub(crate) fn publications_changed(&self) -> watch::Receiver<u64> {
        self.publications.subscribe()
    }
}
