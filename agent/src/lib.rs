//! The node agent talks: CSI in, plans run, answers out.
//!
//! ```text
//! csi/ ─ parse → Intent → coordinator/ ─ journal, observe, plan, apply, verify → Report → csi/status
//!                            │ Host: agent-linux on a node, a model kernel in tests
//! preflight ─ what this host lacks      fleet ─ the controller: who we are, credentials, what is staged here
//! ```
//!
//! The agent keeps unstaging and unpublishing with the controller gone, and stages what needs no
//! credentials. A process that dies at any instant leaves a world that the same or the opposite
//! call, made to the next process, settles.
#![forbid(unsafe_code)]

pub mod config;
pub mod coordinator;
pub mod csi;
pub mod fleet;
pub mod journal;
pub mod preflight;
pub mod serve;
