//! The agent without its front: plans one intent and applies it to the node it runs on, printing every
//! plan, until nothing is left to do. For looking at a node by hand, and for this crate's tests.
//!
//! ```text
//! host_probe stage|unstage|publish|unpublish ATTACHMENT.json STAGING [TARGET] [block|ro]
//! host_probe observe ATTACHMENT.json STAGING
//! ```
//!
//! `ATTACHMENT.json` is the publish context's attachment. With `CHAP.json` beside it
//! (`{"username": …, "secret": …}`) logins use those credentials.

use std::path::Path;
use std::time::{Duration, Instant};

use agent_core::facts::Query;
use agent_core::intent::{Intent, Publish, Stage, Unpublish, Unstage, Usage};
use agent_core::outcome::ApplyContext;
use agent_core::plan::{self, Batch, Need};
use agent_core::progress::Progress;
use agent_core::record::StageRecord;
use agent_linux::LinuxHost;
use anyhow::{Context as _, bail};
use contract::{ChapCredentials, ChapPair, PublishContext, Secret};

/// More rounds than any intent needs.
const ROUNDS: usize = 24;
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [verb, file, staging, rest @ ..] = words.as_slice() else { bail!("see the head of this file") };
    let attachment: PublishContext = serde_json::from_slice(&std::fs::read(file)?)?;
    let chap = credentials(&Path::new(file).with_file_name("CHAP.json"))?;
    let usage = if rest.contains(&"block") {
        Usage::Block
    } else {
        Usage::Filesystem { fs: None, mount_options: Vec::new() }
    };
    let volume = "pvc-probe".parse()?;
    let staging = staging.parse()?;
    let target = || rest.first().context("no target path")?.parse().context("target path");
    let stage = Stage { volume, attachment, staging, usage };
    let record = StageRecord::of(&stage);
    let Stage { volume, attachment, staging, usage } = stage.clone();
    let host = LinuxHost::new();
    let intent = match *verb {
        "stage" => Intent::Stage(stage),
        "unstage" => Intent::Unstage(Unstage { volume, staging }),
        "publish" => {
            let read_only = rest.contains(&"ro");
            let attachment = Some(attachment);
            Intent::Publish(Publish { volume, attachment, staging, target: target()?, usage, read_only })
        }
        "unpublish" => Intent::Unpublish(Unpublish { volume, target: target()? }),
        "observe" => {
            let query = Query {
                attachment: Some(attachment),
                staging: Some(staging),
                paths: true,
                content: true,
                host: true,
                ..Query::default()
            };
            println!("{:#?}", host.observe(&query).await?);
            return Ok(());
        }
        _ => bail!("{verb} is no verb"),
    };
    fulfil(&host, &intent, &record, chap).await
}

fn credentials(file: &Path) -> anyhow::Result<Option<ChapCredentials>> {
    let Ok(bytes) = std::fs::read(file) else { return Ok(None) };
    let json: serde_json::Value = serde_json::from_slice(&bytes)?;
    let text = |key: &str| json[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
    let initiator = ChapPair { username: text("username")?, secret: Secret::new(text("secret")?) };
    Ok(Some(ChapCredentials { initiator, target: None }))
}

async fn fulfil(
    host: &LinuxHost,
    intent: &Intent,
    record: &StageRecord,
    chap: Option<ChapCredentials>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut progress = Progress::default();
    for _ in 0..ROUNDS {
        let round = Instant::now();
        let facts = host.observe(&plan::query(intent, Some(record), &progress)).await?;
        let plan = plan::plan(intent, &facts, Some(record), &progress)
            .map_err(|refusal| anyhow::anyhow!("refused: {refusal}"))?;
        println!(
            "{:>7.3} observed in {:.3}: {plan}",
            started.elapsed().as_secs_f64(),
            round.elapsed().as_secs_f64()
        );
        if plan.is_fulfilled() {
            return Ok(());
        }
        if plan.then == plan::Then::ReadContent {
            progress.want_content();
        }
        for batch in plan.batches {
            apply(host, batch, chap.as_ref(), &mut progress).await?;
        }
    }
    bail!("not fulfilled after {ROUNDS} rounds")
}

/// One step after the other: what runs side by side in the agent need not here. As many must succeed
/// as the batch needs.
async fn apply(
    host: &LinuxHost,
    batch: Batch,
    chap: Option<&ChapCredentials>,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let needed = match batch.need {
        Need::All => batch.steps.len(),
        Need::AtLeast { count, .. } => count,
        Need::Attempt => 0,
    };
    let (mut succeeded, mut failure) = (0, None);
    for step in batch.steps {
        progress.note(&step);
        let shown = step.to_string();
        let context = ApplyContext { deadline: Instant::now() + LIMIT, chap: chap.cloned() };
        match host.apply(step, &context).await {
            Ok(outcome) => {
                succeeded += 1;
                println!("        {shown}: {outcome:?}");
            }
            Err(error) => {
                println!("        {error}: {} ({:?})", error.cause, error.disposition);
                failure = Some(error);
                if batch.need == Need::All {
                    break;
                }
            }
        }
    }
    match failure {
        Some(error) if succeeded < needed => Err(error.into()),
        _ => Ok(()),
    }
}
