//! A directory of built things, each under the hash of all that went into it.
//!
//! An entry is a directory that appears whole or not at all (built aside, renamed into place). A
//! file lock makes parallel tests build it once.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

/// Prefix of entries under construction.
const BUILDING: &str = "building-";

/// An entry that nobody asked for in this time goes when another is built.
const UNUSED: Duration = Duration::from_secs(5 * 24 * 3600);

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither `TINE_CACHE` nor `HOME` says where.
    #[error("no place for the cache: set TINE_CACHE to a directory, or HOME")]
    NoPlace,
    /// A file operation failed.
    #[error("{action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Adds the action and the path to an I/O error.
pub(crate) fn at<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, CacheError> {
    result.map_err(|source| CacheError::Io { action, path: path.to_owned(), source })
}

/// The cache directory: `$TINE_CACHE`, else `~/.cache/tine`.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(crate) fn open() -> Result<Self, CacheError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = set("TINE_CACHE")
            .or_else(|| set("HOME").map(|home| home.join(".cache/tine")))
            .ok_or(CacheError::NoPlace)?;
        at("create", &root, fs::create_dir_all(&root))?;
        Ok(Self { root })
    }

    /// The entry `name`; `build` fills an empty directory when there is none. Blocks while
    /// another process builds the same.
    pub(crate) fn ensure<E: From<CacheError>>(
        &self,
        name: &str,
        build: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let entry = self.root.join(name);
        let lock = self.lock(name)?;
        at("touch the lock of", &entry, lock.set_modified(SystemTime::now()))?;
        if entry.is_dir() {
            return Ok(entry);
        }
        self.prune();
        let aside = tempfile::Builder::new()
            .prefix(BUILDING)
            .tempdir_in(&self.root)
            .map_err(|source| CacheError::Io { action: "create in", path: self.root.clone(), source })?;
        build(aside.path())?;
        let aside = aside.keep();
        at("rename", &aside, fs::rename(&aside, &entry))?;
        Ok(entry)
    }

    /// Removes entries that nobody has asked for in a while, and half-built ones of processes
    /// that were killed. What cannot be removed now is left for the next time.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.root) else { return };
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let used = if name.starts_with(BUILDING) { entry.path() } else { self.lock_path(&name) };
            let age = fs::metadata(used).and_then(|file| file.modified()).map(|at| at.elapsed());
            if matches!(age, Ok(Ok(age)) if age > UNUSED) {
                tracing::info!(name, "removing what was not used for a while from the cache");
                let _later = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.lock"))
    }

    /// Holds the lock of `name` until the file is dropped.
    fn lock(&self, name: &str) -> Result<File, CacheError> {
        let path = self.lock_path(name);
        let file = at("create", &path, File::create(&path))?;
        at("lock", &path, file.lock())?;
        Ok(file)
    }
}

/// A hash over parts, each with its length, so that no two lists of parts run together.
#[derive(Debug, Default)]
pub(crate) struct Key(Sha256);

impl Key {
    pub(crate) fn part(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn parts<T: AsRef<[u8]>>(self, parts: impl IntoIterator<Item = T>) -> Self {
        parts.into_iter().fold(self, Self::part)
    }

    /// The first 16 hexadecimal digits.
    pub(crate) fn short(self) -> String {
        self.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { root: directory.path().to_owned() };
        (directory, cache)
    }

    #[test]
    fn an_entry_is_built_once_by_threads_that_want_it_together() {
        let (_directory, cache) = cache();
        let built = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    cache
                        .ensure::<CacheError>("entry", |path| {
                            built.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            at("write", path, fs::write(path.join("file"), b"x"))
                        })
                        .unwrap();
                });
            }
        });
        assert_eq!(built.into_inner(), 1);
    }

    #[test]
    fn a_failed_build_leaves_nothing_behind() {
        let (directory, cache) = cache();
        let failed = cache.ensure::<CacheError>("entry", |_| Err(CacheError::NoPlace));
        assert!(failed.is_err());
        let left: Vec<_> = fs::read_dir(directory.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["entry.lock"]);
    }

    #[test]
    fn what_nobody_asked_for_lately_goes_and_the_rest_stays() {
        let (directory, cache) = cache();
        let path = directory.path();
        for name in ["old", "new"] {
            cache.ensure::<CacheError>(name, |_| Ok(())).unwrap();
        }
        let long_ago = SystemTime::now() - UNUSED - Duration::from_secs(1);
        File::options().write(true).open(path.join("old.lock")).unwrap().set_modified(long_ago).unwrap();
        cache.ensure::<CacheError>("third", |_| Ok(())).unwrap();
        let present = ["old", "new", "third"].map(|name| path.join(name).is_dir());
        assert_eq!(present, [false, true, true]);
    }

    #[test]
    fn parts_do_not_run_together() {
        let (one, other) = (Key::default().parts(["ab", "c"]), Key::default().parts(["a", "bc"]));
        assert_ne!(one.short(), other.short());
    }
}
