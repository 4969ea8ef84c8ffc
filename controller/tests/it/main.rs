//! The controller as a process, against the simulators: what an orchestrator, an administrator and
//! an agent see, and what the array shows afterwards.

// Helpers of tests fail as tests do: by panicking.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod codes;
mod config_files;
mod fleet;
mod harness;
mod lifecycle;
mod snapshots;
mod starting;
