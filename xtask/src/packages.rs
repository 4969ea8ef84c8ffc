//! Debian packages that the chores need: found out with dpkg, printed, asked for, installed.

use std::io::{IsTerminal, Write};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::run;

/// What the tests of single crates call: the makers of the filesystems they recognise, a foreign
/// iSCSI initiator with its conformance suite, Python for the clients that others wrote, a browser
/// for the status page.
pub(crate) const FOR_TESTS: &[&str] = &[
    "chromium",
    "chromium-driver",
    "curl",
    "e2fsprogs",
    "libiscsi-bin",
    "libnfs-utils",
    "openssh-client",
    "python3",
    "python3-venv",
    "xfsprogs",
];

/// What building and running a worker node takes.
pub(crate) const FOR_NODES: &[&str] = &[
    "debian-archive-keyring",
    "erofs-utils",
    "iproute2",
    "kmod",
    "lz4",
    "mmdebstrap",
    "qemu-system-x86",
    "util-linux",
    "xz-utils",
    "zstd",
];

/// Installs what is missing, after showing it. With `yes`, or in CI, no question is asked.
///
/// # Errors
/// When this is no Debian-like machine, the answer is no, or apt fails.
pub(crate) fn ensure(groups: &[&[&str]], yes: bool) -> Result<()> {
    let missing = missing(&groups.concat())?;
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("These Debian packages are needed and not installed:\n  {}", missing.join(" "));
    if !(yes || std::env::var_os("CI").is_some() || agreed()?) {
        bail!("nothing was installed; run again and agree, or install them yourself");
    }
    install(&missing)
}

fn missing<'a>(wanted: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut missing = Vec::new();
    for package in wanted {
        let output = Command::new("/usr/bin/dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package])
            .output()
            .context("start /usr/bin/dpkg-query: this chore needs Debian 12+ or Ubuntu 22.04+")?;
        if output.stdout != b"installed" {
            missing.push(*package);
        }
    }
    Ok(missing)
}

fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("cannot ask: no terminal. Run again with --yes to install them");
    }
    eprint!("Install them now with apt-get? [Y/n] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = || {
        let mut command = Command::new("/usr/bin/apt-get");
        // apt's own chatter goes to stderr: stdout belongs to the chore's result.
        command.env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
        command
    };
    run(apt().args(["--quiet", "update"]))
        .context("installing packages needs root and a reachable mirror")?;
    run(apt().args(["--quiet", "--yes", "--no-install-recommends", "install"]).args(packages))
        .context("installing packages needs root")
}

#[cfg(test)]
mod tests {
    /// Two lists, because a chore must not need the harness built before it can install what the
    /// harness needs.
    #[test]
    fn what_is_installed_for_nodes_is_what_their_builder_asks_for() {
        assert_eq!(super::FOR_NODES, vm::HOST_PACKAGES);
    }
}
