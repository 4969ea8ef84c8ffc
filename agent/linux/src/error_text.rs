//! One line out of an error and its sources, for [`agent_core::facts::Unreadable`].

use std::error::Error;

use agent_core::facts::Probe;

/// The error and what is behind it, parted by colons.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// `Unknown`, with the whole chain as its reason.
pub(crate) fn unknown<T>(error: &dyn Error) -> Probe<T> {
    Probe::unknown(chain(error))
}
