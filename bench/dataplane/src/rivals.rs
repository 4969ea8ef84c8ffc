//! The servers ours are compared with, as Debian ships them, with memory (tmpfs) behind them.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::Server;
use crate::serve::SPAN;

/// What tgt serves here.
pub(crate) const TGT_TARGET: &str = "iqn.2026-11.example:rival";
/// Where it listens.
pub(crate) const TGT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3260);
/// Where Ganesha serves NFS; MOUNT is one port higher.
pub(crate) const GANESHA: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2049);
/// What it exports.
pub(crate) const GANESHA_EXPORT: &str = "/dev/shm/export";
const RPCBIND: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 111);

const UNIT_FILE: &str = "/dev/shm/unit";
/// tgt's own words for the parameters the client offers: without them it takes 8 KiB a PDU.
const TGT_PARAMETERS: [(&str, &str); 7] = [
    ("MaxRecvDataSegmentLength", "262144"),
    ("MaxXmitDataSegmentLength", "262144"),
    ("FirstBurstLength", "262144"),
    ("MaxBurstLength", "1048576"),
    ("InitialR2T", "No"),
    ("ImmediateData", "Yes"),
    ("MaxQueueCmd", "128"),
];

/// tgtd with one unit of [`SPAN`] bytes, a file read and written by its worker threads (`rdwr`,
/// its default).
pub(crate) fn tgt() -> Result<Server> {
    std::fs::create_dir_all("/run/tgtd")?;
    std::fs::File::create(UNIT_FILE)?.set_len(SPAN as u64)?;
    let mut command = Command::new("/usr/sbin/tgtd");
    command.args(["-f", "--iscsi", &format!("portal={TGT}")]);
    let server = Server::start("tgtd", &mut command, TGT)?;
    tgtadm(&["--op", "new", "--mode", "target", "--tid", "1", "-T", TGT_TARGET])?;
    tgtadm(&[
        "--op",
        "new",
        "--mode",
        "logicalunit",
        "--tid",
        "1",
        "--lun",
        "1",
        "-b",
        UNIT_FILE,
        "--bstype",
        "rdwr",
    ])?;
    tgtadm(&["--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"])?;
    for (name, value) in TGT_PARAMETERS {
        tgtadm(&["--op", "update", "--mode", "target", "--tid", "1", "--name", name, "--value", value])?;
    }
    Ok(server)
}

fn tgtadm(arguments: &[&str]) -> Result<()> {
    run(Command::new("/usr/sbin/tgtadm").args(["--lld", "iscsi"]).args(arguments))
}

/// Ganesha's NFS v3 over a directory in memory, and the port mapper it insists on.
pub(crate) fn ganesha() -> Result<(Server, Server)> {
    for directory in ["/run/ganesha", "/var/lib/nfs/ganesha"] {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o777).create(GANESHA_EXPORT)?;
    let rpcbind = Server::start("rpcbind", Command::new("/usr/sbin/rpcbind").args(["-f", "-w"]), RPCBIND)?;
    let configuration = "/run/ganesha.conf";
    let text = format!(
        "NFS_CORE_PARAM {{ NFS_Port = {}; MNT_Port = {}; Protocols = 3; Enable_NLM = false; \
           Enable_RQUOTA = false; Enable_UDP = false; }}\n\
         EXPORT {{ Export_Id = 1; Path = {GANESHA_EXPORT}; Pseudo = /export; Access_Type = RW; \
           Squash = No_Root_Squash; SecType = sys; Protocols = 3; FSAL {{ Name = VFS; }} }}\n",
        GANESHA.port(),
        GANESHA.port() + 1,
    );
    std::fs::write(configuration, text)?;
    let mut command = Command::new("/usr/bin/ganesha.nfsd");
    command.args([
        "-F",
        "-f",
        configuration,
        "-L",
        "/run/ganesha.log",
        "-p",
        "/run/ganesha.pid",
        "-N",
        "WARN",
    ]);
    Ok((Server::start("ganesha", &mut command, GANESHA)?, rpcbind))
}

/// A namespace's loopback comes down; memory over the directories that servers write to.
pub(crate) fn prepare_namespaces() -> Result<()> {
    run(Command::new("/usr/sbin/ip").args(["link", "set", "lo", "up"]))?;
    for directory in ["/run", "/var/lib/nfs", "/dev/shm"] {
        std::fs::create_dir_all(directory)?;
        run(Command::new("/usr/bin/mount").args(["-t", "tmpfs", "-o", "size=8g", "bench", directory]))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
