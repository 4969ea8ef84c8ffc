//! A worker node without agent, for judging one service by the kernel's own client.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use vm::{Fabric, Guest, Image, LifAddresses, Network, Node, NodeSpec, Template};

/// For a script in the node; bounds a hang, measures nothing.
pub const SOON: Duration = Duration::from_secs(90);

/// Runs a scenario in a network of its own, with the address `.101` of fabrics A and B for the
/// service under test.
///
/// # Errors
/// When there is no node to be had, or the scenario fails.
pub fn scenario<T: Send>(run: impl AsyncFnOnce(Network, Template) -> Result<T> + Send) -> Result<T> {
    let image = Image::ensure(&Image::default_guest_program()?)?;
    let template = Template::ensure(&image)?;
    let at = |fabric: Fabric| -> Vec<Ipv4Addr> { vec![fabric.at(101)] };
    let lifs = LifAddresses { a: at(Fabric::A), b: at(Fabric::B) };
    vm::in_network(&lifs, async |network| run(network, template).await)?
}

/// The node `worker-<index>`.
///
/// # Errors
/// When it does not come up.
pub async fn node(network: &Network, template: &Template, index: u8) -> Result<Node> {
    Ok(Node::restore(template, network, NodeSpec::new(format!("worker-{index}"), index)).await?)
}

/// Runs a script with `set -eux`; answers its standard output.
///
/// # Errors
/// When a command of it fails; both outputs are shown.
pub async fn script(guest: &Guest, text: &str) -> Result<String> {
    let output = guest.shell(&format!("set -eux\n{text}"), SOON).await?;
    Ok(output.stdout_text().into_owned())
}

/// Runs a script that must fail; answers its standard error.
///
/// # Errors
/// When it succeeds.
pub async fn failure(guest: &Guest, text: &str) -> Result<String> {
    let output = guest.run(["/bin/sh", "-c", text], SOON).await?;
    ensure!(!output.ended.is_success(), "{text} succeeded: {}", output.stdout_text());
    Ok(output.stderr_text().into_owned())
}
