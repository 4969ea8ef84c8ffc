//! A journal whose every record is durable before its number leaves the node: what was reported
//! must be there after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// Bytes of a record.
const RECORD: usize = 1536;
/// After so many records a checkpoint is written: a new file over an old one, the directory synced.
const CHECKPOINT_EVERY: u64 = 8;
/// A record flushes all of its device. Without a rest after each nothing of anybody's would be on its
/// way for long, and a power cut would find nothing to lose.
const REST: Duration = Duration::from_millis(50);

/// Writes until killed. The report is one line a record, `r 17`, and one a checkpoint, `c 16`.
pub(crate) fn write(file: &Path, report: SocketAddr) -> Result<()> {
    let mut told = TcpStream::connect(report).with_context(|| format!("connect to {report}"))?;
    told.set_nodelay(true)?;
    let mut journal = OpenOptions::new().create_new(true).append(true).open(file)?;
    sync_directory(file)?;
    for number in 1_u64.. {
        journal.write_all(&super::pattern(number, RECORD))?;
        journal.sync_data()?;
        told.write_all(format!("r {number}\n").as_bytes())?;
        if number % CHECKPOINT_EVERY == 0 {
            write_checkpoint(file, number)?;
            told.write_all(format!("c {number}\n").as_bytes())?;
        }
        // Nothing is waited for: this is the pace of the load.
        #[allow(clippy::disallowed_methods)]
        thread::sleep(REST);
    }
    Ok(())
}

/// Fails unless the journal holds at least the records and the checkpoint that were reported.
pub(crate) fn check(file: &Path, records: u64, checkpoint: u64) -> Result<()> {
    let mut content = Vec::new();
    File::open(file).context("the journal")?.read_to_end(&mut content)?;
    let mut whole = 0;
    for (number, record) in (1_u64..).zip(content.chunks_exact(RECORD)) {
        if record != super::pattern(number, RECORD) {
            break;
        }
        whole = number;
    }
    if whole < records {
        bail!("{records} records were reported durable, {whole} are there ({} bytes)", content.len());
    }
    let kept = match fs::read_to_string(checkpoint_path(file)) {
        Ok(text) => text.trim().parse::<u64>().with_context(|| format!("the checkpoint is `{text}`"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error.into()),
    };
    ensure!(kept >= checkpoint, "checkpoint {checkpoint} was reported durable, {kept} is there");
    println!("{whole} records, {records} of them reported; checkpoint {kept}, reported {checkpoint}");
    Ok(())
}

fn checkpoint_path(file: &Path) -> PathBuf {
    file.with_extension("checkpoint")
}

fn write_checkpoint(file: &Path, number: u64) -> Result<()> {
    let aside = file.with_extension("new");
    let mut new = File::create(&aside)?;
    new.write_all(number.to_string().as_bytes())?;
    new.sync_all()?;
    fs::rename(&aside, checkpoint_path(file))?;
    sync_directory(file)
}

fn sync_directory(file: &Path) -> Result<()> {
    let directory = file.parent().context("a file is in a directory")?;
    Ok(File::open(directory)?.sync_all()?)
}
