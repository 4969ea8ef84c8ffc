//! Backends: the administrator's files, and the arrays behind them.
//!
//! A backend is registered only after its array answered and every setting was found true there.
//! Afterwards it stays registered: an array that is away at a restart makes its backend offline,
//! with the reason, until it is back.

pub mod config;
mod registry;

pub use registry::{Backend, BackendError, BackendState, Backends};
