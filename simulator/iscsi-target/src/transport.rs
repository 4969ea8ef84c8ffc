//! One connection as a stream of PDUs that obeys the portal's fault lever.

use bytes::BytesMut;
use futures_util::{FutureExt, StreamExt};
use levers::PortalFault;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use crate::pdu::{DecodeError, Digests, Pdu, PduDecoder, encode};

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
    #[error("the initiator takes no data")]
    PeerStuck,
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    #[error("the initiator logged out")]
    LoggedOut,
    #[error("malformed input")]
    Malformed(#[from] DecodeError),
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
}

/// The connection. PDUs sent are held until [`Transport::flush`] or until they make a batch.
#[derive(Debug)]
pub(crate) struct Transport {
    reader: FramedRead<OwnedReadHalf, PduDecoder>,
    writer: OwnedWriteHalf,
    out: BytesMut,
    digests: Digests,
    fault: watch::Receiver<PortalFault>,
    stop: CancellationToken,
}

impl Transport {
    /// `stop` ends the connection from outside.
    pub(crate) fn new(
        stream: TcpStream,
        limit: usize,
        fault: watch::Receiver<PortalFault>,
        stop: CancellationToken,
    ) -> Self {
        let digests = Digests::default();
        let (reader, writer) = stream.into_split();
        let reader = FramedRead::new(reader, PduDecoder { digests, limit });
        Self { reader, writer, out: BytesMut::new(), digests, fault, stop }
    }

    /// Switches digests on, from the next PDU on in both directions.
    pub(crate) fn set_digests(&mut self, digests: Digests) {
        self.digests = digests;
        self.reader.decoder_mut().digests = digests;
    }

    /// The next PDU, if it is here already.
    pub(crate) fn receive_ready(&mut self) -> Option<Result<Pdu, Closed>> {
        if self.stop.is_cancelled() || *self.fault.borrow() != PortalFault::None {
            return None;
        }
        self.reader.next().now_or_never().map(received)
    }

    /// The next PDU. Cancelling the future loses nothing.
    pub(crate) async fn receive(&mut self) -> Result<Pdu, Closed> {
        loop {
            await_passable(&mut self.fault, &self.stop).await?;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Closed::ByTarget),
                _ = self.fault.changed() => {}
                pdu = self.reader.next() => return received(pdu),
            }
        }
    }

    /// Queues a PDU.
    pub(crate) async fn send(&mut self, pdu: &Pdu) -> Result<(), Closed> {
        encode(pdu, self.digests, &mut self.out);
        if self.out.len() < BATCH { Ok(()) } else { self.flush().await }
    }

    /// Sends what is queued.
    pub(crate) async fn flush(&mut self) -> Result<(), Closed> {
        while !self.out.is_empty() {
            await_passable(&mut self.fault, &self.stop).await?;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Closed::ByTarget),
                _ = self.fault.changed() => {}
                written = timeout_at(Instant::now() + SEND_DEADLINE, self.writer.write_buf(&mut self.out)) => {
                    if written.map_err(|_| Closed::PeerStuck)?? == 0 {
                        return Err(Closed::ByPeer);
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends the sending direction, so that the last PDU arrives before the end does.
    pub(crate) async fn shut_down(&mut self) {
        // The connection ends either way.
        let _ = timeout_at(Instant::now() + LAST_WORDS, self.flush()).await;
        let _ = self.writer.shutdown().await;
    }
}

fn received(pdu: Option<Result<Pdu, DecodeError>>) -> Result<Pdu, Closed> {
    match pdu {
        Some(Ok(pdu)) => Ok(pdu),
        Some(Err(DecodeError::Io(error))) => Err(Closed::Io(error)),
        Some(Err(error)) => Err(Closed::Malformed(error)),
        None => Err(Closed::ByPeer),
    }
}

/// Returns when bytes may pass: at once, or when a blackhole is lifted.
async fn await_passable(
    fault: &mut watch::Receiver<PortalFault>,
    stop: &CancellationToken,
) -> Result<(), Closed> {
    loop {
        let now = *fault.borrow_and_update();
        match now {
            PortalFault::None => return Ok(()),
            PortalFault::Refuse => return Err(Closed::PortalDown),
            PortalFault::Blackhole => tokio::select! {
                () = stop.cancelled() => return Err(Closed::ByTarget),
                changed = fault.changed() => changed.map_err(|_| Closed::ByTarget)?,
            },
        }
    }
}
