//! The node's end of the control port.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use vm_guest::protocol::{self, PORT_NAME};

use crate::await_path::await_entry;

/// Opens the port once its driver shows it.
pub(crate) fn open() -> anyhow::Result<File> {
    let device = await_entry(c"/dev", Duration::from_secs(20), find_device).context("the control port")?;
    OpenOptions::new().read(true).write(true).open(&device).with_context(|| device.display().to_string())
}

fn find_device() -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports
        .flatten()
        .find(|port| fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim() == PORT_NAME))
        .map(|port| PathBuf::from("/dev").join(port.file_name()))
        .filter(|device| device.symlink_metadata().is_ok())
}

/// Reads the port; an absent host is waited for.
#[derive(Debug)]
pub(crate) struct Reader(pub(crate) File);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                // virtio-console: no host is attached. It tells nobody when one comes, so ask
                // again after a while; in practice the host attaches before the node runs.
                Ok(0) if !buffer.is_empty() => std::thread::park_timeout(Duration::from_millis(10)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

/// Writes whole frames, one after another, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Writer(Arc<Mutex<File>>);

impl Writer {
    pub(crate) fn new(port: File) -> Self {
        Self(Arc::new(Mutex::new(port)))
    }

    pub(crate) fn sync(&self) -> anyhow::Result<()> {
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(protocol::write_sync(&mut *port)?)
    }

    pub(crate) fn send<M: Serialize>(&self, id: u64, message: &M, body: &[u8]) -> anyhow::Result<()> {
        let frame = protocol::encode(id, message, body)?;
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        port.write_all(&frame)?;
        Ok(port.flush()?)
    }
}
