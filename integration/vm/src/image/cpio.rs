//! Initial RAM disks: the `newc` archive format that the kernel unpacks
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::path::Path;

/// An archive under construction; equal content gives equal bytes.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
    inode: u32,
}

const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;

impl Archive {
    /// Adds a file, and the directories above it.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        let mut above: Vec<&Path> = Path::new(path).ancestors().skip(1).collect();
        above.reverse();
        for directory in above {
            let name = directory.to_string_lossy().into_owned();
            if !name.is_empty() && self.directories.insert(name.clone()) {
                self.entry(&name, DIRECTORY, &[]);
            }
        }
        self.entry(path, REGULAR | mode, content);
    }

    /// The archive's bytes.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = [self.inode, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Archive;

    #[test]
    fn directories_come_once_and_before_their_files() {
        let mut archive = Archive::default();
        archive.file("a/b/one", 0o755, b"1");
        archive.file("a/b/two", 0o644, b"22");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let names: Vec<&str> = text
            .split("070701")
            .skip(1)
            .map(|entry| entry.get(104..).unwrap().split('\0').next().unwrap())
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/one", "a/b/two", "TRAILER!!!"]);
    }
}
