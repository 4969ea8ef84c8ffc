//! The simulated iSCSI target judged by the Linux kernel's initiator and dm-multipath, in worker nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use blockstore::Volume;
use integration::bare::{self, node, script};
use iscsi_target::{
    Auth, AuthPolicy, BlockSize, ChapSecret, Identity, IscsiServer, Lun, PortGroup, Portal, Target,
    Visibility,
};
use levers::{EventLog, PortalFault};
use vm::{Fabric, Guest, Network, Template};

const SIZE: u64 = 256 << 20;
const IQN: &str = "iqn.1992-08.com.netapp:sn.19d04b8e94d711e88370005056b48fd2:vs.4";
const SERIAL: &str = "81DaR$Qq/1ii";
/// `3600a0980` and the serial in hexadecimal.
const WWID: &str = "3600a098038314461522451712f316969";

/// An SVM with a LIF on each fabric and one LUN.
struct Svm {
    server: IscsiServer,
    events: EventLog,
    portals: Vec<SocketAddr>,
    volume: Volume,
}

impl Svm {
    async fn start() -> anyhow::Result<Self> {
        let events = EventLog::new();
        let server = IscsiServer::new(events.clone());
        let mut portals = Vec::new();
        for (fabric, n) in [(Fabric::A, 0), (Fabric::B, 1)] {
            let group = PortGroup { id: 1000 + n, relative_port: 1 + n };
            let portal = Portal { listen: (fabric.at(101), 3260).into(), tag: 1030 + n, group };
            portals.push(server.bind_portal(portal).await?);
        }
        Ok(Self { server, events, portals, volume: Volume::new(SIZE) })
    }

    fn publish(&self, auth: Auth, numbers: &[u16], initiators: &[String]) {
        let naa = *b"\x60\x0a\x09\x8081DaR$Qq/1ii";
        let luns = numbers.iter().map(|number| Lun {
            number: *number,
            volume: self.volume.clone(),
            identity: Identity {
                vendor: "NETAPP".into(),
                product: "LUN C-Mode".into(),
                revision: "9151".into(),
                serial: SERIAL.into(),
                naa,
                eui: None,
                t10: format!("LUN {SERIAL}"),
            },
            block_size: BlockSize::Emulated512,
            access: Visibility::Initiators(initiators.iter().cloned().collect()),
            thin: true,
            read_only: false,
            optimized_groups: BTreeSet::from([1000]),
            governor: None,
        });
        self.server.put_target(Target {
            iqn: IQN.into(),
            alias: None,
            portals: self.portals.clone(),
            auth: AuthPolicy { default: auth, initiators: BTreeMap::new() },
            luns: luns.collect(),
        });
    }
}

fn scenario(
    run: impl AsyncFnOnce(Network, Template, Svm) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    bare::scenario(async |network, template| run(network, template, Svm::start().await?).await)
}

/// Discovery and login through both portals, then the map with both paths.
async fn attach(guest: &Guest) -> anyhow::Result<String> {
    let log_in = "iscsiadm -m discovery -t sendtargets -p 192.168.0.101
        iscsiadm -m node --login
        for host in /sys/class/iscsi_host/*; do
            echo '- - -' >/sys/class/scsi_host/$(basename $host)/scan
        done
        udevadm settle";
    let found = script(guest, log_in).await?;
    for portal in ["192.168.0.101:3260,1030", "192.168.1.101:3260,1031"] {
        anyhow::ensure!(found.contains(&format!("{portal} {IQN}")), "{found}");
    }
    // multipathd builds the map from uevents; `show` waits for its turn in the daemon's queue.
    let map = format!(
        "for i in $(seq 100); do
            n=$(ls /sys/block/$(basename $(readlink /dev/mapper/{WWID}))/slaves 2>/dev/null | wc -l)
            [ \"$n\" = 2 ] && break; sleep 0.1
        done
        multipath -ll; dmesg | tail -20 >&2"
    );
    script(guest, &map).await
}

#[test]
fn two_paths_make_one_map_that_keeps_its_data_when_a_fabric_is_cut() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let one = node(&network, &template, 1).await?;
        let guest = one.guest();
        svm.publish(Auth::Open, &[3], &[one.initiator_name()]);
        let map = attach(&guest).await?;
        println!("{map}");
        assert!(map.contains("NETAPP,LUN C-Mode") && map.contains(WWID), "{map}");
        for priority in ["prio=50", "prio=10"] {
            assert!(map.contains(priority), "ALUA: {map}");
        }
        let serial = script(&guest, "cat /sys/block/sd*/device/vpd_pg80 | tr -d '\\0'").await?;
        assert!(serial.contains(SERIAL), "{serial:?}");
        let prepare = format!(
            "mkfs.ext4 -q /dev/mapper/{WWID}; mkdir /mnt/v; mount /dev/mapper/{WWID} /mnt/v
            dd if=/dev/urandom of=/mnt/v/before bs=1M count=64 oflag=direct 2>&1
            fstrim -v /mnt/v"
        );
        println!("{}", script(&guest, &prepare).await?);
        // The fabric of the optimised path goes while data is written, and comes back.
        let write = "dd if=/dev/urandom of=/mnt/v/during bs=256k count=320 oflag=direct conv=fsync 2>&1";
        let cut = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            one.set_link(Fabric::A, false).await?;
            anyhow::Ok(())
        };
        let (written, cut) = tokio::join!(script(&guest, write), cut);
        cut?;
        println!("{}", written?);
        one.set_link(Fabric::A, true).await?;
        let sums = script(&guest, "cd /mnt/v; sha256sum before during").await?;
        let detach = format!(
            "umount /mnt/v; multipath -f {WWID} 2>&1; iscsiadm -m node --logout
            ! ls /sys/class/iscsi_session/ | grep session; dmesg | grep -iE 'I/O error, dev dm' || true"
        );
        let errors = script(&guest, &detach).await?;
        assert!(!errors.contains("I/O error"), "{errors}");
        assert_eq!(svm.server.sessions(), []);
        // The other node finds the same bytes, after the first one has lost access.
        let two = node(&network, &template, 2).await?;
        svm.publish(Auth::Open, &[3], &[two.initiator_name()]);
        attach(&two.guest()).await?;
        let verify = format!(
            "mkdir /mnt/v; mount /dev/mapper/{WWID} /mnt/v; cd /mnt/v; sha256sum before during; cd /
            umount /mnt/v; e2fsck -fn /dev/mapper/{WWID} >&2"
        );
        assert_eq!(script(&two.guest(), &verify).await?, sums);
        assert_eq!(svm.server.sessions().len(), 2);
        Ok(())
    })
}

#[test]
fn chap_growth_and_loss_of_access_reach_the_kernel() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let one = node(&network, &template, 1).await?;
        let guest = one.guest();
        let chap = Auth::Chap {
            user: "node".into(),
            secret: ChapSecret::new("initiatorsecret"),
            mutual: Some(("array".into(), ChapSecret::new("targetsecret00"))),
        };
        svm.publish(chap.clone(), &[0], &[one.initiator_name()]);
        let record = |key: &str, value: &str| {
            format!("iscsiadm -m node -T {IQN} -o update -n node.session.auth.{key} -v {value}\n")
        };
        let portal = "192.168.0.101:3260";
        let refused = format!(
            "iscsiadm -m node -T {IQN} -p {portal} -o new
            {}{}{}! iscsiadm -m node -T {IQN} --login",
            record("authmethod", "CHAP"),
            record("username", "node"),
            record("password", "wrong-secret-x"),
        );
        script(&guest, &refused).await?;
        assert!(svm.events.snapshot().iter().any(|event| event.fields["status"] == "0201"));
        let admitted = format!(
            "{}{}{}iscsiadm -m node -T {IQN} --login
            echo '- - -' >/sys/class/scsi_host/$(basename /sys/class/iscsi_host/*)/scan; udevadm settle",
            record("password", "initiatorsecret"),
            record("username_in", "array"),
            record("password_in", "targetsecret00"),
        );
        script(&guest, &admitted).await?;
        let device = "d=$(basename $(echo /sys/class/iscsi_session/session*/device/target*/*/block/*))\n";
        let size = script(&guest, &format!("{device}cat /sys/block/$d/size")).await?;
        assert_eq!(size.trim(), (SIZE / 512).to_string());
        svm.volume.resize(2 * SIZE);
        let grown =
            script(&guest, &format!("{device}iscsiadm -m session -R >&2; cat /sys/block/$d/size")).await?;
        assert_eq!(grown.trim(), (2 * SIZE / 512).to_string());
        svm.publish(chap, &[0], &[]);
        let read =
            format!("{device}! dd if=/dev/$d of=/dev/null bs=4k count=1 skip=100 iflag=direct 2>&1; dmesg");
        let log = script(&guest, &read).await?;
        assert!(log.contains("Logical unit not supported"), "{log}");
        Ok(())
    })
}

#[test]
fn a_portal_that_refuses_for_a_while_costs_no_error() -> anyhow::Result<()> {
    scenario(async |network, template, svm| {
        let one = node(&network, &template, 1).await?;
        let guest = one.guest();
        svm.publish(Auth::Open, &[0], &[one.initiator_name()]);
        attach(&guest).await?;
        let write = format!("dd if=/dev/zero of=/dev/mapper/{WWID} bs=1M count=96 oflag=direct 2>&1");
        let flap = async {
            for fault in [PortalFault::Refuse, PortalFault::None, PortalFault::Blackhole, PortalFault::None] {
                tokio::time::sleep(Duration::from_millis(500)).await;
                svm.server.set_portal_fault(svm.portals[1], fault);
            }
        };
        let (written, ()) = tokio::join!(script(&guest, &write), flap);
        written?;
        // Sessions come back by themselves.
        script(
            &guest,
            "for i in $(seq 100); do
            [ $(cat /sys/class/iscsi_session/session*/state | grep -c LOGGED_IN) = 2 ] && exit; sleep 0.2
        done; exit 1",
        )
        .await?;
        assert_eq!(svm.server.sessions().len(), 2);
        Ok(())
    })
}
