//! The image of a node: kernel, root filesystem, initial RAM disk.
//!
//! Two layers. The *base* (Debian packages, kernel, modules) takes half a minute and changes
//! seldom. The *initial RAM disk* carries the control program and the configuration files and is
//! written in no time: a change of those costs no new base.

mod base;
mod cache;
mod cpio;
mod kernel;
mod packages;

use std::fs;
use std::path::{Path, PathBuf};

use vm_guest::command::CommandError;

pub use cache::CacheError;
pub(crate) use cache::{Cache, Key, at};
pub use packages::HOST_PACKAGES;

const CONTROL_PROGRAM: &str = "vm-guest";

/// Files laid over the root at boot.
const FILES: [(&str, &str); 2] = [
    ("etc/iscsi/iscsid.conf", include_str!("files/iscsid.conf")),
    ("etc/multipath.conf", include_str!("files/multipath.conf")),
];

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A program of the builder failed.
    #[error("building the node's image; the host needs the packages {HOST_PACKAGES:?}")]
    Builder(#[from] CommandError),
    /// The kernel's file is not what is known.
    #[error("cannot unpack the kernel {path:?}: {reason}")]
    Kernel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The control program is not there.
    #[error("the nodes' control program {path:?} is not there: run `cargo build --package vm-guest`")]
    NoControlProgram {
        /// Where it was expected.
        path: PathBuf,
    },
}

/// A node's image, in the cache.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) kernel: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) key: String,
}

impl Image {
    /// The image with this control program, built now if it is not in the cache
    /// (`$TINE_CACHE`, else `~/.cache/tine`). Blocks: up to a minute when built, milliseconds
    /// when not. Progress goes to standard error.
    ///
    /// # Errors
    /// The cache is unusable, a program of the builder is missing or fails, the control program
    /// is not there.
    pub fn ensure(guest_program: &Path) -> Result<Self, ImageError> {
        let program = fs::read(guest_program)
            .map_err(|_| ImageError::NoControlProgram { path: guest_program.to_owned() })?;
        let cache = Cache::open()?;
        let base_key = base::key();
        let base = cache.ensure(&format!("base-{base_key}"), base::build)?;
        let key = FILES
            .iter()
            .fold(Key::default().part(&base_key), |key, (path, text)| key.part(path).part(text))
            .part(&program)
            .short();
        let initrd = cache.ensure(&format!("initrd-{key}"), |directory| {
            write_initrd(&base, &program, &directory.join("initrd"))
        })?;
        Ok(Self {
            kernel: base.join(base::KERNEL),
            root: base.join(base::ROOT),
            initrd: initrd.join("initrd"),
            key,
        })
    }

    /// The control program that cargo put beside the running program (or, for a test, in the
    /// directory above it).
    ///
    /// # Errors
    /// It is not there.
    pub fn default_guest_program() -> Result<PathBuf, ImageError> {
        let running = std::env::current_exe().unwrap_or_default();
        let beside = |directory: &Path| directory.join(CONTROL_PROGRAM);
        running
            .ancestors()
            .skip(1)
            .take(2)
            .map(beside)
            .find(|path| path.is_file())
            .ok_or_else(|| ImageError::NoControlProgram { path: running.with_file_name(CONTROL_PROGRAM) })
    }
}

fn write_initrd(base: &Path, program: &[u8], to: &Path) -> Result<(), ImageError> {
    let mut archive = cpio::Archive::default();
    archive.file("init", 0o755, program);
    for (path, text) in FILES {
        archive.file(&format!("files/{path}"), 0o644, text.as_bytes());
    }
    let early = base.join(base::EARLY);
    let mut names = Vec::new();
    for entry in at("list", &early, fs::read_dir(&early))? {
        names.push(at("list", &early, entry)?.file_name());
    }
    names.sort();
    for name in names {
        let path = early.join(&name);
        let content = at("read", &path, fs::read(&path))?;
        archive.file(&format!("early/{}", name.to_string_lossy()), 0o644, &content);
    }
    Ok(at("write", to, fs::write(to, archive.finish()))?)
}
