//! Servers under test, as child processes that end with the comparison.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a server may take until it listens.
const START: Duration = Duration::from_secs(20);

/// A server that runs.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
}

impl Server {
    /// Starts `command` and waits until it accepts connections at `address`.
    pub(crate) fn start(name: &'static str, command: &mut Command, address: SocketAddr) -> Result<Self> {
        let log = Path::new("/run").join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {name} ({})", command.get_program().display()))?;
        let mut server = Self { name, child };
        let since = Instant::now();
        while TcpStream::connect_timeout(&address, START).is_err() {
            let ended = server.child.try_wait()?;
            if ended.is_some() || since.elapsed() > START {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("{name} does not listen on {address}: {ended:?}\n{said}");
            }
            // A refused connection is all that a foreign server tells before it listens.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// User and system time of the server so far, in clock ticks (proc(5)).
    pub(crate) fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        // utime and stime are the 12th and 13th field behind the name.
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; its namespace ends with the comparison in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
