//! The node's service: set up what a worker node runs, then answer the host.
//!
//! Every request has a thread of its own, so one that hangs (a stat on a dead NFS server) delays
//! no other.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use nix::mount::{MsFlags, mount};
use vm_guest::command::Command;
use vm_guest::protocol::{Frame, Reply, Request, read_frame, read_until_sync};

use crate::daemons::{MULTIPATHD, UDEVD};
use crate::port::{Reader, Writer};
use crate::processes::Processes;
use crate::{files, identity, port, relay, state};

/// One kernel module a line; written into the image beside the modules themselves.
const MODULES: &str = "/etc/modules-load.d/worker-node.conf";

/// Serves the host until the port fails.
pub(crate) fn run() -> anyhow::Result<()> {
    set_up()?;
    let file = port::open()?;
    let writer = Writer::new(file.try_clone()?);
    let mut reader = Reader(file);
    writer.sync()?;
    let hello = Reply::Hello {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        uptime_ms: uptime_ms()?,
    };
    writer.send(0, &hello, &[])?;
    read_until_sync(&mut reader)?;
    let processes = Processes::default();
    loop {
        let frame: Frame<Request> = read_frame(&mut reader)?;
        let (writer, processes) = (writer.clone(), processes.clone());
        std::thread::Builder::new()
            .spawn(move || answer(frame, &processes, &writer))
            .context("no thread for a request")?;
    }
}

fn set_up() -> anyhow::Result<()> {
    for (kind, target, data) in [
        ("devpts", "/dev/pts", "mode=620,ptmxmode=666"),
        ("tmpfs", "/dev/shm", "mode=1777"),
        ("tmpfs", "/run", "mode=755"),
        ("tmpfs", "/tmp", "mode=1777"),
    ] {
        fs::create_dir_all(target)?;
        mount(Some(kind), target, Some(kind), MsFlags::empty(), Some(data))
            .with_context(|| format!("cannot mount {target}"))?;
    }
    for directory in ["/run/lock", "/run/udev"] {
        fs::create_dir_all(directory)?;
    }
    // As systemd does: mounts propagate, and a container's bind mounts with rshared depend on it.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>)
        .context("making / shared")?;
    let modules = fs::read_to_string(MODULES).with_context(|| MODULES.to_owned())?;
    Command::new("/usr/sbin/modprobe", Duration::from_secs(60))
        .arg("-a")
        .args(modules.split_whitespace())
        .require_success()
        .context("loading modules")?;
    Command::new("/usr/sbin/ip", Duration::from_secs(20))
        .args(["link", "set", "lo", "up"])
        .require_success()
        .context("bringing up lo")?;
    // udevd before multipathd: the latter listens to the events of the former. Both stay for the
    // life of the node, and PID 1 reaps them if this program should end first.
    for daemon in [UDEVD, MULTIPATHD] {
        let mut child = daemon.start()?;
        std::thread::spawn(move || child.wait());
    }
    Ok(())
}

fn uptime_ms() -> anyhow::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)?;
    Ok(u64::try_from(Duration::from(now).as_millis())?)
}

fn answer(frame: Frame<Request>, processes: &Processes, writer: &Writer) {
    let id = frame.envelope.id;
    let (reply, body) = fulfil(frame.envelope.message, frame.body, processes)
        .unwrap_or_else(|error| (Reply::Failed { reason: format!("{error:#}") }, Vec::new()));
    if let Err(error) = writer.send(id, &reply, &body) {
        eprintln!("vm-guest: cannot answer request {id}: {error:#}");
    }
}

fn fulfil(request: Request, body: Vec<u8>, processes: &Processes) -> anyhow::Result<(Reply, Vec<u8>)> {
    let plain = |reply| Ok((reply, Vec::new()));
    match request {
        Request::Ping => plain(Reply::Done),
        Request::Run { argv, environment, deadline_ms, output_limit } => {
            let (program, arguments) = argv.split_first().context("an empty command")?;
            let mut command = Command::new(program, Duration::from_millis(deadline_ms))
                .args(arguments)
                .input(body)
                .output_limit(output_limit);
            for (name, value) in environment {
                command = command.env(name, value);
            }
            let output = command.run()?;
            let stdout_length = output.stdout.len();
            let micros = u64::try_from(output.duration.as_micros()).unwrap_or(u64::MAX);
            let mut body = output.stdout;
            body.extend(output.stderr);
            let truncated = output.truncated;
            Ok((Reply::Ran { ended: output.ended, stdout_length, truncated, micros }, body))
        }
        Request::Spawn { argv, environment, log } => {
            plain(Reply::Spawned { pid: processes.spawn(&argv, environment, &log)? })
        }
        Request::Signal { pid, signal } => {
            processes.signal(pid, signal)?;
            plain(Reply::Done)
        }
        Request::AwaitExit { pid, deadline_ms } => {
            plain(Reply::Exited { ended: processes.await_exit(pid, Duration::from_millis(deadline_ms))? })
        }
        Request::Put { path, mode, offset, last } => {
            files::put(&path, mode, offset, last, &body)?;
            plain(Reply::Done)
        }
        Request::Get { path, offset, limit } => Ok((Reply::Piece, files::get(&path, offset, limit)?)),
        Request::Relay { listen, socket } => {
            plain(Reply::Listening { address: relay::listen(listen, socket)? })
        }
        Request::Personalise(identity) => {
            identity::personalise(&identity)?;
            plain(Reply::Done)
        }
        Request::ObserveState => plain(Reply::State(state::observe()?)),
    }
}
