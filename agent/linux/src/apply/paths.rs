//! Directories and files that mounts stand on.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use agent_core::path::HostPath;

use crate::blocking::{BulkheadError, Bulkheads};
use crate::mount::table::{self, MountTableError};
use crate::own_time::in_kernel;
use crate::root::HostRoot;

/// Why a path is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    #[error("{path} is not a {wanted}: remove what stands there")]
    OtherKind { path: String, wanted: &'static str },
    #[error("directory {path} is not empty: it is not removed with what somebody put there")]
    NotEmpty { path: String },
    #[error("file {path} is not empty: it is not removed with what somebody wrote there")]
    HoldsData { path: String },
    #[error("something is mounted at {path}")]
    Busy { path: String },
    #[error("cannot {what} {path}")]
    Io {
        what: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("the filesystem below does not answer")]
    Hung(#[from] BulkheadError),
    #[error("cannot see the mounts of this node")]
    Table(#[from] MountTableError),
}

/// What is to be so.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wish {
    Directory,
    File,
    NoDirectory,
    NoFile,
}

/// Makes it so. `false`: it was.
pub(super) async fn ensure(
    root: &HostRoot,
    bulkheads: &Bulkheads,
    wish: Wish,
    path: HostPath,
    deadline: Instant,
) -> Result<bool, PathError> {
    let is_mount_point = table::read(root)?.iter().any(|mount| mount.is_at(path.as_str()));
    match wish {
        // A mount stands on what is wanted; to look at it would be to walk into the mount.
        Wish::Directory | Wish::File if is_mount_point => return Ok(false),
        Wish::NoDirectory | Wish::NoFile if is_mount_point => {
            return Err(PathError::Busy { path: path.to_string() });
        }
        _ => {}
    }
    let what = format!("{wish:?} at {path}");
    bulkheads.run(what, deadline, move |_| converge(wish, path.as_path())).await?
}

fn converge(wish: Wish, path: &Path) -> Result<bool, PathError> {
    match wish {
        Wish::Directory => make_directory(path),
        Wish::File => make_file(path),
        Wish::NoDirectory => removed("remove directory", path, in_kernel(|| fs::remove_dir(path))),
        Wish::NoFile => match path.symlink_metadata() {
            Ok(found) if !found.is_file() => Err(other_kind(path, "regular file")),
            // A device node is bound on an empty file: this is none of ours.
            Ok(found) if found.len() > 0 => Err(PathError::HoldsData { path: path.display().to_string() }),
            _ => removed("remove file", path, in_kernel(|| fs::remove_file(path))),
        },
    }
}

fn make_directory(path: &Path) -> Result<bool, PathError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => return Ok(false),
        Ok(_other) => return Err(other_kind(path, "directory")),
        Err(_absent_or_worse) => {}
    }
    let made = in_kernel(|| DirBuilder::new().recursive(true).mode(0o750).create(path));
    made.map(|()| true).map_err(|source| failed("create directory", path, source))
}

fn make_file(path: &Path) -> Result<bool, PathError> {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => return Ok(false),
        Ok(_other) => return Err(other_kind(path, "regular file")),
        Err(_absent_or_worse) => {}
    }
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    let made = in_kernel(|| OpenOptions::new().write(true).create_new(true).mode(0o640).open(path));
    made.map(|_file| true).map_err(|source| failed("create file", path, source))
}

fn removed(what: &'static str, path: &Path, result: io::Result<()>) -> Result<bool, PathError> {
    let shown = || path.display().to_string();
    match result {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(false),
            io::ErrorKind::DirectoryNotEmpty => Err(PathError::NotEmpty { path: shown() }),
            io::ErrorKind::ResourceBusy => Err(PathError::Busy { path: shown() }),
            io::ErrorKind::NotADirectory => Err(other_kind(path, "directory")),
            _ => Err(failed(what, path, error)),
        },
    }
}

fn other_kind(path: &Path, wanted: &'static str) -> PathError {
    PathError::OtherKind { path: path.display().to_string(), wanted }
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> PathError {
    PathError::Io { what, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_that_came_true_before_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (below, file) = (directory.path().join("a/b"), directory.path().join("c/d"));
        for (wish, path) in [
            (Wish::Directory, &below),
            (Wish::File, &file),
            (Wish::NoDirectory, &below),
            (Wish::NoFile, &file),
        ] {
            assert!(converge(wish, path).unwrap(), "{wish:?}");
            assert!(!converge(wish, path).unwrap(), "{wish:?}");
        }
    }

    #[test]
    fn what_somebody_put_there_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("data"), "precious").unwrap();
        let error = converge(Wish::NoDirectory, directory.path()).unwrap_err();
        assert!(matches!(error, PathError::NotEmpty { .. }), "{error}");
        assert!(matches!(converge(Wish::NoFile, directory.path()), Err(PathError::OtherKind { .. })));
        assert!(matches!(converge(Wish::File, directory.path()), Err(PathError::OtherKind { .. })));
        let file = directory.path().join("data");
        assert!(matches!(converge(Wish::NoFile, &file), Err(PathError::HoldsData { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn a_link_is_never_followed() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        for wish in [Wish::Directory, Wish::File, Wish::NoDirectory, Wish::NoFile] {
            assert!(matches!(converge(wish, &link), Err(PathError::OtherKind { .. })), "{wish:?}");
        }
    }
}
