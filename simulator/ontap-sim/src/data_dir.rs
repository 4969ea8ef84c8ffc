//! The data directory: the rows of the state in a database file, and beside it the contents of LUNs
//! and volumes, which [`crate::dataplane::Contents`] keeps.
//!
//! ```text
//! DIR/state.redb     rows by table and key, each with its checksum; one transaction a request
//! DIR/luns/          a block store
//! DIR/volumes/UUID/  a file tree each
//! ```
//!
//! What a request changed is durable before it is answered. Content is made before the rows that
//! name it and removed after they are gone: what a death in between leaves is content that no row
//! names, which the next start removes.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::state::Cluster;
use crate::state::table::RowWrite;

/// Version of the layout that this build writes and reads.
const FORMAT: u64 = 1;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Table and key as JSON; checksum (CRC-32C, little endian) and row as JSON.
const ROWS: TableDefinition<'_, (&str, &[u8]), &[u8]> = TableDefinition::new("rows");
const FILE: &str = "state.redb";
const CHECKSUM: usize = size_of::<u32>();

/// Why a data directory cannot be used. The words are for an operator.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The directory or its file cannot be opened or made.
    #[error("--data-dir: {} cannot be opened; give a directory that can be written", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it.
    #[error(
        "--data-dir: {} is in use by another process; stop that one first, or give another directory",
        .0.display()
    )]
    InUse(PathBuf),
    /// The file is no database, or damaged.
    #[error(
        "--data-dir: {} is not readable as a database; bring the directory back from a copy, or move it \
         away to begin with an empty array",
        path.display()
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// The database's reason.
        #[source]
        source: redb::DatabaseError,
    },
    /// Written by another version.
    #[error(
        "--data-dir: {} has format {found}, and this version reads format {FORMAT}; run the version that \
         wrote it, or move the directory away to begin with an empty array",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
    /// A row is not what was written.
    #[error(
        "--data-dir: row {key} of table `{table}` in {} is damaged ({reason}); bring the directory back \
         from a copy, or move it away to begin with an empty array",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
        /// The key, as JSON.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A transaction failed.
    #[error("the data directory cannot be written; make room or mend the disk, and start again")]
    Transaction(#[from] redb::Error),
    /// A row has no JSON.
    #[error("a row cannot be written down")]
    Row(#[from] serde_json::Error),
}

/// A data directory that this process has alone.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    database: Database,
}

impl DataDir {
    /// Opens the directory, or makes it; its files can be read by their owner alone, since the
    /// state holds CHAP secrets.
    ///
    /// # Errors
    /// [`DataDirError`] when it cannot be used, in which case nothing in it was changed.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let file_path = path.join(FILE);
        let unusable = |source| DataDirError::Open { path: file_path.clone(), source };
        fs::create_dir_all(path).map_err(unusable)?;
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file.open(&file_path).map_err(unusable)?;
        // A file that was there before may have been copied with a wider mode.
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(unusable)?;
        let database = redb::Builder::new().create_file(file).map_err(|source| match source {
            redb::DatabaseError::DatabaseAlreadyOpen => DataDirError::InUse(path.to_owned()),
            source => DataDirError::Database { path: file_path.clone(), source },
        })?;
        let found = mark_format(&database)?;
        if found != FORMAT {
            return Err(DataDirError::Format { path: file_path, found });
        }
        Ok(Self { path: path.to_owned(), database })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The state as it was when the last request that changed it was answered; nothing before the
    /// first.
    ///
    /// # Errors
    /// [`DataDirError`] when a row is damaged or the file cannot be read.
    pub fn load(&self) -> Result<Option<Cluster>, DataDirError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = match transaction.open_table(ROWS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other.map_err(redb::Error::from)?,
        };
        let mut cluster = Cluster::default();
        for entry in table.iter().map_err(redb::Error::from)? {
            let (place, value) = entry.map_err(redb::Error::from)?;
            let ((table, key), value) = (place.value(), value.value());
            let damaged = |reason: &dyn ToString| DataDirError::Damaged {
                path: self.path.join(FILE),
                table: table.to_owned(),
                key: String::from_utf8_lossy(key).into_owned(),
                reason: reason.to_string(),
            };
            let row = checked(value).ok_or_else(|| damaged(&"its checksum is wrong"))?;
            if !cluster.load_row(table, key, row).map_err(|error| damaged(&error))? {
                return Err(damaged(&"this version knows no such table"));
            }
        }
        Ok(Some(cluster))
    }

    /// Makes rows durable, all of them or none.
    ///
    /// # Errors
    /// [`DataDirError::Transaction`]: none of them is.
    pub fn save(&self, writes: &[RowWrite]) -> Result<(), DataDirError> {
        if writes.is_empty() {
            return Ok(());
        }
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        {
            let mut rows = transaction.open_table(ROWS).map_err(redb::Error::from)?;
            for write in writes {
                let place = (write.table, write.key.as_slice());
                match &write.row {
                    Some(row) => drop(rows.insert(place, sealed(row).as_slice()).map_err(redb::Error::from)?),
                    None => drop(rows.remove(place).map_err(redb::Error::from)?),
                }
            }
        }
        Ok(transaction.commit().map_err(redb::Error::from)?)
    }
}

fn sealed(row: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(row.len().saturating_add(CHECKSUM));
    sealed.extend(crc32c::crc32c(row).to_le_bytes());
    sealed.extend(row);
    sealed
}

fn checked(value: &[u8]) -> Option<&[u8]> {
    let (checksum, row) = value.split_first_chunk::<CHECKSUM>()?;
    (u32::from_le_bytes(*checksum) == crc32c::crc32c(row)).then_some(row)
}

/// The format of the file; a new file gets ours.
fn mark_format(database: &Database) -> Result<u64, DataDirError> {
    let transaction = database.begin_write().map_err(redb::Error::from)?;
    let found = {
        let mut table = transaction.open_table(META).map_err(redb::Error::from)?;
        let found = table.get("format").map_err(redb::Error::from)?.map(|value| value.value());
        if found.is_none() {
            table.insert("format", FORMAT).map_err(redb::Error::from)?;
        }
        found
    };
    match found {
        Some(_) => transaction.abort().map_err(redb::Error::from)?,
        None => transaction.commit().map_err(redb::Error::from)?,
    }
    Ok(found.unwrap_or(FORMAT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::rest::{Call, Method, answer};
    use crate::state::Blueprint;

    fn cluster() -> Cluster {
        let blueprint = Blueprint {
            seed: 7,
            svm: "svm1".into(),
            nfs: Vec::new(),
            iscsi: Vec::new(),
            management: "127.0.0.1".parse().unwrap(),
            default_export_clients: vec!["0.0.0.0/0".into()],
            addressed: true,
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
        };
        Cluster::boot(&blueprint).unwrap()
    }

    #[test]
    fn what_was_saved_is_there_again_and_nobody_else_reads_it() {
        let place = tempfile::tempdir().unwrap();
        let rows = cluster().all_rows().unwrap();
        {
            let data = DataDir::open(place.path()).unwrap();
            assert!(data.load().unwrap().is_none());
            data.save(&rows).unwrap();
        }
        let data = DataDir::open(place.path()).unwrap();
        assert_eq!(data.load().unwrap().unwrap().all_rows().unwrap(), rows);
        let mode = fs::metadata(place.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn one_process_has_a_directory() {
        let place = tempfile::tempdir().unwrap();
        let _first = DataDir::open(place.path()).unwrap();
        let second = DataDir::open(place.path()).unwrap_err();
        assert!(matches!(second, DataDirError::InUse(_)), "{second:?}");
        assert!(second.to_string().contains(place.path().to_str().unwrap()));
    }

    #[test]
    fn another_format_no_database_and_a_damaged_row_are_told_with_place_and_cure() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(FILE), "no database at all, but long enough".repeat(100)).unwrap();
        let error = DataDir::open(place.path()).unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains("copy"), "{error}");
        fs::remove_file(place.path().join(FILE)).unwrap();
        let data = DataDir::open(place.path()).unwrap();
        let transaction = data.database.begin_write().unwrap();
        transaction.open_table(ROWS).unwrap().insert(("volumes", &b"\"x\""[..]), &b"1234{}"[..]).unwrap();
        transaction.open_table(META).unwrap().insert("format", 9).unwrap();
        transaction.commit().unwrap();
        let error = data.load().unwrap_err().to_string();
        assert!(
            error.contains("\"x\"") && error.contains("volumes") && error.contains("checksum"),
            "{error}"
        );
        drop(data);
        let error = DataDir::open(place.path()).unwrap_err().to_string();
        assert!(error.contains("format 9") && error.contains("format 1"), "{error}");
    }

    /// A call of a client that makes, changes and deletes, rightly or wrongly.
    fn call() -> impl Strategy<Value = Call> {
        let volume = || (0..3_u8).prop_map(|number| format!("v{number}"));
        let request = |method, target: String, body| {
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            Call { method, path: path.into(), query: query.into(), svm: None, body }
        };
        prop_oneof![
            (volume(), any::<bool>(), any::<bool>()).prop_map(move |(name, wait, here)| {
                let aggregate = if here { "aggr1" } else { "aggr9" };
                let body = json!({ "name": name, "svm.name": "svm1", "aggregates.name": [aggregate],
                    "nas.path": format!("/{name}"), "size": "100MB" });
                let query = if wait { "?return_timeout=9" } else { "" };
                request(Method::Post, format!("/api/storage/volumes{query}"), body)
            }),
            (volume(), any::<bool>()).prop_map(move |(name, online)| {
                let body = json!({ "state": if online { "online" } else { "offline" }, "comment": name });
                request(Method::Patch, format!("/api/storage/volumes?name={name}"), body)
            }),
            (volume(), volume()).prop_map(move |(name, new)| {
                let body = json!({ "name": new, "nas.path": "/moved" });
                request(Method::Patch, format!("/api/storage/volumes?name={name}&return_timeout=9"), body)
            }),
            volume().prop_map(move |name| {
                request(Method::Delete, format!("/api/storage/volumes?name={name}"), Value::Null)
            }),
            (volume(), 0..2_u8).prop_map(move |(volume, unit)| {
                let body = json!({ "name": format!("/vol/{volume}/l{unit}"), "os_type": "linux",
                    "svm.name": "svm1", "space.size": "10MB" });
                request(Method::Post, "/api/storage/luns".into(), body)
            }),
            Just(request(
                Method::Post,
                "/api/protocols/san/igroups".into(),
                json!({ "name": "ig", "os_type": "linux", "svm.name": "svm1",
                    "initiators": [{ "name": "iqn.2026-11.example:a" }] })
            )),
            volume().prop_map(move |volume| {
                let body = json!({ "lun.name": format!("/vol/{volume}/l0"), "igroup.name": "ig",
                    "svm.name": "svm1" });
                request(Method::Post, "/api/protocols/san/lun-maps".into(), body)
            }),
            // The second of these is there already, or is no client.
            Just(request(
                Method::Post,
                "/api/protocols/nfs/export-policies/1/rules".into(),
                json!({ "records": [
                    { "clients.match": "10.0.0.1", "ro_rule": "any", "rw_rule": "any" },
                    { "clients.match": "no client", "ro_rule": "any", "rw_rule": "any" },
                ] })
            )),
            Just(request(Method::Delete, "/api/protocols/san/igroups?name=ig".into(), Value::Null)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn after_any_calls_a_restart_at_any_point_finds_the_same_state_and_a_refusal_changed_nothing(
            calls in prop::collection::vec((call(), prop::bool::weighted(0.2)), 0..25)
        ) {
            let place = tempfile::tempdir().unwrap();
            let mut data = DataDir::open(place.path()).unwrap();
            let mut cluster = cluster();
            cluster.take_changes();
            data.save(&cluster.dirty_rows().unwrap()).unwrap();
            cluster.forget_dirty();
            for (call, restart) in calls {
                let before = cluster.all_rows().unwrap();
                let answer = answer(&mut cluster, &call);
                let changes = cluster.take_changes();
                if answer.status >= 400 {
                    prop_assert_eq!(cluster.all_rows().unwrap(), before, "{:?}: {}", call, answer.body);
                    prop_assert!(changes.is_empty(), "{:?}", changes);
                }
                data.save(&cluster.dirty_rows().unwrap()).unwrap();
                cluster.forget_dirty();
                if restart {
                    drop(data);
                    data = DataDir::open(place.path()).unwrap();
                    let kept = data.load().unwrap().unwrap();
                    prop_assert_eq!(kept.all_rows().unwrap(), cluster.all_rows().unwrap());
                    cluster = kept;
                }
            }
        }
    }
}
