//! The one way to run a program: absolute path, argument vector, deadline, own process group,
//! bounded output, empty environment. No shell, no secrets in arguments.

mod table;

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

pub use table::Program;

use crate::own_time::in_kernel;
use crate::root::HostRoot;

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
    let mut group = Group::of(&child);
    let (mut stdout, mut stderr) = (Capture::default(), Capture::default());
    let ended = {
        let outputs = (child.stdout.take(), child.stderr.take());
        let run = await_end(&mut child, outputs, &mut stdout, &mut stderr);
        tokio::time::timeout_at(deadline.into(), run).await
    };
    let status = match ended {
        Ok(status) => status.map_err(failed)?,
        Err(_elapsed) => {
            group.kill();
            // Reaps it; one in uninterruptible sleep stays, and its group's number with it.
            let _still_there = tokio::time::timeout(AFTER_KILL, child.wait()).await;
            return Err(CommandError::Overdue {
                command,
                limit: started.elapsed(),
                stderr: stderr.into_text(),
            });
        }
    };
    tracing::debug!(%command, %status, took = ?started.elapsed(), "program ended");
    let (stdout, stderr) = (stdout.into_text(), stderr.into_text());
    // Whoever it left behind in its group goes too; nobody there is the normal case.
    group.kill();
    if status.success() {
        Ok(Output { stdout, stderr })
    } else {
        Err(CommandError::Failed { command, status, stderr })
    }
}

/// Waits for the program while both outputs are read, so that neither fills its pipe.
async fn await_end(
    child: &mut Child,
    (out, err): (Option<impl AsyncRead + Unpin>, Option<impl AsyncRead + Unpin>),
    stdout: &mut Capture,
    stderr: &mut Capture,
) -> io::Result<ExitStatus> {
    let reading = async { tokio::join!(stdout.read_all(out), stderr.read_all(err)) };
    tokio::pin!(reading);
    let status = tokio::select! {
        status = child.wait() => status?,
        _both_closed = &mut reading => return child.wait().await,
    };
    let _held_open = tokio::time::timeout(AFTER_END, reading).await;
    Ok(status)
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

/// A program's process group, killed when this is dropped, unless it was before.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn kill(&mut self) {
        if let Some(group) = self.0.take() {
            // ESRCH: nobody is left, which is what was wanted.
            let _nobody = killpg(group, Signal::SIGKILL);
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
