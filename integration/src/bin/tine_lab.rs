//! Plays the demo, soaks the data planes, or runs a command on a worker node. Started by `cargo xtask`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Parser, Subcommand};
use integration::lab::Lab;
use integration::scenes::{foreign, leftovers, nas, san, solidfire};
use integration::timeline::{Display, Timeline};
use serde_json::json;
use vm::{Image, LifAddresses, Node, NodeSpec, Template, in_network};

#[derive(Debug, Parser)]
#[command(name = "tine-lab", version, about = "The whole system on one machine")]
struct Arguments {
    #[command(subcommand)]
    scene: Scene,
}

#[derive(Debug, Subcommand)]
enum Scene {
    /// Two worker nodes, two arrays, three claims
    Demo {
        /// One JSON document on stdout instead of the table
        #[arg(long)]
        json: bool,
    },
    /// Verified load on worker nodes while portals, cables and services fail
    Soak {
        /// About how long
        #[arg(long)]
        minutes: u64,
        /// Decides the order of what fails
        #[arg(long)]
        seed: u64,
    },
    /// Worker nodes by hand
    Vm {
        #[command(subcommand)]
        what: Vm,
    },
}

#[derive(Debug, Subcommand)]
enum Vm {
    /// Build image and template if they are not cached
    Image,
    /// Run a command in a fresh node and show its output
    Run {
        /// Program (absolute path) and arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    telemetry::init(telemetry::LogFormat::Text);
    let outcome = match Arguments::parse().scene {
        Scene::Demo { json } => demo(json),
        Scene::Soak { minutes, seed } => soak(minutes, seed),
        Scene::Vm { what: Vm::Image } => image().map(drop),
        Scene::Vm { what: Vm::Run { command } } => run_in_node(command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tine-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(json: bool) -> Result<()> {
    let timeline = Arc::new(Timeline::new(if json { Display::Quiet } else { Display::Table }));
    let outcome = Lab::play(Arc::clone(&timeline), async |lab: &Lab| {
        let before = leftovers::before(lab).await?;
        nas::play(lab).await?;
        san::play(lab).await?;
        solidfire::play(lab).await?;
        foreign::play(lab).await?;
        leftovers::compare(lab, &before).await
    });
    if json {
        let document = json!({
            "schema": 1,
            "succeeded": outcome.is_ok(),
            "error": outcome.as_ref().err().map(|error| format!("{error:#}")),
            "seconds": timeline.elapsed().as_secs_f64(),
            "rows": timeline.rows(),
            "proofs": timeline.proofs(),
        });
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        conclude(&timeline, outcome.is_ok());
    }
    outcome
}

fn conclude(timeline: &Timeline, succeeded: bool) {
    println!("\nProven:");
    for proof in timeline.proofs() {
        println!("  {}. {}", proof.scene, proof.proven);
    }
    let own: Vec<f64> = timeline
        .rows()
        .into_iter()
        .filter(|row| row.what == "NodeStageVolume")
        .filter_map(|row| row.own_ms)
        .collect();
    if let Some(slowest) = own.iter().copied().reduce(f64::max) {
        println!(
            "The agent's own time in {} stage calls: at most {slowest:.1} ms; the rest was waiting for kernel, \
             iscsid, udev and multipathd.",
            own.len()
        );
    }
    let outcome = if succeeded { "All of it in" } else { "FAILED after" };
    println!("{outcome} {:.0} s.", timeline.elapsed().as_secs_f64());
}

fn soak(minutes: u64, seed: u64) -> Result<()> {
    let started = Instant::now();
    let counts = integration::soak::run(Duration::from_secs(60 * minutes), seed)?;
    print!("{counts}");
    println!("All of it verified, in {:.0} s.", started.elapsed().as_secs_f64());
    Ok(())
}

fn image() -> Result<Template> {
    let image = Image::ensure(&Image::default_guest_program()?)?;
    Ok(Template::ensure(&image)?)
}

fn run_in_node(command: Vec<String>) -> Result<()> {
    let template = image()?;
    in_network(&LifAddresses::default(), async move |network| {
        let node = Node::restore(&template, &network, NodeSpec::new("w1", 1)).await?;
        let output = node.guest().require(command, Duration::from_secs(600)).await?;
        print!("{}", output.stdout_text());
        eprint!("{}", output.stderr_text());
        Ok(())
    })?
}
