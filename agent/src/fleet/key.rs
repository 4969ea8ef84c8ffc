//! The key this node's name is bound to at the controller: made once, kept beside the journal.
//!
//! `<state-dir>/node-key`, mode 0600. Whoever knows the join token can register a name that is free;
//! who wants a name that is taken must show its key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use contract::Secret;

const FILE: &str = "node-key";
const DRAFT: &str = "node-key.new";
/// What the controller takes for a key.
const SHORTEST: usize = 32;

/// The key cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
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
    /// The file does not hold a key.
    #[error(
        "{} holds no key: if it cannot be restored, remove it and have the administrator run `tinectl delete node` for this node",
        .0.display()
    )]
    Malformed(PathBuf),
}

/// The node's key; made, and durable, if this is the agent's first start. The state directory is
/// there, and this process holds its lock.
///
/// # Errors
/// [`KeyError`].
pub fn ensure_key(state_dir: &Path) -> Result<Secret, KeyError> {
    let path = state_dir.join(FILE);
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| KeyError::Io { action, path, source }
    };
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= SHORTEST => return Ok(Secret::new(text.trim().to_owned())),
        Ok(_too_short) => return Err(KeyError::Malformed(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io("read", &path)(error)),
    }
    let key = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    let draft = state_dir.join(DRAFT);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&draft).map_err(io("create", &draft))?;
    file.write_all(key.as_bytes()).map_err(io("write", &draft))?;
    file.sync_all().map_err(io("flush", &draft))?;
    fs::rename(&draft, &path).map_err(io("rename into place", &path))?;
    // The name is bound to it with the next call: it must outlive a power cut from here on.
    File::open(state_dir).and_then(|directory| directory.sync_all()).map_err(io("flush", state_dir))?;
    Ok(Secret::new(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_this_user_alone() {
        let state = tempfile::tempdir().unwrap();
        let key = ensure_key(state.path()).unwrap();
        assert_eq!(key.expose(), ensure_key(state.path()).unwrap().expose());
        assert!(key.expose().len() >= SHORTEST);
        let mode = fs::metadata(state.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(key.expose(), ensure_key(other.path()).unwrap().expose());
    }

    #[test]
    fn a_file_that_holds_no_key_is_not_replaced() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FILE), "short\n").unwrap();
        assert!(matches!(ensure_key(state.path()), Err(KeyError::Malformed(_))));
        assert_eq!(fs::read_to_string(state.path().join(FILE)).unwrap(), "short\n");
    }
}
