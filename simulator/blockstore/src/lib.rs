//! Copy-on-write sparse volumes: what is behind a LUN of a simulated array.
//!
//! A [`Volume`] is a flat range of bytes in which only pages that were written take memory. A
//! [`Snapshot`] and a clone of it cost one pointer; pages are copied when one side writes.
//!
//! ```text
//! Volume ── root ──► node ──► node ──► page (4 KiB)
//! Snapshot ─ root ─────┘ (shared until the volume writes: then the path to the page is copied)
//! ```

mod tree;
mod volume;

pub use volume::{BlockError, PAGE_SIZE, Snapshot, Volume};
