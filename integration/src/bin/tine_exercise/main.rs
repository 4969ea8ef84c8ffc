//! Exercises a file system from inside a node, knowing what it must answer: one static file that a
//! test puts there. Every subcommand fails at the first wrong answer and says which it was.

mod churn;
mod fsx;
mod journal;
mod lock;
mod tree;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "tine-exercise", about = "Exercises a file system and verifies what it answers")]
struct Arguments {
    #[command(subcommand)]
    exercise: Exercise,
}

#[derive(Debug, Subcommand)]
enum Exercise {
    /// Random operations on one file, each answer compared with a model in memory
    Fsx(fsx::Options),
    /// Append records, each durable before its number is reported, until killed
    Journal {
        /// The journal; a checkpoint is kept beside it
        file: PathBuf,
        /// Where the numbers are reported to, over TCP
        report: SocketAddr,
    },
    /// Compare a journal with what was reported
    CheckJournal {
        /// The journal
        file: PathBuf,
        /// Records reported durable
        records: u64,
        /// Number of the last checkpoint reported durable
        checkpoint: u64,
    },
    /// Build a tree of files, find every one of them again, remove it
    Tree {
        /// Where
        directory: PathBuf,
        /// How many files
        files: u32,
    },
    /// Create, write, rename, read back and remove files until another file appears
    Churn {
        /// Where
        directory: PathBuf,
        /// Ends the exercise
        until: PathBuf,
    },
    /// Take a byte-range lock (fcntl) and hold it until killed; or say who is in the way
    Lock(lock::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().exercise {
        Exercise::Fsx(options) => fsx::run(&options),
        Exercise::Journal { file, report } => journal::write(&file, report),
        Exercise::CheckJournal { file, records, checkpoint } => journal::check(&file, records, checkpoint),
        Exercise::Tree { directory, files } => tree::run(&directory, files),
        Exercise::Churn { directory, until } => churn::run(&directory, &until),
        Exercise::Lock(options) => lock::run(&options),
    };
    conclude(done)
}

fn conclude(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tine-exercise: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `length` bytes that depend on the number and on every position: a block of another file, of
/// another place or of another time is told from the right one.
fn pattern(number: u64, length: usize) -> Vec<u8> {
    let word = |at: u64| (number ^ at << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    (0_u64..).flat_map(word).take(length).collect()
}
