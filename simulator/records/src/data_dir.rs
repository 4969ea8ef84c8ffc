//! The data directory: the rows of a state in one database file. The simulator keeps beside it the
//! contents that rows name.
//!
//! ```text
//! DIR/state.redb   rows by table and key, each with its checksum; one transaction a request
//! ```
//!
//! What a request changed is durable before it is answered. Content is to be made before the rows that
//! name it and removed after they are gone: what a death in between leaves is content that no row
//! names, which the next start removes.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::{Records, RowWrite};

/// Version of the layout that this build writes and reads.
const FORMAT: u64 = 1;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Whose rows these are, under `product`; absent in the first directories that there were.
const OWNER: TableDefinition<'_, &str, &str> = TableDefinition::new("owner");
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
    /// The rows of another product.
    #[error(
        "--data-dir: {} was written by {found}, and this is {product}; give another directory",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks for it.
        product: &'static str,
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
    /// Opens the directory of `product`, or makes it; its files can be read by their owner alone,
    /// since a state may hold secrets.
    ///
    /// # Errors
    /// [`DataDirError`] when it cannot be used, in which case nothing in it was changed.
    pub fn open(path: &Path, product: &'static str) -> Result<Self, DataDirError> {
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
        match mark_owner(&database, product)? {
            Some(found) => Err(DataDirError::Foreign { path: file_path, found, product }),
            None => Ok(Self { path: path.to_owned(), database }),
        }
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
    pub fn load<S: Records>(&self) -> Result<Option<S>, DataDirError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = match transaction.open_table(ROWS) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other.map_err(redb::Error::from)?,
        };
        let mut state = S::default();
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
            if !state.load_row(table, key, row).map_err(|error| damaged(&error))? {
                return Err(damaged(&"this version knows no such table"));
            }
        }
        Ok(Some(state))
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

/// Whose the file is, if not `product`'s; a file that is nobody's becomes its.
fn mark_owner(database: &Database, product: &str) -> Result<Option<String>, DataDirError> {
    let transaction = database.begin_write().map_err(redb::Error::from)?;
    let found = {
        let mut table = transaction.open_table(OWNER).map_err(redb::Error::from)?;
        let found = table.get("product").map_err(redb::Error::from)?.map(|value| value.value().to_owned());
        if found.is_none() {
            table.insert("product", product).map_err(redb::Error::from)?;
        }
        found
    };
    match found {
        Some(_) => transaction.abort().map_err(redb::Error::from)?,
        None => transaction.commit().map_err(redb::Error::from)?,
    }
    Ok(found.filter(|found| found != product))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{Single, Table, records, untagged};

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub(super) struct Fruit {
        name: String,
    }
    untagged!(Fruit);

    records! {
        /// All there is.
        #[derive(Debug, Default)]
        pub(super) struct Larder beside {}

        /// What can be eaten.
        fruits: Table<u8, Fruit>,
        /// The last number.
        last: Single<u8>,
    }

    fn open(path: &Path) -> Result<DataDir, DataDirError> {
        DataDir::open(path, "larder")
    }

    fn larder() -> Larder {
        let mut larder = Larder::default();
        larder.fruits.insert(1, Fruit { name: "plum".into() });
        larder.fruits.insert(2, Fruit { name: "quince".into() });
        *larder.last.edit() = 2;
        larder
    }

    #[test]
    fn what_was_saved_is_there_again_and_nobody_else_reads_it() {
        let place = tempfile::tempdir().unwrap();
        let mut larder = larder();
        {
            let data = open(place.path()).unwrap();
            assert!(data.load::<Larder>().unwrap().is_none());
            data.save(&larder.dirty_rows().unwrap()).unwrap();
            larder.forget_dirty();
            larder.fruits.remove(&1);
            data.save(&larder.dirty_rows().unwrap()).unwrap();
        }
        let data = open(place.path()).unwrap();
        let again = data.load::<Larder>().unwrap().unwrap();
        assert_eq!(again.all_rows().unwrap(), larder.all_rows().unwrap());
        assert_eq!((again.fruits.len(), *again.last), (1, 2));
        let mode = fs::metadata(place.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn rows_go_back_to_a_mark_all_together() {
        let mut larder = larder();
        let before = (larder.all_rows().unwrap(), larder.mark_rows());
        larder.fruits.remove(&1);
        *larder.last.edit() = 7;
        larder.roll_back_rows(&before.1);
        assert_eq!(larder.all_rows().unwrap(), before.0);
    }

    #[test]
    fn one_process_and_one_product_have_a_directory() {
        let place = tempfile::tempdir().unwrap();
        let first = open(place.path()).unwrap();
        let second = open(place.path()).unwrap_err();
        assert!(matches!(second, DataDirError::InUse(_)), "{second:?}");
        assert!(second.to_string().contains(place.path().to_str().unwrap()));
        drop(first);
        let error = DataDir::open(place.path(), "cellar").unwrap_err().to_string();
        assert!(error.contains("written by larder, and this is cellar"), "{error}");
        open(place.path()).unwrap();
    }

    #[test]
    fn another_format_no_database_and_a_damaged_row_are_told_with_place_and_cure() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(FILE), "no database at all, but long enough".repeat(100)).unwrap();
        let error = open(place.path()).unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains("copy"), "{error}");
        fs::remove_file(place.path().join(FILE)).unwrap();
        let data = open(place.path()).unwrap();
        let transaction = data.database.begin_write().unwrap();
        transaction.open_table(ROWS).unwrap().insert(("fruits", &b"\"x\""[..]), &b"1234{}"[..]).unwrap();
        transaction.open_table(META).unwrap().insert("format", 9).unwrap();
        transaction.commit().unwrap();
        let error = data.load::<Larder>().unwrap_err().to_string();
        assert!(error.contains("\"x\"") && error.contains("fruits") && error.contains("checksum"), "{error}");
        drop(data);
        let error = open(place.path()).unwrap_err().to_string();
        assert!(error.contains("format 9") && error.contains("format 1"), "{error}");
    }
}
