//! The host's end of the control port: requests out, answers back in any order.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use vm_guest::protocol::{self, Envelope, Frame, FrameError, Lengths, Reply, Request, SYNC, SyncScan};

use crate::guest::GuestError;

/// Requests that wait, by id.
#[derive(Debug, Default)]
struct Waiting {
    answers: HashMap<u64, oneshot::Sender<(Reply, Vec<u8>)>>,
    /// Nothing will be answered any more.
    closed: bool,
}

/// One node's control channel.
#[derive(Debug)]
pub(crate) struct Channel {
    next: AtomicU64,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Mutex<Waiting>,
    life: watch::Sender<Life>,
    was_reset: Notify,
}

/// What has become of the node so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// How often it has announced itself.
    pub(crate) boots: u64,
    /// How often it was reset, whoever caused it.
    pub(crate) resets: u64,
    /// QEMU has ended.
    pub(crate) gone: bool,
}

/// Where in the conversation the channel takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The node boots and will begin with a sync.
    Boot,
    /// The node was saved between two frames.
    Restored,
}

impl Channel {
    /// Takes over the socket; the tasks end when QEMU does.
    pub(crate) fn start(socket: UnixStream, start: Start) -> Arc<Self> {
        let (reader, writer) = socket.into_split();
        let (outgoing, queue) = mpsc::unbounded_channel();
        let channel = Arc::new(Self {
            next: AtomicU64::new(1),
            outgoing,
            waiting: Mutex::default(),
            life: watch::Sender::new(Life { boots: u64::from(start == Start::Restored), ..Life::default() }),
            was_reset: Notify::new(),
        });
        tokio::spawn(write(writer, queue));
        tokio::spawn(read(reader, Arc::clone(&channel), start));
        channel
    }

    /// The node was reset: what is under way will not be answered, and half a frame not finished.
    pub(crate) fn note_reset(&self) {
        self.was_reset.notify_one();
        self.life.send_modify(|life| life.resets += 1);
        self.drop_waiting();
    }

    /// What has become of the node so far.
    pub(crate) fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// Waits for one more announcement than in `before`, with at most `resets` on the way: a node
    /// that is reset once more has panicked, and would do so again.
    pub(crate) async fn await_boot(
        &self,
        before: Life,
        resets: u64,
        deadline: Duration,
    ) -> Result<(), GuestError> {
        let mut life = self.life.subscribe();
        let decided = life.wait_for(|now| {
            now.boots > before.boots || now.resets > before.resets.saturating_add(resets) || now.gone
        });
        match tokio::time::timeout(deadline, decided).await {
            Err(_) => Err(GuestError::Late { request: "boot".to_owned(), deadline }),
            Ok(Ok(now)) if now.boots > before.boots && !now.gone => Ok(()),
            Ok(Ok(now)) if !now.gone => Err(GuestError::Restarted),
            Ok(_) => Err(GuestError::Gone),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        body: &[u8],
        deadline: Duration,
    ) -> Result<(Reply, Vec<u8>), GuestError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = protocol::encode(id, request, body).map_err(GuestError::Frame)?;
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.closed {
                return Err(GuestError::Gone);
            }
            waiting.answers.insert(id, answer);
        }
        self.outgoing.send(frame).map_err(|_| GuestError::Gone)?;
        match tokio::time::timeout(deadline, answered).await {
            Ok(Ok((Reply::Failed { reason }, _))) => Err(GuestError::Failed { reason }),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) if self.life().gone => Err(GuestError::Gone),
            Ok(Err(_)) => Err(GuestError::Restarted),
            Err(_) => {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).answers.remove(&id);
                Err(GuestError::Late { request: summary(request), deadline })
            }
        }
    }

    fn drop_waiting(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).answers.clear();
    }

    fn close(&self) {
        self.life.send_modify(|life| life.gone = true);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.drop_waiting();
    }

    fn deliver(&self, frame: Frame<Reply>) {
        let Frame { envelope: Envelope { id, message }, body } = frame;
        if let Reply::Hello { kernel, uptime_ms } = message {
            tracing::debug!(kernel, uptime_ms, "node announced itself");
            self.drop_waiting();
            // The node reads nothing before this.
            let _gone = self.outgoing.send(SYNC.to_vec());
            self.life.send_modify(|life| life.boots += 1);
            return;
        }
        let waits = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).answers.remove(&id);
        if let Some(waits) = waits {
            let _gave_up = waits.send((message, body));
        }
    }
}

fn summary(request: &Request) -> String {
    match request {
        Request::Run { argv, .. } | Request::Spawn { argv, .. } => argv.join(" "),
        Request::Put { path, .. } => format!("put {path}"),
        Request::Get { path, .. } => format!("get {path}"),
        other => format!("{other:?}"),
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read(mut reader: OwnedReadHalf, channel: Arc<Channel>, start: Start) {
    let mut stream = Stream::new(start);
    let mut piece = vec![0; 1 << 16];
    loop {
        let count = tokio::select! {
            read = reader.read(&mut piece) => read,
            () = channel.was_reset.notified() => {
                stream = Stream::new(Start::Boot);
                continue;
            }
        };
        match count {
            Ok(count) if count > 0 => stream.bytes.extend(piece.iter().take(count)),
            ended => {
                report_end(ended);
                channel.close();
                return;
            }
        }
        while let Some(frame) = stream.next_frame() {
            channel.deliver(frame);
        }
    }
}

fn report_end(ended: io::Result<usize>) {
    match ended {
        Ok(_) => tracing::debug!("control port closed"),
        Err(error) => tracing::debug!(%error, "control port failed"),
    }
}

/// Bytes from the node, cut into frames.
#[derive(Debug)]
struct Stream {
    bytes: Vec<u8>,
    /// Looking for the sync that begins the conversation.
    scan: Option<SyncScan>,
}

impl Stream {
    fn new(start: Start) -> Self {
        Self { bytes: Vec::new(), scan: (start == Start::Boot).then(SyncScan::default) }
    }

    /// The next whole frame. What cannot be one means that the node began anew unseen: everything
    /// is skipped up to its sync.
    fn next_frame(&mut self) -> Option<Frame<Reply>> {
        loop {
            if let Some(scan) = &mut self.scan {
                let found = self.bytes.iter().position(|byte| scan.push(*byte));
                self.bytes.drain(..found.map_or(self.bytes.len(), |last| last + 1));
                found?;
                self.scan = None;
            }
            match self.cut() {
                Ok(frame) => return frame,
                Err(error) => {
                    tracing::debug!(%error, "the node began anew");
                    self.scan = Some(SyncScan::default());
                }
            }
        }
    }

    fn cut(&mut self) -> Result<Option<Frame<Reply>>, FrameError> {
        let Some(lengths) = self.bytes.first_chunk::<8>() else { return Ok(None) };
        let lengths = Lengths::decode(*lengths)?;
        let header_end = 8 + protocol::usize_from(lengths.header);
        let end = header_end + protocol::usize_from(lengths.body);
        let (Some(header), Some(body)) = (self.bytes.get(8..header_end), self.bytes.get(header_end..end))
        else {
            return Ok(None);
        };
        let frame = Frame { envelope: protocol::decode_header(header)?, body: body.to_vec() };
        self.bytes.drain(..end);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(stream: &mut Stream) -> Vec<u64> {
        std::iter::from_fn(|| stream.next_frame()).map(|frame| frame.envelope.id).collect()
    }

    #[test]
    fn frames_are_cut_wherever_the_pieces_end() {
        let bytes: Vec<u8> =
            (1..4).flat_map(|id| protocol::encode(id, &Reply::Done, &[7; 300]).unwrap()).collect();
        for size in [1, 7, 8, 9, 100, 1000] {
            let mut stream = Stream::new(Start::Restored);
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                stream.bytes.extend(piece);
                seen.extend(ids(&mut stream));
            }
            assert_eq!(seen, [1, 2, 3], "pieces of {size}");
        }
    }

    #[test]
    fn a_sync_between_two_frames_begins_the_conversation_anew() {
        let mut stream = Stream::new(Start::Restored);
        stream.bytes = protocol::encode(1, &Reply::Done, b"").unwrap();
        stream.bytes.extend(SYNC);
        stream.bytes.extend(protocol::encode(2, &Reply::Done, b"").unwrap());
        assert_eq!(ids(&mut stream), [1, 2]);
    }

    #[test]
    fn noise_before_the_sync_is_skipped() {
        let mut stream = Stream::new(Start::Boot);
        stream.bytes = protocol::encode(1, &Reply::Done, b"stale").unwrap();
        assert_eq!(ids(&mut stream), [0; 0]);
        stream.bytes.extend(SYNC);
        stream.bytes.extend(protocol::encode(2, &Reply::Done, b"").unwrap());
        assert_eq!(ids(&mut stream), [2]);
    }
}
