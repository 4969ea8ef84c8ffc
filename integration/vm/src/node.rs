//! A worker node: restored from a template, made one of a kind, and abused.

use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use vm_guest::protocol::{Identity, Nic};

use crate::guest::{Guest, GuestError};
use crate::machine::{Machine, MachineError, Plan, mac};
use crate::network::{Fabric, Network};
use crate::template::{BOOT_WITHIN, Template};

/// One reset shows as several: the firmware finds its own memory used, restores it, and resets
/// again by every means it knows, a dozen times on a busy host. So the deadline alone tells that a
/// node does not come back.
const ANY_NUMBER: u64 = u64::MAX;

/// What distinguishes one node from another.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    name: String,
    index: u8,
}

impl NodeSpec {
    /// A host name, and a number from 1 to 80 that no other node of the same network has: the
    /// node's addresses end in 10 + index.
    pub fn new(name: impl Into<String>, index: u8) -> Self {
        Self { name: name.into(), index }
    }
}

/// A running node. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    spec: NodeSpec,
    machine: Machine,
}

impl Node {
    /// A node from a template, with its own name, addresses and initiator name, and its daemons
    /// running. Ready when this returns.
    ///
    /// # Errors
    /// QEMU or the node fails; the error shows the node's console.
    pub async fn restore(
        template: &Template,
        network: &Network,
        spec: NodeSpec,
    ) -> Result<Self, MachineError> {
        let plan = Plan {
            image: &template.image,
            accelerator: template.accelerator,
            index: spec.index,
            saved: Some(&template.saved),
        };
        let machine = Machine::start(network, &plan).await?;
        let node = Self { spec, machine };
        node.personalise().await?;
        Ok(node)
    }

    /// Host name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The node's address on a network.
    pub fn address(&self, fabric: Fabric) -> Ipv4Addr {
        fabric.at(self.spec.index.saturating_add(10))
    }

    /// The node's iSCSI initiator name.
    pub fn initiator_name(&self) -> String {
        format!("iqn.1993-08.org.debian:01:{}", self.spec.name)
    }

    /// The inside of the node.
    pub fn guest(&self) -> Guest {
        Guest { channel: self.machine.channel.clone() }
    }

    /// Plugs or pulls the cable of one network.
    ///
    /// # Errors
    /// QEMU is gone.
    pub async fn set_link(&self, fabric: Fabric, up: bool) -> Result<(), MachineError> {
        self.machine.qmp.execute("set_link", json!({ "name": fabric.name(), "up": up })).await?;
        Ok(())
    }

    /// Resets the node as a power cut would, and waits until it has booted and has its identity
    /// again. Nothing of its root survives: it is in memory.
    ///
    /// # Errors
    /// It does not boot; the error shows its console.
    pub async fn system_reset(&self) -> Result<(), MachineError> {
        let before = self.machine.channel.life();
        self.machine.qmp.execute("system_reset", json!({})).await?;
        let explain = |error: GuestError| self.machine.explain(error);
        self.machine.channel.await_boot(before, ANY_NUMBER, BOOT_WITHIN).await.map_err(explain)?;
        self.personalise().await
    }

    /// Kills the node at once and for good.
    pub async fn kill(self) {
        self.machine.kill().await;
    }

    /// What the node wrote to its console since it was restored.
    pub fn console(&self) -> String {
        self.machine.console()
    }

    async fn personalise(&self) -> Result<(), MachineError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let identity = Identity {
            hostname: self.spec.name.clone(),
            machine_id: format!("{:024x}{:08x}", 0x7469_6e65, self.spec.index),
            initiator_name: self.initiator_name(),
            unix_time_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            nics: Fabric::ALL
                .map(|fabric| Nic {
                    name: fabric.nic().to_owned(),
                    mac: mac(fabric, self.spec.index),
                    address: self.address(fabric),
                    prefix: 24,
                })
                .into(),
        };
        self.guest().personalise(identity).await.map_err(|error| self.machine.explain(error))
    }
}
