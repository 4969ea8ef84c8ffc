//! Clients that others wrote, from the Python package index, in a venv that is made once.
//!
//! The tests that need them are marked `#[ignore]`, so that `cargo test` alone works without a
//! network; `cargo xtask test` makes the venv and runs them. Where it cannot be made because a
//! download fails, they are counted as not run, with the reason.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, has_cargo_subcommand, run, target_directory, workspace};
use crate::packages::{FOR_TESTS, ensure};

/// Where the tests look for the venv.
pub(crate) const VENV: &str = "STRANGERS_VENV";
/// What is installed: one requirement a line.
const INSTALLED: &str = "requirements.txt";
/// What only part is unpacked of, into the venv's `collections`: a requirement and the part, a line.
const BUNDLE: &str = "bundle.txt";
/// Written last: a venv without it is one whose making was cut off.
const COMPLETE: &str = "complete";
/// The packages whose tests need the venv.
const PACKAGES: [&str; 2] = ["ontap-sim", "solidfire-sim"];

/// The venv, or why it is not there.
pub(crate) enum Strangers {
    /// Everything is installed here.
    Ready(PathBuf),
    /// A download failed: the last thing that pip said.
    Missing(String),
}

/// `cargo xtask strangers`: only the tests that need the venv.
pub(crate) fn strangers(yes: bool) -> Result<()> {
    ensure(&[FOR_TESTS], yes)?;
    let venv = match prepare()? {
        Strangers::Ready(venv) => venv,
        Strangers::Missing(reason) => bail!("the clients could not be downloaded: {reason}"),
    };
    let mut tests = cargo();
    tests.env(VENV, venv);
    if has_cargo_subcommand("nextest") {
        tests.args(["nextest", "run", "--run-ignored", "only", "--no-capture"]).args(packages());
    } else {
        tests.args(["test", "--tests"]).args(packages()).args(["--", "--ignored", "--nocapture"]);
    }
    run(&mut tests)
}

fn packages() -> impl Iterator<Item = &'static str> {
    PACKAGES.into_iter().flat_map(|package| ["--package", package])
}

/// Finds the venv or makes it.
///
/// # Errors
/// When Python itself cannot make one; a failing download is [`Strangers::Missing`].
pub(crate) fn prepare() -> Result<Strangers> {
    let lists = workspace().join("simulator/strangers");
    let venv = target_directory().join("strangers").join(content_hash(&lists)?);
    let complete = venv.join(COMPLETE);
    if complete.exists() {
        return Ok(Strangers::Ready(venv));
    }
    eprintln!("Installing clients from the Python package index into {}", venv.display());
    run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let python = || Command::new(venv.join("bin/python"));
    let pip = |action: &str| {
        let mut pip = python();
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", action]);
        pip
    };
    let mut install = pip("install");
    install.arg("--requirement").arg(lists.join(INSTALLED));
    if let Some(reason) = find_failure(install)? {
        return Ok(Strangers::Missing(reason));
    }
    let bundle = venv.join("bundle");
    for (requirement, part) in bundled(&lists)? {
        let mut download = pip("download");
        download.args(["--no-deps", "--dest"]).arg(&bundle).arg(requirement);
        if let Some(reason) = find_failure(download)? {
            return Ok(Strangers::Missing(reason));
        }
        run(python().args(["-c", UNPACK, &part]).arg(&bundle).arg(&venv))?;
    }
    std::fs::write(&complete, "").with_context(|| format!("write {}", complete.display()))?;
    Ok(Strangers::Ready(venv))
}

/// The last thing that a failing download says.
fn find_failure(mut download: Command) -> Result<Option<String>> {
    let output = download.output().context("start pip")?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let reason = said.lines().rfind(|line| !line.trim().is_empty());
    Ok(Some(reason.unwrap_or("pip failed and said nothing").to_owned()))
}

/// Requirements and the parts of them.
fn bundled(lists: &Path) -> Result<Vec<(String, String)>> {
    let path = lists.join(BUNDLE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| line.split_once(' ').map(|(wheel, part)| (wheel.to_owned(), part.to_owned()));
    lines.map(|line| pair(line).with_context(|| format!("{}: {line}", path.display()))).collect()
}

/// Arguments: the part, the directory of the wheel, the venv. The wheel is deleted: it is large.
const UNPACK: &str = "import pathlib, shutil, sys, zipfile
part, bundle, venv = sys.argv[1:]
for wheel in pathlib.Path(bundle).glob('*.whl'):
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.startswith(part)]
        archive.extractall(pathlib.Path(venv) / 'collections', names)
shutil.rmtree(bundle)";

/// Names a venv by what is in it and by the Python that it belongs to. A hash that changes with
/// the compiler costs one more download.
fn content_hash(lists: &Path) -> Result<String> {
    let mut hash = DefaultHasher::new();
    for list in [INSTALLED, BUNDLE] {
        let path = lists.join(list);
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))?.hash(&mut hash);
    }
    let python = Command::new("/usr/bin/python3").arg("--version").output();
    python.context("start /usr/bin/python3")?.stdout.hash(&mut hash);
    UNPACK.hash(&mut hash);
    Ok(format!("{:016x}", hash.finish()))
}

/// How many tests are left out while the venv is missing.
pub(crate) fn count() -> Result<usize> {
    let mut list = cargo();
    list.args(["nextest", "list", "--run-ignored", "only", "--cargo-quiet"]).args(packages());
    let output = list.args(["--message-format", "oneline"]).output().context("start cargo nextest")?;
    let test = |line: &&str| PACKAGES.iter().any(|package| line.starts_with(package));
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(test).count())
}
