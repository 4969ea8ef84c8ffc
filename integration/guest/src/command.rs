//! The one way to run a program: absolute path, argument vector, deadline, own process group,
//! captured and bounded output.
//!
//! One thread waits on the process and on its pipes together (a pidfd beside them in `poll(2)`),
//! so a full pipe cannot stall the program and a program that ignores its deadline is killed with
//! everything in its group.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command as Process, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::protocol::Ended;

/// How long the output of a program that has ended may stay open in other hands (a daemon that it
/// left behind), and how long a killed program may take to go.
const GRACE: Duration = Duration::from_millis(300);

/// A program to run.
#[derive(Clone, Debug)]
pub struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    deadline: Duration,
    output_limit: usize,
}

/// What a program did.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// The beginning of its standard output.
    pub stdout: Vec<u8>,
    /// The beginning of its standard error.
    pub stderr: Vec<u8>,
    /// It wrote more than was kept.
    pub truncated: bool,
    /// From start to end.
    pub duration: Duration,
}

/// Why a program could not be run, or did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A relative path would be looked up in whatever PATH happens to be.
    #[error("{program:?} is not an absolute path")]
    NotAbsolute {
        /// The program.
        program: PathBuf,
    },
    /// The program could not be started.
    #[error("cannot start {program:?}")]
    Start {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The program was started but could not be waited for.
    #[error("cannot wait for {program:?}")]
    Wait {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The program ended otherwise than with exit code 0.
    #[error("{program:?} {arguments:?} ended with {ended:?} after {duration:?}: {stderr}")]
    Unsuccessful {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<OsString>,
        /// How it ended.
        ended: Ended,
        /// After how long.
        duration: Duration,
        /// The end of its standard error.
        stderr: String,
    },
}

impl Command {
    /// A program by absolute path, to be ended after `deadline`.
    pub fn new(program: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: Vec::new(),
            deadline,
            output_limit: 1 << 20,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives standard input; none is `/dev/null`.
    #[must_use]
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    /// Keeps at most this many bytes of each output (1 MiB unless told).
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Runs the program to its end or its deadline.
    ///
    /// # Errors
    /// It cannot be started or waited for. How it ended is in the output, not an error.
    pub fn run(&self) -> Result<Output, CommandError> {
        if !self.program.is_absolute() {
            return Err(CommandError::NotAbsolute { program: self.program.clone() });
        }
        let started = Instant::now();
        let mut child = Process::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| CommandError::Start { program: self.program.clone(), source })?;
        self.feed(&mut child);
        self.watch(child, started)
            .map_err(|source| CommandError::Wait { program: self.program.clone(), source })
    }

    /// Runs the program and takes anything but exit code 0 as an error.
    ///
    /// # Errors
    /// As [`Command::run`], and an unsuccessful end.
    pub fn require_success(&self) -> Result<Output, CommandError> {
        let output = self.run()?;
        if output.ended.is_success() {
            return Ok(output);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = text.lines().rev().take(12).collect();
        Err(CommandError::Unsuccessful {
            program: self.program.clone(),
            arguments: self.arguments.clone(),
            ended: output.ended,
            duration: output.duration,
            stderr: tail.into_iter().rev().collect::<Vec<_>>().join("\n"),
        })
    }

    /// Writes standard input from a thread of its own: the program may read it whenever it likes.
    fn feed(&self, child: &mut Child) {
        if let Some(mut stdin) = child.stdin.take() {
            let input = self.input.clone();
            // A program that ends without reading its input is no error of ours.
            std::thread::spawn(move || stdin.write_all(&input));
        }
    }

    fn watch(&self, mut child: Child, started: Instant) -> io::Result<Output> {
        let pid = Pid::from_child(&child);
        let exit = pidfd_open(pid, PidfdFlags::empty())?;
        let mut pipes = Pipes::new(child.stdout.take(), child.stderr.take(), self.output_limit);
        let exited = pipes.drain_until_exit(&exit, started + self.deadline)?;
        let ended = if exited {
            let status = child.wait()?;
            pipes.drain_until_closed(Instant::now() + GRACE)?;
            ended(status)
        } else {
            // ESRCH: it ended between the deadline and the signal.
            let _gone = kill_process_group(pid, Signal::KILL);
            let reaped = pipes.drain_until_exit(&exit, Instant::now() + GRACE)?;
            if reaped {
                child.wait()?;
            } else {
                // Asleep in the kernel: someone must reap it when it wakes.
                std::thread::spawn(move || child.wait());
            }
            Ended::Deadline { reaped }
        };
        let (stdout, stderr, truncated) = pipes.into_parts();
        Ok(Output { ended, stdout, stderr, truncated, duration: started.elapsed() })
    }
}

/// How a process ended, from its wait status.
pub fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exit(code),
        (None, signal) => Ended::Signal(signal.unwrap_or(0)),
    }
}

struct Pipes {
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
}

struct Pipe<R> {
    reader: Option<R>,
    kept: Vec<u8>,
    limit: usize,
    truncated: bool,
}

impl<R: Read + AsFd> Pipe<R> {
    /// One read, after `poll` said that it will not block.
    fn drain(&mut self) -> io::Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let mut piece = [0; 16384];
        let count = match reader.read(&mut piece) {
            Ok(0) => {
                self.reader = None;
                return Ok(());
            }
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        };
        let room = self.limit.saturating_sub(self.kept.len()).min(count);
        self.kept.extend(piece.iter().take(room));
        self.truncated |= room < count;
        Ok(())
    }
}

impl Pipes {
    fn new(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>, limit: usize) -> Self {
        Self {
            stdout: Pipe { reader: stdout, kept: Vec::new(), limit, truncated: false },
            stderr: Pipe { reader: stderr, kept: Vec::new(), limit, truncated: false },
        }
    }

    /// Reads until the process has exited; false when the deadline came first.
    fn drain_until_exit(&mut self, exit: &OwnedFd, deadline: Instant) -> io::Result<bool> {
        loop {
            match self.step(Some(exit), deadline)? {
                Step::Exited => return Ok(true),
                Step::Late => return Ok(false),
                Step::Drained => {}
            }
        }
    }

    /// Reads what is left until both pipes are closed or the deadline comes.
    fn drain_until_closed(&mut self, deadline: Instant) -> io::Result<()> {
        while self.stdout.reader.is_some() || self.stderr.reader.is_some() {
            if matches!(self.step(None, deadline)?, Step::Late) {
                break;
            }
        }
        Ok(())
    }

    fn step(&mut self, exit: Option<&OwnedFd>, deadline: Instant) -> io::Result<Step> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Step::Late);
        }
        let (mut out, mut err, mut gone) = (false, false, false);
        {
            let mut watched = Vec::with_capacity(3);
            let mut flags: Vec<&mut bool> = Vec::with_capacity(3);
            if let Some(reader) = &self.stdout.reader {
                watched.push(PollFd::new(reader, PollFlags::IN));
                flags.push(&mut out);
            }
            if let Some(reader) = &self.stderr.reader {
                watched.push(PollFd::new(reader, PollFlags::IN));
                flags.push(&mut err);
            }
            if let Some(exit) = exit {
                watched.push(PollFd::new(exit, PollFlags::IN));
                flags.push(&mut gone);
            }
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut watched, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for (flag, watched) in flags.into_iter().zip(&watched) {
                *flag = !watched.revents().is_empty();
            }
        }
        if out {
            self.stdout.drain()?;
        }
        if err {
            self.stderr.drain()?;
        }
        Ok(if gone { Step::Exited } else { Step::Drained })
    }

    fn into_parts(self) -> (Vec<u8>, Vec<u8>, bool) {
        let truncated = self.stdout.truncated || self.stderr.truncated;
        (self.stdout.kept, self.stderr.kept, truncated)
    }
}

enum Step {
    Drained,
    Exited,
    Late,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Output {
        Command::new("/bin/sh", deadline).arg("-c").arg(script).run().unwrap()
    }

    #[test]
    fn both_outputs_and_the_exit_code_come_back() {
        let output = shell("echo out; echo err >&2; exit 3", Duration::from_secs(10));
        assert_eq!(output.ended, Ended::Exit(3));
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    }

    #[test]
    fn the_deadline_kills_the_whole_group() {
        let output = shell("(sleep 60 & echo $!; wait)", Duration::from_secs(1));
        assert_eq!(output.ended, Ended::Deadline { reaped: true });
        assert!(output.duration < Duration::from_secs(20), "{:?}", output.duration);
        let child = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        assert!(ends(child), "the grandchild outlived its group");
    }

    /// SIGKILL is on its way when the leader is reaped; its other receivers end a moment later.
    fn ends(pid: i32) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        match pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()) {
            Ok(process) => {
                let deadline = Timespec { tv_sec: 20, tv_nsec: 0 };
                poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&deadline)).unwrap() == 1
            }
            Err(error) => error == rustix::io::Errno::SRCH,
        }
    }

    #[test]
    fn a_daemon_left_behind_does_not_hold_up_the_answer() {
        let output = shell("sleep 3 & echo started", Duration::from_secs(60));
        assert_eq!(output.ended, Ended::Exit(0));
        assert_eq!(output.stdout, b"started\n");
        assert!(output.duration < Duration::from_secs(3), "{:?}", output.duration);
    }

    #[test]
    fn output_beyond_the_limit_is_read_and_dropped() {
        let output = Command::new("/bin/sh", Duration::from_secs(20))
            .args(["-c", "head -c 300000 /dev/zero"])
            .output_limit(1000)
            .run()
            .unwrap();
        assert_eq!((output.ended, output.stdout.len(), output.truncated), (Ended::Exit(0), 1000, true));
    }

    #[test]
    fn standard_input_reaches_the_program() {
        let output =
            Command::new("/bin/cat", Duration::from_secs(10)).input(b"through".to_vec()).run().unwrap();
        assert_eq!(output.stdout, b"through");
    }

    #[test]
    fn a_relative_program_is_refused() {
        let refused = Command::new("sh", Duration::from_secs(1)).run();
        assert!(matches!(refused, Err(CommandError::NotAbsolute { .. })), "{refused:?}");
    }
}
