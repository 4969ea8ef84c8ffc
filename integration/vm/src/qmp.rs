//! QEMU's machine protocol: commands and events, JSON lines on a Unix socket
//! (docs/interop/qmp-spec.txt).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, oneshot};

/// QEMU answers at once unless the machine is overloaded.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why QEMU did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU is gone.
    #[error("QEMU closed its control socket before it answered {command}")]
    Closed {
        /// What it was asked.
        command: String,
    },
    /// QEMU does not answer.
    #[error("QEMU did not answer {command} within {ANSWER_WITHIN:?}")]
    Late {
        /// What it was asked.
        command: String,
    },
    /// QEMU refuses.
    #[error("QEMU refuses {command}: {reason}")]
    Refused {
        /// What it was asked.
        command: String,
        /// Its words.
        reason: String,
    },
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>;

/// A connection to one QEMU.
#[derive(Debug)]
pub(crate) struct Qmp {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    waiting: Waiting,
    events: broadcast::Sender<Value>,
    next: AtomicU64,
}

impl Qmp {
    /// Takes over a fresh connection.
    pub(crate) async fn start(socket: UnixStream) -> Result<Self, QmpError> {
        let (reader, writer) = socket.into_split();
        let waiting = Waiting::default();
        let (events, _) = broadcast::channel(64);
        tokio::spawn(read(reader, Arc::clone(&waiting), events.clone()));
        let qmp = Self { writer: writer.into(), waiting, events, next: AtomicU64::new(1) };
        qmp.execute("qmp_capabilities", json!({})).await?;
        Ok(qmp)
    }

    /// Events from now on.
    pub(crate) fn events(&self) -> broadcast::Receiver<Value> {
        self.events.subscribe()
    }

    /// Runs one command to its answer.
    pub(crate) async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let closed = || QmpError::Closed { command: command.to_owned() };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, answer);
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        let conversation = async {
            self.writer.lock().await.write_all(line.as_bytes()).await.map_err(|_| closed())?;
            answered.await.map_err(|_| closed())
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, conversation)
            .await
            .map_err(|_| QmpError::Late { command: command.to_owned() })??;
        answer.map_err(|reason| QmpError::Refused { command: command.to_owned(), reason })
    }
}

/// Gives answers to those who wait and events to those who listen, until QEMU ends.
async fn read(reader: OwnedReadHalf, waiting: Waiting, events: broadcast::Sender<Value>) {
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            tracing::warn!(line, "QEMU sent what is not JSON");
            continue;
        };
        if message.get("event").is_some() {
            tracing::debug!(%message, "QEMU event");
            // Nobody listens: nobody minds.
            let _unheard = events.send(message);
        } else if let Some(id) = message.get("id").and_then(Value::as_u64) {
            let answer = match message.get("error") {
                Some(error) => Err(error.get("desc").and_then(Value::as_str).unwrap_or_default().to_owned()),
                None => Ok(message.get("return").cloned().unwrap_or_default()),
            };
            let waits = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Some(waits) = waits {
                let _gave_up = waits.send(answer);
            }
        }
    }
    // Dropping the senders tells everyone who still waits.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
}
