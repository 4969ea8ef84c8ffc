//! The simulated iSCSI target judged by `sg3-utils`, `iscsiadm` and the digests of a stock node.

use integration::bare::{self, failure, node, script};
use integration::planes::load::Fio;
use integration::planes::san::{self, IQN, San, Unit};
use iscsi_target::{Auth, ChapSecret, Redirect};
use vm::{Guest, Network, Template};

const SIZE: u64 = 256 << 20;
/// What every script begins with: the paths of the first unit, through fabric A and fabric B.
const PATHS: &str = "set +x
    for s in /sys/class/iscsi_session/session*; do
        d=$(basename $(echo $s/device/target*/*/block/sd*))
        case $(cat $s/device/connection*/iscsi_connection/*/persistent_address) in
            192.168.0.101) a=/dev/$d;; 192.168.1.101) b=/dev/$d;;
        esac
    done
    set -x\n";

fn scenario(
    run: impl AsyncFnOnce(Network, Template, San) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    bare::scenario(async |network, template| {
        run(network, template, San::start(vec![Unit::new(3, SIZE)]).await?).await
    })
}

async fn on_paths(guest: &Guest, text: &str) -> anyhow::Result<String> {
    let output = script(guest, &format!("{PATHS}{text}")).await?;
    println!("$ {text}\n{output}");
    Ok(output)
}

/// Fails unless every one of the lines is there, runs of blanks counted as one.
fn require(output: &str, lines: &[&str]) {
    let plain = output.split_whitespace().collect::<Vec<_>>().join(" ");
    for line in lines {
        assert!(plain.contains(line), "`{line}` is not in\n{output}");
    }
}

#[test]
fn the_tools_read_the_arrays_identity_and_its_port_groups() -> anyhow::Result<()> {
    scenario(async |network, template, san| {
        let one = node(&network, &template, 1).await?;
        let guest = one.guest();
        san.publish(Auth::Open, &[one.initiator_name()])?;
        san.attach(&guest, &[]).await?;
        let unit = &san.units[0];
        let inquiry = on_paths(&guest, "sg_inq $a").await?;
        require(&inquiry, &["Vendor identification: NETAPP", "Product identification: LUN C-Mode"]);
        require(&inquiry, &["Product revision level: 9151", &format!("Unit serial number: {}", unit.serial)]);
        require(&inquiry, &["TPGS=1"]);
        let naa = format!("0x{}", &unit.wwid()[1..]);
        for (path, group, port) in [("$a", "0x3e8", "0x1"), ("$b", "0x3e9", "0x2")] {
            let identity = on_paths(&guest, &format!("sg_vpd --page=di {path}")).await?;
            require(&identity, &[&naa, &format!("Relative target port: {port}")]);
            require(&identity, &[&format!("Target port group: {group}")]);
        }
        let groups = on_paths(&guest, "sg_rtpg --decode $b").await?;
        require(&groups, &["target port group id : 0x3e8 , Pref=0"]);
        require(&groups, &["target port group id : 0x3e9 , Pref=0"]);
        require(&groups, &["0x00 (active/optimized)", "0x01 (active/non optimized)"]);
        let thin = on_paths(&guest, "sg_vpd --page=lbpv $a; sg_readcap --16 $a").await?;
        require(&thin, &["Unmap command supported (LBPU): 1", "lbpme=1, lbprz=1"]);
        let luns = on_paths(&guest, "sg_luns $a").await?;
        require(&luns, &["0003000000000000"]);
        Ok(())
    })
}

#[test]
fn unmap_gives_its_space_back_to_the_store() -> anyhow::Result<()> {
    scenario(async |network, template, san| {
        let one = node(&network, &template, 1).await?;
        let guest = one.guest();
        san.publish(Auth::Open, &[one.initiator_name()])?;
        san.attach(&guest, &[]).await?;
        let fill = format!("dd if=/dev/urandom of={} bs=1M count=8 oflag=direct 2>&1", san.units[0].map());
        script(&guest, &fill).await?;
        let volume = &san.units[0].volume;
        assert_eq!(volume.allocated(), 8 << 20);
        // Two MiB from the second one on, in blocks of 512 bytes.
        on_paths(&guest, "sg_unmap --force --lba=2048 --num=4096 $b").await?;
        assert_eq!(volume.allocated(), 6 << 20);
        let status = on_paths(&guest, "sg_get_lba_status --lba=2048 --brief $a").await?;
        require(&status, &["0x0000000000000800 0x1000 1"]);
        let zero = on_paths(
            &guest,
            "dd if=$a bs=1M skip=1 count=2 iflag=direct 2>/dev/null | tr -d '\\0' | wc -c
            dd if=$a bs=1M count=1 iflag=direct 2>/dev/null | tr -d '\\0' | wc -c",
        )
        .await?;
        let counts: Vec<u64> = zero.lines().map(str::parse).collect::<Result<_, _>>()?;
        assert_eq!(counts[0], 0, "what was unmapped does not read as zero");
        assert!(counts[1] > 1_000_000, "what was not unmapped is gone");
        Ok(())
    })
}

#[test]
fn a_reservation_keeps_the_other_node_out_until_it_preempts() -> anyhow::Result<()> {
    scenario(async |network, template, san| {
        let (one, two) = tokio::try_join!(node(&network, &template, 1), node(&network, &template, 2))?;
        san.publish(Auth::Open, &[one.initiator_name(), two.initiator_name()])?;
        let (first, second) = (one.guest(), two.guest());
        tokio::try_join!(san.attach(&first, &[]), san.attach(&second, &[]))?;
        let write = "dd if=/dev/zero of=$a bs=4k count=1 oflag=direct 2>&1";
        let conflict = |text: &str| format!("{PATHS}{text}");
        on_paths(&first, "sg_persist --out --register --param-sark=0xa1 $a").await?;
        on_paths(&first, "sg_persist --out --reserve --param-rk=0xa1 --prout-type=1 $a").await?;
        let held = on_paths(&second, "sg_persist --in --read-reservation $b").await?;
        require(&held, &["Key=0xa1", "scope: LU_SCOPE, type: Write Exclusive"]);
        on_paths(&first, write).await?;
        // What the kernel makes of RESERVATION CONFLICT: EBADE.
        let refused = failure(&second, &conflict(&format!("{{ {write}; }} >&2"))).await?;
        assert!(refused.contains("Invalid exchange"), "{refused}");
        on_paths(&second, "dd if=$a of=/dev/null bs=4k count=1 iflag=direct 2>&1").await?;
        let unregistered = "sg_persist --out --reserve --param-rk=0xb2 --prout-type=1 $a";
        let refused = failure(&second, &conflict(&format!("{unregistered} >&2"))).await?;
        assert!(refused.to_lowercase().contains("reservation conflict"), "{refused}");
        on_paths(&second, "sg_persist --out --register --param-sark=0xb2 $a").await?;
        let keys = on_paths(&second, "sg_persist --in --read-keys $a").await?;
        require(&keys, &["2 registered reservation keys follow", "0xa1", "0xb2"]);
        on_paths(&second, "sg_persist --out --preempt --param-rk=0xb2 --param-sark=0xa1 --prout-type=1 $a")
            .await?;
        let held = on_paths(&second, "sg_persist --in --read-reservation $a").await?;
        require(&held, &["Key=0xb2"]);
        on_paths(&second, write).await?;
        let refused = failure(&first, &conflict(&format!("{{ {write}; }} >&2"))).await?;
        assert!(refused.contains("Invalid exchange"), "{refused}");
        on_paths(&second, "sg_persist --out --clear --param-rk=0xb2 $a").await?;
        on_paths(&first, write).await?;
        let keys = on_paths(&first, "sg_persist --in --read-keys $a").await?;
        require(&keys, &["there are NO registered reservation keys"]);
        Ok(())
    })
}

/// Sets one thing of the node's record of the target.
fn record(key: &str, value: &str) -> String {
    format!("iscsiadm -m node -T {IQN} -o update -n node.session.auth.{key} -v '{value}'\n")
}

#[test]
fn both_sides_prove_themselves_by_every_algorithm_the_initiator_has() -> anyhow::Result<()> {
    scenario(async |network, template, san| {
        let one = node(&network, &template, 1).await?;
        let guest = one.guest();
        san.publish(
            Auth::Chap {
                user: "node".into(),
                secret: ChapSecret::new("initiatorsecret"),
                mutual: Some(("array".into(), ChapSecret::new("targetsecret00"))),
            },
            &[one.initiator_name()],
        )?;
        let make = format!("iscsiadm -m node -T {IQN} -p 192.168.0.101:3260 -o new\n");
        script(&guest, &format!("{make}{}{}", record("authmethod", "CHAP"), record("username", "node")))
            .await?;
        let log_in = format!("iscsiadm -m node -T {IQN} --login\n");
        let log_out = format!("iscsiadm -m node -T {IQN} --logout\n");
        for algorithm in ["MD5", "SHA1", "SHA256", "SHA3-256"] {
            let one_way = format!(
                "{}{}{}{}{log_in}{log_out}",
                record("chap_algs", algorithm),
                record("password", "initiatorsecret"),
                record("username_in", ""),
                record("password_in", ""),
            );
            script(&guest, &one_way).await?;
            let mutual = format!(
                "{}{}{log_in}{log_out}",
                record("username_in", "array"),
                record("password_in", "targetsecret00")
            );
            script(&guest, &mutual).await?;
            let false_target = format!("{}{log_in}", record("password_in", "another-target"));
            failure(&guest, &format!("set -e\n{false_target}")).await?;
            let refusals = || {
                let events = san.events.snapshot();
                events.iter().filter(|event| event.fields["status"] == "0201").count()
            };
            let before = refusals();
            let wrong = format!("{}{log_in}", record("password", "wrong-secret-x"));
            failure(&guest, &format!("set -e\n{wrong}")).await?;
            assert!(refusals() > before, "{algorithm}: the target did not refuse the wrong secret");
        }
        Ok(())
    })
}

#[test]
fn data_under_digests_is_what_was_written() -> anyhow::Result<()> {
    scenario(async |network, template, san| {
        let one = node(&network, &template, 1).await?;
        let guest = one.guest();
        san.publish(Auth::Open, &[one.initiator_name()])?;
        let digests =
            [("node.conn[0].iscsi.HeaderDigest", "CRC32C"), ("node.conn[0].iscsi.DataDigest", "CRC32C")];
        san.attach(&guest, &digests).await?;
        let negotiated = script(&guest, "cat /sys/class/iscsi_connection/*/*_digest").await?;
        assert_eq!(negotiated, "1\n1\n1\n1\n");
        let verified = Fio::DATABASE.once(&guest, &san.units[0].map()).await?;
        println!("{verified:?}");
        san.require_no_error(&guest).await?;
        san::detach(&guest).await
    })
}

#[test]
fn a_login_sent_elsewhere_goes_there() -> anyhow::Result<()> {
    scenario(async |network, template, san| {
        let one = node(&network, &template, 1).await?;
        let guest = one.guest();
        san.publish(Auth::Open, &[one.initiator_name()])?;
        let elsewhere = Redirect { address: san.portals[1], permanent: false };
        san.server.set_redirect(IQN, san.portals[0], Some(elsewhere));
        let log_in = format!(
            "iscsiadm -m node -T {IQN} -p 192.168.0.101:3260 -o new
            iscsiadm -m node -T {IQN} -p 192.168.0.101:3260 --login
            cat /sys/class/iscsi_connection/*/address"
        );
        let connected = script(&guest, &log_in).await?;
        assert_eq!(connected.lines().last(), Some("192.168.1.101"), "{connected}");
        let portals: Vec<_> = san.server.sessions().into_iter().map(|session| session.portal).collect();
        assert_eq!(portals, [san.portals[1]]);
        Ok(())
    })
}
