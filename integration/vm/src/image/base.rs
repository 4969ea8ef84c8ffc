//! The base layer: a Debian root from packages, the kernel beside it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use vm_guest::command::Command;

use super::cache::{Key, at};
use super::packages::{
    BOOT_MODULES, EARLY_MODULES, KERNEL_PACKAGE, NODE_PACKAGES, SPARE_MODULES, SUITE, TRIMMED,
};
use super::{ImageError, kernel};

/// The root filesystem's image, in the entry.
pub(super) const ROOT: &str = "root.erofs";
/// The kernel as an ELF file, in the entry.
pub(super) const KERNEL: &str = "vmlinux";
/// Modules of the initial RAM disk, in the entry.
pub(super) const EARLY: &str = "early";

/// Raised when the recipe below changes in a way that its lists do not show.
const RECIPE: &str = "1";

/// Downloads the kernel's package inside the new root, where apt knows the node's release and not
/// the host's. Installing it would only build an initial RAM disk that nobody boots.
const DOWNLOAD_KERNEL: &str = r#"set -e
mkdir "$1/kernel"
cd "$1/kernel"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
apt-get download "$(apt-cache depends --important KERNEL_PACKAGE | sed -n 's/^ *Depends: //p')""#;

/// The hash of all that goes into a base.
pub(super) fn key() -> String {
    let lists = [NODE_PACKAGES, TRIMMED, EARLY_MODULES, BOOT_MODULES, SPARE_MODULES];
    lists
        .iter()
        .fold(Key::default().parts([RECIPE, SUITE, KERNEL_PACKAGE, DOWNLOAD_KERNEL]), |key, list| {
            key.parts(*list)
        })
        .part(known_kernel().unwrap_or_default())
        .short()
}

/// The kernel's version as the host's apt resolves it, when the host runs the node's release: a
/// security update then makes a new base. Elsewhere the base stays as it was built.
fn known_kernel() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    release.lines().find(|line| *line == format!("VERSION_CODENAME={SUITE}"))?;
    let policy = Command::new("/usr/bin/apt-cache", Duration::from_secs(20))
        .args(["policy", KERNEL_PACKAGE])
        .require_success()
        .ok()?;
    let text = String::from_utf8_lossy(&policy.stdout).into_owned();
    text.lines().find_map(|line| line.trim().strip_prefix("Candidate: ").map(str::to_owned))
}

/// Fills the entry.
pub(super) fn build(entry: &Path) -> Result<(), ImageError> {
    let started = Instant::now();
    let say = |what: &str| eprintln!("node image: {what} ({:.0} s)", started.elapsed().as_secs_f32());
    let root = entry.join("root");
    say("installing Debian packages, about half a minute");
    install_packages(&root)?;
    say("unpacking the kernel");
    let unpacked = entry.join("kernel");
    let kernel = kernel::unpack(&root.join("kernel"), &unpacked)?;
    at("remove", &root, fs::remove_dir_all(root.join("kernel")))?;
    kernel.write_elf(&entry.join(KERNEL))?;
    trim(&root)?;
    kernel.install_modules(&root, [EARLY_MODULES, BOOT_MODULES, SPARE_MODULES].concat().as_slice())?;
    kernel.collect_early(EARLY_MODULES, &entry.join(EARLY))?;
    write_boot_list(&root)?;
    say("writing the root filesystem");
    Command::new("/usr/bin/mkfs.erofs", Duration::from_secs(120))
        .args(["-T", "0"])
        .arg(entry.join(ROOT))
        .arg(&root)
        .require_success()?;
    at("remove", &root, fs::remove_dir_all(&root))?;
    at("remove", &unpacked, fs::remove_dir_all(&unpacked))?;
    say("done");
    Ok(())
}

fn install_packages(root: &Path) -> Result<(), ImageError> {
    // In a mount namespace of its own: should the builder be killed, what it mounted in the new
    // root (the host's /dev among others) is gone before the root is removed.
    Command::new("/usr/bin/unshare", Duration::from_secs(900))
        .args(["--mount", "--propagation", "private", "--", "/usr/bin/mmdebstrap"])
        .args(["--mode=root", "--variant=essential"])
        .arg(format!("--include={}", NODE_PACKAGES.join(",")))
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg("--aptopt=APT::Sandbox::User \"root\"")
        .args(
            ["doc", "info", "locale", "man"]
                .map(|kind| format!("--dpkgopt=path-exclude=/usr/share/{kind}/*")),
        )
        .arg(format!("--customize-hook={}", DOWNLOAD_KERNEL.replace("KERNEL_PACKAGE", KERNEL_PACKAGE)))
        .arg(SUITE)
        .arg(root)
        .require_success()?;
    Ok(())
}

fn trim(root: &Path) -> Result<(), ImageError> {
    for name in TRIMMED {
        let path = root.join(name);
        let Ok(kind) = path.symlink_metadata() else { continue };
        let removed = if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        at("remove", &path, removed)?;
    }
    // Programs expect these, empty or not.
    for name in ["boot", "mnt", "var/cache", "var/log", "var/lib/iscsi"] {
        let path = root.join(name);
        at("create", &path, fs::create_dir_all(&path))?;
    }
    Ok(())
}

fn write_boot_list(root: &Path) -> Result<(), ImageError> {
    let directory = root.join("etc/modules-load.d");
    at("create", &directory, fs::create_dir_all(&directory))?;
    let path = directory.join("worker-node.conf");
    Ok(at("write", &path, fs::write(&path, BOOT_MODULES.join("\n") + "\n"))?)
}
