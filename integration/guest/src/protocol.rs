//! Frames and messages on the virtio-serial port between host and node.
//!
//! A frame is two little-endian `u32` lengths, then a JSON header, then raw bytes (file content,
//! standard input, captured output). Requests carry an id and are answered in any order, so a
//! command that hangs holds up nobody.
//!
//! The port outlives a reset of the node, and a reset may cut a frame in two. Each side therefore
//! begins with [`SYNC`]: whoever reads skips everything up to it, and only then reads frames. A
//! node restored from a snapshot was saved between two frames and needs no new start.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Name of the virtio-serial port, as `/sys/class/virtio-ports/*/name` shows it in the node.
pub const PORT_NAME: &str = "tine.control";

/// Sixteen bytes that begin a conversation. Not valid UTF-8, so no JSON header contains them.
pub const SYNC: [u8; 16] = *b"\xff\x00\xfeTINE-SYNC\xfd\x00\xfc\xfb";

/// Largest header that a reader accepts, in bytes.
pub const HEADER_LIMIT: u32 = 4 << 20;

/// Largest body that a reader accepts, in bytes.
pub const BODY_LIMIT: u32 = 8 << 20;

/// Files travel in pieces of this many bytes, so that a large one does not block the port.
pub const CHUNK: usize = 1 << 20;

/// What the host asks of the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Answered with [`Reply::Done`] at once.
    Ping,
    /// Run a program to its end; the body is its standard input.
    Run {
        /// Program (absolute path) and arguments.
        argv: Vec<String>,
        /// Variables added to the node's small default environment.
        environment: Vec<(String, String)>,
        /// When this many milliseconds have passed the whole process group is killed.
        deadline_ms: u64,
        /// At most this many bytes of each of stdout and stderr are kept.
        output_limit: usize,
    },
    /// Start a program that stays; it leads its own process group.
    Spawn {
        /// Program (absolute path) and arguments.
        argv: Vec<String>,
        /// Variables added to the node's small default environment.
        environment: Vec<(String, String)>,
        /// File to which stdout and stderr are appended.
        log: String,
    },
    /// Send a signal to a process that [`Request::Spawn`] started.
    Signal {
        /// Its process id.
        pid: u32,
        /// Signal number.
        signal: i32,
    },
    /// Wait for the end of a process that [`Request::Spawn`] started.
    AwaitExit {
        /// Its process id.
        pid: u32,
        /// Give up after this many milliseconds.
        deadline_ms: u64,
    },
    /// One piece of a file (the body); the last piece renames the whole into place.
    Put {
        /// Absolute path; missing parent directories are made.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Position of this piece.
        offset: u64,
        /// This is the last piece.
        last: bool,
    },
    /// One piece of a file; a short answer is its end.
    Get {
        /// Absolute path.
        path: String,
        /// Position to read from.
        offset: u64,
        /// At most this many bytes.
        limit: usize,
    },
    /// Listen on a TCP address and join every connection to a Unix socket.
    Relay {
        /// Address to listen on; port 0 lets the kernel choose.
        listen: SocketAddr,
        /// Unix socket, connected anew for every connection.
        socket: String,
    },
    /// Become the one node that this identity names.
    Personalise(Identity),
    /// What storage the kernel shows now.
    ObserveState,
}

/// What tells one restored node from another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Host name (also the NFSv4 client's identity).
    pub hostname: String,
    /// 32 hexadecimal digits for `/etc/machine-id`.
    pub machine_id: String,
    /// iSCSI initiator name (RFC 3721).
    pub initiator_name: String,
    /// Nanoseconds since the Unix epoch.
    pub unix_time_ns: u64,
    /// Network interfaces by kernel name.
    pub nics: Vec<Nic>,
}

/// One network interface of a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nic {
    /// Kernel name, `eth0`.
    pub name: String,
    /// `52:54:00:…`.
    pub mac: String,
    /// Address of the node.
    pub address: Ipv4Addr,
    /// Length of the network prefix.
    pub prefix: u8,
}

/// What the node answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// Unasked, once after every boot, with id 0: the node is ready for requests.
    Hello {
        /// `uname -r`.
        kernel: String,
        /// Milliseconds since the kernel started.
        uptime_ms: u64,
    },
    /// It is so.
    Done,
    /// A program ended; the body is its stdout, then its stderr.
    Ran {
        /// How.
        ended: Ended,
        /// Bytes of the body that are stdout.
        stdout_length: usize,
        /// More was written than `output_limit`.
        truncated: bool,
        /// Microseconds from start to end, measured in the node.
        micros: u64,
    },
    /// A program started.
    Spawned {
        /// Its process id.
        pid: u32,
    },
    /// A spawned program ended, or did not in time ([`Ended::Deadline`]).
    Exited {
        /// How.
        ended: Ended,
    },
    /// A piece of a file, in the body.
    Piece,
    /// A relay listens.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// What storage the kernel shows.
    State(NodeState),
    /// The request could not be met.
    Failed {
        /// What failed, on what, and the cause.
        reason: String,
    },
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// By itself, with this exit code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// Not before its deadline: its process group was killed. `reaped` is false when even
    /// SIGKILL did not end it at once, as with a process asleep in the kernel (state D).
    Deadline {
        /// The process is gone.
        reaped: bool,
    },
}

impl Ended {
    /// By itself with exit code 0.
    pub fn is_success(self) -> bool {
        self == Self::Exit(0)
    }
}

/// The node's storage as its kernel shows it, in an order and a form that can be compared before
/// and after: equal values mean that nothing was left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Names in `/sys/block`, sorted.
    pub block: Vec<String>,
    /// Names in `/sys/class/iscsi_session`, sorted.
    pub iscsi_sessions: Vec<String>,
    /// Device-mapper devices, sorted by name.
    pub device_mapper: Vec<DeviceMapper>,
    /// `/proc/self/mountinfo` without mount ids and anonymous device numbers, sorted.
    pub mounts: Vec<String>,
}

/// One device-mapper device: `/sys/block/dm-*/dm/{name,uuid}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceMapper {
    /// Name, as under `/dev/mapper`.
    pub name: String,
    /// UUID, `mpath-…` for a multipath map.
    pub uuid: String,
}

/// A message with the id that joins an answer to its question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope<M> {
    /// Chosen by the host; 0 is for what nobody asked.
    pub id: u64,
    /// The message.
    pub message: M,
}

/// One message and its raw bytes.
#[derive(Clone, Debug)]
pub struct Frame<M> {
    /// Id and message.
    pub envelope: Envelope<M>,
    /// Raw bytes.
    pub body: Vec<u8>,
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The port failed or was closed.
    #[error("control port")]
    Port(#[from] io::Error),
    /// The lengths or the header make no sense: the two sides lost step.
    #[error("control port out of step: {0}")]
    OutOfStep(String),
}

/// The bytes of a frame.
///
/// # Errors
/// The header cannot be written as JSON, or a part is over its limit.
pub fn encode<M: Serialize>(id: u64, message: &M, body: &[u8]) -> Result<Vec<u8>, FrameError> {
    #[derive(Serialize)]
    struct Borrowed<'a, M> {
        id: u64,
        message: &'a M,
    }
    let header = serde_json::to_vec(&Borrowed { id, message })
        .map_err(|error| FrameError::OutOfStep(format!("cannot write header: {error}")))?;
    let lengths = Lengths {
        header: u32::try_from(header.len()).unwrap_or(u32::MAX),
        body: u32::try_from(body.len()).unwrap_or(u32::MAX),
    };
    lengths.check()?;
    let mut frame = Vec::with_capacity(8 + header.len() + body.len());
    frame.extend_from_slice(&lengths.header.to_le_bytes());
    frame.extend_from_slice(&lengths.body.to_le_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(body);
    Ok(frame)
}

/// The two lengths that begin a frame.
#[derive(Clone, Copy, Debug)]
pub struct Lengths {
    /// Bytes of JSON.
    pub header: u32,
    /// Raw bytes after it.
    pub body: u32,
}

impl Lengths {
    /// Reads the eight bytes that begin a frame.
    ///
    /// # Errors
    /// A length over its limit.
    pub fn decode(bytes: [u8; 8]) -> Result<Self, FrameError> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let lengths =
            Self { header: u32::from_le_bytes([a, b, c, d]), body: u32::from_le_bytes([e, f, g, h]) };
        lengths.check()?;
        Ok(lengths)
    }

    fn check(self) -> Result<(), FrameError> {
        if self.header > HEADER_LIMIT || self.body > BODY_LIMIT {
            return Err(FrameError::OutOfStep(format!("{self:?} over {HEADER_LIMIT} and {BODY_LIMIT}")));
        }
        Ok(())
    }
}

/// Reads a header.
///
/// # Errors
/// It is not the JSON of such a message.
pub fn decode_header<M: DeserializeOwned>(header: &[u8]) -> Result<Envelope<M>, FrameError> {
    serde_json::from_slice(header).map_err(|error| FrameError::OutOfStep(format!("bad header: {error}")))
}

/// Reads one frame from a blocking port.
///
/// # Errors
/// The port fails or ends, or what comes is not a frame.
pub fn read_frame<M: DeserializeOwned>(port: &mut impl Read) -> Result<Frame<M>, FrameError> {
    let mut lengths = [0; 8];
    port.read_exact(&mut lengths)?;
    let lengths = Lengths::decode(lengths)?;
    let mut header = vec![0; usize_from(lengths.header)];
    port.read_exact(&mut header)?;
    let mut body = vec![0; usize_from(lengths.body)];
    port.read_exact(&mut body)?;
    Ok(Frame { envelope: decode_header(&header)?, body })
}

/// Skips everything up to and with [`SYNC`].
///
/// # Errors
/// The port fails or ends.
pub fn read_until_sync(port: &mut impl Read) -> io::Result<()> {
    let mut scan = SyncScan::default();
    let mut byte = [0];
    loop {
        port.read_exact(&mut byte)?;
        if scan.push(byte[0]) {
            return Ok(());
        }
    }
}

/// Writes [`SYNC`].
///
/// # Errors
/// The port fails.
pub fn write_sync(port: &mut impl Write) -> io::Result<()> {
    port.write_all(&SYNC)?;
    port.flush()
}

/// Looks for [`SYNC`] in a stream, byte by byte.
#[derive(Debug, Default)]
pub struct SyncScan {
    window: [u8; SYNC.len()],
}

impl SyncScan {
    /// True when the last sixteen bytes were [`SYNC`].
    pub fn push(&mut self, byte: u8) -> bool {
        self.window.rotate_left(1);
        if let Some(last) = self.window.last_mut() {
            *last = byte;
        }
        self.window == SYNC
    }
}

/// A length within the limits above always fits.
pub fn usize_from(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let bytes = encode(7, &Request::Ping, b"body").unwrap();
        let frame: Frame<Request> = read_frame(&mut bytes.as_slice()).unwrap();
        assert_eq!(frame.envelope.id, 7);
        assert!(matches!(frame.envelope.message, Request::Ping));
        assert_eq!(frame.body, b"body");
    }

    #[test]
    fn half_a_frame_before_the_sync_is_skipped() {
        let mut bytes = encode(1, &Request::Ping, b"cut by a reset").unwrap();
        bytes.truncate(bytes.len() - 3);
        bytes.extend_from_slice(&SYNC[..9]);
        bytes.extend_from_slice(&SYNC);
        bytes.extend(encode(2, &Request::Ping, b"").unwrap());
        let mut port = bytes.as_slice();
        read_until_sync(&mut port).unwrap();
        let frame: Frame<Request> = read_frame(&mut port).unwrap();
        assert_eq!(frame.envelope.id, 2);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_memory_is_taken() {
        let mut bytes = u32::MAX.to_le_bytes().to_vec();
        bytes.extend_from_slice(&0u32.to_le_bytes());
        let read = read_frame::<Request>(&mut bytes.as_slice());
        assert!(matches!(read, Err(FrameError::OutOfStep(_))), "{read:?}");
    }
}
