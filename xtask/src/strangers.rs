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
/// What is installed, and what only part is unpacked of.
const LISTS: [&str; 2] = ["requirements.txt", "bundle.txt"];
/// The part of the bundle that is unpacked, into the venv's `collections`.
const UNPACKED: &str = "ansible_collections/netapp/ontap/";
/// Written last: a venv without it is one whose making was cut off.
const COMPLETE: &str = "complete";
/// The package whose tests need the venv.
const PACKAGE: &str = "ontap-sim";

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
        tests.args(["nextest", "run", "--package", PACKAGE, "--run-ignored", "only", "--no-capture"]);
    } else {
        tests.args(["test", "--package", PACKAGE, "--tests", "--", "--ignored", "--nocapture"]);
    }
    run(&mut tests)
}

/// Finds the venv or makes it.
///
/// # Errors
/// When Python itself cannot make one; a failing download is [`Strangers::Missing`].
pub(crate) fn prepare() -> Result<Strangers> {
    let lists = workspace().join("simulator/ontap-sim/tests/strangers");
    let venv = target_directory().join("strangers").join(content_hash(&lists)?);
    let complete = venv.join(COMPLETE);
    if complete.exists() {
        return Ok(Strangers::Ready(venv));
    }
    eprintln!("Installing clients from the Python package index into {}", venv.display());
    run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = |action: &str, list: &str| {
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", action]);
        pip.arg("--requirement").arg(lists.join(list));
        pip
    };
    let [installed, unpacked] = LISTS;
    let bundle = venv.join("bundle");
    let mut download = pip("download", unpacked);
    download.args(["--no-deps", "--dest"]).arg(&bundle);
    for mut step in [pip("install", installed), download] {
        let output = step.output().context("start pip")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let reason = said.lines().rfind(|line| !line.trim().is_empty());
            return Ok(Strangers::Missing(reason.unwrap_or("pip failed and said nothing").to_owned()));
        }
    }
    run(Command::new(venv.join("bin/python")).args(["-c", UNPACK, UNPACKED]).arg(&bundle).arg(&venv))?;
    std::fs::write(&complete, "").with_context(|| format!("write {}", complete.display()))?;
    Ok(Strangers::Ready(venv))
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
    for list in LISTS {
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
    list.args(["nextest", "list", "--package", PACKAGE, "--run-ignored", "only", "--cargo-quiet"]);
    let output = list.args(["--message-format", "oneline"]).output().context("start cargo nextest")?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with(PACKAGE)).count())
}
