//! Files that come, are read back and go, until told to stop: no call may fail, whatever happens to
//! the server meanwhile.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

const LENGTH: usize = 20_000;

pub(crate) fn run(directory: &Path, until: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let mut longest = Duration::ZERO;
    let mut number = 0_u64;
    while number == 0 || !until.try_exists()? {
        let started = Instant::now();
        round(directory, number).with_context(|| format!("round {number}"))?;
        longest = longest.max(started.elapsed());
        number += 1;
    }
    let left = fs::read_dir(directory)?.count();
    ensure!(left == 0, "{left} files are left behind");
    println!("{number} rounds held, the longest took {:.1} s", longest.as_secs_f64());
    Ok(())
}

/// An exclusive create, a rename and a removal are what a server that forgets its answers gets
/// wrong when they are asked again.
fn round(directory: &Path, number: u64) -> Result<()> {
    let (new, kept) = (directory.join("new"), directory.join(format!("kept-{number}")));
    let wanted = super::pattern(number, LENGTH);
    let mut file = File::create_new(&new).context("create")?;
    file.write_all(&wanted).context("write")?;
    file.sync_all().context("sync")?;
    drop(file);
    fs::rename(&new, &kept).context("rename")?;
    ensure!(fs::read(&kept).context("read")? == wanted, "it holds other bytes");
    fs::remove_file(&kept).context("remove")
}
