//! The REST skin over [`crate::state`]: from an HTTP request to a call on the machine and back.
//!
//! ```text
//! path ─ segments (quirks of real clients) ─┐
//! query ─ Query (filters, fields, paging) ──┼─ engine ─ Resource (one per collection) ─ Cluster
//! body ─ Body (dotted keys, loose types) ───┘     └──── Answer: status, Location, HAL envelope
//! ```
//!
//! Everything here is a function of the request and the cluster; the `http` module owns sockets and
//! users.

mod answer;
mod body;
mod engine;
mod path;
mod private_cli;
mod query;
mod resource;
mod resources;
mod select;
#[cfg(test)]
mod tests;
mod value;
mod veil;

pub use answer::Answer;
pub(crate) use engine::find_scope;
pub use engine::{Call, Method, SvmScope, answer, answer_behind, answer_together, makes_jobs, portrait};
pub(crate) use path::encoded;
pub use path::plain_path;
pub(crate) use private_cli::{command_words, run_command};
pub(crate) use query::satisfies;
pub(crate) use value::{size_from_text, text_of, values_at};
pub use veil::{Veil, Veiled};
