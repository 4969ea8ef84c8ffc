//! Nodes on this host's QEMU: what every test of the data path takes for granted.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::AsyncReadExt as _;
use vm::{Ended, Fabric, GuestError, Image, LifAddresses, Network, Node, NodeSpec, Template};

/// For one small program in the node.
const SOON: Duration = Duration::from_secs(30);

/// Runs a scenario with the template in a network of its own.
fn scenario(run: impl AsyncFnOnce(Network, Template) -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    let image = Image::ensure(&Image::default_guest_program()?)?;
    let template = Template::ensure(&image)?;
    let lifs = LifAddresses { a: vec![Fabric::A.at(101)], b: vec![Fabric::B.at(101)] };
    vm::in_network(&lifs, async |network| run(network, template).await)?
}

async fn restore(template: &Template, network: &Network, index: u8) -> anyhow::Result<Node> {
    Ok(Node::restore(template, network, NodeSpec::new(format!("worker-{index}"), index)).await?)
}

/// One echo request, answered within a second.
async fn ping_once(node: &Node, address: impl ToString) -> anyhow::Result<bool> {
    let argv = ["/bin/busybox", "ping", "-c", "1", "-W", "1", &address.to_string()].map(str::to_owned);
    Ok(node.guest().run(argv, SOON).await?.ended.is_success())
}

#[test]
fn a_restored_node_is_the_node_it_was_told_to_be() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 3).await?;
        let guest = node.guest();
        let name = guest.shell("hostname; cat /etc/iscsi/initiatorname.iscsi", SOON).await?;
        assert_eq!(name.stdout_text(), format!("worker-3\nInitiatorName={}\n", node.initiator_name()));
        for daemon in ["systemd-udevd", "multipathd", "iscsid"] {
            guest.require(["/bin/pidof", daemon], SOON).await?;
        }
        let clock: u64 = guest.shell("date +%s", SOON).await?.stdout_text().trim().parse()?;
        let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        assert!(here.abs_diff(clock) < 10, "the node's clock says {clock}, the host's {here}");
        Ok(())
    })
}

#[test]
fn two_nodes_reach_each_other_and_the_host_over_every_fabric_at_once() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let (one, two) = tokio::try_join!(restore(&template, &network, 1), restore(&template, &network, 2))?;
        for fabric in Fabric::ALL {
            ensure!(ping_once(&one, two.address(fabric)).await?, "no way from one to two over {fabric:?}");
            ensure!(ping_once(&two, fabric.host()).await?, "no way from two to the host over {fabric:?}");
        }
        for lif in [Fabric::A.at(101), Fabric::B.at(101)] {
            ensure!(ping_once(&one, lif).await?, "no way to {lif}");
        }
        Ok(())
    })
}

#[test]
fn two_nodes_of_one_template_draw_different_random_numbers() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let (one, two) = tokio::try_join!(restore(&template, &network, 1), restore(&template, &network, 2))?;
        let mut seen = HashSet::new();
        for guest in [one.guest(), two.guest()] {
            for source in ["/proc/sys/kernel/random/uuid", "/etc/machine-id"] {
                let value = guest.get(source).await?;
                ensure!(seen.insert(value), "{source} of both nodes is the same");
            }
        }
        Ok(())
    })
}

#[test]
fn a_hung_command_blocks_nobody_and_dies_at_its_deadline() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 1).await?;
        let guest = node.guest();
        let deadline = Duration::from_secs(3);
        let hung = {
            let guest = guest.clone();
            tokio::spawn(async move { guest.run(["/bin/sleep", "600"], deadline).await })
        };
        let mut answered = 0;
        while !hung.is_finished() && answered < 20 {
            guest.require(["/bin/true"], SOON).await?;
            answered += 1;
        }
        ensure!(!hung.is_finished(), "only {answered} commands while another hung for {deadline:?}");
        let output = hung.await??;
        assert_eq!(output.ended, Ended::Deadline { reaped: true });
        let left = guest.run(["/bin/pidof", "sleep"], SOON).await?;
        assert_eq!(left.ended, Ended::Exit(1), "the command outlived its deadline");
        Ok(())
    })
}

#[test]
fn a_pulled_cable_cuts_one_fabric_and_a_plugged_one_restores_it() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 1).await?;
        ensure!(ping_once(&node, Fabric::A.host()).await?, "fabric A does not work at all");
        node.set_link(Fabric::A, false).await?;
        ensure!(!ping_once(&node, Fabric::A.host()).await?, "fabric A works without a cable");
        ensure!(ping_once(&node, Fabric::B.host()).await?, "fabric B went with fabric A");
        node.set_link(Fabric::A, true).await?;
        let again = Instant::now();
        while !ping_once(&node, Fabric::A.host()).await? {
            ensure!(again.elapsed() < SOON, "fabric A did not come back");
        }
        eprintln!("fabric A was back {:?} after its cable", again.elapsed());
        Ok(())
    })
}

#[test]
fn a_reset_node_boots_and_has_its_identity_but_no_memory() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 2).await?;
        let guest = node.guest();
        guest.put("/root/before", 0o644, b"gone after a power cut").await?;
        let hung = {
            let guest = guest.clone();
            tokio::spawn(async move { guest.run(["/bin/sleep", "600"], Duration::from_secs(600)).await })
        };
        guest.ping(SOON).await?;
        let started = Instant::now();
        node.system_reset().await.with_context(|| node.console())?;
        eprintln!("a node was back {:?} after a reset", started.elapsed());
        assert!(matches!(hung.await?, Err(GuestError::Restarted)));
        let before = guest.run(["/bin/cat", "/root/before"], SOON).await?;
        assert_eq!(before.ended, Ended::Exit(1));
        let name = guest.shell("hostname", SOON).await?;
        assert_eq!(name.stdout_text(), "worker-2\n");
        ensure!(ping_once(&node, Fabric::B.host()).await?, "no network after a reset");
        Ok(())
    })
}

#[test]
fn a_large_file_comes_back_as_it_went() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 1).await?;
        let guest = node.guest();
        let content: Vec<u8> =
            (0..20_u32 << 18).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        let started = Instant::now();
        guest.put("/opt/deep/large", 0o755, &content).await?;
        let put = started.elapsed();
        let back = guest.get("/opt/deep/large").await?;
        eprintln!("20 MiB: put {put:?}, get {:?}", started.elapsed() - put);
        ensure!(back == content, "{} bytes came back, other than they went", back.len());
        let mode = guest.shell("stat -c %a /opt/deep/large", SOON).await?;
        assert_eq!(mode.stdout_text(), "755\n");
        Ok(())
    })
}

#[test]
fn a_spawned_program_writes_its_log_and_its_end_is_seen() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 1).await?;
        let guest = node.guest();
        let script = "echo $GREETING; echo problem >&2; exec sleep 600";
        let program =
            guest.spawn(["/bin/sh", "-c", script], &[("GREETING", "up")], "/var/log/program.log").await?;
        let early = program.await_exit(Duration::from_secs(1)).await?;
        assert_eq!(early, Ended::Deadline { reaped: false }, "it did not stay");
        assert_eq!(guest.get("/var/log/program.log").await?, b"up\nproblem\n");
        let waiting = {
            let program = program.clone();
            tokio::spawn(async move { program.await_exit(SOON).await })
        };
        assert_eq!(program.kill().await?, Ended::Signal(9));
        assert_eq!(waiting.await??, Ended::Signal(9));
        Ok(())
    })
}

#[test]
fn a_relay_to_nobody_closes_the_connection() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 1).await?;
        let door =
            node.guest().relay((node.address(Fabric::Management), 0).into(), "/run/nobody.sock").await?;
        let mut connection = tokio::net::TcpStream::connect(door).await?;
        let mut nothing = Vec::new();
        let read = tokio::time::timeout(SOON, connection.read_to_end(&mut nothing)).await?;
        ensure!(read.map_or(true, |count| count == 0), "someone answered for a socket that is not there");
        Ok(())
    })
}

#[test]
fn a_node_that_cannot_boot_shows_its_console_without_delay() -> anyhow::Result<()> {
    let no_program = tempfile::NamedTempFile::new()?;
    std::fs::write(no_program.path(), b"this is no program")?;
    let image = Image::ensure(no_program.path())?;
    let started = Instant::now();
    let error = Template::ensure(&image).err().context("a node without a control program booted")?;
    let text = format!("{:#}", anyhow::Error::from(error));
    ensure!(text.contains("Kernel panic"), "{text}");
    ensure!(started.elapsed() < Duration::from_secs(60), "it took {:?} to say so", started.elapsed());
    Ok(())
}

#[test]
fn an_idle_node_shows_the_same_state_twice() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 1).await?;
        let guest = node.guest();
        let before = guest.observe_state().await?;
        ensure!(before.block.contains(&"vda".to_owned()), "{before:?}");
        guest.shell("mkdir /root/disk; mount -t tmpfs leftover /root/disk", SOON).await?;
        ensure!(guest.observe_state().await? != before, "a mount was not seen");
        guest.shell("umount /root/disk", SOON).await?;
        assert_eq!(guest.observe_state().await?, before);
        Ok(())
    })
}

#[test]
fn a_restore_takes_a_fraction_of_a_second() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let mut took = Vec::new();
        for _ in 0..5 {
            let started = Instant::now();
            let node = restore(&template, &network, 1).await?;
            took.push(started.elapsed());
            node.kill().await;
        }
        took.sort();
        eprintln!("restored ready to use: {took:?}");
        // Far above what is seen: a restore that boots is caught, a busy host is not.
        ensure!(took.get(2).is_some_and(|median| *median < Duration::from_secs(5)), "{took:?}");
        Ok(())
    })
}
