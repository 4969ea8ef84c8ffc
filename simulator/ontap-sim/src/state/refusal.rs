//! Why the array says no, in the array's own words and numbers.
//!
//! Numbers with five digits and more are from the vendor's published per-call error tables; texts
//! are ours except where clients compare them (`entry doesn't exist`).

use serde::{Deserialize, Serialize};

/// When the array notices. A call that starts a job is refused at once only for what can be told
/// from the request itself; the rest the job reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The request is bad in itself, or names something that is not there.
    Request,
    /// The state forbids it.
    Execution,
}

/// A refused request. The state is as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message} (code {code})")]
pub struct Refusal {
    /// HTTP status, where it is answered directly.
    pub status: u16,
    /// ONTAP's error number.
    pub code: u64,
    /// What is wrong. No comma in it where a client splits job messages on commas.
    pub message: String,
    /// The field at fault.
    pub target: Option<String>,
    /// When it is noticed.
    pub phase: Phase,
}

impl Refusal {
    /// A refusal that the request itself deserves (400).
    pub fn request(code: u64, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into(), target: None, phase: Phase::Request }
    }

    /// A refusal for the state of the array (409).
    pub fn conflict(code: u64, message: impl Into<String>) -> Self {
        Self { status: 409, code, message: message.into(), target: None, phase: Phase::Execution }
    }

    /// What was named in a body is not there (404).
    pub fn missing(code: u64, message: impl Into<String>) -> Self {
        Self { status: 404, code, message: message.into(), target: None, phase: Phase::Request }
    }

    /// The addressed record is not there. Clients compare this text.
    pub fn no_entry() -> Self {
        Self::missing(4, "entry doesn't exist")
    }

    /// A value that the field does not take.
    pub fn invalid(field: &str, value: &str) -> Self {
        Self::request(262_197, format!("The value \"{value}\" is invalid for field \"{field}\"")).about(field)
    }

    /// A required field that was not given.
    pub fn required(field: &str) -> Self {
        Self::request(2, format!("Field \"{field}\" is required in this operation")).about(field)
    }

    /// A field or parameter that the call does not know.
    pub fn unexpected(name: &str) -> Self {
        Self::request(262_179, format!("Unexpected argument \"{name}\".")).about(name)
    }

    /// A field that may not be set in this call.
    pub fn read_only(name: &str) -> Self {
        Self::request(262_196, format!("Field \"{name}\" cannot be set in this operation")).about(name)
    }

    /// Names the field at fault.
    #[must_use]
    pub fn about(mut self, field: &str) -> Self {
        self.target = Some(field.to_owned());
        self
    }

    /// Moves the moment of notice: what a job would only find out when it runs.
    #[must_use]
    pub fn when_executed(mut self) -> Self {
        self.phase = Phase::Execution;
        self
    }
}
