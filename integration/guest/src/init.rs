//! PID 1: from the initial RAM disk to the node's root filesystem, then the reaper of orphans.
//!
//! The root is a read-only erofs image under a tmpfs overlay: nothing a test writes outlives the
//! node, and a node can be saved and restored because its disk never changes. The RAM disk also
//! carries `files/`, a tree laid over the root: what changes often needs no new image.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::wait::{WaitStatus, wait};

use crate::await_path::await_path;

/// Modules that the root filesystem needs, in the order to load them; relative to `/early`.
const EARLY_ORDER: &str = "/early/order";
const ROOT_DISK: &str = "/dev/vda";
const NEW_ROOT: &str = "/new";
/// Where the program lies once the RAM disk is gone.
const PROGRAM: &str = "/usr/sbin/vm-guest";

/// Runs as PID 1; returns only when the node cannot live.
pub(crate) fn run() -> anyhow::Result<()> {
    mount_kernel_filesystems()?;
    load_early_modules()?;
    await_path(c"/dev", Path::new(ROOT_DISK), Duration::from_secs(20))?;
    assemble_root()?;
    lay_files(Path::new("/files"), Path::new(NEW_ROOT))?;
    fs::copy("/init", format!("{NEW_ROOT}{PROGRAM}")).context("copying the control program")?;
    enter_root()?;
    let serving = Command::new(PROGRAM)
        .arg("serve")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .spawn()
        .context("starting the control program")?;
    reap(serving.id())
}

fn mount_kernel_filesystems() -> anyhow::Result<()> {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        fs::create_dir_all(target)?;
        mount_new(kind, target, kind, MsFlags::empty(), None)?;
    }
    Ok(())
}

fn mount_new(
    source: &str,
    target: &str,
    kind: &str,
    flags: MsFlags,
    data: Option<&str>,
) -> anyhow::Result<()> {
    mount(Some(source), target, Some(kind), flags, data)
        .with_context(|| format!("cannot mount {kind} on {target}"))
}

fn load_early_modules() -> anyhow::Result<()> {
    let order = fs::read_to_string(EARLY_ORDER).with_context(|| EARLY_ORDER.to_owned())?;
    for name in order.lines() {
        let file = File::open(format!("/early/{name}")).with_context(|| name.to_owned())?;
        let no_parameters: &CStr = c"";
        match rustix::system::finit_module(&file, no_parameters, 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("loading {name}")),
        }
    }
    Ok(())
}

fn assemble_root() -> anyhow::Result<()> {
    for directory in ["/lower", "/upper", NEW_ROOT] {
        fs::create_dir_all(directory)?;
    }
    mount_new(ROOT_DISK, "/lower", "erofs", MsFlags::MS_RDONLY, None)?;
    mount_new("tmpfs", "/upper", "tmpfs", MsFlags::empty(), None)?;
    fs::create_dir_all("/upper/files")?;
    fs::create_dir_all("/upper/work")?;
    let layers = "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work";
    mount_new("root", NEW_ROOT, "overlay", MsFlags::empty(), Some(layers))
}

/// Copies a tree over another, with the permission bits of its files.
fn lay_files(from: &Path, onto: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = onto.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            lay_files(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| target.display().to_string())?;
            let mode = entry.metadata()?.permissions().mode();
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// Makes the overlay the root of everything and gives the RAM disk's memory back.
fn enter_root() -> anyhow::Result<()> {
    for kernel in ["/proc", "/sys", "/dev"] {
        let target = format!("{NEW_ROOT}{kernel}");
        fs::create_dir_all(&target)?;
        mount(Some(kernel), target.as_str(), None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .with_context(|| format!("moving {kernel}"))?;
    }
    fs::remove_dir_all("/early")?;
    fs::remove_dir_all("/files")?;
    fs::remove_file("/init")?;
    std::env::set_current_dir(NEW_ROOT)?;
    // A RAM disk cannot be left by pivot_root(2); the overlay is moved over it instead.
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).context("moving the root")?;
    nix::unistd::chroot(".").context("entering the root")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// Reaps every orphan; ends when the serving program does.
fn reap(serving: u32) -> anyhow::Result<()> {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid.as_raw().unsigned_abs() == serving => {
                bail!("the control program ended with exit code {code}");
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid.as_raw().unsigned_abs() == serving => {
                bail!("the control program was ended by {signal}");
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}
