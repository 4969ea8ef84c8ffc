//! Distributions per phase, as a table or as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cycle::{Life, PHASES};

/// What was measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    driver: String,
    phases: BTreeMap<&'static str, Phase>,
}

#[derive(Debug)]
struct Phase {
    /// Microseconds, three significant digits, up to ten minutes.
    latency: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Line {
    phase: &'static str,
    count: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    errors: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    /// Version of this document's shape.
    schema: u32,
    driver: &'a str,
    phases: Vec<Line>,
}

impl Report {
    pub(crate) fn new(driver: String) -> Self {
        Self { driver, phases: BTreeMap::new() }
    }

    /// Adds one volume's life.
    pub(crate) fn add(&mut self, life: &Life) -> Result<()> {
        for (name, outcome) in life {
            let phase = match self.phases.entry(name) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Phase::new()?),
            };
            match outcome {
                Ok(took) => phase.record(*took),
                Err(code) => *phase.errors.entry(format!("{code:?}")).or_default() += 1,
            }
        }
        Ok(())
    }

    /// Calls that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.phases.values().flat_map(|phase| phase.errors.values()).sum()
    }

    /// Prints to stdout.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let phases: Vec<_> = PHASES.iter().filter_map(|name| self.line(name)).collect();
        if json {
            let document = Document { schema: 1, driver: &self.driver, phases };
            println!("{}", serde_json::to_string_pretty(&document)?);
            return Ok(());
        }
        println!("{}", self.driver);
        println!("{}", table(&phases));
        Ok(())
    }

    fn line(&self, name: &'static str) -> Option<Line> {
        let phase = self.phases.get(name)?;
        let at = |quantile: f64| milliseconds(phase.latency.value_at_quantile(quantile));
        Some(Line {
            phase: name,
            count: phase.latency.len(),
            p50_ms: at(0.50),
            p90_ms: at(0.90),
            p99_ms: at(0.99),
            max_ms: milliseconds(phase.latency.max()),
            errors: phase.errors.clone(),
        })
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["phase", "count", "p50 ms", "p90 ms", "p99 ms", "max ms", "errors"]);
    for line in lines {
        let errors: Vec<_> = line.errors.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let number = |value: f64| format!("{value:.1}");
        table.add_row([
            line.phase.to_owned(),
            line.count.to_string(),
            number(line.p50_ms),
            number(line.p90_ms),
            number(line.p99_ms),
            number(line.max_ms),
            errors.join(", "),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

impl Phase {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3).context("histogram bounds")?;
        Ok(Self { latency, errors: BTreeMap::new() })
    }

    fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.latency.saturating_record(micros);
    }
}

fn milliseconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}
