//! The one way to run a program: absolute path, argument vector, deadline, own process group,
//! bounded output, empty environment. No shell, no secrets in arguments.

mod table;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

pub use table::Program;

use crate::own_time::in_kernel;
use crate::root::HostRoot;
use crate::sys;

/// Kept of each of a program's two outputs; the rest is read and dropped, so that it never blocks.
const OUTPUT_LIMIT: usize = 64 << 10;
/// How long a killed program may take to be gone. Longer is uninterruptible sleep.
const AFTER_KILL: Duration = Duration::from_secs(1);
/// How long outputs are read after the program's end: a child it left behind may hold them open.
const AFTER_END: Duration = Duration::from_millis(200);

/// What a program that ran to its end left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output, at most 64 KiB.
    pub stdout: String,
    /// Standard error, at most 64 KiB.
    pub stderr: String,
}

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Not on this host.
    #[error("program {program} is not on this host: install package {package}")]
    Missing {
        /// File name.
        program: &'static str,
        /// Package that has it.
        package: &'static str,
    },
    /// Could not be started or read.
    #[error("cannot run `{command}`")]
    Io {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Killed with its process group at the deadline.
    #[error("`{command}` was ended after {limit:?}: {}", shown(stderr))]
    Overdue {
        /// The command line.
        command: String,
        /// The time it had.
        limit: Duration,
        /// What it had said.
        stderr: String,
    },
    /// Ended with an error.
    #[error("`{command}` ended with {status}: {}", shown(stderr))]
    Failed {
        /// The command line.
        command: String,
        /// Exit code or signal.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
}

impl CommandError {
    /// The exit code, where the program gave one.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Failed { status, .. } => status.code(),
            Self::Missing { .. } | Self::Io { .. } | Self::Overdue { .. } => None,
        }
    }
}

fn shown(stderr: &str) -> &str {
    let text = stderr.trim();
    if text.is_empty() { "it said nothing" } else { text }
}

/// Runs `program` with `arguments` and waits for its end.
///
/// When the future is dropped or the deadline comes, the program's whole process group is killed.
///
/// # Errors
/// [`CommandError`]; an exit code other than 0 is one.
pub async fn run(
    root: &HostRoot,
    program: Program,
    arguments: &[OsString],
    deadline: Instant,
) -> Result<Output, CommandError> {
    let missing = CommandError::Missing { program: program.name(), package: program.package() };
    let path = program.find(root).ok_or(missing)?;
    run_path(path.into_os_string(), arguments, deadline).await
}

async fn run_path(path: OsString, arguments: &[OsString], deadline: Instant) -> Result<Output, CommandError> {
    let words = std::iter::once(&path).chain(arguments).map(|word| word.to_string_lossy());
    let command = words.collect::<Vec<_>>().join(" ");
    let failed = |source| CommandError::Io { command: command.clone(), source };
    let started = Instant::now();
    let mut program = Command::new(&path);
    program
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = in_kernel(|| program.spawn()).map_err(failed)?;
    let outputs = (child.stdout.take(), child.stderr.take());
    let mut group = Group::of(child).map_err(failed)?;
    let (mut stdout, mut stderr) = (Capture::default(), Capture::default());
    let ended = {
        let run = await_end(&group, outputs, &mut stdout, &mut stderr);
        tokio::time::timeout_at(deadline.into(), run).await
    };
    // At its deadline, or whoever it left behind in its group; nobody there is the normal case.
    group.kill();
    // An end that was seen is there to be read; one in uninterruptible sleep stays, and its group's
    // number with it.
    let reaped = tokio::time::timeout(AFTER_KILL, group.child.wait()).await;
    let (stdout, stderr) = (stdout.into_text(), stderr.into_text());
    let status = match (ended, reaped) {
        (Ok(ended), Ok(status)) => ended.and(status).map_err(failed)?,
        (Err(_elapsed), _) | (_, Err(_elapsed)) => {
            return Err(CommandError::Overdue { command, limit: started.elapsed(), stderr });
        }
    };
    tracing::debug!(%command, %status, took = ?started.elapsed(), "program ended");
    if status.success() {
        Ok(Output { stdout, stderr })
    } else {
        Err(CommandError::Failed { command, status, stderr })
    }
}

/// Waits for the program while both outputs are read, so that neither fills its pipe. It is not
/// reaped.
async fn await_end(
    group: &Group,
    (out, err): (Option<impl AsyncRead + Unpin>, Option<impl AsyncRead + Unpin>),
    stdout: &mut Capture,
    stderr: &mut Capture,
) -> io::Result<()> {
    let reading = async { tokio::join!(stdout.read_all(out), stderr.read_all(err)) };
    tokio::pin!(reading);
    tokio::select! {
        ended = group.ended() => ended?,
        _both_closed = &mut reading => return group.ended().await,
    };
    let _held_open = tokio::time::timeout(AFTER_END, reading).await;
    Ok(())
}

/// The head of an output.
#[derive(Default)]
struct Capture(Vec<u8>);

impl Capture {
    async fn read_all(&mut self, source: Option<impl AsyncRead + Unpin>) {
        let Some(mut source) = source else { return };
        let mut chunk = [0_u8; 4096];
        // An error ends the output as its end does: the exit status is what counts.
        while let Ok(length @ 1..) = source.read(&mut chunk).await {
            let room = OUTPUT_LIMIT.saturating_sub(self.0.len()).min(length);
            self.0.extend(chunk.iter().take(room));
        }
    }

    fn into_text(self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

/// A program with its process group, which is killed when this is dropped, unless it was before.
///
/// The group has the program's number. Until the program is reaped that number is nobody else's, so
/// the group is killed first and the program reaped after: the other way round, the signal could hit
/// a stranger that was given the number meanwhile.
struct Group {
    child: Child,
    /// Readable once the program has ended, reaped or not (pidfd_open(2)).
    end: AsyncFd<OwnedFd>,
    leader: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> io::Result<Self> {
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        let leader = number.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let end = sys::readable(pidfd_open(leader, PidfdFlags::empty())?)?;
        Ok(Self { child, end, leader: Some(leader) })
    }

    /// Returns when the program has ended; it is not reaped.
    async fn ended(&self) -> io::Result<()> {
        self.end.readable().await.map(drop)
    }

    fn kill(&mut self) {
        if let Some(leader) = self.leader.take() {
            // ESRCH: nobody is left, which is what was wanted.
            let _nobody = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, limit: Duration) -> Result<Output, CommandError> {
        let arguments = [OsString::from("-c"), OsString::from(script)];
        run_path("/bin/sh".into(), &arguments, Instant::now() + limit).await
    }

    fn is_alive(pid: &str) -> bool {
        // A zombie that nobody reaps yet is dead too.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[tokio::test]
    async fn a_program_gets_no_environment_and_no_input() {
        let output = shell("cat; echo $HOME$USER; pwd", Duration::from_secs(10)).await.unwrap();
        assert_eq!(output.stdout, "\n/\n");
    }

    #[tokio::test]
    async fn a_failure_carries_the_command_its_status_and_what_it_said() {
        let error = shell("echo no luck >&2; exit 21", Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(error.exit_code(), Some(21));
        let text = error.to_string();
        assert!(text.contains("/bin/sh -c") && text.contains("21") && text.contains("no luck"), "{text}");
    }

    #[tokio::test]
    async fn the_deadline_ends_the_whole_process_group() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo waiting >&2; wait", file.display());
        let error = shell(&script, Duration::from_millis(500)).await.unwrap_err();
        assert!(
            matches!(&error, CommandError::Overdue { stderr, .. } if stderr.contains("waiting")),
            "{error}"
        );
        let grandchild = std::fs::read_to_string(&file).unwrap();
        for _ in 0..100 {
            if !is_alive(&grandchild) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {grandchild} outlived its group's end");
    }

    #[tokio::test]
    async fn dropping_the_run_ends_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 1000", file.display());
        let dropped =
            tokio::time::timeout(Duration::from_millis(500), shell(&script, Duration::from_secs(60)));
        dropped.await.unwrap_err();
        let child = std::fs::read_to_string(&file).unwrap();
        for _ in 0..100 {
            if !is_alive(&child) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("process {child} outlived the future that ran it");
    }

    #[tokio::test]
    async fn an_ended_programs_number_is_still_its_own_when_its_group_is_killed() {
        let child = Command::new("/bin/sh").args(["-c", "exit 3"]).process_group(0).spawn().unwrap();
        let mut group = Group::of(child).unwrap();
        let number = group.child.id().unwrap().to_string();
        group.ended().await.unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap();
        assert!(stat.contains(") Z "), "it has ended and its number is taken: {stat}");
        group.kill();
        assert_eq!(group.child.wait().await.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn what_a_program_left_behind_in_its_group_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script = format!("sleep 1000 > /dev/null 2>&1 & echo $! > {}", file.display());
        shell(&script, Duration::from_secs(30)).await.unwrap();
        let left = std::fs::read_to_string(&file).unwrap();
        let number = left.trim().parse().ok().and_then(Pid::from_raw).unwrap();
        let Ok(end) = pidfd_open(number, PidfdFlags::empty()) else { return };
        let end = sys::readable(end).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), end.readable()).await;
        assert!(ended.is_ok(), "process {left} outlived the program");
    }

    #[tokio::test]
    async fn endless_output_is_read_to_its_end_and_kept_to_its_limit() {
        let script = "dd if=/dev/zero bs=1024 count=1024 2>/dev/null; echo done >&2";
        let output = shell(script, Duration::from_secs(30)).await.unwrap();
        assert_eq!(output.stdout.len(), OUTPUT_LIMIT);
        assert_eq!(output.stderr, "done\n");
    }

    #[tokio::test]
    async fn a_program_that_leaves_a_child_with_its_output_does_not_hold_the_caller() {
        let started = Instant::now();
        shell("sleep 1000 & echo started", Duration::from_secs(30)).await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let nowhere = tempfile::tempdir().unwrap();
        let root = HostRoot::at(nowhere.path());
        assert_eq!(Program::Iscsiadm.find(&root), None);
    }
}
