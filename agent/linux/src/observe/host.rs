//! What this host offers, for preflight.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use agent_core::facts::{Daemon, HostFacts, KernelFeature, Probe, Program};
use agent_core::outcome::ObserveError;
use contract::Iqn;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::utsname::uname;

use super::failed;
use crate::command;
use crate::error_text::unknown;
use crate::multipath::socket;
use crate::root::HostRoot;

/// iscsid's socket for iscsiadm, as `/proc/net/unix` shows abstract names.
const ISCSID_SOCKET: &str = "@ISCSIADM_ABSTRACT_NAMESPACE";
const DAEMON_LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn observe(root: &HostRoot) -> Result<HostFacts, ObserveError> {
    let kernel = uname().map_err(|errno| failed("the kernel's release", errno))?;
    let kernel = kernel.release().to_string_lossy().into_owned();
    let features = [
        (KernelFeature::Nfs, "nfs4", "nfsv4"),
        (KernelFeature::IscsiTcp, "", "iscsi_tcp"),
        (KernelFeature::DmMultipath, "", "dm_multipath"),
        (KernelFeature::Ext4, "ext4", "ext4"),
        (KernelFeature::Xfs, "xfs", "xfs"),
    ];
    let programs = [
        (Program::Iscsiadm, command::Program::Iscsiadm),
        (Program::MkfsExt4, command::Program::MkfsExt4),
        (Program::MkfsXfs, command::Program::MkfsXfs),
    ];
    Ok(HostFacts {
        addresses: addresses()?,
        initiator: initiator(root),
        daemons: daemons(root).await,
        kernel_features: features
            .map(|(feature, filesystem, module)| (feature, kernel_feature(root, &kernel, filesystem, module)))
            .into(),
        programs: programs.map(|(name, program)| (name, present(program.find(root).is_some()))).into(),
        kernel,
    })
}

/// Which daemons answer now.
pub(super) async fn daemons(root: &HostRoot) -> BTreeMap<Daemon, Probe<()>> {
    let multipathd = match socket::ask("show daemon", Instant::now() + DAEMON_LIMIT).await {
        Ok(_answer) => Probe::Present(()),
        Err(error @ socket::MultipathdError::NotRunning(_)) => {
            tracing::debug!(%error, "multipathd");
            Probe::Absent
        }
        Err(error) => unknown(&error),
    };
    BTreeMap::from([(Daemon::Iscsid, iscsid(root)), (Daemon::Multipathd, multipathd)])
}

fn present(is_there: bool) -> Probe<()> {
    if is_there { Probe::Present(()) } else { Probe::Absent }
}

/// Somebody listens on iscsid's socket: iscsid itself, or systemd, which starts it at the first
/// connection. Not connected to, because iscsid complains about a caller that asks nothing.
fn iscsid(root: &HostRoot) -> Probe<()> {
    match fs::read_to_string(root.proc("net/unix")) {
        Ok(sockets) => present(sockets.lines().any(|line| line.ends_with(ISCSID_SOCKET))),
        Err(error) => unknown(&error),
    }
}

fn addresses() -> Result<Vec<IpAddr>, ObserveError> {
    let interfaces = getifaddrs().map_err(|errno| failed("the network interfaces", errno))?;
    let mut addresses = Vec::new();
    for interface in interfaces {
        if interface.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let Some(address) = interface.address else { continue };
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (_, Some(v6)) => IpAddr::V6(v6.ip()),
            _ => continue,
        };
        if is_global(ip) && !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    Ok(addresses)
}

/// Reachable from beyond this link; private ranges count.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified()),
    }
}

/// `InitiatorName=` of open-iscsi's file; lines that begin with `#` are comments.
fn initiator(root: &HostRoot) -> Probe<Iqn> {
    let path = root.path("etc/iscsi/initiatorname.iscsi");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Probe::Absent,
        Err(error) => return unknown(&error),
    };
    let Some(name) = text.lines().find_map(|line| line.trim().strip_prefix("InitiatorName=")) else {
        return Probe::Absent;
    };
    match name.trim().parse() {
        Ok(iqn) => Probe::Present(iqn),
        Err(error) => unknown(&error),
    }
}

/// Loaded, built in, or on disk for this kernel to load when it is first asked for. modprobe(8) believes
/// the list: a file that is not on it is not found, and a line whose file is gone (the kernel's package
/// was updated, depmod did not run) loads nothing.
fn kernel_feature(root: &HostRoot, kernel: &str, filesystem: &str, module: &str) -> Probe<()> {
    let registered = fs::read_to_string(root.proc("filesystems")).unwrap_or_default();
    let known =
        registered.lines().any(|line| !filesystem.is_empty() && line.trim_end().ends_with(filesystem));
    if known || root.sys(format!("module/{module}")).is_dir() {
        return Probe::Present(());
    }
    let modules = root.path(format!("lib/modules/{kernel}"));
    let [loadable, builtin] =
        ["modules.dep", "modules.builtin"].map(|list| fs::read_to_string(modules.join(list)));
    if let (Err(error), Err(_)) = (&loadable, &builtin) {
        return unknown(error);
    }
    let is_it = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file);
        name.split_once(".ko").is_some_and(|(stem, _)| stem.replace('-', "_") == module)
    };
    let files =
        |list: &str| list.lines().filter_map(|line| Some(line.split(':').next()?.to_owned())).collect();
    let [loadable, builtin]: [Vec<String>; 2] =
        [loadable, builtin].map(|list| list.map(|list| files(&list)).unwrap_or_default());
    let on_disk = |file: &String| is_it(file) && modules.join(file).is_file();
    present(builtin.iter().any(|file| is_it(file)) || loadable.iter().any(on_disk))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = HostRoot::at(directory.path());
        (directory, root)
    }

    #[test]
    fn the_initiators_name_is_read_past_its_comments() {
        let text = "## DO NOT EDIT\n#InitiatorName=iqn.1993-08.org.debian:no\nInitiatorName=iqn.1993-08.org.debian:01:ab\n";
        let (_directory, root) = root(&[("etc/iscsi/initiatorname.iscsi", text)]);
        assert_eq!(initiator(&root), Probe::Present("iqn.1993-08.org.debian:01:ab".parse().unwrap()));
    }

    #[test]
    fn a_host_without_a_name_has_none_and_a_broken_one_is_no_name() {
        assert_eq!(initiator(&root(&[]).1), Probe::Absent);
        let (_directory, root) = root(&[("etc/iscsi/initiatorname.iscsi", "InitiatorName=x")]);
        assert!(matches!(initiator(&root), Probe::Unknown(_)));
    }

    #[test]
    fn a_module_on_disk_is_a_feature_even_when_it_is_not_loaded() {
        let list = "kernel/drivers/md/dm-multipath.ko.xz: kernel/drivers/md/dm-mod.ko.xz\n";
        let (_directory, root) = root(&[
            ("lib/modules/6.1/modules.dep", list),
            ("lib/modules/6.1/kernel/drivers/md/dm-multipath.ko.xz", ""),
            ("proc/filesystems", "\text4\n"),
        ]);
        assert_eq!(kernel_feature(&root, "6.1", "", "dm_multipath"), Probe::Present(()));
        assert_eq!(kernel_feature(&root, "6.1", "", "iscsi_tcp"), Probe::Absent);
        assert_eq!(kernel_feature(&root, "6.1", "ext4", "ext4"), Probe::Present(()));
        assert!(matches!(kernel_feature(&root, "5.0", "", "dm_multipath"), Probe::Unknown(_)));
    }

    #[test]
    fn a_module_whose_file_is_gone_or_that_is_not_on_the_list_is_no_feature() {
        let list = "kernel/fs/nfs/nfsv4.ko: kernel/fs/nfs/nfs.ko\n";
        let (_directory, stale) = root(&[("lib/modules/6.1/modules.dep", list)]);
        assert_eq!(kernel_feature(&stale, "6.1", "nfs4", "nfsv4"), Probe::Absent);
        let (_directory, unlisted) =
            root(&[("lib/modules/6.1/modules.dep", ""), ("lib/modules/6.1/kernel/fs/nfs/nfsv4.ko", "")]);
        assert_eq!(kernel_feature(&unlisted, "6.1", "nfs4", "nfsv4"), Probe::Absent);
        let (_directory, built_in) = root(&[("lib/modules/6.1/modules.builtin", "kernel/fs/nfs/nfsv4.ko\n")]);
        assert_eq!(kernel_feature(&built_in, "6.1", "nfs4", "nfsv4"), Probe::Present(()));
    }

    #[test]
    fn iscsid_is_seen_by_its_socket_without_a_word_to_it() {
        let line = "0000: 00000002 00000000 00010000 0001 01 123 @ISCSIADM_ABSTRACT_NAMESPACE\n";
        assert_eq!(iscsid(&root(&[("proc/net/unix", line)]).1), Probe::Present(()));
        assert_eq!(iscsid(&root(&[("proc/net/unix", "Num\n")]).1), Probe::Absent);
    }
}
