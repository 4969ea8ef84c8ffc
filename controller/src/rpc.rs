//! What every RPC has in common: a span with its subject, its code and its duration, on whichever
//! socket it came.

use std::future::Future;
use std::time::Instant;

use tonic::{Code, Response, Status};
use tracing::Instrument as _;

/// Runs an RPC in a span of its own. `subject` is the volume, node or backend it is about.
///
/// # Errors
/// Those of `work`.
pub(crate) async fn traced<T>(
    rpc: &'static str,
    subject: &str,
    work: impl Future<Output = Result<T, Status>>,
) -> Result<Response<T>, Status> {
    let span = tracing::info_span!("rpc", rpc, subject, code = tracing::field::Empty);
    let started = Instant::now();
    let outcome = work.instrument(span.clone()).await;
    let _entered = span.enter();
    let milliseconds = started.elapsed().as_millis();
    match &outcome {
        Ok(_) => {
            span.record("code", tracing::field::debug(Code::Ok));
            tracing::info!(milliseconds, "done");
        }
        Err(status) => {
            span.record("code", tracing::field::debug(status.code()));
            tracing::warn!(milliseconds, message = status.message(), "refused");
        }
    }
    outcome.map(Response::new)
}
