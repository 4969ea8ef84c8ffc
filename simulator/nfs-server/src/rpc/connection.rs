//! Sockets: connections served side by side, datagrams one by one.
//!
//! Every procedure is a computation in memory, so the calls of one connection run one after the
//! other in its task; reading ahead, making durable and writing back overlap. Connections run in
//! parallel.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::rpc::fault::{LifFault, Passage};
use crate::rpc::queue::{Replies, side_by_side};
use crate::rpc::record::{Outbox, RecordError, read_record};
use crate::rpc::reply::Reply;
use crate::rpc::service::Dispatcher;
use crate::tree::await_durable;

/// Connections per socket; one more waits in the backlog until another ends.
const MAX_CONNECTIONS: usize = 1024;
/// Replies are gathered up to about so many bytes.
const OUTBOX: usize = 1 << 20;
/// The pause after a failed accept or listen (no descriptors left, say), lest the loop spins.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take to hang up when the service retires.
const FAREWELL: Duration = Duration::from_secs(1);
/// The largest datagram a port mapper call makes.
const MAX_DATAGRAM: usize = 2048;

/// Accepts and serves connections for as long as it is polled. Dropping it cuts all of them. Once
/// `retiring` is true it takes no connection and no call any more, sends what is to be sent, and ends.
pub(crate) async fn serve_streams(
    listener: TcpListener,
    address: SocketAddr,
    dispatcher: Dispatcher,
    retiring: watch::Receiver<bool>,
) {
    let fault = LifFault::new(address, &dispatcher);
    let mut acceptor = Acceptor {
        address,
        listener: Some(listener),
        slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        fault: fault.passage(),
        dispatcher,
        retiring,
        connections: JoinSet::new(),
    };
    tokio::select! {
        () = fault.follow() => {}
        () = acceptor.run() => {}
    }
}

/// Comes back once the service retires.
async fn retirement(retiring: &mut watch::Receiver<bool>) {
    if retiring.wait_for(|retiring| *retiring).await.is_err() {
        // Nobody can retire it any more.
        std::future::pending::<()>().await;
    }
}

#[derive(Debug)]
struct Acceptor {
    address: SocketAddr,
    /// None while the LIF refuses: then the system answers with a reset.
    listener: Option<TcpListener>,
    slots: Arc<Semaphore>,
    fault: Passage,
    dispatcher: Dispatcher,
    retiring: watch::Receiver<bool>,
    connections: JoinSet<()>,
}

impl Acceptor {
    async fn run(&mut self) {
        loop {
            while self.connections.try_join_next().is_some() {}
            if self.fault.refuses() {
                self.listener = None;
            }
            let mut passage = self.fault.clone();
            let mut retiring = self.retiring.clone();
            let accepted = tokio::select! {
                () = retirement(&mut retiring) => break,
                () = passage.changed() => None,
                accepted = self.accept() => accepted,
            };
            self.fault = passage;
            if let Some((stream, peer, slot)) = accepted {
                self.connect(stream, peer, slot);
            }
        }
        self.listener = None;
        while self.connections.join_next().await.is_some() {}
    }

    /// The next connection, if the LIF lets one in.
    async fn accept(&mut self) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        if !self.fault.admits() {
            std::future::pending::<()>().await;
        }
        let slot = self.slots.clone().acquire_owned().await.ok()?;
        if self.listener.is_none() {
            self.listener = TcpListener::bind(self.address).await.ok();
        }
        let accepted = match &self.listener {
            Some(listener) => listener.accept().await.ok(),
            None => None,
        };
        let Some((stream, peer)) = accepted else {
            tracing::warn!(address = %self.address, "neither listens nor accepts: tries again");
            tokio::time::sleep(PAUSE).await;
            return None;
        };
        Some((stream, peer, slot))
    }

    fn connect(&mut self, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        if self.fault.resets() {
            reset_on_drop(&stream);
            return;
        }
        let connection = Connection {
            client: peer.ip(),
            dispatcher: self.dispatcher.clone(),
            fault: self.fault.clone(),
            retiring: self.retiring.clone(),
        };
        self.connections.spawn(async move {
            tracing::debug!(%peer, "connected");
            match connection.serve(stream).await {
                Ok(()) => tracing::debug!(%peer, "disconnected"),
                Err(error) => tracing::debug!(%peer, ?error, "connection cut"),
            }
            drop(slot);
        });
    }
}

/// Says that nothing more will come, and waits for the client to hang up: closing on calls that were
/// not read is a reset, and a reset may overtake replies.
async fn take_leave(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(stream, &mut tokio::io::sink()).await?;
    Ok(())
}

fn reset_on_drop(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "connection gone before its reset");
    }
}

#[derive(Debug, Clone)]
struct Connection {
    client: IpAddr,
    dispatcher: Dispatcher,
    fault: Passage,
    retiring: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(self, mut stream: TcpStream) -> Result<(), RecordError> {
        stream.set_nodelay(true)?;
        let mut cut = self.fault.clone();
        let outcome = tokio::select! {
            () = cut.await_cut() => Ok(()),
            outcome = self.serve_calls(&mut stream) => outcome,
        };
        if cut.resets() {
            reset_on_drop(&stream);
        } else if *self.retiring.borrow() {
            let _in_time = tokio::time::timeout(FAREWELL, take_leave(&mut stream)).await;
        }
        outcome
    }

    async fn serve_calls(&self, stream: &mut TcpStream) -> Result<(), RecordError> {
        let (from, to) = stream.split();
        let replies = Replies::default();
        let reading = self.clone().answer_calls(from, &replies);
        side_by_side(&replies, reading, self.clone().write_replies(to, &replies)).await
    }

    /// Ends when the client closes, sends what is no call, or no longer takes replies.
    async fn answer_calls(mut self, from: ReadHalf<'_>, replies: &Replies) -> Result<(), RecordError> {
        let gate = self.dispatcher.levers().0.gate().clone();
        let mut from = BufReader::with_capacity(64 << 10, from);
        loop {
            let record = tokio::select! {
                biased;
                () = retirement(&mut self.retiring) => return Ok(()),
                record = read_record(&mut from) => record?,
            };
            let Some(record) = record else { return Ok(()) };
            self.fault.await_way().await;
            if !self.fault.count_call() {
                return Ok(());
            }
            gate.pass().await;
            let Some(reply) = self.dispatcher.answer(self.client, record) else { return Ok(()) };
            replies.push(reply).await;
        }
    }

    async fn write_replies(mut self, mut to: WriteHalf<'_>, replies: &Replies) -> Result<(), RecordError> {
        let mut outbox = Outbox::default();
        while let Some(reply) = replies.next().await {
            self.ripen(&reply).await?;
            outbox.push(&reply.pieces);
            while outbox.len() < OUTBOX
                && let Some(reply) = replies.take()
            {
                if must_ripen(&reply) {
                    self.send(&mut outbox, &mut to).await?;
                    self.ripen(&reply).await?;
                }
                outbox.push(&reply.pieces);
            }
            self.send(&mut outbox, &mut to).await?;
        }
        Ok(())
    }

    /// Waits until the reply may go: what it tells is durable, and no lever holds it back.
    async fn ripen(&self, reply: &Reply) -> Result<(), RecordError> {
        await_durable(&reply.barriers).await?;
        if let Some(due) = reply.due {
            tokio::time::sleep_until(due).await;
        }
        Ok(())
    }

    async fn send(&mut self, outbox: &mut Outbox, to: &mut WriteHalf<'_>) -> Result<(), RecordError> {
        if let Some(latency) = self.fault.latency() {
            tokio::time::sleep(self.dispatcher.levers().0.draw(latency)).await;
        }
        self.fault.await_way().await;
        Ok(outbox.send(to).await?)
    }
}

fn must_ripen(reply: &Reply) -> bool {
    !reply.barriers.is_empty() || reply.due.is_some()
}

/// Answers datagrams for as long as it is polled: one call, one reply, no record mark.
pub(crate) async fn serve_datagrams(socket: UdpSocket, dispatcher: Dispatcher) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, peer)) => {
                let record = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
                if let Some(reply) = dispatcher.answer(peer.ip(), record)
                    && let Err(error) = socket.send_to(&reply.pieces.concat(), peer).await
                {
                    tracing::debug!(%peer, %error, "datagram reply lost");
                }
            }
            Err(error) => {
                tracing::debug!(%error, "datagram receive failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
