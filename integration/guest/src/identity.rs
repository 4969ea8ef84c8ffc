//! Becoming one certain node: every node restored from one snapshot is the same until then.

use std::fmt::Write as _;
use std::fs;
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use vm_guest::command::Command;
use vm_guest::protocol::Identity;

use crate::daemons::ISCSID;

/// The initiator daemon, which reads its name once, when it starts.
static INITIATOR: Mutex<Option<Child>> = Mutex::new(None);

/// Takes on the identity and starts the initiator under its name.
pub(crate) fn personalise(identity: &Identity) -> anyhow::Result<()> {
    let now = Duration::from_nanos(identity.unix_time_ns);
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(now)).context("setting the clock")?;
    rustix::system::sethostname(identity.hostname.as_bytes()).context("setting the host name")?;
    let name = &identity.hostname;
    for (path, content) in [
        ("/etc/hostname", format!("{name}\n")),
        ("/etc/hosts", format!("127.0.0.1 localhost\n127.0.1.1 {name}\n")),
        ("/etc/machine-id", format!("{}\n", identity.machine_id)),
        ("/etc/iscsi/initiatorname.iscsi", format!("InitiatorName={}\n", identity.initiator_name)),
    ] {
        fs::write(path, content).with_context(|| path.to_owned())?;
    }
    configure_network(identity)?;
    restart_initiator()
}

fn configure_network(identity: &Identity) -> anyhow::Result<()> {
    let mut batch = String::new();
    for nic in &identity.nics {
        let (name, mac) = (&nic.name, &nic.mac);
        // The address of the hardware changes only while the interface is down.
        writeln!(batch, "link set dev {name} down")?;
        writeln!(batch, "link set dev {name} address {mac}")?;
        writeln!(batch, "address replace {}/{} dev {name}", nic.address, nic.prefix)?;
        writeln!(batch, "link set dev {name} up")?;
    }
    Command::new("/usr/sbin/ip", Duration::from_secs(20))
        .args(["-batch", "-"])
        .input(batch.into_bytes())
        .require_success()
        .context("configuring the network")?;
    Ok(())
}

fn restart_initiator() -> anyhow::Result<()> {
    let mut initiator = INITIATOR.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(mut running) = initiator.take() {
        running.kill()?;
        running.wait()?;
    }
    *initiator = Some(ISCSID.start()?);
    Ok(())
}
