//! Programs that stay: started on request, watched to their end.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal};
use vm_guest::command::ended;
use vm_guest::protocol::Ended;

/// Every program spawned since the boot, by process id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes(Arc<Mutex<HashMap<u32, Arc<Process>>>>);

#[derive(Debug, Default)]
struct Process {
    ended: Mutex<Option<Ended>>,
    changed: Condvar,
}

impl Processes {
    pub(crate) fn spawn(
        &self,
        argv: &[String],
        environment: Vec<(String, String)>,
        log: &str,
    ) -> anyhow::Result<u32> {
        let (program, arguments) = argv.split_first().context("an empty command")?;
        ensure!(Path::new(program).is_absolute(), "{program:?} is not an absolute path");
        if let Some(parent) = Path::new(log).parent() {
            fs::create_dir_all(parent)?;
        }
        let log = OpenOptions::new().create(true).append(true).open(log).with_context(|| log.to_owned())?;
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let pid = child.id();
        let process = Arc::new(Process::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pid, Arc::clone(&process));
        std::thread::spawn(move || {
            let how = child.wait().map_or(Ended::Signal(0), ended);
            *process.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
            process.changed.notify_all();
        });
        Ok(pid)
    }

    /// Signals a spawned program that still runs; one that has ended is left alone, because its
    /// process id may be another's by now.
    pub(crate) fn signal(&self, pid: u32, signal: i32) -> anyhow::Result<()> {
        let process = self.require(pid)?;
        let ended = process.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_some() {
            return Ok(());
        }
        let signal = Signal::from_named_raw(signal).with_context(|| format!("no signal {signal}"))?;
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a bad process id")?;
        rustix::process::kill_process(pid, signal)?;
        Ok(())
    }

    pub(crate) fn await_exit(&self, pid: u32, deadline: Duration) -> anyhow::Result<Ended> {
        let process = self.require(pid)?;
        let ended = process.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _timeout) = process
            .changed
            .wait_timeout_while(ended, deadline, |ended| ended.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        Ok(ended.unwrap_or(Ended::Deadline { reaped: false }))
    }

    fn require(&self, pid: u32) -> anyhow::Result<Arc<Process>> {
        let processes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        processes.get(&pid).cloned().with_context(|| format!("no spawned program has process id {pid}"))
    }
}
