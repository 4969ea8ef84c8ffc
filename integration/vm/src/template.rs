//! A node that was booted once and saved, to be restored many times.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vm_guest::command::CommandError;

use crate::accelerator::{Accelerator, qemu_version};
use crate::channel::Life;
use crate::guest::Guest;
use crate::image::{Cache, CacheError, Image, Key};
use crate::machine::{Machine, MachineError, Plan};
use crate::network::{LifAddresses, NetworkError, in_network};
use crate::qmp::QmpError;

/// Boot of a node under emulation on a busy host.
pub(crate) const BOOT_WITHIN: Duration = Duration::from_secs(120);
const SAVE_WITHIN: Duration = Duration::from_secs(60);

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The template's own network could not be made.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The node did not boot.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// QEMU cannot be asked for its version.
    #[error(transparent)]
    Qemu(#[from] CommandError),
    /// QEMU did not save the node.
    #[error("cannot save the node: {0}")]
    Save(String),
    /// `TINE_VM_ACCEL` holds another word.
    #[error("TINE_VM_ACCEL is {0:?}: use tcg, kvm or auto")]
    Accelerator(String),
}

impl From<QmpError> for TemplateError {
    fn from(error: QmpError) -> Self {
        Self::Machine(error.into())
    }
}

/// A booted node in a file, with its daemons running.
#[derive(Clone, Debug)]
pub struct Template {
    pub(crate) image: Image,
    pub(crate) accelerator: Accelerator,
    pub(crate) saved: PathBuf,
}

impl Template {
    /// The template of this image, booted now if it is not in the cache. Blocks: some seconds
    /// when booted, milliseconds when not. The calling thread keeps its network namespace.
    ///
    /// # Errors
    /// The node does not boot (the error shows its console), or QEMU does not save it.
    pub fn ensure(image: &Image) -> Result<Self, TemplateError> {
        let accelerator = Accelerator::choose(image)?;
        let plan = Plan { image, accelerator, index: 1, saved: None };
        let key = Key::default()
            .part(&image.key)
            .part(qemu_version()?)
            .parts(plan.arguments(Path::new("/")))
            .short();
        let entry = Cache::open()?.ensure::<TemplateError>(&format!("template-{key}"), |directory| {
            let started = Instant::now();
            eprintln!("node template: booting a node once");
            in_network(&LifAddresses::default(), async |network| {
                let machine = Machine::start(&network, &plan).await?;
                save(&machine, &directory.join("saved")).await
            })??;
            eprintln!("node template: done ({:.1} s)", started.elapsed().as_secs_f32());
            Ok(())
        })?;
        Ok(Self { image: image.clone(), accelerator, saved: entry.join("saved") })
    }

    /// How the nodes' CPUs are run.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }
}

async fn save(machine: &Machine, to: &Path) -> Result<(), TemplateError> {
    let explain = |error| machine.explain(error);
    machine.channel.await_boot(Life::default(), 0, BOOT_WITHIN).await.map_err(explain)?;
    let guest = Guest { channel: machine.channel.clone() };
    // Programs that every test runs are read into memory once, here; dirty pages go out.
    let warm = "/usr/sbin/iscsiadm --version; /usr/sbin/multipath -h; /usr/sbin/dmsetup version; \
        /usr/bin/udevadm settle; /bin/sync; echo 1 > /proc/sys/vm/compact_memory; true";
    guest.shell(warm, Duration::from_secs(60)).await.map_err(explain)?;
    let mut events = machine.qmp.events();
    // QEMU reports the end of a migration only when asked to (MIGRATION events).
    let capabilities = json!({ "capabilities": [{ "capability": "events", "state": true }] });
    machine.qmp.execute("migrate-set-capabilities", capabilities).await?;
    machine.qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": 1_u64 << 34 })).await?;
    let quoted = to.to_string_lossy().replace('\'', r"'\''");
    machine.qmp.execute("migrate", json!({ "uri": format!("exec:exec /bin/cat > '{quoted}'") })).await?;
    let saved = async {
        loop {
            let event = events.recv().await.map_err(|error| TemplateError::Save(error.to_string()))?;
            if event.get("event").and_then(Value::as_str) != Some("MIGRATION") {
                continue;
            }
            match event.pointer("/data/status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => return Err(TemplateError::Save(event.to_string())),
                _ => {}
            }
        }
    };
    tokio::time::timeout(SAVE_WITHIN, saved)
        .await
        .unwrap_or_else(|_| Err(TemplateError::Save(format!("not within {SAVE_WITHIN:?}"))))?;
    // QEMU waits for the program that it writes through when it closes the pipe, at the latest
    // when it ends: only then is the file whole.
    machine.qmp.execute("quit", json!({})).await?;
    machine.await_end().await;
    let length = fs::metadata(to).map(|file| file.len()).unwrap_or_default();
    if length == 0 { Err(TemplateError::Save("the file is empty".to_owned())) } else { Ok(()) }
}
