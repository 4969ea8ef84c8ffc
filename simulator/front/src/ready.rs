//! The line that says every listener is up. Test harnesses wait for it instead of polling ports.

use std::io::Write as _;

use serde_json::{Map, Value};

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write the ready line to standard output")]
pub struct ReadyError(#[from] std::io::Error);

/// Prints one line of JSON, `{"ready":true,"product":…, <fields>}`, on standard output and flushes.
/// Call it once, when everything listens.
///
/// # Errors
/// [`ReadyError`] when standard output is gone.
pub fn announce_ready(product: &str, fields: Map<String, Value>) -> Result<(), ReadyError> {
    let mut line = Map::new();
    line.insert("ready".into(), true.into());
    line.insert("product".into(), product.into());
    line.extend(fields);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", Value::Object(line))?;
    out.flush()?;
    Ok(())
}
