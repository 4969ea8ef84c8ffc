//! Random operations on one file against a model: what fsx of the BSD and Linux test suites does.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Operations shown when an answer is wrong.
const REMEMBERED: usize = 24;
/// Longest single write or read, in bytes.
const LONGEST: usize = 96 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The file; it is made anew
    file: PathBuf,
    /// The same seed makes the same operations
    #[arg(long)]
    seed: u64,
    /// How many
    #[arg(long)]
    operations: u32,
    /// The file grows to this many bytes at most
    #[arg(long, default_value_t = 768 * 1024)]
    largest: usize,
    /// Holes are punched as well (fallocate)
    #[arg(long)]
    holes: bool,
}

/// What may happen to the file next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Write,
    Append,
    Read,
    Truncate,
    PunchHole,
    Sync,
    /// Forget the page cache, so that the next read is the server's answer.
    Forget,
    Reopen,
    Rename,
}

const OPERATIONS: [(Operation, u32); 9] = [
    (Operation::Write, 30),
    (Operation::Append, 8),
    (Operation::Read, 30),
    (Operation::Truncate, 8),
    (Operation::PunchHole, 8),
    (Operation::Sync, 4),
    (Operation::Forget, 6),
    (Operation::Reopen, 4),
    (Operation::Rename, 2),
];

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut subject = Subject::new(options)?;
    for number in 0..options.operations {
        if let Err(error) = subject.step(number) {
            for line in &subject.past {
                eprintln!("{line}");
            }
            return Err(error.context(format!("operation {number} of seed {}", options.seed)));
        }
    }
    subject.apply(Operation::Reopen, &mut String::new())?;
    subject.apply(Operation::Forget, &mut String::new())?;
    subject.compare(0, subject.model.len())?;
    let counts: Vec<String> =
        subject.counts.iter().map(|(operation, count)| format!("{operation:?} {count}")).collect();
    println!("{} operations held: {}", options.operations, counts.join(", "));
    Ok(())
}

struct Subject<'a> {
    options: &'a Options,
    path: PathBuf,
    file: File,
    model: Vec<u8>,
    dice: StdRng,
    past: VecDeque<String>,
    counts: BTreeMap<Operation, u32>,
}

impl<'a> Subject<'a> {
    fn new(options: &'a Options) -> Result<Self> {
        let path = options.file.clone();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Self {
            options,
            path,
            file,
            model: Vec::new(),
            dice: StdRng::seed_from_u64(options.seed),
            past: VecDeque::new(),
            counts: BTreeMap::new(),
        })
    }

    fn step(&mut self, number: u32) -> Result<()> {
        let operation = self.draw();
        let mut told = format!("{number}: {operation:?}");
        let done = self.apply(operation, &mut told);
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(told);
        done?;
        *self.counts.entry(operation).or_default() += 1;
        let size = self.file.metadata()?.len();
        ensure!(size == self.model.len() as u64, "the size is {size}, not {}", self.model.len());
        Ok(())
    }

    fn draw(&mut self) -> Operation {
        let all: u32 = OPERATIONS.iter().map(|(_, weight)| weight).sum();
        let mut point = self.dice.random_range(0..all);
        for (operation, weight) in OPERATIONS {
            if point < weight {
                return if operation == Operation::PunchHole && !self.options.holes {
                    Operation::Write
                } else {
                    operation
                };
            }
            point -= weight;
        }
        Operation::Read
    }

    /// A range that begins inside `0..=limit` and ends within it.
    fn range(&mut self, limit: usize) -> (usize, usize) {
        let offset = self.dice.random_range(0..=limit);
        let length = self.dice.random_range(0..=LONGEST.min(limit - offset));
        (offset, length)
    }

    fn apply(&mut self, operation: Operation, told: &mut String) -> Result<()> {
        match operation {
            Operation::Write => {
                let (offset, length) = self.range(self.options.largest);
                *told += &format!(" {offset}+{length}");
                self.write(offset, length)?;
            }
            Operation::Append => {
                let room = self.options.largest - self.model.len();
                let length = self.dice.random_range(0..=LONGEST.min(room));
                *told += &format!(" {}+{length}", self.model.len());
                self.write(self.model.len(), length)?;
            }
            Operation::Read => {
                let (offset, length) = self.range(self.model.len());
                *told += &format!(" {offset}+{length}");
                self.compare(offset, length)?;
            }
            Operation::Truncate => {
                let size = self.dice.random_range(0..=self.options.largest);
                *told += &format!(" to {size}");
                self.file.set_len(size as u64)?;
                self.model.resize(size, 0);
            }
            Operation::PunchHole => {
                let (offset, length) = self.range(self.model.len());
                *told += &format!(" {offset}+{length}");
                self.punch(offset, length)?;
            }
            Operation::Sync => self.file.sync_all()?,
            Operation::Forget => {
                self.file.sync_data()?;
                posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
            }
            Operation::Reopen => {
                self.file = OpenOptions::new().read(true).write(true).open(&self.path)?;
            }
            Operation::Rename => self.rename()?,
        }
        Ok(())
    }

    fn write(&mut self, offset: usize, length: usize) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let data = super::pattern(self.dice.random(), length);
        self.file.write_all_at(&data, offset as u64)?;
        let end = offset + length;
        if end > self.model.len() {
            self.model.resize(end, 0);
        }
        self.model.splice(offset..end, data);
        Ok(())
    }

    fn compare(&self, offset: usize, length: usize) -> Result<()> {
        let mut held = vec![0; length];
        self.file.read_exact_at(&mut held, offset as u64).context("a read within the file")?;
        let wanted = self.model.get(offset..offset + length).context("a range of the model")?;
        let wrong: Vec<usize> = (0..length).filter(|at| held.get(*at) != wanted.get(*at)).collect();
        if let (Some(first), Some(last)) = (wrong.first(), wrong.last()) {
            bail!(
                "{} bytes from {} to {} are wrong; the first is {:?} and should be {:?}",
                wrong.len(),
                offset + first,
                offset + last,
                held.get(*first),
                wanted.get(*first)
            );
        }
        Ok(())
    }

    fn punch(&mut self, offset: usize, length: usize) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.file, flags, i64::try_from(offset)?, i64::try_from(length)?) {
            Err(Errno::EOPNOTSUPP) => bail!("this file system punches no holes"),
            punched => punched?,
        }
        if let Some(range) = self.model.get_mut(offset..offset + length) {
            range.fill(0);
        }
        Ok(())
    }

    /// To another name and back, while the file is open.
    fn rename(&self) -> Result<()> {
        let other = beside(&self.path);
        fs::rename(&self.path, &other)?;
        ensure!(!self.path.try_exists()?, "the old name is still there");
        Ok(fs::rename(&other, &self.path)?)
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".renamed");
    path.with_file_name(name)
}
