//! The simulated NFS server judged by the Linux kernel's client, in worker nodes.

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
const PORTMAP_PORT: u16 = 111;

fn lif() -> Ipv4Addr {
    Fabric::A.at(101)
}

/// An SVM with one LIF and one volume.
struct Svm {
    server: NfsServer,
    tree: FileTree,
}

impl Svm {
    async fn start() -> anyhow::Result<Self> {
        let server = NfsServer::new(EventLog::new());
        server.bind_lif((lif(), NFS_PORT).into()).await?;
        server.bind_portmap((lif(), PORTMAP_PORT).into(), NFS_PORT).await?;
        let tree = FileTree::new(CAPACITY, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        let svm = Self { server, tree };
        svm.export_to(&["192.168.0.0/24"], AuthRule::Any);
        Ok(svm)
    }

    /// Exports the volume to these clients, and to no others.
    fn export_to(&self, clients: &[&str], rw: AuthRule) {
        let clients = clients.iter().map(|text| text.parse().expect("a client match")).collect();
        let rule = ExportRule {
            index: 1,
            clients,
            ro: AuthRule::Any,
            rw,
            superuser: AuthRule::Any,
            anonymous_uid: 65534,
        };
        let policy = Arc::new(ExportPolicy { name: "test".into(), rules: vec![rule] });
        self.server.put_export(Export { path: "/vol1".into(), tree: self.tree.clone(), policy });
    }
}

fn scenario(
    run: impl AsyncFnOnce(Network, Template, Svm) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    bare::scenario(async |network, template| run(network, template, Svm::start().await?).await)
}

/// Mounts as a person would, plus `options`.
async fn mount(guest: &Guest, options: &str) -> anyhow::Result<()> {
    let mount = format!("mount -t nfs -o vers=3,nolock{options} 192.168.0.101:/vol1 /mnt/v");
    script(guest, &format!("mkdir -p /mnt/v; {mount}")).await?;
    Ok(())
}

/// Without attribute caches, what another did is seen at once.
const UNCACHED: &str = ",actimeo=0,lookupcache=none";

#[test]
fn a_plain_v3_mount_finds_its_ports_and_behaves_as_a_file_system() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let node = node(&network, &template, 1).await?;
        let guest = node.guest();
        mount(&guest, "").await?;
        assert_eq!(svm.server.clients()[0].machine, "worker-1");
        script(&guest, include_str!("posix.sh")).await?;
        let df = script(&guest, "df -B1 /mnt/v | tail -1").await?;
        assert_eq!(df.split_whitespace().nth(1), Some(&*CAPACITY.to_string()), "{df}");
        svm.tree.resize(2 * CAPACITY).unwrap();
        let df = script(&guest, "df -B1 /mnt/v | tail -1").await?;
        assert_eq!(df.split_whitespace().nth(1), Some(&*(2 * CAPACITY).to_string()), "{df}");
        script(&guest, "umount /mnt/v").await?;
        assert!(svm.server.clients().is_empty());
        assert_eq!((svm.tree.used(), svm.tree.inodes()), (0, 1));
        Ok(())
    })
}

#[test]
fn a_client_that_would_rather_speak_version_four_falls_back_to_three() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        svm.server.set_versions(NfsVersions { v3: true, v4_0: false, v4_1: false, v4_2: false });
        let node = node(&network, &template, 1).await?;
        let mount = "mkdir -p /mnt/v; mount -t nfs -o nolock 192.168.0.101:/vol1 /mnt/v";
        let mounted = script(&node.guest(), &format!("{mount}; grep /mnt/v /proc/mounts")).await?;
        assert!(mounted.contains("vers=3"), "{mounted}");
        Ok(())
    })
}

#[test]
fn a_volume_is_reached_through_the_root_of_the_namespace() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let rule = |rw| ExportRule {
            index: 1,
            clients: vec!["0.0.0.0/0".parse().expect("a network")],
            ro: AuthRule::Any,
            rw,
            superuser: AuthRule::Any,
            anonymous_uid: 65534,
        };
        let policy = ExportPolicy { name: "root".into(), rules: vec![rule(AuthRule::Never)] };
        let tree = FileTree::new(CAPACITY, RootAttributes { mode: 0o755, uid: 0, gid: 0 });
        svm.server.put_export(Export { path: "/".into(), tree, policy: Arc::new(policy) });
        let node = node(&network, &template, 1).await?;
        let mount = "mkdir -p /mnt/v; mount -t nfs -o vers=3,nolock 192.168.0.101:/ /mnt/v";
        script(&node.guest(), mount).await?;
        assert_eq!(
            script(&node.guest(), "ls /mnt/v; echo x >/mnt/v/vol1/x; cat /mnt/v/vol1/x").await?,
            "vol1\nx\n"
        );
        assert_eq!(svm.tree.inodes(), 2);
        script(&node.guest(), "umount -R /mnt/v").await?;
        Ok(())
    })
}

#[test]
fn the_kernel_alone_mounts_without_any_port_option() -> anyhow::Result<()> {
    scenario(async |network, template, _svm| {
        let node = node(&network, &template, 1).await?;
        let options = "vers=3,nolock,proto=tcp,mountproto=tcp,addr=192.168.0.101,mountaddr=192.168.0.101";
        let mount = format!("mkdir -p /mnt/v; mount -i -t nfs -o {options} 192.168.0.101:/vol1 /mnt/v");
        script(&node.guest(), &format!("{mount}; echo x >/mnt/v/x; umount /mnt/v")).await?;
        Ok(())
    })
}

#[test]
fn what_one_node_wrote_the_other_reads() -> anyhow::Result<()> {
    scenario(async |network, template, _svm| {
        let (one, two) = tokio::try_join!(node(&network, &template, 1), node(&network, &template, 2))?;
        mount(&one.guest(), UNCACHED).await?;
        mount(&two.guest(), UNCACHED).await?;
        let fill =
            "dd if=/dev/urandom of=/mnt/v/data bs=1M count=48 2>/dev/null; sync; sha256sum /mnt/v/data";
        let written = script(&one.guest(), fill).await?;
        assert_eq!(script(&two.guest(), "sha256sum /mnt/v/data").await?, written);
        script(&two.guest(), "mv /mnt/v/data /mnt/v/moved; echo more >>/mnt/v/moved").await?;
        let seen = script(&one.guest(), "ls /mnt/v; tail -c 5 /mnt/v/moved").await?;
        assert_eq!(seen, "moved\nmore\n");
        Ok(())
    })
}

#[test]
fn a_rule_taken_away_cuts_a_mounted_node_off_and_back_it_goes_on() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let node = node(&network, &template, 1).await?;
        let guest = node.guest();
        mount(&guest, UNCACHED).await?;
        script(&guest, "echo before >/mnt/v/f; sync").await?;
        svm.export_to(&["192.168.0.0/24"], AuthRule::Never);
        let read_only = failure(&guest, "echo during >/mnt/v/g").await?;
        assert!(read_only.contains("Read-only file system"), "{read_only}");
        script(&guest, "grep before /mnt/v/f").await?;
        svm.export_to(&["192.168.0.99"], AuthRule::Any);
        for attempt in ["ls /mnt/v", "cat /mnt/v/f", "echo during >/mnt/v/h"] {
            let denied = failure(&guest, attempt).await?;
            assert!(denied.contains("Permission denied"), "{attempt}: {denied}");
        }
        let mount = "mkdir /mnt/w; mount -t nfs -o vers=3,nolock 192.168.0.101:/vol1 /mnt/w";
        let denied = failure(&guest, mount).await?;
        assert!(denied.contains("access denied by server"), "{denied}");
        svm.export_to(&["192.168.0.0/24"], AuthRule::Any);
        // The kernel keeps what ACCESS told of an inode until that changes or is forgotten.
        let forget = "echo 2 >/proc/sys/vm/drop_caches";
        script(&guest, &format!("grep before /mnt/v/f; {forget}; echo after >/mnt/v/f; ls /mnt/v")).await?;
        Ok(())
    })
}

#[test]
fn a_removed_export_is_a_stale_handle_on_the_node() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let node = node(&network, &template, 1).await?;
        let guest = node.guest();
        mount(&guest, UNCACHED).await?;
        svm.server.remove_export("/vol1");
        for attempt in ["stat /mnt/v/any", "ls /mnt/v"] {
            let stale = failure(&guest, attempt).await?;
            assert!(stale.contains("Stale file handle"), "{attempt}: {stale}");
        }
        script(&guest, "umount /mnt/v").await?;
        Ok(())
    })
}

#[test]
fn a_lif_that_goes_down_and_comes_back_costs_no_error() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let node = node(&network, &template, 1).await?;
        let guest = node.guest();
        mount(&guest, "").await?;
        let writing =
            "for i in $(seq 1 200); do echo $i >/mnt/v/$i; mv /mnt/v/$i /mnt/v/d$i; done; ls /mnt/v | wc -l";
        let address = SocketAddr::from((lif(), NFS_PORT));
        let flapping = async {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                svm.server.unbind(address).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                svm.server.bind_lif(address).await?;
            }
            anyhow::Ok(())
        };
        let (count, flapped) = tokio::join!(script(&guest, writing), flapping);
        flapped?;
        assert_eq!(count?, "200\n");
        Ok(())
    })
}
