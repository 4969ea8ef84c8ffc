//! What the fuzz targets share: a server of each data plane in this thread, and one exchange with it.
//!
//! ```text
//! libFuzzer ─ bytes ─► target: whole or wrapped in good headers ─ TCP, loopback ─► server
//!                                                    │ everything it answers, until it closes
//! ```
//!
//! The servers are used as the simulators use them, over their sockets: parser, state machine,
//! execution and encoder are all in the way of an input. Client and server share one thread, so
//! that an input runs the same way again. Whatever is sent, a server answers or closes; one that
//! panics, keeps silent or takes memory without bound fails the run.

pub mod array;
pub mod iscsi;
pub mod nfs;
pub mod wire;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;

/// A server has this long for one message; after that it hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Inputs one server takes before a fresh one follows it: what an input leaves behind (files,
/// sessions, reservations) is part of the play, but not for ever.
const INPUTS: u32 = 2000;

/// A thread's runtime and the server in it.
pub struct Stage<S> {
    runtime: Runtime,
    build: fn(&Runtime) -> (SocketAddr, S),
    server: Option<(SocketAddr, S)>,
    inputs: u32,
}

impl<S> Stage<S> {
    /// A stage whose servers `build` makes.
    pub fn new(build: fn(&Runtime) -> (SocketAddr, S)) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, build, server: None, inputs: 0 }
    }

    /// Plays one input: `play` has a connection of its own.
    pub fn play(&mut self, play: impl AsyncFnOnce(&mut Connection)) {
        if self.inputs.is_multiple_of(INPUTS) {
            self.server = None;
        }
        self.inputs = self.inputs.wrapping_add(1);
        let (address, _) = self.server.get_or_insert_with(|| (self.build)(&self.runtime));
        let address = *address;
        self.runtime.block_on(async {
            let mut connection = Connection::open(address).await.expect("the server accepts a connection");
            play(&mut connection).await;
            connection.end().await;
        });
    }
}

/// A client's end of a connection.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    async fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // Not bound: connecting may then take a port again that waits for its last connection's end.
        // With a reset nothing of the connection stays behind: there are thousands a second.
        socket.set_zero_linger()?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends, reading nothing; an input need not be longer than the socket's buffers.
    pub async fn send(&mut self, bytes: &[u8]) {
        // The server may have closed: that is an answer as well.
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("the server reads");
    }

    /// The next `count` bytes; `None` when the server closed.
    pub async fn receive(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        let read = self.stream.read_exact(&mut bytes);
        tokio::time::timeout(PATIENCE, read).await.expect("the server answers or closes").ok()?;
        Some(bytes)
    }

    /// Says that no more comes, and reads until the server has closed too.
    async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
        let mut sink = vec![0; 64 << 10];
        let drained = async { while matches!(self.stream.read(&mut sink).await, Ok(count) if count > 0) {} };
        tokio::time::timeout(PATIENCE, drained).await.expect("the server closes after its client");
    }
}
