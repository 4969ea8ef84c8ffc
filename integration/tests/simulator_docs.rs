//! `docs/simulators.md` tells an outsider how to mount from each simulator: its commands, run as
//! they stand there, on a worker node as the host and in its network as the array's machine.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::bare::{node, script};
use integration::lab::{Privilege, Program, program};
use tokio::process::Command;
use vm::{Image, LifAddresses, Template};

/// For one block on the array's machine; bounds a hang, measures nothing.
const SOON: Duration = Duration::from_secs(60);

/// A fenced block: on which machine, and its commands.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    place: String,
    commands: String,
}

/// The blocks of the section `### name` that say where they are to be run.
fn blocks(document: &str, name: &str) -> Vec<Block> {
    let heading = format!("### {name}");
    let section = document.lines().skip_while(|line| *line != heading).skip(1);
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in section.take_while(|line| !line.starts_with("### ") && !line.starts_with("## ")) {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(words)) => {
                let place = words.strip_prefix("sh ").unwrap_or_default().to_owned();
                open = Some(Block { place, commands: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.commands.push_str(line);
                block.commands.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// Follows the section of one simulator to its end, on a fresh node; answers what the host's blocks
/// printed.
fn follow(simulator: &'static str) -> Result<String> {
    let document = include_str!("../../docs/simulators.md");
    let blocks = blocks(document, simulator);
    let image = Image::ensure(&Image::default_guest_program()?)?;
    let template = Template::ensure(&image)?;
    let lifs = LifAddresses {
        a: [101, 121, 131, 239, 240].map(|last| Ipv4Addr::new(192, 168, 0, last)).into(),
        b: vec![Ipv4Addr::new(192, 168, 1, 131)],
    };
    vm::in_network(&lifs, async move |network| {
        let directory = tempfile::tempdir()?;
        let host = node(&network, &template, 1).await?;
        let mut running = Vec::new();
        let mut printed = String::new();
        for block in &blocks {
            let told = || format!("{}:\n{}", block.place, block.commands);
            match block.place.as_str() {
                "terminal" => {
                    running.push(start(block, simulator, directory.path()).await.with_context(told)?)
                }
                "array" => on_array(&block.commands, directory.path()).await.with_context(told)?,
                "host" => printed += &script(&host.guest(), &block.commands).await.with_context(told)?,
                other => anyhow::bail!("a block for `{other}` in the section of {simulator}"),
            }
        }
        ensure!(running.len() == 1, "{} simulators were started", running.len());
        Ok(printed)
    })?
}

/// Starts the simulator that the block starts, with its arguments, and waits for its ready line.
async fn start(block: &Block, simulator: &str, directory: &Path) -> Result<Program> {
    let words = block.commands.replace("\\\n", " ");
    let mut words = words.split_whitespace();
    ensure!(words.next() == Some(simulator), "the block starts something else");
    let arguments: Vec<String> = words.map(str::to_owned).collect();
    Program::start(&program(simulator)?, &arguments, directory, Privilege::Inherited).await
}

async fn on_array(commands: &str, directory: &Path) -> Result<()> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-euxc", commands]).current_dir(directory).kill_on_drop(true);
    // Simulators are not reached through a proxy.
    shell.env_remove("https_proxy").env_remove("HTTPS_PROXY").env_remove("ALL_PROXY");
    let output = tokio::time::timeout(SOON, shell.output()).await.context("it does not end")??;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success() && !said.contains("\"error\""), "{}\n{said}", output.status);
    Ok(())
}

#[test]
fn a_reader_of_the_document_mounts_a_volume_and_a_lun_of_ontap() -> Result<()> {
    let printed = follow("ontap-sim")?;
    ensure!(printed.contains("written by v3"), "the file of v3 is not seen through v4.1:\n{printed}");
    ensure!(printed.contains("NETAPP,LUN C-Mode"), "no map of the LUN:\n{printed}");
    for priority in ["prio=50", "prio=10"] {
        ensure!(printed.contains(priority), "not a path through each fabric:\n{printed}");
    }
    Ok(())
}

#[test]
fn a_reader_of_the_document_mounts_a_volume_of_solidfire() -> Result<()> {
    let printed = follow("solidfire-sim")?;
    ensure!(printed.contains("SolidFir,SSD SAN"), "no map of the volume:\n{printed}");
    Ok(())
}

#[test]
fn a_block_belongs_to_its_section_and_to_its_machine() {
    let document =
        "### a\n```sh host\none\n```\ntext\n```sh array\ntwo\nthree\n```\n### b\n```sh host\nfour\n```\n";
    let block = |place: &str, commands: &str| Block { place: place.into(), commands: commands.into() };
    assert_eq!(blocks(document, "a"), [block("host", "one\n"), block("array", "two\nthree\n")]);
    assert_eq!(blocks(document, "b"), [block("host", "four\n")]);
}
