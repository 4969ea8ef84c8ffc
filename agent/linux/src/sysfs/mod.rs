//! Readers of `/sys`, named as Linux spells things. They read now, keep nothing, and tell "not
//! there" from "could not be read".

pub mod block;
pub mod iscsi;
pub mod scsi;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file or directory of `/sys` could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct SysfsError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Whether `error` says that the object is gone: sysfs answers ENODEV (sometimes ENXIO) for an
/// attribute of a device that is being removed while its directory is still listed.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO | libc::ENOTDIR))
}

fn absent_or<T>(path: &Path, result: io::Result<T>) -> Result<Option<T>, SysfsError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(SysfsError { path: path.to_owned(), source }),
    }
}

/// The text of an attribute without its line end; `None` when the object is gone.
pub(crate) fn attribute(path: &Path) -> Result<Option<String>, SysfsError> {
    let bytes = absent_or(path, fs::read(path))?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()))
}

/// An attribute as a number or another parsed value; `None` when it is gone or not one.
pub(crate) fn parsed<T: std::str::FromStr>(path: &Path) -> Result<Option<T>, SysfsError> {
    Ok(attribute(path)?.and_then(|text| text.trim().parse().ok()))
}

/// Names in a directory, sorted; empty when it is gone.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, SysfsError> {
    let Some(entries) = absent_or(path, fs::read_dir(path))? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        if let Some(entry) = absent_or(path, entry)? {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Where a link points, as text; `None` when it is gone.
pub(crate) fn link(path: &Path) -> Result<Option<String>, SysfsError> {
    let target = absent_or(path, fs::read_link(path))?;
    Ok(target.map(|target| target.to_string_lossy().into_owned()))
}

/// The number behind `prefix` of the first component of `path` that has both: `host3` in
/// `../devices/platform/host3/session1`.
pub(crate) fn numbered_component(path: &str, prefix: &str) -> Option<u32> {
    path.split('/').find_map(|component| component.strip_prefix(prefix)?.parse().ok())
}
