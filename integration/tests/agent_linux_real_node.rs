//! The hands on a real kernel: a worker node against an iSCSI target with two portals and an NFS
//! server, all of this tree.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use blockstore::Volume;
use integration::bare::{self, SOON, script};
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, ChapSecret, Identity, IscsiServer, Lun, PortGroup, Portal, Target,
    Visibility,
};
use levers::EventLog;
use nfs_server::{AuthRule, Export, ExportPolicy, ExportRule, FileTree, NfsServer, RootAttributes};
use vm::{Fabric, Guest, Network, Node};

const SIZE: u64 = 512 << 20;
const IQN: &str = "iqn.1992-08.com.netapp:sn.19d04b8e94d711e88370005056b48fd2:vs.4";
const SERIAL: &str = "81DaR$Qq/1ii";
const WWID: &str = "3600a098038314461522451712f316969";
const STAGING: &str = "/var/lib/kubelet/staging/v";
const POD: &str = "/var/lib/kubelet/pods/p/v";

struct Svm {
    server: IscsiServer,
    portals: Vec<SocketAddr>,
    volume: Volume,
}

impl Svm {
    async fn start() -> anyhow::Result<Self> {
        let server = IscsiServer::new(EventLog::new());
        let mut portals = Vec::new();
        for (fabric, n) in [(Fabric::A, 0), (Fabric::B, 1)] {
            let group = PortGroup { id: 1000 + n, relative_port: 1 + n };
            let portal = Portal { listen: (fabric.at(101), 3260).into(), tag: 1030 + n, group };
            portals.push(server.bind_portal(portal).await?);
        }
        Ok(Self { server, portals, volume: Volume::new(SIZE) })
    }

    fn publish(&self, auth: Auth, number: u16, initiator: &str) {
        let lun = Lun {
            number,
            volume: self.volume.clone(),
            identity: Identity {
                vendor: "NETAPP".into(),
                product: "LUN C-Mode".into(),
                revision: "9151".into(),
                serial: SERIAL.into(),
                naa: *b"\x60\x0a\x09\x8081DaR$Qq/1ii",
                eui: None,
                t10: format!("LUN {SERIAL}"),
            },
            block_size: BlockSize::Emulated512,
            access: Visibility::Initiators([initiator.to_owned()].into()),
            thin: true,
            read_only: false,
            optimized_groups: BTreeSet::from([1000]),
            governor: None,
        };
        self.server.put_target(Target {
            iqn: IQN.into(),
            alias: None,
            portals: self.portals.clone(),
            auth: AuthPolicy { default: auth, initiators: BTreeMap::new() },
            luns: vec![lun],
        });
    }
}

fn scenario(run: impl AsyncFnOnce(&Network, Node, Svm) -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    bare::scenario(async |network, template| {
        let node = bare::node(&network, &template, 1).await?;
        let probe = std::env::current_exe()?
            .parent()
            .and_then(std::path::Path::parent)
            .context("no target directory")?
            .join("examples/host_probe");
        let program = std::fs::read(&probe).with_context(|| {
            format!("{}: cargo build -p agent-linux --example host_probe", probe.display())
        })?;
        node.guest().put("/opt/host_probe", 0o755, &program).await?;
        run(&network, node, Svm::start().await?).await
    })
}

/// The publish context's attachment, as the controller would write it.
async fn attach_file(guest: &Guest, lun: u16, fs: &str, authenticated: bool, tag: u16) -> anyhow::Result<()> {
    let text = format!(
        r#"{{"protocol":"iscsi","target":"{IQN}","portals":[
            {{"address":"192.168.0.101","port":3260,"tag":{tag}}},
            {{"address":"192.168.1.101","port":3260,"tag":{}}}],
            "lun":{lun},"identity":{{"wwid":"{WWID}","serial":"{SERIAL}"}},"size":{SIZE},
            "authenticated":{authenticated},"defaultFs":"{fs}"}}"#,
        if tag == 0 { 0 } else { tag + 1 },
    );
    Ok(guest.put("/root/v.json", 0o600, text.as_bytes()).await?)
}

/// Runs the probe; what it printed, with the error if it failed.
async fn probe(guest: &Guest, words: &str) -> anyhow::Result<Result<String, String>> {
    let output = guest.run(["/bin/sh", "-c", &format!("/opt/host_probe {words}")], SOON).await?;
    let text = format!(
        "host_probe {words}: {:?}\n{}{}",
        output.duration,
        output.stdout_text(),
        output.stderr_text()
    );
    println!("{text}");
    Ok(if output.ended.is_success() { Ok(text) } else { Err(text) })
}

async fn succeeds(guest: &Guest, words: &str) -> anyhow::Result<String> {
    probe(guest, words).await?.map_err(anyhow::Error::msg)
}

async fn refused(guest: &Guest, words: &str) -> anyhow::Result<String> {
    match probe(guest, words).await? {
        Err(text) => Ok(text),
        Ok(text) => anyhow::bail!("it succeeded: {text}"),
    }
}

#[test]
fn a_filesystem_volume_lives_on_two_paths_and_leaves_nothing() -> anyhow::Result<()> {
    scenario(async |_network, node, svm| {
        let guest = node.guest();
        let chap =
            Auth::Chap { user: "node".into(), secret: ChapSecret::new("initiatorsecret"), mutual: None };
        let before = guest.observe_state().await?;
        for (fs, lun, auth, tag) in [("ext4", 3, Auth::Open, 1030), ("xfs", 0, chap, 0)] {
            svm.volume.deallocate(0, SIZE)?;
            svm.publish(auth.clone(), lun, &node.initiator_name());
            attach_file(&guest, lun, fs, !matches!(auth, Auth::Open), tag).await?;
            guest.put("/root/CHAP.json", 0o600, br#"{"username":"node","secret":"initiatorsecret"}"#).await?;
            succeeds(&guest, &format!("stage /root/v.json {STAGING}")).await?;
            let paths =
                script(&guest, "ls /sys/block/dm-0/slaves | wc -l; ls -l /etc/iscsi/nodes/*/*").await?;
            println!("{paths}");
            assert!(paths.starts_with("2\n"), "{paths}");
            succeeds(&guest, &format!("stage /root/v.json {STAGING}")).await?;
            succeeds(&guest, &format!("publish /root/v.json {STAGING} {POD}")).await?;
            script(&guest, &format!("echo kept >{POD}/file; grep ' {POD} ' /proc/self/mountinfo")).await?;
            succeeds(&guest, &format!("unpublish /root/v.json {STAGING} {POD}")).await?;
            succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
            let after = guest.observe_state().await?;
            assert_eq!(before, after);
            assert_eq!(script(&guest, "ls /etc/iscsi/nodes").await?, "");
            // Again: what was written is found, not formatted.
            succeeds(&guest, &format!("stage /root/v.json {STAGING}")).await?;
            assert_eq!(script(&guest, &format!("cat {STAGING}/file")).await?, "kept\n");
            succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
            assert_eq!(before, guest.observe_state().await?);
        }
        Ok(())
    })
}

#[test]
fn a_raw_device_is_handed_over_and_taken_back() -> anyhow::Result<()> {
    scenario(async |_network, node, svm| {
        let guest = node.guest();
        svm.publish(Auth::Open, 3, &node.initiator_name());
        attach_file(&guest, 3, "ext4", false, 1030).await?;
        let before = guest.observe_state().await?;
        succeeds(&guest, &format!("stage /root/v.json {STAGING} - block")).await?;
        for _ in 0..2 {
            succeeds(&guest, &format!("publish /root/v.json {STAGING} {POD} block")).await?;
        }
        let write = format!("test -b {POD}; printf raw | dd of={POD} bs=512 conv=sync oflag=direct");
        script(&guest, &write).await?;
        // In use: nothing is taken away under a workload.
        let error = refused(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        assert!(error.contains(POD), "{error}");
        for _ in 0..2 {
            succeeds(&guest, &format!("unpublish /root/v.json {STAGING} {POD} block")).await?;
        }
        for _ in 0..2 {
            succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        }
        assert_eq!(before, guest.observe_state().await?);
        let mut head = [0; 3];
        svm.volume.read_at(0, &mut head)?;
        assert_eq!(&head, b"raw");
        Ok(())
    })
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_is() -> anyhow::Result<()> {
    scenario(async |_network, node, svm| {
        let guest = node.guest();
        let before = guest.observe_state().await?;
        // A LUKS header where a blank device is expected (hazard H01).
        svm.volume.write_at(0, b"LUKS\xba\xbe\x00\x02")?;
        svm.publish(Auth::Open, 3, &node.initiator_name());
        attach_file(&guest, 3, "ext4", false, 1030).await?;
        let written = svm.volume.allocated();
        let error = refused(&guest, &format!("stage /root/v.json {STAGING}")).await?;
        assert!(error.contains("H01") && error.contains("LUKS"), "{error}");
        assert_eq!(svm.volume.allocated(), written, "something was written");
        let mut head = [0; 8];
        svm.volume.read_at(0, &mut head)?;
        assert_eq!(&head, b"LUKS\xba\xbe\x00\x02");
        succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        assert_eq!(before, guest.observe_state().await?);
        // Another LUN under the number (hazard H02): the context promises a serial it does not have.
        let file = script(
            &guest,
            &format!("sed -i 's/{WWID}/3600a098038314461522451712f310000/' /root/v.json; cat /root/v.json"),
        )
        .await?;
        assert!(!file.contains(WWID));
        let error = refused(&guest, &format!("stage /root/v.json {STAGING}")).await?;
        assert!(error.contains("H02"), "{error}");
        assert_eq!(svm.volume.allocated(), written, "something was written");
        // The LUN is not mapped to this node, the secret is wrong.
        attach_file(&guest, 3, "ext4", false, 1030).await?;
        succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        svm.publish(Auth::Open, 5, &node.initiator_name());
        let error = refused(&guest, &format!("stage /root/v.json {STAGING}")).await?;
        assert!(error.contains("not mapped"), "{error}");
        succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        let chap =
            Auth::Chap { user: "node".into(), secret: ChapSecret::new("initiatorsecret"), mutual: None };
        svm.publish(chap, 3, &node.initiator_name());
        attach_file(&guest, 3, "ext4", true, 1030).await?;
        guest.put("/root/CHAP.json", 0o600, br#"{"username":"node","secret":"another-secret"}"#).await?;
        let error = refused(&guest, &format!("stage /root/v.json {STAGING}")).await?;
        assert!(error.contains("refused the credentials"), "{error}");
        assert!(!error.contains("another-secret"), "{error}");
        succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        assert_eq!(before, guest.observe_state().await?);
        assert_eq!(script(&guest, "ls /etc/iscsi/nodes").await?, "");
        Ok(())
    })
}

#[test]
fn a_dead_fabric_delays_neither_stage_nor_unstage_for_long() -> anyhow::Result<()> {
    scenario(async |_network, node, svm| {
        let guest = node.guest();
        svm.publish(Auth::Open, 3, &node.initiator_name());
        attach_file(&guest, 3, "ext4", false, 1030).await?;
        let before = guest.observe_state().await?;
        succeeds(&guest, &format!("stage /root/v.json {STAGING}")).await?;
        script(&guest, &format!("dd if=/dev/urandom of={STAGING}/f bs=1M count=8 oflag=direct; sync"))
            .await?;
        node.set_link(Fabric::B, false).await?;
        script(&guest, &format!("dd if=/dev/urandom of={STAGING}/g bs=1M count=8 oflag=direct")).await?;
        let started = std::time::Instant::now();
        succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        let started = std::time::Instant::now();
        succeeds(&guest, &format!("stage /root/v.json {STAGING}")).await?;
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        script(&guest, &format!("test -s {STAGING}/g; ls /sys/block/dm-*/slaves")).await?;
        succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        node.set_link(Fabric::B, true).await?;
        assert_eq!(before, guest.observe_state().await?);
        Ok(())
    })
}

#[test]
fn an_export_is_mounted_bound_and_let_go_even_when_its_server_is_gone() -> anyhow::Result<()> {
    scenario(async |_network, node, _svm| {
        let guest = node.guest();
        let server = NfsServer::new(EventLog::new());
        let lif = Fabric::A.at(101);
        server.bind_lif((lif, 2049).into()).await?;
        server.bind_portmap((lif, 111).into(), 2049).await?;
        let tree = FileTree::new(64 << 20, RootAttributes { mode: 0o777, uid: 0, gid: 0 });
        let export = |client: &str| -> anyhow::Result<()> {
            let rule = ExportRule {
                index: 1,
                clients: vec![client.parse()?],
                ro: AuthRule::Any,
                rw: AuthRule::Any,
                superuser: AuthRule::Any,
                anonymous_uid: 65534,
            };
            let policy = Arc::new(ExportPolicy { name: "test".into(), rules: vec![rule] });
            server.put_export(Export { path: "/vol1".into(), tree: tree.clone(), policy });
            Ok(())
        };
        let before = guest.observe_state().await?;
        let file =
            format!(r#"{{"protocol":"nfs","server":"{lif}","export":"/vol1","mountOptions":["nfsvers=3"]}}"#);
        guest.put("/root/v.json", 0o600, file.as_bytes()).await?;
        export("192.168.0.99")?;
        let error = refused(&guest, &format!("stage /root/v.json {STAGING}")).await?;
        assert!(error.contains("export policy"), "{error}");
        export("192.168.0.0/24")?;
        for _ in 0..2 {
            succeeds(&guest, &format!("stage /root/v.json {STAGING}")).await?;
            succeeds(&guest, &format!("publish /root/v.json {STAGING} {POD} ro")).await?;
        }
        script(&guest, &format!("echo hello >{STAGING}/f; cat {POD}/f; ! touch {POD}/g")).await?;
        // The server falls silent with both mounts in place (hazard H04).
        node.set_link(Fabric::A, false).await?;
        let started = std::time::Instant::now();
        succeeds(&guest, &format!("unpublish /root/v.json {STAGING} {POD}")).await?;
        succeeds(&guest, &format!("unstage /root/v.json {STAGING}")).await?;
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        node.set_link(Fabric::A, true).await?;
        assert_eq!(before, guest.observe_state().await?);
        Ok(())
    })
}
