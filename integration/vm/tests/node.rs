//! Nodes on this host's QEMU: what every test of the data path takes for granted.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use vm::{Ended, Fabric, Image, LifAddresses, Network, Node, NodeSpec, Template};

const SECONDS_10: Duration = Duration::from_secs(10);

fn template() -> anyhow::Result<Template> {
    let image = Image::ensure(&Image::default_guest_program()?)?;
    Ok(Template::ensure(&image)?)
}

/// Runs a scenario with the template in a network of its own.
fn scenario(run: impl AsyncFnOnce(Network, Template) -> anyhow::Result<()> + Send) -> anyhow::Result<()> {
    let template = template()?;
    let lifs = LifAddresses { a: vec![Fabric::A.at(101)], b: vec![Fabric::B.at(101)] };
    vm::in_network(&lifs, async |network| run(network, template).await)?
}

async fn restore(template: &Template, network: &Network, index: u8) -> anyhow::Result<Node> {
    Ok(Node::restore(template, network, NodeSpec::new(format!("worker-{index}"), index)).await?)
}

#[test]
fn a_restored_node_is_the_node_it_was_told_to_be() -> anyhow::Result<()> {
    scenario(async |network, template| {
        let node = restore(&template, &network, 3).await?;
        let guest = node.guest();
        let name = guest.shell("hostname; cat /etc/iscsi/initiatorname.iscsi", SECONDS_10).await?;
        assert_eq!(name.stdout_text(), format!("worker-3\nInitiatorName={}\n", node.initiator_name()));
        let daemons = guest.shell("pidof systemd-udevd multipathd iscsid | wc -w", SECONDS_10).await?;
        let count: u32 = daemons.stdout_text().trim().parse()?;
        assert!(count >= 3, "daemons running: {count}");
        let clock: u64 = guest.shell("date +%s", SECONDS_10).await?.stdout_text().trim().parse()?;
        let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        assert!(here.abs_diff(clock) < 10, "the node's clock says {clock}, the host's {here}");
        Ok(())
    })
}
