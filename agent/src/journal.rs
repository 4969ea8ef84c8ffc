//! Stage records on disk: durable before the first effect of a stage, gone after the last effect of
//! an unstage (hazard H06).
//!
//! One file a volume, `<state-dir>/volumes/<volume id>.json`, written to a temporary name, flushed,
//! renamed, and the directory flushed. Everything is read once at start and kept in memory, so that
//! asking what else uses a target costs nothing. `<state-dir>/lock` is held meanwhile: what a second
//! agent wrote would not be seen.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use agent_core::record::{RECORD_VERSION, StageRecord};
use agent_linux::own_time::{OwnTime, in_kernel};
use contract::{Iqn, PublishContext, VolumeId};
use parking_lot::Mutex;

const SUFFIX: &str = ".json";
const TEMPORARY: &str = ".new";
const LOCK: &str = "lock";

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Another process holds the directory's lock.
    #[error("another agent uses this state directory {}: stop it, or give another --state-dir", .0.display())]
    InUse(PathBuf),
    /// A record was found at start that this build cannot read.
    #[error("the record of volume {volume} cannot be used ({why}): upgrade the agent, or remove {} once nothing of the volume is left on this node", path.display())]
    Unreadable {
        /// Whose record.
        volume: VolumeId,
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A record that does not become JSON.
    #[error("the record of volume {0} cannot be written")]
    Unwritable(VolumeId, #[source] serde_json::Error),
}

#[derive(Debug)]
enum Entry {
    Record {
        record: StageRecord,
        /// Its volume's devices are gone and it has left the target's sessions to the others.
        leaving: bool,
    },
    Unreadable(String),
}

impl Entry {
    fn new(record: StageRecord) -> Self {
        Self::Record { record, leaving: false }
    }

    fn needs_target(&self, target: &Iqn) -> bool {
        match self {
            Self::Record { record, leaving: false } => {
                matches!(&record.attachment, PublishContext::Iscsi(iscsi) if iscsi.target == *target)
            }
            Self::Record { leaving: true, .. } => false,
            Self::Unreadable(_) => true,
        }
    }
}

/// The stage records of this node.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    entries: Mutex<BTreeMap<VolumeId, Entry>>,
    /// Free again when this file is closed, however the process ends (flock(2)).
    _lock: File,
}

impl Journal {
    /// Opens the journal under `state_dir`, which is made if it is missing, and reads all records.
    /// A record that cannot be read does not keep the agent from serving other volumes.
    ///
    /// # Errors
    /// When the directory cannot be made or listed, or when another agent uses it.
    pub fn open(state_dir: &Path) -> Result<Self, JournalError> {
        let directory = state_dir.join("volumes");
        let io = |action| {
            let path = directory.clone();
            move |source| JournalError::Io { action, path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(io("create"))?;
        let lock = lock(state_dir)?;
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(&directory).map_err(io("list"))? {
            let name = file.map_err(io("list"))?.file_name();
            let volume = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            let Some(volume) = volume.and_then(|volume| volume.parse::<VolumeId>().ok()) else { continue };
            let entry = match read(&directory.join(&name)) {
                Ok(record) => Entry::new(record),
                Err(why) => {
                    tracing::error!(%volume, why, "a stage record cannot be read");
                    Entry::Unreadable(why)
                }
            };
            entries.insert(volume, entry);
        }
        tracing::info!(records = entries.len(), directory = %directory.display(), "journal read");
        Ok(Self { directory, entries: Mutex::new(entries), _lock: lock })
    }

    /// The record of `volume`, if there is one.
    ///
    /// # Errors
    /// When there is one that cannot be read: it is not the same as none.
    pub fn find(&self, volume: &VolumeId) -> Result<Option<StageRecord>, JournalError> {
        match self.entries.lock().get(volume) {
            None => Ok(None),
            Some(Entry::Record { record, .. }) => Ok(Some(record.clone())),
            Some(Entry::Unreadable(why)) => Err(JournalError::Unreadable {
                volume: volume.clone(),
                path: self.path(volume),
                why: why.clone(),
            }),
        }
    }

    /// All readable records.
    pub fn records(&self) -> Vec<StageRecord> {
        let entries = self.entries.lock();
        let record = |entry: &Entry| match entry {
            Entry::Record { record, .. } => Some(record.clone()),
            Entry::Unreadable(_) => None,
        };
        entries.values().filter_map(record).collect()
    }

    /// Whether a volume other than `volume` needs the sessions of `target`. One whose record cannot
    /// be read might.
    pub fn shares_target(&self, target: &Iqn, volume: &VolumeId) -> bool {
        others_need(&self.entries.lock(), target, volume)
    }

    /// `volume` has no device left and wants to leave the sessions of `target` to the others.
    /// Answers false when there are none: then it must end the sessions itself. Of several volumes
    /// that are unstaged at the same time, the last one gets that answer.
    pub fn leave_to_others(&self, target: &Iqn, volume: &VolumeId) -> bool {
        let mut entries = self.entries.lock();
        let others = others_need(&entries, target, volume);
        if let (true, Some(Entry::Record { leaving, .. })) = (others, entries.get_mut(volume)) {
            *leaving = true;
        }
        others
    }

    /// Makes `record` durable. Does nothing when it is already there as it is.
    ///
    /// # Errors
    /// When a file operation fails; the record then does not count as written.
    pub async fn write(&self, record: &StageRecord) -> Result<(), JournalError> {
        if matches!(self.entries.lock().get(&record.volume), Some(Entry::Record { record: known, leaving: false }) if known == record)
        {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(record)
            .map_err(|source| JournalError::Unwritable(record.volume.clone(), source))?;
        let path = self.path(&record.volume);
        let directory = self.directory.clone();
        blocking(move || replace(&directory, &path, &text)).await?;
        self.entries.lock().insert(record.volume.clone(), Entry::new(record.clone()));
        Ok(())
    }

    /// Forgets `volume`, durably. Does nothing when nothing is known about it.
    ///
    /// # Errors
    /// When a file operation fails.
    pub async fn remove(&self, volume: &VolumeId) -> Result<(), JournalError> {
        if !self.entries.lock().contains_key(volume) {
            return Ok(());
        }
        let path = self.path(volume);
        let directory = self.directory.clone();
        blocking(move || match in_kernel(|| fs::remove_file(&path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(JournalError::Io { action: "remove", path, source: error })
            }
            _ => flush(&directory),
        })
        .await?;
        self.entries.lock().remove(volume);
        Ok(())
    }

    fn path(&self, volume: &VolumeId) -> PathBuf {
        self.directory.join(format!("{volume}{SUFFIX}"))
    }
}

fn others_need(entries: &BTreeMap<VolumeId, Entry>, target: &Iqn, volume: &VolumeId) -> bool {
    entries.iter().any(|(other, entry)| other != volume && entry.needs_target(target))
}

/// Runs file operations where they may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    let own = OwnTime::current();
    tokio::task::spawn_blocking(move || own.count(work)).await.unwrap_or_else(|stopped| {
        let source = io::Error::other(stopped);
        Err(JournalError::Io { action: "finish work on", path: PathBuf::from("the journal"), source })
    })
}

fn lock(state_dir: &Path) -> Result<File, JournalError> {
    let path = state_dir.join(LOCK);
    let io = |action| {
        let path = path.clone();
        move |source| JournalError::Io { action, path, source }
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(io("open"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse(state_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io("lock")(source)),
    }
}

fn read(path: &Path) -> Result<StageRecord, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(RECORD_VERSION) => {}
        Some(version) => return Err(format!("its version is {version}, this agent knows {RECORD_VERSION}")),
        None => return Err("it has no version".to_owned()),
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn replace(directory: &Path, path: &Path, text: &[u8]) -> Result<(), JournalError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY);
    let temporary = PathBuf::from(temporary);
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Io { action, path, source }
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = in_kernel(|| options.open(&temporary)).map_err(io("create", &temporary))?;
    file.write_all(text).map_err(io("write", &temporary))?;
    in_kernel(|| file.sync_all()).map_err(io("flush", &temporary))?;
    in_kernel(|| fs::rename(&temporary, path)).map_err(io("rename into place", path))?;
    flush(directory)
}

/// Makes a rename or removal in `directory` durable (fsync(2): the directory itself must be flushed).
fn flush(directory: &Path) -> Result<(), JournalError> {
    File::open(directory).and_then(|file| in_kernel(|| file.sync_all())).map_err(|source| JournalError::Io {
        action: "flush",
        path: directory.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use agent_core::intent::Usage;
    use contract::NfsAttachment;

    fn record(volume: &str) -> StageRecord {
        StageRecord {
            version: RECORD_VERSION,
            volume: volume.parse().unwrap(),
            staging: "/staging".parse().unwrap(),
            attachment: PublishContext::Nfs(NfsAttachment {
                server: "192.168.0.121".parse().unwrap(),
                export: "/e".to_owned(),
                mount_options: Vec::new(),
            }),
            usage: Usage::Block,
        }
    }

    #[tokio::test]
    async fn a_record_outlives_the_process_and_ends_with_its_removal() {
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::open(state.path()).unwrap();
        journal.write(&record("a")).await.unwrap();
        journal.write(&record("b")).await.unwrap();
        journal.remove(&"a".parse().unwrap()).await.unwrap();
        drop(journal);

        let later = Journal::open(state.path()).unwrap();
        assert_eq!(later.records(), [record("b")]);
        assert_eq!(later.find(&"a".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn two_agents_do_not_share_a_state_directory() {
        let state = tempfile::tempdir().unwrap();
        let first = Journal::open(state.path()).unwrap();
        let error = Journal::open(state.path()).unwrap_err();
        assert!(matches!(error, JournalError::InUse(_)), "{error}");
        assert!(error.to_string().contains(&state.path().display().to_string()), "{error}");
        drop(first);
        Journal::open(state.path()).unwrap();
    }

    #[tokio::test]
    async fn an_unreadable_record_is_not_the_same_as_none() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("volumes");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("newer.json"), br#"{"version":9}"#).unwrap();
        fs::write(directory.join("torn.json"), b"{").unwrap();
        fs::write(directory.join("half.json.new"), b"{").unwrap();
        let journal = Journal::open(state.path()).unwrap();
        for volume in ["newer", "torn"] {
            let error = journal.find(&volume.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(&format!("{volume}.json")), "{error}");
        }
        assert_eq!(journal.find(&"half".parse().unwrap()).unwrap(), None);
        assert!(journal.shares_target(&"iqn.2000-01.x:y".parse().unwrap(), &"z".parse().unwrap()));
    }
}
