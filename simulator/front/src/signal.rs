//! When to stop.

use tokio::signal::unix::{SignalKind, signal};

/// The signal handlers could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("could not install the handlers of SIGTERM and SIGINT")]
pub struct SignalError(#[from] std::io::Error);

/// Returns at the first SIGTERM or SIGINT.
///
/// # Errors
/// [`SignalError`] when a handler cannot be installed.
pub async fn await_stop_signal() -> Result<(), SignalError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
