//! Mount options as people write them, parted into what the mount and what the superblock gets.

use rustix::mount::MountAttrFlags;

/// Options of fstab(5) that only concern programs.
const FOR_PROGRAMS: [&str; 8] =
    ["defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "owner"];

/// Parted options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// For this mount (`ro`, `noexec` …).
    pub(super) attributes: MountAttrFlags,
    /// For the filesystem, in order: key, and value where there is one.
    pub(super) filesystem: Vec<(String, Option<String>)>,
}

/// Parts `options`; each may itself be a comma-separated list. `ro` goes to both: to the superblock,
/// so that a journal is not replayed by a mount that may not write, and to the mount.
pub(super) fn part<'a>(options: impl IntoIterator<Item = &'a str>) -> Options {
    let mut parted = Options { attributes: MountAttrFlags::empty(), filesystem: Vec::new() };
    for option in options.into_iter().flat_map(|list| list.split(',')).map(str::trim) {
        if option.is_empty() || FOR_PROGRAMS.contains(&option) || option.starts_with("x-") {
            continue;
        }
        if let Some((flags, set)) = attribute(option) {
            parted.attributes.set(flags, set);
            if !matches!(option, "ro" | "rw") {
                continue;
            }
        }
        let (key, value) = match option.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (option, None),
        };
        parted.filesystem.push((key.to_owned(), value));
    }
    parted
}

/// Attributes of a mount (mount_setattr(2)) and whether the option sets or clears them.
fn attribute(option: &str) -> Option<(MountAttrFlags, bool)> {
    Some(match option {
        "ro" => (MountAttrFlags::MOUNT_ATTR_RDONLY, true),
        "rw" => (MountAttrFlags::MOUNT_ATTR_RDONLY, false),
        "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, true),
        "suid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, false),
        "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, true),
        "dev" => (MountAttrFlags::MOUNT_ATTR_NODEV, false),
        "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
        "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
        "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
        "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, false),
        "nosymfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, true),
        // relatime is the absence of the two others.
        "relatime" | "atime" => {
            (MountAttrFlags::MOUNT_ATTR_NOATIME.union(MountAttrFlags::MOUNT_ATTR_STRICTATIME), false)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_reach_the_one_they_concern_in_order() {
        let parted = part(["noatime,data=ordered", "x-systemd.automount", "discard", "_netdev", "nosuid"]);
        assert_eq!(parted.attributes, MountAttrFlags::MOUNT_ATTR_NOATIME | MountAttrFlags::MOUNT_ATTR_NOSUID);
        let wanted = [("data".to_owned(), Some("ordered".to_owned())), ("discard".to_owned(), None)];
        assert_eq!(parted.filesystem, wanted);
    }

    #[test]
    fn a_later_option_takes_an_earlier_one_back() {
        let parted = part(["ro", "noatime", "rw", "relatime"]);
        assert_eq!(parted.attributes, MountAttrFlags::empty());
        assert_eq!(parted.filesystem.last(), Some(&("rw".to_owned(), None)));
    }
}
