//! The store without Kubernetes: one redb file, mode 0600, one process at a time.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

use super::Record;

/// Version of the file's layout that this build writes and reads.
const FORMAT: &str = "1";
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// Why the state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or made.
    #[error("state file {path}: cannot be opened; give --state a file in a writable directory")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The database refuses the file: damaged, or in use by another controller.
    #[error("state file {path}: not usable as a database; is another tine-controller using it?")]
    Database {
        /// The file.
        path: PathBuf,
        /// The database's reason.
        #[source]
        source: redb::DatabaseError,
    },
    /// Written by another version.
    #[error(
        "state file {path}: written in format {found}, this build reads only {FORMAT}; run the version that wrote it"
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: String,
    },
    /// A transaction failed.
    #[error("state file: the database failed")]
    Transaction(#[from] redb::Error),
    /// A record is not what its table promises.
    #[error("state file: record `{key}` of table `{table}` is damaged")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The key.
        key: String,
        /// The reader's reason.
        #[source]
        source: serde_json::Error,
    },
    /// The worker thread of a transaction is gone.
    #[error("state file: the transaction was interrupted")]
    Interrupted,
}

/// The embedded store. Clones share one database.
#[derive(Debug, Clone)]
pub struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Opens the file at `path`, or makes it with mode 0600.
    ///
    /// # Errors
    /// When the file cannot be opened, is in use, damaged, or of an unknown format.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_owned();
        off_the_reactor(move || {
            let unusable = |source| StoreError::Open { path: path.clone(), source };
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(unusable)?;
            // A file that was there before may have been copied with a wider mode.
            file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(unusable)?;
            let database = redb::Builder::new()
                .create_file(file)
                .map_err(|source| StoreError::Database { path: path.clone(), source })?;
            let found = mark_format(&database)?;
            if found != FORMAT {
                return Err(StoreError::UnknownFormat { path, found });
            }
            Ok(Self { database: Arc::new(database) })
        })
        .await
    }

    /// The record of `key`.
    ///
    /// # Errors
    /// When the database fails or the record is damaged.
    pub async fn find<R: Record>(&self, key: &str) -> Result<Option<R>, StoreError> {
        let (database, key) = (Arc::clone(&self.database), key.to_owned());
        off_the_reactor(move || {
            let transaction = database.begin_read().map_err(redb::Error::from)?;
            let table = match transaction.open_table(table_of::<R>()) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                other => other.map_err(redb::Error::from)?,
            };
            let value = table.get(key.as_str()).map_err(redb::Error::from)?;
            value.map(|value| decode(&key, value.value())).transpose()
        })
        .await
    }

    /// All records whose key starts with `prefix`, in the order of their keys.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub async fn under<R: Record>(&self, prefix: &str) -> Result<Vec<R>, StoreError> {
        let (database, prefix) = (Arc::clone(&self.database), prefix.to_owned());
        off_the_reactor(move || {
            let transaction = database.begin_read().map_err(redb::Error::from)?;
            let table = match transaction.open_table(table_of::<R>()) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                other => other.map_err(redb::Error::from)?,
            };
            let mut records = Vec::new();
            for entry in table.range(prefix.as_str()..).map_err(redb::Error::from)? {
                let (key, value) = entry.map_err(redb::Error::from)?;
                if !key.value().starts_with(&prefix) {
                    break;
                }
                records.push(decode(key.value(), value.value())?);
            }
            Ok(records)
        })
        .await
    }

    /// At most `most` records whose key is `first` or comes after it, in the order of their keys.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub async fn page<R: Record>(&self, first: &str, most: usize) -> Result<Vec<R>, StoreError> {
        let (database, first) = (Arc::clone(&self.database), first.to_owned());
        off_the_reactor(move || {
            let transaction = database.begin_read().map_err(redb::Error::from)?;
            let table = match transaction.open_table(table_of::<R>()) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                other => other.map_err(redb::Error::from)?,
            };
            let entries = table.range(first.as_str()..).map_err(redb::Error::from)?;
            entries
                .take(most)
                .map(|entry| {
                    let (key, value) = entry.map_err(redb::Error::from)?;
                    decode(key.value(), value.value())
                })
                .collect()
        })
        .await
    }

    /// All records of a kind, in the order of their keys.
    ///
    /// # Errors
    /// When the database fails or a record is damaged.
    pub async fn all<R: Record>(&self) -> Result<Vec<R>, StoreError> {
        self.under("").await
    }

    /// Writes `record`, replacing an older one of the same key. Durable when it returns.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put<R: Record>(&self, record: &R) -> Result<(), StoreError> {
        let key = record.key();
        let value = serde_json::to_vec(record).map_err(|source| StoreError::Damaged {
            table: R::TABLE,
            key: key.clone(),
            source,
        })?;
        let database = Arc::clone(&self.database);
        off_the_reactor(move || {
            let transaction = database.begin_write().map_err(redb::Error::from)?;
            {
                let mut table = transaction.open_table(table_of::<R>()).map_err(redb::Error::from)?;
                table.insert(key.as_str(), value.as_slice()).map_err(redb::Error::from)?;
            }
            Ok(transaction.commit().map_err(redb::Error::from)?)
        })
        .await
    }

    /// Forgets the record of `key`, if there is one. Durable when it returns.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove<R: Record>(&self, key: &str) -> Result<(), StoreError> {
        let (database, key) = (Arc::clone(&self.database), key.to_owned());
        off_the_reactor(move || {
            let transaction = database.begin_write().map_err(redb::Error::from)?;
            {
                let mut table = transaction.open_table(table_of::<R>()).map_err(redb::Error::from)?;
                table.remove(key.as_str()).map_err(redb::Error::from)?;
            }
            Ok(transaction.commit().map_err(redb::Error::from)?)
        })
        .await
    }
}

fn table_of<R: Record>() -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(R::TABLE)
}

fn decode<R: Record>(key: &str, value: &[u8]) -> Result<R, StoreError> {
    serde_json::from_slice(value).map_err(|source| StoreError::Damaged {
        table: R::TABLE,
        key: key.to_owned(),
        source,
    })
}

/// The format of the file; a new file gets ours.
fn mark_format(database: &Database) -> Result<String, StoreError> {
    let transaction = database.begin_write().map_err(redb::Error::from)?;
    let found = {
        let mut table = transaction.open_table(META).map_err(redb::Error::from)?;
        let found = table.get("format").map_err(redb::Error::from)?.map(|value| value.value().to_owned());
        match found {
            Some(found) => found,
            None => {
                table.insert("format", FORMAT).map_err(redb::Error::from)?;
                FORMAT.to_owned()
            }
        }
    };
    transaction.commit().map_err(redb::Error::from)?;
    Ok(found)
}

/// A commit waits for the disk: never on a thread that serves requests.
async fn off_the_reactor<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Interrupted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{PublicationRecord, UseRecord};

    fn publication(volume: &str, node: &str) -> PublicationRecord {
        PublicationRecord {
            volume: volume.parse().unwrap(),
            node: node.parse().unwrap(),
            r#use: UseRecord { block: false, mode: 1 },
            iqn: None,
            addresses: Vec::new(),
        }
    }

    #[tokio::test]
    async fn what_was_put_is_there_after_the_file_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let kept = publication("pvc-1", "n1");
        {
            let store = Store::open(&path).await.unwrap();
            store.put(&kept).await.unwrap();
            store.put(&publication("pvc-10", "n1")).await.unwrap();
            store.remove::<PublicationRecord>("pvc-10/n1").await.unwrap();
        }
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.all::<PublicationRecord>().await.unwrap(), vec![kept]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn the_publications_of_a_volume_are_not_those_of_one_with_a_longer_name() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("state")).await.unwrap();
        for (volume, node) in [("pvc-1", "n2"), ("pvc-10", "n1"), ("pvc-1", "n1")] {
            store.put(&publication(volume, node)).await.unwrap();
        }
        let volume = "pvc-1".parse().unwrap();
        let found: Vec<PublicationRecord> =
            store.under(&PublicationRecord::key_prefix(&volume)).await.unwrap();
        assert_eq!(found, vec![publication("pvc-1", "n1"), publication("pvc-1", "n2")]);
    }

    #[tokio::test]
    async fn a_file_of_another_format_is_refused_and_says_which() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        drop(Store::open(&path).await.unwrap());
        {
            let database = Database::create(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            transaction.open_table(META).unwrap().insert("format", "9").unwrap();
            transaction.commit().unwrap();
        }
        let error = Store::open(&path).await.unwrap_err().to_string();
        assert!(error.contains("format 9") && error.contains("run the version"), "{error}");
    }
}
