//! Files in and out of the node, piece by piece.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// Writes one piece beside the target; the last one renames it into place, so that nobody sees or
/// executes half a file.
pub(crate) fn put(path: &str, mode: u32, offset: u64, last: bool, piece: &[u8]) -> anyhow::Result<()> {
    let path = Path::new(path);
    ensure!(path.is_absolute(), "{path:?} is not an absolute path");
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let partial = partial(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(offset == 0)
        .open(&partial)
        .with_context(|| partial.display().to_string())?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(piece).with_context(|| partial.display().to_string())?;
    if last {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        drop(file);
        fs::rename(&partial, path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Reads at most `limit` bytes from `offset`; fewer only at the end of the file.
pub(crate) fn get(path: &str, offset: u64, limit: usize) -> anyhow::Result<Vec<u8>> {
    let mut file = File::open(path).with_context(|| path.to_owned())?;
    if offset > 0 {
        file.seek(SeekFrom::Start(offset)).with_context(|| path.to_owned())?;
    }
    let mut piece = Vec::new();
    file.take(u64::try_from(limit)?).read_to_end(&mut piece).with_context(|| path.to_owned())?;
    Ok(piece)
}
