//! multipathd's socket: abstract name `@/org/kernel/linux/storage/multipathd`, a message either way
//! is its length (u64, this machine's byte order, the NUL counted) and a NUL-terminated text
//! (multipath-tools, libmpathcmd).

use std::io;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The leading NUL marks a name outside the file system (unix(7), abstract).
const NAME: &str = "\0/org/kernel/linux/storage/multipathd";
/// `show config` on a large host has some 100 KiB.
const LARGEST_REPLY: u64 = 4 << 20;

/// multipathd did not answer.
#[derive(Debug, thiserror::Error)]
pub enum MultipathdError {
    /// Nobody listens.
    #[error("multipathd is not running: start it on this node (systemctl enable --now multipathd)")]
    NotRunning(#[source] io::Error),
    /// It listens and the talk broke off.
    #[error("multipathd broke off the talk about `{command}`")]
    BrokenOff {
        /// What was asked.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not answer in time.
    #[error("multipathd did not answer `{0}` in time")]
    Overdue(String),
}

/// Asks multipathd one thing.
///
/// # Errors
/// [`MultipathdError`].
pub async fn ask(command: &str, deadline: Instant) -> Result<String, MultipathdError> {
    let talk = async {
        let stream = UnixStream::connect(NAME).await.map_err(MultipathdError::NotRunning)?;
        let broken_off = |source| MultipathdError::BrokenOff { command: command.to_owned(), source };
        exchange(stream, command).await.map_err(broken_off)
    };
    match tokio::time::timeout_at(deadline.into(), talk).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(MultipathdError::Overdue(command.to_owned())),
    }
}

async fn exchange(mut stream: UnixStream, command: &str) -> io::Result<String> {
    stream.write_all(&frame(command)).await?;
    let mut length = [0_u8; 8];
    stream.read_exact(&mut length).await?;
    let length = u64::from_ne_bytes(length);
    if length > LARGEST_REPLY {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a reply of {length} bytes")));
    }
    let mut message = Vec::new();
    let taken = (&mut stream).take(length).read_to_end(&mut message).await?;
    if u64::try_from(taken).ok() != Some(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = message.strip_suffix(b"\0").unwrap_or(&message);
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn frame(command: &str) -> Vec<u8> {
    let length = u64::try_from(command.len()).unwrap_or(u64::MAX).saturating_add(1);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(command.as_bytes());
    message.push(0);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_and_its_answer_carry_their_length() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = async {
            let mut question = vec![0_u8; 8 + 12];
            theirs.read_exact(&mut question).await.unwrap();
            assert_eq!(&question[..8], 12_u64.to_ne_bytes());
            assert_eq!(&question[8..], b"show daemon\0");
            theirs.write_all(&frame("pid 7 idle\n")).await.unwrap();
        };
        let (answer, ()) = tokio::join!(exchange(ours, "show daemon"), server);
        assert_eq!(answer.unwrap(), "pid 7 idle\n");
    }

    #[tokio::test]
    async fn a_reply_that_breaks_off_or_is_absurdly_long_is_no_reply() {
        for reply in [frame("cut")[..10].to_vec(), u64::MAX.to_ne_bytes().to_vec()] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(&reply).await.unwrap();
            theirs.shutdown().await.unwrap();
            assert!(exchange(ours, "x").await.is_err());
        }
    }
}
