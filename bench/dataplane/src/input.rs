//! Bytes from a socket, looked at where they lie.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Room for the largest PDU or record and some that follow it.
const ROOM: usize = 4 << 20;
/// A server that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// A window over a stream.
pub(crate) struct Input {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(SILENCE))?;
        Ok(Self { stream, buffer: vec![0; ROOM], start: 0, end: 0 })
    }

    /// Waits for at least one byte more.
    pub(crate) fn fill(&mut self) -> Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end > ROOM / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        match self.stream.read(room).context("receive")? {
            0 => bail!("the server closed the connection"),
            count => self.end += count,
        }
        Ok(())
    }

    /// The next `count` bytes, if they are here.
    pub(crate) fn try_peek(&self, count: usize) -> Option<&[u8]> {
        self.buffer.get(self.start..self.end)?.get(..count)
    }

    /// The next `count` bytes, which must be here.
    pub(crate) fn peek(&self, count: usize) -> Result<&[u8]> {
        self.try_peek(count).context("a message is shorter than it says")
    }

    /// Forgets the next `count` bytes, which must be here.
    pub(crate) fn skip(&mut self, count: usize) -> Result<()> {
        self.peek(count)?;
        self.start += count;
        Ok(())
    }
}
