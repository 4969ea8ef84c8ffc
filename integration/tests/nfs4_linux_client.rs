//! NFS v4.0, v4.1 and v4.2 of the simulated server judged by the Linux kernel's client, in worker
//! nodes.

#![allow(clippy::expect_used, reason = "the helpers of a test fail it by panicking")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use integration::bare::{self, failure, node, script};
use levers::EventLog;
use nfs_server::{
    AuthRule, Export, ExportPolicy, ExportRule, FileTree, NfsServer, NfsVersions, RootAttributes,
};
use vm::{Fabric, Guest, Network, Template};

const CAPACITY: u64 = 256 << 20;
const NFS_PORT: u16 = 2049;
const ALL: [&str; 3] = ["4.0", "4.1", "4.2"];

fn lif() -> Ipv4Addr {
    Fabric::A.at(101)
}

/// An SVM with one LIF, a root volume and `/vol1`.
struct Svm {
    server: NfsServer,
    events: EventLog,
    volume: FileTree,
}

fn open_to(clients: &str, rw: AuthRule) -> Arc<ExportPolicy> {
    let clients = vec![clients.parse().expect("a client match")];
    let superuser = AuthRule::Any;
    let rule = ExportRule { index: 1, clients, ro: AuthRule::Any, rw, superuser, anonymous_uid: 65534 };
    Arc::new(ExportPolicy { name: "test".into(), rules: vec![rule] })
}

impl Svm {
    async fn start() -> anyhow::Result<Self> {
        let events = EventLog::new();
        let server = NfsServer::new(events.clone());
        server.bind_lif((lif(), NFS_PORT).into()).await?;
        let root = FileTree::new(CAPACITY, RootAttributes { mode: 0o755, uid: 0, gid: 0 });
        let policy = open_to("0.0.0.0/0", AuthRule::Never);
        server.put_export(Export { path: "/".into(), tree: root, policy });
        let volume = FileTree::new(CAPACITY, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        let policy = open_to("192.168.0.0/24", AuthRule::Any);
        server.put_export(Export { path: "/vol1".into(), tree: volume.clone(), policy });
        Ok(Self { server, events, volume })
    }
}

fn scenario(
    run: impl AsyncFnOnce(Network, Template, Svm) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    bare::scenario(async |network, template| run(network, template, Svm::start().await?).await)
}

async fn mount(guest: &Guest, version: &str, options: &str) -> anyhow::Result<()> {
    let mount = format!("mount -t nfs -o vers={version},hard{options} 192.168.0.101:/vol1 /mnt/v");
    script(guest, &format!("mkdir -p /mnt/v; {mount}")).await?;
    Ok(())
}

/// Without attribute caches, what another did is seen at once.
const UNCACHED: &str = ",actimeo=0,lookupcache=none";

#[test]
fn every_minor_version_mounts_and_behaves_as_a_file_system() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let node = node(&network, &template, 1).await?;
        let guest = node.guest();
        for version in ALL {
            mount(&guest, version, "").await?;
            let mounted = script(&guest, "grep /mnt/v /proc/mounts").await?;
            assert!(mounted.contains(&format!("vers={version}")), "{mounted}");
            script(&guest, include_str!("posix.sh")).await?;
            let df = script(&guest, "df -B1 /mnt/v | tail -1").await?;
            assert_eq!(df.split_whitespace().nth(1), Some(&*CAPACITY.to_string()), "{df}");
            script(&guest, "umount /mnt/v").await?;
            assert_eq!((svm.volume.used(), svm.volume.inodes()), (0, 1), "{version}");
        }
        Ok(())
    })
}

#[test]
fn a_client_left_to_itself_takes_the_highest_version_there_is() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let node = node(&network, &template, 1).await?;
        let none = NfsVersions { v3: false, v4_0: false, v4_1: false, v4_2: false };
        for (versions, expected) in [
            (NfsVersions::default(), "vers=4.2"),
            (NfsVersions { v4_1: true, v4_0: true, ..none }, "vers=4.1"),
            (NfsVersions { v4_0: true, ..none }, "vers=4.0"),
        ] {
            svm.server.set_versions(versions);
            let mount = "mkdir -p /mnt/v; mount -t nfs 192.168.0.101:/vol1 /mnt/v";
            let mounted = script(&node.guest(), &format!("{mount}; grep /mnt/v /proc/mounts")).await?;
            assert!(mounted.contains(expected), "{mounted}");
            script(&node.guest(), "umount /mnt/v").await?;
        }
        Ok(())
    })
}

#[test]
fn junctions_are_crossed_from_the_root_and_policies_judge_each() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let secret = FileTree::new(CAPACITY, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        let policy = open_to("192.168.0.99", AuthRule::Any);
        svm.server.put_export(Export { path: "/secret".into(), tree: secret, policy });
        let node = node(&network, &template, 1).await?;
        let guest = node.guest();
        script(&guest, "mkdir -p /mnt/v; mount -t nfs -o vers=4.1 192.168.0.101:/ /mnt/v").await?;
        let seen = script(&guest, "ls /mnt/v; echo x >/mnt/v/vol1/x; cat /mnt/v/vol1/x").await?;
        assert_eq!(seen, "secret\nvol1\nx\n");
        assert_eq!(svm.volume.inodes(), 2);
        let fsids = script(&guest, "stat -c %d /mnt/v /mnt/v/vol1 | uniq | wc -l").await?;
        assert_eq!(fsids, "2\n");
        failure(&guest, "ls /mnt/v/secret").await?;
        let read_only = failure(&guest, "echo x >/mnt/v/y").await?;
        assert!(read_only.contains("Read-only file system"), "{read_only}");
        script(&guest, "umount -R /mnt/v").await?;
        let refused = svm.events.since(0).iter().any(|event| event.kind == "nfs.mount_refused");
        assert!(refused, "the refusal is recorded");
        Ok(())
    })
}

#[test]
fn locks_of_two_nodes_exclude_each_other() -> anyhow::Result<()> {
    scenario(async |network, template, _svm| {
        let (one, two) = tokio::try_join!(node(&network, &template, 1), node(&network, &template, 2))?;
        for version in ALL {
            mount(&one.guest(), version, UNCACHED).await?;
            mount(&two.guest(), version, UNCACHED).await?;
            // Holds the lock until told to let go.
            let hold = "rm -f /tmp/go; mkfifo /tmp/go; : >/mnt/v/lock
                setsid flock -x /mnt/v/lock sh -c 'echo held >/tmp/held; cat /tmp/go' >/dev/null 2>&1 &
                until test -s /tmp/held; do sleep 0.1; done";
            script(&one.guest(), hold).await?;
            failure(&two.guest(), "flock -n -x /mnt/v/lock true").await?;
            failure(&two.guest(), "flock -n -s /mnt/v/lock true").await?;
            script(&one.guest(), "echo go >/tmp/go; rm /tmp/held").await?;
            script(&two.guest(), "flock -w 30 -x /mnt/v/lock true; rm /mnt/v/lock").await?;
            script(&one.guest(), "umount /mnt/v").await?;
            script(&two.guest(), "umount /mnt/v").await?;
        }
        Ok(())
    })
}

#[test]
fn a_restart_under_load_costs_no_error_and_no_lock() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let node = node(&network, &template, 1).await?;
        let guest = node.guest();
        for version in ["4.1", "4.2"] {
            mount(&guest, version, "").await?;
            let writing = "exec 9>/mnt/v/lock; flock -x 9
                for i in $(seq 1 200); do echo $i >/mnt/v/$i; mv /mnt/v/$i /mnt/v/d$i; done
                cat /mnt/v/d* | sort -n | tail -1; ls /mnt/v | wc -l; exec 9>&-; rm /mnt/v/*; umount /mnt/v";
            let address = SocketAddr::from((lif(), NFS_PORT));
            let restarting = async {
                for _ in 0..3 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    svm.server.unbind(address).await;
                    svm.server.restart();
                    svm.server.bind_lif(address).await?;
                }
                anyhow::Ok(())
            };
            let (seen, restarted) = tokio::join!(script(&guest, writing), restarting);
            restarted?;
            assert_eq!(seen?, "200\n201\n", "{version}");
        }
        Ok(())
    })
}
