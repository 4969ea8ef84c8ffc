//! A directory of built things, each under the hash of all that went into it.
//!
//! An entry is a directory that appears whole or not at all (built aside, renamed into place). A
//! file lock makes parallel tests build it once.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

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
        if entry.is_dir() {
            return Ok(entry);
        }
        let _locked = self.lock(name)?;
        if entry.is_dir() {
            return Ok(entry);
        }
        let aside = tempfile::Builder::new()
            .prefix("building-")
            .tempdir_in(&self.root)
            .map_err(|source| CacheError::Io { action: "create in", path: self.root.clone(), source })?;
        build(aside.path())?;
        let aside = aside.keep();
        at("rename", &aside, fs::rename(&aside, &entry))?;
        Ok(entry)
    }

    /// Holds the lock of `name` until the file is dropped.
    pub(crate) fn lock(&self, name: &str) -> Result<File, CacheError> {
        let path = self.root.join(format!("{name}.lock"));
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
    fn parts_do_not_run_together() {
        let (one, other) = (Key::default().parts(["ab", "c"]), Key::default().parts(["a", "bc"]));
        assert_ne!(one.short(), other.short());
    }
}
