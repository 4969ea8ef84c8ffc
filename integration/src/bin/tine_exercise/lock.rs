//! Byte-range locks as applications take them: fcntl(2), which NFS passes to the server.

use std::fs::OpenOptions;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The file
    file: PathBuf,
    /// First byte
    #[arg(long, default_value_t = 0)]
    start: i64,
    /// Bytes; 0 is to the end
    #[arg(long, default_value_t = 0)]
    length: i64,
    /// A lock that other readers may hold too
    #[arg(long)]
    shared: bool,
    /// Wait for whoever is in the way
    #[arg(long)]
    wait: bool,
    /// End at once when the lock is taken, which gives it back
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(&options.file)?;
    let kind = if options.shared { libc::F_RDLCK } else { libc::F_WRLCK };
    let wanted = libc::flock {
        l_type: i16::try_from(kind)?,
        l_whence: i16::try_from(libc::SEEK_SET)?,
        l_start: options.start,
        l_len: options.length,
        l_pid: 0,
    };
    let how = if options.wait { FcntlArg::F_SETLKW(&wanted) } else { FcntlArg::F_SETLK(&wanted) };
    match fcntl(&file, how) {
        Ok(_) => println!("locked"),
        Err(Errno::EAGAIN | Errno::EACCES) => bail!("conflict"),
        Err(error) => bail!("the lock fails otherwise than by a conflict: {error}"),
    }
    if !options.release {
        nix::unistd::pause();
    }
    Ok(())
}
