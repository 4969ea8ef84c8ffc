//! `cargo xtask image`: a container image of one program and nothing else, and a trial of it.
//!
//! ```text
//! cargo build --release ─ strip ─ layer.tar (the program, /data) ─ archive: OCI layout + manifest of `docker load`
//! ```
//!
//! No daemon is needed to make it: an image is a tar archive of JSON and tar archives (OCI image specification 1.1).

mod archive;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, run, target_directory, workspace};

/// The user in the image: nobody.
const NOBODY: u64 = 65_534;
/// The largest image that is let pass, bytes.
const LARGEST: u64 = 30_000_000;

/// Builds the program, puts it into an archive for `docker load`, and perhaps tries it.
pub(crate) fn image(program: &str, out: Option<PathBuf>, tried: bool) -> Result<()> {
    let staged = build(program)?;
    let out = out.unwrap_or_else(|| target_directory().join(format!("{program}.tar")));
    let name = format!("{program}:{}", version()?);
    archive::write(&out, &name, program, &fs::read(&staged)?)?;
    let size = fs::metadata(&out)?.len();
    println!("{}: image {name}, {:.1} MB; docker load -i {0}", out.display(), megabytes(size));
    if size > LARGEST {
        bail!("the image is larger than {:.0} MB", megabytes(LARGEST));
    }
    if tried {
        trial::trial(program, &name, &out, &staged)?;
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The program without its symbols; one file that needs no other.
fn build(program: &str) -> Result<PathBuf> {
    eprintln!("Building {program}");
    run(cargo().args(["build", "--release", "--quiet", "--package", program, "--bin", program]))?;
    let release = release_directory()?;
    let (built, staged) = (release.join(program), release.join(format!("{program}.stripped")));
    // Of binutils, as the linker is.
    run(Command::new("strip").arg("-o").arg(&staged).arg(&built))?;
    let headers = Command::new("readelf").args(["--program-headers", "--wide"]).arg(&staged).output()?;
    if !headers.status.success() || String::from_utf8_lossy(&headers.stdout).contains("INTERP") {
        bail!("{} is not static: it names an interpreter", built.display());
    }
    Ok(staged)
}

/// Where `.cargo/config.toml` has release programs built to.
fn release_directory() -> Result<PathBuf> {
    let rustc = Command::new("rustc").arg("-vV").output().context("ask rustc for its host")?;
    let told = String::from_utf8(rustc.stdout)?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(target_directory().join(host.context("rustc does not say its host")?).join("release"))
}

/// The version of the workspace.
fn version() -> Result<String> {
    let manifest = fs::read_to_string(Path::new(&workspace()).join("Cargo.toml"))?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = \""));
    Ok(line.and_then(|rest| rest.split('"').next()).context("the workspace has no version")?.to_owned())
}
