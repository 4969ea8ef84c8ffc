//! How QEMU runs the node's CPU: by emulation, or by KVM where KVM is proved to work.
//!
//! A `/dev/kvm` that exists is no proof: there are hosts on which it opens, and a guest never
//! runs. So the proof is a node that boots to an answer within a deadline.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use vm_guest::command::Command;

use crate::channel::Life;
use crate::image::{Cache, Image, Key, at};
use crate::machine::{Machine, Plan};
use crate::network::{LifAddresses, in_network};
use crate::qemu::QEMU;
use crate::template::TemplateError;

/// A node under KVM answers within a second or two; a busy host gets more.
const PROOF_WITHIN: Duration = Duration::from_secs(12);

/// How the CPU of a node is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// QEMU's translator: works everywhere, several times slower.
    Tcg,
    /// The host's CPU.
    Kvm,
}

impl Accelerator {
    /// What `TINE_VM_ACCEL` asks for: `tcg`, `kvm`, or `auto` (also when it is not set), which
    /// takes KVM if a probe proves it and emulation otherwise. The probe's outcome is remembered
    /// for this process, and on disk until the host boots anew.
    ///
    /// # Errors
    /// Another word, or the cache is unusable.
    pub fn choose(image: &Image) -> Result<Self, TemplateError> {
        match std::env::var("TINE_VM_ACCEL").as_deref() {
            Ok("tcg") => Ok(Self::Tcg),
            Ok("kvm") => Ok(Self::Kvm),
            Ok("auto" | "") | Err(_) => probe(image),
            Ok(other) => Err(TemplateError::Accelerator(other.to_owned())),
        }
    }

    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            // The translator's cache is bounded: unbounded it grows past a gigabyte. Five-level
            // page tables cost a walk more at every miss.
            Self::Tcg => &["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off"],
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }
}

/// QEMU's version line; a saved machine is continued by the same QEMU only.
pub(crate) fn qemu_version() -> Result<String, TemplateError> {
    let output = Command::new(QEMU, Duration::from_secs(20)).arg("--version").require_success()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn probe(image: &Image) -> Result<Accelerator, TemplateError> {
    static OUTCOME: OnceLock<Accelerator> = OnceLock::new();
    if let Some(known) = OUTCOME.get() {
        return Ok(*known);
    }
    if !fs::exists("/dev/kvm").unwrap_or(false) {
        return Ok(*OUTCOME.get_or_init(|| Accelerator::Tcg));
    }
    let cache = Cache::open()?;
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let name = format!("accelerator-{}", Key::default().part(boot).part(qemu_version()?).short());
    let entry = cache.ensure::<TemplateError>(&name, |directory| {
        let outcome = prove(image);
        eprintln!("node accelerator: {} (found by trial)", outcome.word());
        let file = directory.join("outcome");
        Ok(at("write", &file, fs::write(&file, outcome.word()))?)
    })?;
    let file = entry.join("outcome");
    let kvm = at("read", &file, fs::read_to_string(&file))? == Accelerator::Kvm.word();
    Ok(*OUTCOME.get_or_init(|| if kvm { Accelerator::Kvm } else { Accelerator::Tcg }))
}

/// Boots a node under KVM to its announcement. Anything else, for whatever reason, is no proof.
fn prove(image: &Image) -> Accelerator {
    let proof = in_network(&LifAddresses::default(), async |network| {
        let plan = Plan { image, accelerator: Accelerator::Kvm, index: 1, saved: None };
        let machine = Machine::start(&network, &plan).await?;
        machine
            .channel
            .await_boot(Life::default(), 0, PROOF_WITHIN)
            .await
            .map_err(|error| machine.explain(error))
    });
    match proof {
        Ok(Ok(())) => Accelerator::Kvm,
        Ok(Err(error)) => {
            tracing::debug!(%error, "KVM does not run a node");
            Accelerator::Tcg
        }
        Err(error) => {
            tracing::debug!(%error, "KVM could not be tried");
            Accelerator::Tcg
        }
    }
}
