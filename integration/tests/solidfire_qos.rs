//! Quality of service of a simulated SolidFire cluster, measured with fio by a worker node's own
//! initiator: journey J4's Bronze and Gold.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser as _;
use integration::bare::{self, node, script};
use integration::planes::element::{self, SVIP};
use serde_json::{Map, Value};
use solidfire_sim::state::{
    Access, AccountId, ChapSecret, LogicalBlock, NewAccount, NewVolume, QosChoice, QosPatch, Reply, Request,
    SecretChoice, VolumeId, VolumeUsage,
};
use solidfire_sim::{Arguments, Running, start};
use vm::Guest;

const SECRET: &str = "initiatorsec1";
/// Bytes of fio's transfers; one costs [`COST`] operations of 4 KiB. Large ones ask little of an
/// emulated processor, and larger ones the node's kernel splits.
const BLOCK: u64 = 64 << 10;
const COST: f64 = 10.0;
/// A node that shares its processors with other tests may be slower than the array for a while.
const ATTEMPTS: usize = 3;

/// min, max and burst IOPS.
type Rates = (i64, i64, i64);
const BRONZE: Rates = (1000, 2000, 4000);
const GOLD: Rates = (6000, 8000, 10_000);

struct Cluster {
    running: Running,
    account: AccountId,
}

impl Cluster {
    async fn start(iops: &str) -> Result<Self> {
        let arguments = ["solidfire-sim", "--svip", SVIP, "--cluster-iops", iops];
        let running = start(Arguments::try_parse_from(arguments)?).await?;
        let secret = |member| ChapSecret::parse(member, SECRET).map(SecretChoice::Given);
        let account = NewAccount {
            username: "tenant".into(),
            initiator_secret: secret("initiatorSecret")?,
            target_secret: SecretChoice::Generate,
            enable_chap: true,
            attributes: Map::new(),
        };
        let Reply::AccountAdded(added) = running.cluster().call(Request::AddAccount(account))? else {
            anyhow::bail!("no account was added")
        };
        Ok(Self { running, account: added.account.id })
    }

    fn statistics(&self, volume: VolumeId) -> Result<VolumeUsage> {
        match self.running.cluster().call(Request::GetVolumeStats(volume))? {
            Reply::VolumeStats(usage) => Ok(usage),
            other => anyhow::bail!("{other:?}"),
        }
    }

    /// A new volume; its IQN.
    fn create(&self, name: &str, (min, max, burst): Rates) -> Result<(VolumeId, String)> {
        let volume = NewVolume {
            name: name.into(),
            account: self.account,
            size: 1_000_000_000,
            block: LogicalBlock::Emulated512,
            access: Access::ReadWrite,
            qos: QosChoice::Own(QosPatch {
                min_iops: Some(min),
                max_iops: Some(max),
                burst_iops: Some(burst),
            }),
            attributes: Map::new(),
        };
        match self.running.cluster().call(Request::CreateVolume(volume))? {
            Reply::VolumeCreated(volume) => Ok((volume.id, volume.names.iqn)),
            other => anyhow::bail!("{other:?}"),
        }
    }
}

/// Logs in; the device.
async fn attach(guest: &Guest, iqn: &str) -> Result<String> {
    let auth = [("authmethod", "CHAP"), ("username", "tenant"), ("password", SECRET)];
    element::attach(guest, iqn, &auth).await
}

/// Operations of 4 KiB a second that fio gets done on each device, side by side, in so many seconds
/// once `ramp` seconds are over.
async fn measure(guest: &Guest, devices: &[&str], ramp: u64, seconds: u64) -> Result<Vec<f64>> {
    let jobs: String =
        devices.iter().enumerate().map(|(n, device)| format!(" --name=job{n} --filename={device}")).collect();
    let fio = format!(
        "fio --ioengine=libaio --direct=1 --rw=randwrite --bs={BLOCK} --iodepth=32 --time_based \
         --ramp_time={ramp} --runtime={seconds} --output-format=json --output=/run/qos.json{jobs} >&2
         cat /run/qos.json"
    );
    let text = script(guest, &fio).await?;
    let report: Value = serde_json::from_str(&text).with_context(|| format!("fio reported {text:?}"))?;
    let jobs = report["jobs"].as_array().context("fio's report has no jobs")?;
    jobs.iter()
        .map(|job| Ok(job["write"]["iops"].as_f64().context("fio's report has no IOPS")? * COST))
        .collect()
}

fn scenario(cluster_iops: &str, run: impl AsyncFnOnce(Guest, Cluster) -> Result<()> + Send) -> Result<()> {
    bare::scenario(async |network, template| {
        let one = node(&network, &template, 1).await?;
        let cluster = Cluster::start(cluster_iops).await?;
        run(one.guest(), cluster).await
    })
}

#[test]
fn fio_gets_the_max_iops_of_its_type_and_bursts_on_what_was_saved() -> Result<()> {
    scenario("200000", async |guest, cluster| {
        // What Gold saves while fio starts takes an emulated node too long to use up: here it saves
        // nothing, and its maximum is seen alone. How a burst goes is Bronze's to show.
        let gold = (GOLD.0, GOLD.1, GOLD.1);
        for (name, rates) in [("bronze", BRONZE), ("gold", gold)] {
            let (volume, iqn) = cluster.create(name, rates)?;
            let device = attach(&guest, &iqn).await?;
            let mut best = 0.0_f64;
            for _ in 0..ATTEMPTS {
                // What was saved since the volume is there, and while fio starts, goes first.
                let saved = cluster.statistics(volume)?.burst_credit;
                let spent_in = saved.checked_div((rates.2 - rates.1) as u64).unwrap_or(0);
                let found = measure(&guest, &[&device], spent_in + 12, 8).await?[0];
                println!("{name}: {found:.0} operations a second of at most {}", rates.1);
                if cluster.statistics(volume)?.burst_credit > rates.1 as u64 {
                    println!("{name}: too slow to use up what was saved");
                    continue;
                }
                ensure!(found <= rates.1 as f64 * 1.1, "{name} did {found:.0}");
                best = best.max(found);
                if best >= rates.1 as f64 * 0.9 {
                    break;
                }
            }
            ensure!(best >= rates.1 as f64 * 0.9, "{name} got no further than {best:.0}");
            if name == "bronze" {
                bursts(&guest, &cluster, volume, &device).await?;
            }
        }
        Ok(())
    })
}

/// Ten idle seconds save 20 000 operations, and what fio takes to start some more; at 4000 a second
/// they are used up after some 14 s.
async fn bursts(guest: &Guest, cluster: &Cluster, volume: VolumeId, device: &str) -> Result<()> {
    let mut best = 0.0_f64;
    for _ in 0..ATTEMPTS {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let saved = cluster.statistics(volume)?;
        let written = saved.traffic.total.written;
        ensure!(written.operations > 0 && written.bytes == written.operations * BLOCK, "counted {written:?}");
        ensure!(saved.burst_credit >= 18_000, "ten idle seconds saved {}", saved.burst_credit);
        best = best.max(measure(guest, &[device], 0, 4).await?[0]);
        let after = measure(guest, &[device], 20, 6).await?[0];
        println!("bronze: burst {best:.0}, afterwards {after:.0}");
        ensure!(best <= 4000.0 * 1.1, "a burst of {best:.0}");
        ensure!(after <= 2000.0 * 1.1, "{after:.0} when nothing is saved any more");
        if best >= 4000.0 * 0.85 {
            return Ok(());
        }
    }
    anyhow::bail!("burst no further than {best:.0}")
}

/// Half of what J4's types have, so that two at once ask no more of an emulated node than it can do:
/// a node too slow to want its minimum leaves it to the other.
#[test]
fn under_contention_each_volume_gets_its_min_iops() -> Result<()> {
    let halved = |(min, max, burst): Rates| (min / 2, max / 2, burst / 2);
    scenario("3750", async |guest, cluster| {
        let gold = attach(&guest, &cluster.create("gold", halved(GOLD))?.1).await?;
        let bronze = attach(&guest, &cluster.create("bronze", halved(BRONZE))?.1).await?;
        let mut found = Vec::new();
        for _ in 0..ATTEMPTS {
            found = measure(&guest, &[&gold, &bronze], 4, 10).await?;
            println!("gold {:.0}, bronze {:.0} of 3750 together", found[0], found[1]);
            ensure!(found.iter().sum::<f64>() <= 3750.0 * 1.1, "more than the cluster can do: {found:?}");
            if found[0] >= 3000.0 * 0.9 && found[1] >= 500.0 * 0.9 {
                return Ok(());
            }
        }
        anyhow::bail!("less than was guaranteed: {found:?}")
    })
}
