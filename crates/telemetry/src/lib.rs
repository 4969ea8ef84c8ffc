//! What every program tells about itself: log set-up, error chains.
//!
//! Called once from each `main`. Libraries only use `tracing`.

use std::error::Error;
use std::fmt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person at a terminal.
    Text,
    /// One JSON object a line, span fields included.
    Json,
}

/// Sends `tracing` to stderr. The environment variable `TINE_LOG` (the syntax of
/// `tracing_subscriber::EnvFilter`) chooses what is shown; without it, `info` and up. A span's end
/// is logged with its busy and idle time, so that every RPC and every step shows its duration.
///
/// A second call changes nothing.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::try_from_env("TINE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::CLOSE);
    let _already_set = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Prints an error and all its sources, `outer: inner: innermost`. Errors here never repeat their
/// source in their own text, so this is the one place where a chain becomes a line.
///
/// ```
/// let parse = "x".parse::<u8>().unwrap_err();
/// assert_eq!(telemetry::chain(&parse).to_string(), "invalid digit found in string");
/// ```
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> ErrorChain<'a> {
    ErrorChain(error)
}

/// See [`chain`].
#[derive(Debug)]
pub struct ErrorChain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
