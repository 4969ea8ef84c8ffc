//! Why an array did not do what it was asked.

use std::time::Duration;

/// An array's refusal, silence or surprise.
#[derive(Debug, thiserror::Error)]
pub enum ArrayError {
    /// No connection, or it broke.
    #[error("array {address} cannot be reached")]
    Unreachable {
        /// Its management address.
        address: String,
        /// The client's reason, without the request's address.
        #[source]
        source: reqwest::Error,
    },
    /// User or password is not accepted (any more).
    #[error("array {address} does not accept the user name and password of the backend file")]
    Unauthorized {
        /// Its management address.
        address: String,
    },
    /// It cannot answer now: too many requests (429), or trouble of its own (5xx). Nothing is said
    /// about the request itself (RFC 6585 section 4, RFC 9110 section 15.6).
    #[error("array cannot answer {call} now (HTTP status {status}): the call is repeated")]
    Busy {
        /// The call.
        call: String,
        /// The HTTP status.
        status: reqwest::StatusCode,
    },
    /// The API answered with an error.
    #[error("array refused {call}: {message} (code {code})")]
    Refused {
        /// The call.
        call: String,
        /// The array's error code or name.
        code: String,
        /// The array's words.
        message: String,
    },
    /// The pool cannot take the volume.
    #[error("pool {pool} cannot take the volume: {message} (code {code})")]
    Full {
        /// The pool.
        pool: String,
        /// The array's error code or name.
        code: String,
        /// The array's words.
        message: String,
    },
    /// An answer without something every such answer has.
    #[error("array's answer to {call} is not understood: {problem}")]
    Unexpected {
        /// The call.
        call: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// Something did not come to its end in time.
    #[error("array did not finish {call} within {} s", .after.as_secs())]
    Deadline {
        /// The call.
        call: String,
        /// How long it was awaited.
        after: Duration,
    },
    /// An object of that name which this controller did not make.
    #[error(
        "{name} exists on the array and was not made by this controller: rename or delete it there, or choose another storagePrefix"
    )]
    Foreign {
        /// The object.
        name: String,
    },
    /// Something that must be there is not.
    #[error("{what} does not exist on the array")]
    Missing {
        /// What.
        what: String,
    },
    /// Something on the array depends on it that is not ours to change.
    #[error("{reason}")]
    InUse {
        /// Reason and cure.
        reason: String,
    },
    /// The node cannot be let in, for a reason an administrator can cure.
    #[error("{reason}")]
    NoAccess {
        /// Reason and cure.
        reason: String,
    },
}

impl ArrayError {
    /// Whether the same call would be refused again: the array has spoken, and will say the same.
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Unreachable { .. } | Self::Unauthorized { .. } | Self::Busy { .. } | Self::Deadline { .. }
        )
    }
}
