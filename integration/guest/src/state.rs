//! What storage the kernel shows: the evidence that nothing was left behind.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use vm_guest::protocol::{DeviceMapper, NodeState};

/// Reads the node's storage state.
pub(crate) fn observe() -> anyhow::Result<NodeState> {
    let block = names("/sys/block")?;
    let mut device_mapper = Vec::new();
    for name in block.iter().filter(|name| name.starts_with("dm-")) {
        device_mapper.push(DeviceMapper {
            name: attribute(&format!("/sys/block/{name}/dm/name"))?,
            uuid: attribute(&format!("/sys/block/{name}/dm/uuid"))?,
        });
    }
    device_mapper.sort();
    let table = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    let mut mounts: Vec<String> = table.lines().map(normalise_mount).collect();
    mounts.sort();
    Ok(NodeState { block, iscsi_sessions: names("/sys/class/iscsi_session")?, device_mapper, mounts })
}

/// Entries of a directory, sorted; a class that no driver has registered is empty.
fn names(directory: &str) -> anyhow::Result<Vec<String>> {
    if !Path::new(directory).try_exists()? {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.to_owned())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn attribute(path: &str) -> anyhow::Result<String> {
    Ok(fs::read_to_string(path).with_context(|| path.to_owned())?.trim().to_owned())
}

/// Drops the mount ids, and the device number where it is anonymous (major 0): the kernel gives
/// both anew at every mount (proc_pid_mountinfo(5)).
fn normalise_mount(line: &str) -> String {
    let mut fields = line.split(' ').skip(2);
    let device = fields.next().unwrap_or_default();
    let device = if device.starts_with("0:") { "0:*" } else { device };
    let rest: Vec<&str> = fields.collect();
    format!("{device} {}", rest.join(" "))
}

#[cfg(test)]
mod tests {
    use super::normalise_mount;

    #[test]
    fn two_mounts_that_differ_only_in_kernel_numbers_are_equal() {
        let first = "36 25 0:31 / /mnt rw,relatime shared:1 - nfs4 192.168.0.101:/v rw,vers=4.1";
        let second = "77 25 0:48 / /mnt rw,relatime shared:1 - nfs4 192.168.0.101:/v rw,vers=4.1";
        assert_eq!(normalise_mount(first), normalise_mount(second));
    }

    #[test]
    fn a_mount_of_another_disk_is_another_mount() {
        let first = "36 25 253:0 / /mnt rw - ext4 /dev/mapper/a rw";
        let second = "36 25 253:1 / /mnt rw - ext4 /dev/mapper/a rw";
        assert_ne!(normalise_mount(first), normalise_mount(second));
    }
}
