//! What a test does inside a node: run programs, move files, watch state.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use vm_guest::protocol::{CHUNK, Ended, FrameError, Identity, NodeState, Reply, Request};

use crate::channel::Channel;

/// How long the host waits beyond a deadline that the node keeps itself.
const MARGIN: Duration = Duration::from_secs(10);
/// For what the node does by itself, under an emulated and busy CPU.
const AT_ONCE: Duration = Duration::from_secs(30);
/// Kept of each output of a program: both fit into one frame.
const OUTPUT_LIMIT: usize = 3 << 20;

/// Why the node did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// QEMU has ended.
    #[error("the node is gone")]
    Gone,
    /// The node was reset while it was at it.
    #[error("the node was reset before it answered")]
    Restarted,
    /// No answer in time.
    #[error("the node did not answer within {deadline:?}: {request}")]
    Late {
        /// What it was asked.
        request: String,
        /// How long it had.
        deadline: Duration,
    },
    /// The node says why it could not.
    #[error("in the node: {reason}")]
    Failed {
        /// Its words.
        reason: String,
    },
    /// The request cannot be sent.
    #[error("cannot ask the node")]
    Frame(#[source] FrameError),
    /// An answer to another question.
    #[error("the node answered with {0}")]
    Unexpected(String),
    /// A program did not end with exit code 0.
    #[error("in the node, {command} ended with {ended:?}: {output}")]
    Unsuccessful {
        /// Program and arguments.
        command: String,
        /// How it ended.
        ended: Ended,
        /// Its standard error and output.
        output: String,
    },
}

/// What a program in the node did.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// The beginning of its standard output, at most 3 MiB.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error, at most 3 MiB.
    pub stderr: Vec<u8>,
    /// It wrote more than that.
    pub truncated: bool,
    /// From start to end, measured in the node.
    pub duration: Duration,
}

impl Output {
    /// Standard output as text.
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }

    /// Standard error as text.
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr)
    }
}

/// The inside of a node. Cheap to clone; any task may use it; a program that hangs delays nobody.
#[derive(Clone, Debug)]
pub struct Guest {
    pub(crate) channel: Arc<Channel>,
}

impl Guest {
    /// Asks for a sign of life.
    ///
    /// # Errors
    /// None came in time.
    pub async fn ping(&self, deadline: Duration) -> Result<(), GuestError> {
        self.ask_done(&Request::Ping, &[], deadline).await
    }

    /// Runs a program (absolute path) to its end. At the deadline its whole process group is
    /// killed in the node and [`Ended::Deadline`] returned.
    ///
    /// # Errors
    /// It cannot be started, or the node does not answer. How it ended is in the output.
    pub async fn run<A: Into<String>>(
        &self,
        argv: impl IntoIterator<Item = A>,
        deadline: Duration,
    ) -> Result<Output, GuestError> {
        self.run_with(argv, &[], &[], deadline).await
    }

    /// As [`Guest::run`], with variables and standard input (at most 8 MiB).
    ///
    /// # Errors
    /// As [`Guest::run`].
    pub async fn run_with<A: Into<String>>(
        &self,
        argv: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Output, GuestError> {
        let request = Request::Run {
            argv: argv.into_iter().map(Into::into).collect(),
            environment: owned(environment),
            deadline_ms: millis(deadline),
            output_limit: OUTPUT_LIMIT,
        };
        let (reply, mut body) = self.channel.ask(&request, input, deadline.saturating_add(MARGIN)).await?;
        let Reply::Ran { ended, stdout_length, truncated, micros } = reply else {
            return Err(unexpected(&reply));
        };
        let stderr = body.split_off(stdout_length.min(body.len()));
        Ok(Output { ended, stdout: body, stderr, truncated, duration: Duration::from_micros(micros) })
    }

    /// Runs a program and takes anything but exit code 0 as an error.
    ///
    /// # Errors
    /// As [`Guest::run`], and an unsuccessful end.
    pub async fn require<A: Into<String>>(
        &self,
        argv: impl IntoIterator<Item = A>,
        deadline: Duration,
    ) -> Result<Output, GuestError> {
        let argv: Vec<String> = argv.into_iter().map(Into::into).collect();
        let command = argv.join(" ");
        let output = self.run(argv, deadline).await?;
        if output.ended.is_success() {
            return Ok(output);
        }
        let text = format!("{}{}", output.stderr_text(), output.stdout_text());
        Err(GuestError::Unsuccessful { command, ended: output.ended, output: text })
    }

    /// Runs a script with `/bin/sh -c` and takes anything but exit code 0 as an error.
    ///
    /// # Errors
    /// As [`Guest::require`].
    pub async fn shell(&self, script: &str, deadline: Duration) -> Result<Output, GuestError> {
        self.require(["/bin/sh", "-c", script], deadline).await
    }

    /// Starts a program that stays; stdout and stderr are appended to `log` in the node.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn spawn<A: Into<String>>(
        &self,
        argv: impl IntoIterator<Item = A>,
        environment: &[(&str, &str)],
        log: &str,
    ) -> Result<Process, GuestError> {
        let argv = argv.into_iter().map(Into::into).collect();
        let request = Request::Spawn { argv, environment: owned(environment), log: log.to_owned() };
        match self.channel.ask(&request, &[], AT_ONCE).await?.0 {
            Reply::Spawned { pid } => Ok(Process { guest: self.clone(), pid }),
            other => Err(unexpected(&other)),
        }
    }

    /// Writes a file; it appears whole, with these permission bits.
    ///
    /// # Errors
    /// The node cannot write it.
    pub async fn put(&self, path: &str, mode: u32, content: &[u8]) -> Result<(), GuestError> {
        let pieces = content.len().div_ceil(CHUNK).max(1);
        for (index, offset) in (0..pieces).zip((0_usize..).step_by(CHUNK)) {
            let piece = content.get(offset..content.len().min(offset + CHUNK)).unwrap_or_default();
            let offset = u64::try_from(offset).unwrap_or(u64::MAX);
            let request = Request::Put { path: path.to_owned(), mode, offset, last: index + 1 == pieces };
            self.ask_done(&request, piece, AT_ONCE).await?;
        }
        Ok(())
    }

    /// Reads a file, also one of `/proc` or `/sys`.
    ///
    /// # Errors
    /// The node cannot read it.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>, GuestError> {
        let mut content = Vec::new();
        loop {
            let offset = u64::try_from(content.len()).unwrap_or(u64::MAX);
            let request = Request::Get { path: path.to_owned(), offset, limit: CHUNK };
            let (reply, piece) = self.channel.ask(&request, &[], AT_ONCE).await?;
            let Reply::Piece = reply else { return Err(unexpected(&reply)) };
            content.extend_from_slice(&piece);
            if piece.len() < CHUNK {
                return Ok(content);
            }
        }
    }

    /// Listens on a TCP address in the node and joins each connection to the Unix socket, which
    /// need not exist yet. Returns the address to dial.
    ///
    /// # Errors
    /// The node cannot listen there.
    pub async fn relay(&self, listen: SocketAddr, socket: &str) -> Result<SocketAddr, GuestError> {
        let request = Request::Relay { listen, socket: socket.to_owned() };
        match self.channel.ask(&request, &[], AT_ONCE).await?.0 {
            Reply::Listening { address } => Ok(address),
            other => Err(unexpected(&other)),
        }
    }

    /// What storage the node's kernel shows: equal before and after means nothing left behind.
    ///
    /// # Errors
    /// The node cannot read it.
    pub async fn observe_state(&self) -> Result<NodeState, GuestError> {
        match self.channel.ask(&Request::ObserveState, &[], AT_ONCE).await?.0 {
            Reply::State(state) => Ok(state),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn personalise(&self, identity: Identity) -> Result<(), GuestError> {
        self.ask_done(&Request::Personalise(identity), &[], Duration::from_secs(60)).await
    }

    async fn ask_done(&self, request: &Request, body: &[u8], deadline: Duration) -> Result<(), GuestError> {
        match self.channel.ask(request, body, deadline).await?.0 {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

/// A program that [`Guest::spawn`] started. Dropping this does not end it.
#[derive(Clone, Debug)]
pub struct Process {
    guest: Guest,
    pid: u32,
}

impl Process {
    /// Its process id in the node; also the id of its process group.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal to this process alone; nothing happens when it has ended.
    ///
    /// # Errors
    /// The node does not know the signal, or was reset since.
    pub async fn signal(&self, signal: i32) -> Result<(), GuestError> {
        let request = Request::Signal { pid: self.pid, signal };
        self.guest.ask_done(&request, &[], AT_ONCE).await
    }

    /// Sends SIGKILL and waits for the end.
    ///
    /// # Errors
    /// As [`Process::signal`] and [`Process::await_exit`].
    pub async fn kill(&self) -> Result<Ended, GuestError> {
        self.signal(nix::sys::signal::Signal::SIGKILL as i32).await?;
        self.await_exit(AT_ONCE).await
    }

    /// Waits for the end; [`Ended::Deadline`] when it does not come in time.
    ///
    /// # Errors
    /// The node does not answer or was reset.
    pub async fn await_exit(&self, deadline: Duration) -> Result<Ended, GuestError> {
        let request = Request::AwaitExit { pid: self.pid, deadline_ms: millis(deadline) };
        match self.guest.channel.ask(&request, &[], deadline.saturating_add(MARGIN)).await?.0 {
            Reply::Exited { ended } => Ok(ended),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(reply: &Reply) -> GuestError {
    GuestError::Unexpected(format!("{reply:?}"))
}

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
