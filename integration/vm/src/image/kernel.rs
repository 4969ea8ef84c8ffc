//! The distribution's kernel: unpacked from its package, decompressed to the ELF file that QEMU
//! starts directly (PVH), its modules reduced to a closure.
//!
//! Booting the package's own bzImage works too, but the emulated CPU would spend five seconds
//! decompressing it, at every boot.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vm_guest::command::Command;

use super::ImageError;
use super::cache::at;

const DEADLINE: Duration = Duration::from_secs(120);

/// Compressions of a kernel's payload by their first bytes, with the program that undoes them.
const COMPRESSIONS: [(&[u8], &str, &[&str]); 3] = [
    (b"\xfd7zXZ\0", "/usr/bin/xz", &["-dc", "--single-stream"]),
    (b"\x28\xb5\x2f\xfd", "/usr/bin/zstd", &["-dc"]),
    (b"\x02\x21\x4c\x18", "/usr/bin/lz4", &["-dc", "-l"]),
];

/// An unpacked kernel package.
#[derive(Debug)]
pub(super) struct Kernel {
    tree: PathBuf,
    release: String,
}

/// Unpacks the one package in `downloaded`.
pub(super) fn unpack(downloaded: &Path, tree: &Path) -> Result<Kernel, ImageError> {
    let package = only_entry(downloaded)?;
    Command::new("/usr/bin/dpkg-deb", DEADLINE).arg("-x").arg(package).arg(tree).require_success()?;
    let modules = only_entry(&tree.join("lib/modules"))?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Command::new("/usr/sbin/depmod", DEADLINE).arg("-b").arg(tree).arg(&release).require_success()?;
    Ok(Kernel { tree: tree.to_owned(), release })
}

fn only_entry(directory: &Path) -> Result<PathBuf, ImageError> {
    let mut entries = Vec::new();
    for entry in at("list", directory, fs::read_dir(directory))? {
        entries.push(at("list", directory, entry)?.path());
    }
    match <[PathBuf; 1]>::try_from(entries) {
        Ok([entry]) => Ok(entry),
        Err(entries) => Err(ImageError::Kernel {
            path: directory.to_owned(),
            reason: format!("expected one entry, found {entries:?}"),
        }),
    }
}

impl Kernel {
    /// Writes the uncompressed kernel.
    pub(super) fn write_elf(&self, to: &Path) -> Result<(), ImageError> {
        let path = self.tree.join("boot").join(format!("vmlinuz-{}", self.release));
        let image = at("read", &path, fs::read(&path))?;
        let refuse = |reason: String| ImageError::Kernel { path: path.clone(), reason };
        let payload = payload(&image).ok_or_else(|| refuse("not a bzImage".to_owned()))?;
        let (_, program, arguments) = COMPRESSIONS
            .iter()
            .find(|(magic, ..)| payload.starts_with(magic))
            .ok_or_else(|| refuse(format!("unknown compression {:02x?}", payload.get(..6))))?;
        // The payload ends with its length, which some of these programs call garbage: the result
        // is judged by what it is.
        let output = Command::new(*program, DEADLINE)
            .args(*arguments)
            .input(payload.to_vec())
            .output_limit(512 << 20)
            .run()?;
        if !output.stdout.starts_with(b"\x7fELF") {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(refuse(format!("{program} gave no ELF file: {text}")));
        }
        Ok(at("write", to, fs::write(to, output.stdout))?)
    }

    /// Copies the named modules and all that they need into the root.
    pub(super) fn install_modules(&self, root: &Path, names: &[&str]) -> Result<(), ImageError> {
        let within = Path::new("lib/modules").join(&self.release);
        let (from, to) = (self.tree.join(&within), root.join("usr").join(&within));
        let mut files: BTreeSet<PathBuf> = ["modules.builtin", "modules.builtin.modinfo", "modules.order"]
            .map(|name| from.join(name))
            .into();
        for name in names {
            files.extend(self.closure(name)?);
        }
        for file in files {
            let target = to.join(file.strip_prefix(&from).unwrap_or(&file));
            if let Some(parent) = target.parent() {
                at("create", parent, fs::create_dir_all(parent))?;
            }
            at("copy to", &target, fs::copy(&file, &target))?;
        }
        Command::new("/usr/sbin/depmod", DEADLINE)
            .arg("-b")
            .arg(root)
            .arg(&self.release)
            .require_success()?;
        Ok(())
    }

    /// Copies the modules of the initial RAM disk, and the order in which to load them.
    pub(super) fn collect_early(&self, names: &[&str], to: &Path) -> Result<(), ImageError> {
        at("create", to, fs::create_dir(to))?;
        let mut order: Vec<String> = Vec::new();
        for name in names {
            for file in self.closure(name)? {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if !order.contains(&name) {
                    let target = to.join(&name);
                    at("copy to", &target, fs::copy(&file, &target))?;
                    order.push(name);
                }
            }
        }
        let path = to.join("order");
        Ok(at("write", &path, fs::write(&path, order.join("\n") + "\n"))?)
    }

    /// The files to load for a module, in order; none when it is built in.
    fn closure(&self, name: &str) -> Result<Vec<PathBuf>, ImageError> {
        let shown = Command::new("/usr/sbin/modprobe", DEADLINE)
            .arg("-d")
            .arg(&self.tree)
            .args(["-S", &self.release, "--show-depends", "--ignore-install", name])
            .require_success()?;
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        Ok(text
            .lines()
            .filter_map(|line| line.strip_prefix("insmod "))
            .filter_map(|rest| rest.split_whitespace().next())
            .map(PathBuf::from)
            .collect())
    }
}

/// The compressed kernel inside a bzImage (Documentation/arch/x86/boot.rst: `setup_sects`,
/// `payload_offset`, `payload_length`).
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| -> Option<usize> {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    image.get(start..start.checked_add(word(0x24c)?)?)
}

#[cfg(test)]
mod tests {
    use super::payload;

    #[test]
    fn the_payload_lies_behind_the_setup_sectors() {
        let mut image = vec![0; 4096];
        image[0x1f1] = 2;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&3u32.to_le_bytes());
        image[3 * 512 + 16..3 * 512 + 19].copy_from_slice(b"xyz");
        assert_eq!(payload(&image), Some(&b"xyz"[..]));
        image[0x202] = b'?';
        assert_eq!(payload(&image), None);
    }

    #[test]
    fn lengths_beyond_the_file_are_refused() {
        let mut image = vec![0; 1024];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x250].copy_from_slice(&[0xff; 8]);
        assert_eq!(payload(&image), None);
    }
}
