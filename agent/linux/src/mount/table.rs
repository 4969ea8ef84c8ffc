//! `/proc/self/mountinfo`, byte for byte (proc_pid_mountinfo(5)).
//!
//! Mount points are whatever bytes somebody chose: they need not be UTF-8, and the kernel writes
//! space, tab, newline and backslash as three octal digits. Options keep their order.

use std::fs;
use std::io;

use agent_core::facts::{DeviceNumber, MountFact};
use agent_core::path::HostPath;
use contract::NfsAttachment;

use crate::root::HostRoot;

/// One mount, escapes undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Mount id.
    pub id: u32,
    /// Mount id of the parent.
    pub parent: u32,
    /// `st_dev` of files on it.
    pub device: DeviceNumber,
    /// Path within its filesystem that is this mount's root.
    pub root: Vec<u8>,
    /// Where it is mounted.
    pub mount_point: Vec<u8>,
    /// Options of this mount, comma-separated.
    pub options: Vec<u8>,
    /// Filesystem type.
    pub fs_type: Vec<u8>,
    /// What was mounted.
    pub source: Vec<u8>,
    /// Options of the superblock, comma-separated.
    pub super_options: Vec<u8>,
}

impl Mount {
    /// Whether it is mounted at `path` or below it.
    pub fn is_within(&self, path: &HostPath) -> bool {
        let rest = self.mount_point.strip_prefix(path.as_str().as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// Whether it is mounted at exactly `path`.
    pub fn is_at(&self, path: &str) -> bool {
        self.mount_point == path.as_bytes()
    }

    /// Whether it is of that export, wherever it is mounted.
    pub fn is_of(&self, export: &NfsAttachment) -> bool {
        self.fs_type.starts_with(b"nfs")
            && std::str::from_utf8(&self.source).is_ok_and(|source| export.is_source(source))
    }

    /// For the bind mount of a device node: the node's name (`dm-0`). A node that was deleted since
    /// (`//deleted`) has none: its number may belong to another device by now.
    pub fn device_node(&self) -> Option<String> {
        let name = String::from_utf8(self.root.strip_prefix(b"/")?.to_vec()).ok()?;
        (self.fs_type == b"devtmpfs" && !name.is_empty() && !name.contains('/')).then_some(name)
    }

    /// As a fact; bytes that are not UTF-8 become U+FFFD, which no path of a request can equal.
    pub fn to_fact(&self, node_of: Option<DeviceNumber>) -> MountFact {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        MountFact {
            id: self.id,
            parent: self.parent,
            device: self.device,
            root: text(&self.root),
            mount_point: text(&self.mount_point),
            fs_type: text(&self.fs_type),
            source: text(&self.source),
            read_only: self.options.split(|byte| *byte == b',').any(|option| option == b"ro"),
            super_options: text(&self.super_options),
            node_of,
        }
    }
}

/// Why the mount table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MountTableError {
    /// The file could not be read.
    #[error("cannot read the mount table")]
    Read(#[source] io::Error),
    /// A line that proc_pid_mountinfo(5) does not allow. Never skipped: what is not understood may
    /// be the mount in question.
    #[error("mount table line {number} is not understood: `{line}`")]
    Malformed {
        /// Counted from 1.
        number: usize,
        /// The line.
        line: String,
    },
}

/// This process's mount table, in the kernel's order: of two mounts at one path the later is on top.
///
/// # Errors
/// See [`MountTableError`].
pub fn read(root: &HostRoot) -> Result<Vec<Mount>, MountTableError> {
    parse(&fs::read(root.proc("self/mountinfo")).map_err(MountTableError::Read)?)
}

/// Parses the text of a mountinfo file.
///
/// # Errors
/// [`MountTableError::Malformed`].
pub fn parse(text: &[u8]) -> Result<Vec<Mount>, MountTableError> {
    let lines = text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    lines
        .map(|(index, line)| {
            parse_line(line).ok_or_else(|| MountTableError::Malformed {
                number: index + 1,
                line: String::from_utf8_lossy(line).into_owned(),
            })
        })
        .collect()
}

/// `id parent major:minor root point options [tag…] - type source super-options`. Fields are parted
/// by exactly one space: an empty source leaves two in a row.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let root = unescape(fields.next()?);
    let mount_point = unescape(fields.next()?);
    let options = unescape(fields.next()?);
    fields.by_ref().find(|field| field == b"-")?;
    let fs_type = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    let super_options = unescape(fields.next()?);
    Some(Mount { id, parent, device, root, mount_point, options, fs_type, source, super_options })
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Undoes `\ooo`. A backslash before anything else stands for itself.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mount_is_read_with_its_escapes_undone() {
        let line = b"36 35 253:0 / /var/lib/a\\040b\\134c rw,noatime shared:1 master:2 - ext4 /dev/dm-0 rw,stripe=16\n";
        let mount = parse(line).unwrap().remove(0);
        assert_eq!((mount.id, mount.parent), (36, 35));
        assert_eq!(mount.device, DeviceNumber { major: 253, minor: 0 });
        assert_eq!(mount.mount_point, b"/var/lib/a b\\c");
        assert_eq!(mount.to_fact(None).super_options, "rw,stripe=16");
    }

    #[test]
    fn a_mount_without_tags_or_source_is_read() {
        let mount = parse(b"1 1 0:5 / /x ro - tmpfs  rw").unwrap().remove(0);
        assert_eq!(mount.source, b"");
        assert_eq!(mount.super_options, b"rw");
        assert!(mount.to_fact(None).read_only);
    }

    #[test]
    fn a_mount_point_that_is_not_utf8_is_kept_and_is_no_path_of_a_request() {
        let mount = parse(b"1 1 0:5 / /x\xff rw - tmpfs t rw").unwrap().remove(0);
        assert_eq!(mount.mount_point, b"/x\xff");
        assert!(!mount.is_at("/x\u{fffd}"));
        assert!(!mount.is_within(&"/x\u{fffd}".parse().unwrap()));
    }

    #[test]
    fn a_line_that_is_not_understood_is_an_error_not_a_skipped_mount() {
        for bad in [
            "1 1 0:5 / /x rw tmpfs t rw",
            "1 1 0:5 / /x",
            "x 1 0:5 / /x rw - tmpfs t rw",
            "1 1 05 / /x rw - t t rw",
        ] {
            let text = format!("1 1 0:5 / / rw - tmpfs t rw\n{bad}\n");
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(matches!(error, MountTableError::Malformed { number: 2, .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn only_a_live_device_node_counts_as_a_device() {
        let of = |line: &[u8]| parse(line).unwrap().remove(0).device_node();
        assert_eq!(of(b"1 1 0:5 /dm-0 /x rw - devtmpfs udev rw").as_deref(), Some("dm-0"));
        assert_eq!(of(b"1 1 0:5 /dm-0//deleted /x rw - devtmpfs udev rw"), None);
        assert_eq!(of(b"1 1 0:5 / /dev rw - devtmpfs udev rw"), None);
        assert_eq!(of(b"1 1 0:5 /dm-0 /x rw - tmpfs t rw"), None);
    }

    fn escaped(bytes: &[u8]) -> Vec<u8> {
        let special = |byte: &u8| b" \t\n\\#".contains(byte);
        bytes
            .iter()
            .flat_map(|byte| if special(byte) { format!("\\{byte:03o}").into_bytes() } else { vec![*byte] })
            .collect()
    }

    proptest! {
        #[test]
        fn any_mount_point_survives_the_kernels_escaping(path in proptest::collection::vec(1_u8.., 0..40)) {
            let mut line = b"7 1 8:1 / /".to_vec();
            line.extend(escaped(&path));
            line.extend(b" rw,relatime - ext4 /dev/x rw");
            let mount = parse(&line).unwrap().remove(0);
            prop_assert_eq!(&mount.mount_point[1..], &path[..]);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _whatever = parse(&text);
        }
    }
}
