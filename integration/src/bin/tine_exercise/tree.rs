//! A tree of many small files: built, found again whole, removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

const FILES_A_DIRECTORY: u32 = 100;

pub(crate) fn run(directory: &Path, files: u32) -> Result<()> {
    let started = Instant::now();
    for number in 0..files {
        if number % FILES_A_DIRECTORY == 0 {
            let home = home(directory, number);
            fs::create_dir_all(&home).with_context(|| home.display().to_string())?;
        }
        let path = path(directory, number);
        fs::write(&path, content(number)).with_context(|| path.display().to_string())?;
    }
    let built = started.elapsed();
    let found = find(directory, files)?;
    let verified = started.elapsed();
    fs::remove_dir_all(directory)?;
    ensure!(!directory.try_exists()?, "the tree is still there");
    println!(
        "{found} files built in {:.1} s, found and read in {:.1} s, removed in {:.1} s",
        built.as_secs_f64(),
        (verified - built).as_secs_f64(),
        (started.elapsed() - verified).as_secs_f64()
    );
    Ok(())
}

/// Walks the tree as `find` does; each entry must be one that was made, each once.
fn find(directory: &Path, files: u32) -> Result<u32> {
    let mut found = 0;
    for home in fs::read_dir(directory)? {
        for entry in fs::read_dir(home?.path())? {
            let path = entry?.path();
            let name = path.file_name().context("an entry has a name")?.to_string_lossy().into_owned();
            let number: u32 = name.strip_prefix("file-").context("a foreign name")?.parse()?;
            ensure!(path == self::path(directory, number), "{} is out of its place", path.display());
            ensure!(fs::read(&path)? == content(number), "{} holds other bytes", path.display());
            found += 1;
        }
    }
    ensure!(found == files, "{found} files of {files} were found");
    Ok(found)
}

fn home(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("directory-{}", number / FILES_A_DIRECTORY))
}

fn path(directory: &Path, number: u32) -> PathBuf {
    home(directory, number).join(format!("file-{number}"))
}

fn content(number: u32) -> Vec<u8> {
    super::pattern(number.into(), (number.wrapping_mul(37) % 3000) as usize)
}
