//! What calls of a simulator's management API take, over HTTPS as clients make them, with more and
//! more volumes: the curve that shows whether a lookup costs by what there is.
//!
//! ```text
//! api-bench ─ client ─ HTTPS ─► simulator in this process, in memory or in a data directory
//! ```

mod client;
mod element;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use ontap_sim::OntapSim;
use ontap_sim::arguments::{Arguments as Simulator, DEFAULT_PASSWORD};
use serde::Serialize;
use serde_json::json;

use crate::client::Client;

const VOLUMES: &str = "/api/storage/volumes";
/// Volumes made with one call while filling.
const BATCH: usize = 500;

/// Times calls of the management API with many volumes.
#[derive(Debug, Parser)]
#[command(name = "api-bench", version)]
struct Arguments {
    /// Whose API
    #[arg(long, value_enum, default_value_t = Array::Ontap)]
    array: Array,
    /// Numbers of volumes to measure with, ascending
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000,100000")]
    volumes: Vec<usize>,
    /// Calls of each kind
    #[arg(long, default_value_t = 201)]
    samples: usize,
    /// Keep the array in a data directory meanwhile
    #[arg(long)]
    durable: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The arrays there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Array {
    /// ontap-sim.
    Ontap,
    /// solidfire-sim, in memory.
    Element,
}

/// Median and 99th percentile of one kind of call, in milliseconds.
#[derive(Debug, Serialize)]
struct Line {
    volumes: usize,
    call: &'static str,
    p50_ms: f64,
    p99_ms: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("api-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    if arguments.array == Array::Element {
        let lines = element::run(&arguments.volumes, arguments.samples).await?;
        return print(&lines, arguments.json);
    }
    let place = tempfile::tempdir()?;
    let mut flags = vec!["ontap-sim", "--svm", "svm1", "--seed", "7"];
    let data = place.path().to_str().context("the temporary directory's name is no text")?;
    if arguments.durable {
        flags.extend(["--data-dir", data]);
    }
    let mut lines = vec![starts(&flags, 0, arguments.samples.min(21)).await?];
    let sim = OntapSim::start(Simulator::parse_from(&flags).configuration()?).await?;
    let client = Client::new(sim.ca_pem(), sim.management(), DEFAULT_PASSWORD)?;
    let mut there = 0;
    for volumes in &arguments.volumes {
        fill(&client, there, *volumes).await?;
        there = there.max(*volumes);
        lines.extend(measure(&client, there, arguments.samples).await?);
    }
    sim.stop().await;
    drop(client);
    if arguments.durable {
        lines.push(starts(&flags, there, 3).await?);
    }
    print(&lines, arguments.json)
}

/// From the call of the program's main function to the first answer that can be given.
async fn starts(flags: &[&str], volumes: usize, samples: usize) -> Result<Line> {
    let mut times = Vec::new();
    for _ in 0..samples {
        let begun = Instant::now();
        let sim = OntapSim::start(Simulator::parse_from(flags).configuration()?).await?;
        times.push(begun.elapsed());
        sim.stop().await;
    }
    Ok(line(volumes, "start to serving", times))
}

async fn fill(client: &Client, from: usize, to: usize) -> Result<()> {
    let names: Vec<_> = (from..to).map(|number| format!("vol_{number:06}")).collect();
    for names in names.chunks(BATCH) {
        let records: Vec<_> = names.iter().map(|name| volume(name)).collect();
        client.post(&format!("{VOLUMES}?return_timeout=60"), &json!({ "records": records })).await?;
    }
    Ok(())
}

fn volume(name: &str) -> serde_json::Value {
    json!({ "name": name, "svm": { "name": "svm1" }, "aggregates": [{ "name": "aggr1" }], "size": "1GB",
        "guarantee": { "type": "none" }, "nas": { "path": format!("/{name}") } })
}

async fn measure(client: &Client, volumes: usize, samples: usize) -> Result<Vec<Line>> {
    let name = |sample: usize| format!("vol_{:06}", sample.wrapping_mul(7919) % volumes);
    let mut uuids = Vec::new();
    for sample in 0..samples {
        let found = client.get(&format!("{VOLUMES}?svm.name=svm1&name={}", name(sample))).await?;
        let uuid = found.pointer("/records/0/uuid").and_then(serde_json::Value::as_str);
        uuids.push(uuid.context("a volume is not found by its name")?.to_owned());
    }
    let mut lines = Vec::new();
    let mut times = Times::default();
    for sample in 0..samples {
        let path = format!("{VOLUMES}?svm.name=svm1&name={}&fields=*", name(sample));
        times.time(client.read(&path)).await?;
    }
    lines.push(line(volumes, "GET by SVM and name", times.take()));
    for uuid in &uuids {
        times.time(client.read(&format!("{VOLUMES}/{uuid}"))).await?;
    }
    lines.push(line(volumes, "GET by UUID", times.take()));
    for _ in 0..samples.min(51) {
        times.time(client.read(&format!("{VOLUMES}?max_records=1000&fields=*"))).await?;
    }
    lines.push(line(volumes, "GET, page of 1000, all usual fields", times.take()));
    let mut page = Some(format!("{VOLUMES}?svm.name=svm1&max_records=1000"));
    while let Some(path) = page {
        let begun = Instant::now();
        let found = client.read(&path).await?;
        times.0.push(begun.elapsed());
        let found: serde_json::Value = serde_json::from_slice(&found)?;
        page = found.pointer("/_links/next/href").and_then(serde_json::Value::as_str).map(str::to_owned);
    }
    lines.push(line(volumes, "GET, each page of 1000 of an SVM, to the end", times.take()));
    for _ in 0..samples.min(11) {
        times.time(client.read(&format!("{VOLUMES}?name=vol_0000*&order_by=size"))).await?;
    }
    lines.push(line(volumes, "GET by pattern, ordered", times.take()));
    let create = format!("{VOLUMES}?return_timeout=60");
    for sample in 0..samples {
        times.time(client.post(&create, &volume(&format!("new_{sample}")))).await?;
    }
    lines.push(line(volumes, "create", times.take()));
    for sample in 0..samples {
        let path = format!("{VOLUMES}?svm.name=svm1&name=new_{sample}&return_timeout=60");
        times.time(client.delete(&path)).await?;
    }
    lines.push(line(volumes, "delete", times.take()));
    Ok(lines)
}

/// Times of calls.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    async fn time<T>(&mut self, call: impl Future<Output = Result<T>>) -> Result<()> {
        let begun = Instant::now();
        call.await?;
        self.0.push(begun.elapsed());
        Ok(())
    }

    fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    fn take(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.0)
    }
}

fn line(volumes: usize, call: &'static str, mut times: Vec<Duration>) -> Line {
    times.sort();
    let at = |percent: usize| {
        let place = times.len().saturating_sub(1) * percent / 100;
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    Line { volumes, call, p50_ms: at(50), p99_ms: at(99) }
}

fn print(lines: &[Line], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&json!({ "schema": 1, "lines": lines }))?);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["volumes", "call", "p50 ms", "p99 ms"]);
    for line in lines {
        table.add_row([
            line.volumes.to_string(),
            line.call.to_owned(),
            format!("{:.2}", line.p50_ms),
            format!("{:.2}", line.p99_ms),
        ]);
    }
    for column in [0, 2, 3] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{table}");
    Ok(())
}
