//! Sockets: connections served side by side, datagrams one by one.
//!
//! Every procedure is a computation in memory, so the calls of one connection run one after the
//! other in its task; reading ahead and writing back overlap. Connections run in parallel.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::BufReader;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::rpc::record::{RecordError, read_record, write_record};
use crate::rpc::service::Dispatcher;

/// Connections per socket; one more waits in the backlog until another ends.
const MAX_CONNECTIONS: usize = 1024;
/// Replies that wait for the client to read them; beyond, its next call waits.
const REPLIES_QUEUED: usize = 16;
/// The pause after a failed accept (no descriptors left, say), lest the loop spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The largest datagram a port mapper call makes.
const MAX_DATAGRAM: usize = 2048;

/// Accepts and serves connections for as long as it is polled. Dropping it cuts all of them.
pub(crate) async fn serve_streams(listener: TcpListener, dispatcher: Dispatcher) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let dispatcher = dispatcher.clone();
                connections.spawn(async move {
                    let client = peer.ip();
                    tracing::debug!(%peer, "connected");
                    match serve_stream(stream, client, dispatcher).await {
                        Ok(()) => tracing::debug!(%peer, "disconnected"),
                        Err(error) => tracing::debug!(%peer, ?error, "connection cut"),
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_stream(stream: TcpStream, client: IpAddr, dispatcher: Dispatcher) -> Result<(), RecordError> {
    stream.set_nodelay(true)?;
    let (from, to) = stream.into_split();
    let (queue, replies) = mpsc::channel(REPLIES_QUEUED);
    let (read, written) =
        tokio::join!(answer_calls(from, client, dispatcher, queue), write_replies(to, replies));
    read.and(written)
}

/// Ends when the client closes, sends what is no call, or no longer takes replies.
async fn answer_calls(
    from: OwnedReadHalf,
    client: IpAddr,
    dispatcher: Dispatcher,
    queue: mpsc::Sender<Bytes>,
) -> Result<(), RecordError> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    while let Some(record) = read_record(&mut from).await? {
        let Some(reply) = dispatcher.answer(client, record) else { return Ok(()) };
        if queue.send(reply).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn write_replies(
    mut to: OwnedWriteHalf,
    mut replies: mpsc::Receiver<Bytes>,
) -> Result<(), RecordError> {
    while let Some(reply) = replies.recv().await {
        write_record(&mut to, reply).await?;
    }
    Ok(())
}

/// Answers datagrams for as long as it is polled: one call, one reply, no record mark.
pub(crate) async fn serve_datagrams(socket: UdpSocket, dispatcher: Dispatcher) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, peer)) => {
                let record = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
                if let Some(reply) = dispatcher.answer(peer.ip(), record)
                    && let Err(error) = socket.send_to(&reply, peer).await
                {
                    tracing::debug!(%peer, %error, "datagram reply lost");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "datagram receive failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
