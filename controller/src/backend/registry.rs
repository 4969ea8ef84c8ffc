//! The registered backends, each online or offline with a reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::config::{BackendConfig, ConfigError};
use crate::array::{Array, Owner};
use crate::store::{BackendRecord, Store, StoreError, VolumeRecord};

/// A little more than an attempt to connect may take.
const FIRST_ANSWER: Duration = Duration::from_secs(6);

/// Why a backend was not registered, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The file, or what it says about the array, is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name is taken by a backend with another file.
    #[error("backend {name} exists already with other settings: delete it, or write another backendName")]
    Exists {
        /// The name.
        name: String,
    },
    /// No such backend.
    #[error("backend {name} does not exist: see `tinectl get backend`")]
    NotFound {
        /// The name.
        name: String,
    },
    /// It holds volumes.
    #[error("backend {name} has {volumes} volume(s): delete them first")]
    InUse {
        /// The name.
        name: String,
        /// How many.
        volumes: usize,
    },
    /// The file names another array than the one that has the backend's volumes.
    #[error(
        "backend {name} has {volumes} volume(s) on another SVM or cluster than this file names: correct the file, or write another backendName"
    )]
    OtherArray {
        /// The name.
        name: String,
        /// How many.
        volumes: usize,
    },
    /// The backend cannot be used now.
    #[error("backend {name} is offline: {reason}")]
    Offline {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The store failed.
    #[error("the backend cannot be recorded")]
    Store(#[from] StoreError),
}

/// Whether a backend can be used.
#[derive(Debug, Clone)]
pub enum BackendState {
    /// Its array answered and fits.
    Online(Arc<Array>),
    /// It did not, for this reason.
    Offline(String),
    /// Registered before this process started, and not asked by it yet.
    Unasked,
}

/// A registered backend.
#[derive(Debug)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Made at registration.
    pub uuid: Uuid,
    /// Its file, understood.
    pub config: BackendConfig,
    owner: Owner,
    state: RwLock<BackendState>,
    starting: Mutex<()>,
}

impl Backend {
    /// Whether it can be used now.
    pub fn state(&self) -> BackendState {
        self.state.read().clone()
    }

    /// Its array. An offline backend is tried once, so that an array that is back is used at once.
    ///
    /// # Errors
    /// [`BackendError::Offline`] with the reason.
    pub async fn require_online(&self) -> Result<Arc<Array>, BackendError> {
        if let BackendState::Online(array) = self.state() {
            return Ok(array);
        }
        let _one_at_a_time = self.starting.lock().await;
        if let BackendState::Online(array) = self.state() {
            return Ok(array);
        }
        match Array::start(&self.config, self.owner).await {
            Ok(array) => {
                let array = Arc::new(array);
                *self.state.write() = BackendState::Online(Arc::clone(&array));
                tracing::info!(backend = self.name, "backend online");
                Ok(array)
            }
            Err(error) => {
                let reason = error.to_string();
                tracing::warn!(backend = self.name, reason, "backend offline");
                *self.state.write() = BackendState::Offline(reason.clone());
                Err(BackendError::Offline { name: self.name.clone(), reason })
            }
        }
    }
}

/// All registered backends.
#[derive(Debug)]
pub struct Backends {
    store: Store,
    owner: Owner,
    by_name: RwLock<BTreeMap<String, Arc<Backend>>>,
    /// Held while a backend is registered or removed, shared while a volume is placed: no volume
    /// is placed on a backend that is being removed.
    membership: tokio::sync::RwLock<()>,
}

impl Backends {
    /// The recorded backends, none of them asked yet.
    ///
    /// # Errors
    /// When the store fails, or a recorded file is not understood any more.
    pub async fn load(store: Store, owner: Owner) -> Result<Self, BackendError> {
        let mut by_name = BTreeMap::new();
        for record in store.all::<BackendRecord>().await? {
            let config = BackendConfig::parse(&record.file_name, record.content.as_bytes())?;
            let backend = Backend {
                name: record.name.clone(),
                uuid: record.uuid,
                config,
                owner,
                state: RwLock::new(BackendState::Unasked),
                starting: Mutex::new(()),
            };
            by_name.insert(record.name, Arc::new(backend));
        }
        let (by_name, membership) = (RwLock::new(by_name), tokio::sync::RwLock::new(()));
        Ok(Self { store, owner, by_name, membership })
    }

    /// Every backend, in the order of names.
    pub fn all(&self) -> Vec<Arc<Backend>> {
        self.by_name.read().values().cloned().collect()
    }

    /// Returns when every array has answered, or had the time of a connection attempt, since the process
    /// started: until then a choice among backends would be made among too few.
    pub async fn asked(&self) {
        let unasked = self.all().into_iter();
        let unasked = unasked.filter(|backend| matches!(backend.state(), BackendState::Unasked));
        let answers = join_all(unasked.map(|backend| async move {
            let _state_tells = backend.require_online().await;
        }));
        if tokio::time::timeout(FIRST_ANSWER, answers).await.is_err() {
            tracing::warn!("an array has not answered yet: going on without its backend");
        }
    }

    /// The backend of that name.
    ///
    /// # Errors
    /// [`BackendError::NotFound`].
    pub fn require(&self, name: &str) -> Result<Arc<Backend>, BackendError> {
        let found = self.by_name.read().get(name).cloned();
        found.ok_or_else(|| BackendError::NotFound { name: name.to_owned() })
    }

    /// While the guard is held, no backend appears or disappears.
    pub async fn settled(&self) -> tokio::sync::RwLockReadGuard<'_, ()> {
        self.membership.read().await
    }

    /// Registers a file that `tinectl` sent. The same file again is the same backend.
    ///
    /// # Errors
    /// When the file or what it says is wrong, or the name is taken.
    pub async fn create(&self, file: &str, content: &[u8]) -> Result<Arc<Backend>, BackendError> {
        self.register(file, content, false).await
    }

    /// Registers a file named on the command line: it replaces an older one of the same name.
    ///
    /// # Errors
    /// When the file or what it says is wrong.
    pub async fn ensure(&self, file: &str, content: &[u8]) -> Result<Arc<Backend>, BackendError> {
        self.register(file, content, true).await
    }

    async fn register(
        &self,
        file: &str,
        content: &[u8],
        replace: bool,
    ) -> Result<Arc<Backend>, BackendError> {
        let config = BackendConfig::parse(file, content)?;
        let records = self.store.all::<BackendRecord>().await?;
        if let Some(same) = records.iter().find(|record| record.content.as_bytes() == content) {
            // Known already: an array that is away now does not make it unknown.
            let backend = self.require(&same.name)?;
            if !replace {
                backend.require_online().await?;
            }
            return Ok(backend);
        }
        let array = Array::start(&config, self.owner).await?;
        let name = config.name.clone().unwrap_or_else(|| array.default_name());
        let identity = array.identity();
        let _alone = self.membership.write().await;
        let former = self.by_name.read().get(&name).cloned();
        let uuid = match former {
            Some(_) if !replace => return Err(BackendError::Exists { name }),
            Some(former) => {
                let recorded = records.iter().find(|record| record.name == name);
                let recorded = recorded.and_then(|record| record.array.as_deref());
                let volumes = self.volumes_of(&name).await?;
                if recorded.is_some_and(|recorded| recorded != identity) && volumes > 0 {
                    return Err(BackendError::OtherArray { name, volumes });
                }
                former.uuid
            }
            None => Uuid::new_v4(),
        };
        self.store
            .put(&BackendRecord {
                uuid,
                name: name.clone(),
                file_name: file.to_owned(),
                content: String::from_utf8_lossy(content).into_owned(),
                array: Some(identity),
            })
            .await?;
        let backend = Arc::new(Backend {
            name: name.clone(),
            uuid,
            config,
            owner: self.owner,
            state: RwLock::new(BackendState::Online(Arc::new(array))),
            starting: Mutex::new(()),
        });
        self.by_name.write().insert(name, Arc::clone(&backend));
        tracing::info!(backend = backend.name, driver = backend.config.driver_name(), "backend registered");
        Ok(backend)
    }

    async fn volumes_of(&self, name: &str) -> Result<usize, StoreError> {
        let volumes = self.store.all::<VolumeRecord>().await?;
        Ok(volumes.iter().filter(|volume| volume.backend == name).count())
    }

    /// Forgets a backend that holds no volume. Nothing on the array is touched.
    ///
    /// # Errors
    /// When there is none of that name, or it holds volumes.
    pub async fn delete(&self, name: &str) -> Result<(), BackendError> {
        let _alone = self.membership.write().await;
        self.require(name)?;
        let volumes = self.volumes_of(name).await?;
        if volumes > 0 {
            return Err(BackendError::InUse { name: name.to_owned(), volumes });
        }
        self.store.remove::<BackendRecord>(name).await?;
        self.by_name.write().remove(name);
        tracing::info!(backend = name, "backend removed");
        Ok(())
    }
}
