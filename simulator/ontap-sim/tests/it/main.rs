//! The array as a client meets it: over TLS, NFS and iSCSI, and as a program that is started and killed.
//!
//! One binary for all of them: each would link the whole array again.

// Helpers of tests fail the test that called them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod administration;
mod api_levers;
mod consistency;
mod control_docs;
mod declared;
mod documented;
mod durability;
mod levers;
mod mirror;
mod nas;
mod one_file;
mod security;
mod sequences;
mod sessions;
mod ssh;
mod status_page;
mod strangers;
mod support;
mod tenants;
