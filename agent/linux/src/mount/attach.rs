//! Making mounts: of a filesystem, or of what is mounted elsewhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::options::Options;
use crate::blocking::Claim;
use crate::own_time::in_kernel;
use crate::sys;

/// Why a mount could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel does not know the filesystem.
    #[error(
        "this kernel has no filesystem {fs_type}: its module is not loaded and not found; run `depmod -a` and \
         then `modprobe {fs_type}` on this node, or install the package of the running kernel's modules"
    )]
    NoFilesystem {
        /// Which.
        fs_type: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An option was refused.
    #[error("{fs_type} refuses the mount option `{option}`{}", shown(log))]
    Option {
        /// Which filesystem.
        fs_type: String,
        /// The option.
        option: String,
        /// What the kernel said beside the error.
        log: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The filesystem could not be mounted.
    #[error("cannot mount {source_name} as {fs_type}{}{}", shown(log), cure(fs_type, source))]
    Refused {
        /// Which filesystem.
        fs_type: String,
        /// Of what.
        source_name: String,
        /// What the kernel said beside the error.
        log: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is mounted at `from` could not be taken.
    #[error("cannot bind {from}")]
    Bind {
        /// Where it is mounted.
        from: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The finished mount could not be attached.
    #[error("cannot attach the mount at {at}")]
    Attach {
        /// Where.
        at: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The caller had left; nothing was attached.
    #[error("the mount at {at} was ready too late and was given up")]
    TooLate {
        /// Where.
        at: String,
    },
}

impl MountError {
    /// The kernel's error.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::NoFilesystem { source, .. }
            | Self::Option { source, .. }
            | Self::Refused { source, .. }
            | Self::Bind { source, .. }
            | Self::Attach { source, .. } => source.raw_os_error(),
            Self::TooLate { .. } => None,
        }
    }
}

fn shown(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!(" ({log})") }
}

/// What usually helps, where the error number alone says it.
fn cure(fs_type: &str, source: &io::Error) -> &'static str {
    let nfs = fs_type.starts_with("nfs");
    match source.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) if nfs => {
            ": the export policy does not let this node's address in (or not with this NFS version)"
        }
        Some(libc::ENOENT) if nfs => {
            ": the server has no such export; is the volume mounted in its SVM's namespace?"
        }
        Some(libc::EPROTONOSUPPORT) if nfs => {
            ": the server does not speak this NFS version; choose another with mount option vers="
        }
        Some(libc::ECONNREFUSED | libc::ETIMEDOUT | libc::EHOSTUNREACH) if nfs => {
            ": the data LIF does not answer; check it and the network between"
        }
        Some(libc::EUCLEAN | libc::EBADMSG) => ": the filesystem is damaged and needs its repair tool",
        Some(libc::EBUSY) if !nfs => ": the device is in use by another holder",
        _ => "",
    }
}

/// What to mount, and how.
#[derive(Debug)]
pub(super) struct NewMount<'a> {
    pub(super) fs_type: &'a str,
    pub(super) source: &'a str,
    pub(super) options: &'a Options,
    pub(super) at: &'a Path,
}

/// Mounts a filesystem. Blocks for as long as the device or the server takes: run it in a bulkhead.
pub(super) fn mount(new: &NewMount<'_>, claim: &Claim) -> Result<(), MountError> {
    let fs_type = || new.fs_type.to_owned();
    let context = in_kernel(|| fsopen(new.fs_type, FsOpenFlags::FSOPEN_CLOEXEC))
        .map_err(|errno| MountError::NoFilesystem { fs_type: fs_type(), source: errno.into() })?;
    let refused = |errno: Errno| MountError::Refused {
        fs_type: fs_type(),
        source_name: new.source.to_owned(),
        log: log(context.as_fd()),
        source: errno.into(),
    };
    fsconfig_set_string(&context, "source", new.source).map_err(refused)?;
    for (key, value) in &new.options.filesystem {
        let set = match value {
            Some(value) => fsconfig_set_string(&context, key.as_str(), value.as_str()),
            None => fsconfig_set_flag(&context, key.as_str()),
        };
        set.map_err(|errno| MountError::Option {
            fs_type: fs_type(),
            option: value.as_ref().map_or_else(|| key.clone(), |value| format!("{key}={value}")),
            log: log(context.as_fd()),
            source: errno.into(),
        })?;
    }
    in_kernel(|| fsconfig_create(&context)).map_err(refused)?;
    let detached = in_kernel(|| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, new.options.attributes))
        .map_err(refused)?;
    attach(&detached, new.at, claim)
}

/// Mounts at `to` what stands at `from`: a mounted directory, or a device node.
///
/// # Errors
/// [`MountError`]. Blocks while a dead server is asked about `from`: run it in a bulkhead.
pub fn bind(from: &Path, to: &Path, read_only: bool, claim: &Claim) -> Result<(), MountError> {
    let failed = |source: io::Error| MountError::Bind { from: from.display().to_string(), source };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW
        | OpenTreeFlags::AT_NO_AUTOMOUNT;
    let detached = in_kernel(|| open_tree(CWD, from, flags)).map_err(|errno| failed(errno.into()))?;
    // Before it is attached: a bind that is made read-only afterwards is writable for a moment.
    if read_only {
        sys::make_read_only(detached.as_fd()).map_err(failed)?;
    }
    attach(&detached, to, claim)
}

/// The only moment at which a mount becomes visible. Dropped unattached, it dissolves.
fn attach(detached: &OwnedFd, at: &Path, claim: &Claim) -> Result<(), MountError> {
    if !claim.commit() {
        return Err(MountError::TooLate { at: at.display().to_string() });
    }
    in_kernel(|| move_mount(detached, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH))
        .map_err(|errno| MountError::Attach { at: at.display().to_string(), source: errno.into() })
}

/// The messages a filesystem context holds (`e`rror, `w`arning, `i`nformation, one a read).
fn log(context: BorrowedFd<'_>) -> String {
    let mut messages = Vec::new();
    let mut buffer = [0_u8; 1024];
    while let Ok(length @ 1..) = rustix::io::read(context, &mut buffer) {
        let message = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        messages.push(message.trim_start_matches(['e', 'w', 'i']).trim().to_owned());
        if messages.len() == 8 {
            break;
        }
    }
    messages.join("; ")
}

/// Unmounts the topmost mount at `at`. A symbolic link in its place is not followed, and the mount is
/// not entered.
///
/// # Errors
/// umount2(2)'s.
pub(super) fn unmount(at: &Path, detach: bool) -> io::Result<()> {
    let mut flags = UnmountFlags::NOFOLLOW;
    flags.set(UnmountFlags::DETACH, detach);
    in_kernel(|| rustix::mount::unmount(at, flags)).map_err(io::Error::from)
}

/// Mounts a block device.
///
/// # Errors
/// [`MountError`]. Blocks while a map queues: run it in a bulkhead.
pub fn mount_device(
    fs_type: &str,
    node: &Path,
    options: &[String],
    at: &Path,
    claim: &Claim,
) -> Result<(), MountError> {
    let options = super::options::part(options.iter().map(String::as_str));
    let source = node.display().to_string();
    mount(&NewMount { fs_type, source: &source, options: &options, at }, claim)
}
