//! One connection: bytes in, PDUs out, as the portal's fault lever lets them pass.

use levers::{Levers, PortalFault};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::pdu::{DecodeError, Digests, Input, Output, Pdu};

/// Output that is held back for company, in bytes; more is sent at once.
const BATCH: usize = 256 * 1024;
/// How long a peer may take none of our bytes.
const SEND_DEADLINE: Duration = Duration::from_secs(60);
/// How long the last words of a connection may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a connection ended.
#[derive(Debug, Error)]
pub(crate) enum Closed {
    #[error("the initiator closed the connection")]
    ByPeer,
    #[error("the target ended the session")]
    ByTarget,
    #[error("the portal is down")]
    PortalDown,
    #[error("the portal cut the connection")]
    Cut,
    #[error("the initiator takes no data")]
    PeerStuck,
    #[error("the initiator gives no sign of life")]
    PeerSilent,
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    #[error("the initiator logged out")]
    LoggedOut,
    #[error("the initiator was asked to log out and did not")]
    LogoutOverdue,
    #[error("another connection took the session over")]
    TakenOver,
    #[error("malformed input")]
    Malformed(#[from] DecodeError),
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
}

/// The connection. PDUs sent are held until [`Transport::flush`] or until they make a batch.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    pub(crate) output: Output,
    levers: Levers,
    fault: watch::Receiver<PortalFault>,
    /// What the lever says, as far as it has been looked at.
    now: PortalFault,
    /// Messages left before the connection is dropped, under [`PortalFault::DropAfter`].
    remaining: u64,
    stop: CancellationToken,
}

impl Transport {
    /// `stop` ends the connection from outside.
    pub(crate) fn new(
        stream: TcpStream,
        levers: Levers,
        fault: watch::Receiver<PortalFault>,
        stop: CancellationToken,
    ) -> Self {
        let mut this = Self {
            stream,
            output: Output::default(),
            levers,
            fault,
            now: PortalFault::None,
            remaining: 0,
            stop,
        };
        this.look();
        this
    }

    /// Reads what the lever says now.
    fn look(&mut self) {
        let fault = *self.fault.borrow_and_update();
        if let PortalFault::DropAfter { messages } = fault
            && fault != self.now
        {
            self.remaining = messages;
        }
        self.now = fault;
    }

    /// Switches digests on, from the next PDU sent on.
    pub(crate) fn set_digests(&mut self, digests: Digests) {
        self.output.digests = digests;
    }

    /// Waits for bytes. Cancelling the future loses none.
    pub(crate) async fn fill(&mut self, input: &mut Input) -> Result<(), Closed> {
        loop {
            self.await_passable().await?;
            tokio::select! {
                biased;
                read = self.stream.read(input.room()) => {
                    match read? {
                        0 => return Err(Closed::ByPeer),
                        count => input.filled(count),
                    }
                    // What came while the lever was being pulled is held back by it.
                    if !self.fault.has_changed().unwrap_or(false) && !self.stop.is_cancelled() {
                        return Ok(());
                    }
                    self.look();
                    return self.await_passable().await;
                }
                () = self.stop.cancelled() => return Err(Closed::ByTarget),
                _ = self.fault.changed() => self.look(),
            }
        }
    }

    /// Counts a PDU received; the one after the last that passes ends the connection.
    pub(crate) fn count(&mut self) -> Result<(), Closed> {
        if matches!(self.now, PortalFault::DropAfter { .. }) {
            self.remaining = self.remaining.checked_sub(1).ok_or(Closed::Cut)?;
        }
        Ok(())
    }

    /// Queues a PDU.
    pub(crate) async fn send(&mut self, pdu: &Pdu) -> Result<(), Closed> {
        self.output.push(pdu);
        self.relieve().await
    }

    /// Sends what is queued if it makes a batch.
    pub(crate) async fn relieve(&mut self) -> Result<(), Closed> {
        if self.output.pending().len() < BATCH { Ok(()) } else { self.flush().await }
    }

    /// Sends what is queued.
    pub(crate) async fn flush(&mut self) -> Result<(), Closed> {
        if self.output.pending().is_empty() {
            return Ok(());
        }
        if self.fault.has_changed().unwrap_or(false) {
            self.look();
        }
        if let PortalFault::Slow(latency) = self.now {
            self.dawdle(self.levers.draw(latency)).await?;
        }
        while !self.output.pending().is_empty() {
            self.await_passable().await?;
            // The common case, without a timer.
            match self.stream.try_write(self.output.pending()) {
                Ok(0) => return Err(Closed::ByPeer),
                Ok(count) => self.output.sent(count),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => self.push().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until the peer takes bytes.
    async fn push(&mut self) -> Result<(), Closed> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Closed::ByTarget),
            _ = self.fault.changed() => self.look(),
            writable = timeout_at(Instant::now() + SEND_DEADLINE, self.stream.writable()) => {
                writable.map_err(|_| Closed::PeerStuck)??;
            }
        }
        Ok(())
    }

    async fn dawdle(&mut self, delay: Duration) -> Result<(), Closed> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Closed::ByTarget),
            () = sleep(delay) => Ok(()),
        }
    }

    /// Returns when bytes may pass: at once, or when a blackhole is lifted.
    async fn await_passable(&mut self) -> Result<(), Closed> {
        loop {
            match self.now {
                PortalFault::None | PortalFault::Slow(_) | PortalFault::DropAfter { .. } => {
                    return if self.stop.is_cancelled() { Err(Closed::ByTarget) } else { Ok(()) };
                }
                PortalFault::Refuse => return Err(Closed::PortalDown),
                PortalFault::Reset => {
                    reset_on_drop(&self.stream);
                    return Err(Closed::Cut);
                }
                PortalFault::Blackhole => tokio::select! {
                    () = self.stop.cancelled() => return Err(Closed::ByTarget),
                    changed = self.fault.changed() => {
                        changed.map_err(|_| Closed::ByTarget)?;
                        self.look();
                    }
                },
            }
        }
    }

    /// Ends the sending direction, so that the last PDU arrives before the end does.
    pub(crate) async fn shut_down(&mut self, closed: &Closed) {
        if matches!(closed, Closed::Cut) {
            // Without a farewell: what is queued dies with the connection.
            return;
        }
        // The connection ends either way.
        let _ = timeout_at(Instant::now() + LAST_WORDS, self.flush()).await;
        let _ = self.stream.shutdown().await;
    }
}

/// Makes the end of the connection a reset instead of an orderly end.
pub(crate) fn reset_on_drop(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "connection gone before its reset");
    }
}
