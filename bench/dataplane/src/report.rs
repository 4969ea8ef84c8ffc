//! Medians and ratios, as a table or as JSON.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::load::Score;
use crate::placement::Placement;

/// What a score is counted in.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// Operations a second.
    Operations,
    /// MiB a second.
    Throughput,
}

/// The rounds of one load.
#[derive(Debug)]
pub(crate) struct Line {
    name: &'static str,
    unit: Unit,
    placement: Placement,
    rival: &'static str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    ratios: Vec<f64>,
    /// Processor time a server spent for one operation, in microseconds.
    our_cost: Vec<f64>,
    their_cost: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Summary {
    load: &'static str,
    unit: Unit,
    placement: Placement,
    rival: &'static str,
    rounds: usize,
    ours_median: f64,
    rival_median: f64,
    /// Median of the ratios of the rounds.
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
    ours_cpu_us: f64,
    rival_cpu_us: f64,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    /// Version of this document's shape.
    schema: u32,
    notes: &'a [String],
    loads: Vec<Summary>,
}

/// All of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    notes: Vec<String>,
    lines: Vec<Line>,
}

impl Line {
    pub(crate) fn new(name: &'static str, unit: Unit, placement: Placement, rival: &'static str) -> Self {
        let none = Vec::new;
        Self {
            name,
            unit,
            placement,
            rival,
            ours: none(),
            theirs: none(),
            ratios: none(),
            our_cost: none(),
            their_cost: none(),
        }
    }

    /// What is measured.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// One round: each side's score and the clock ticks (10 ms) its server took for it.
    pub(crate) fn add(&mut self, ours: (Score, u64), theirs: (Score, u64)) {
        let value = |score: &Score| match self.unit {
            Unit::Operations => score.operations_per_second(),
            Unit::Throughput => score.throughput(),
        };
        let cost = |(score, ticks): (Score, u64)| ticks as f64 * 10_000.0 / score.operations.max(1) as f64;
        let (one, other) = (value(&ours.0), value(&theirs.0));
        self.ours.push(one);
        self.theirs.push(other);
        self.ratios.push(one / other);
        self.our_cost.push(cost(ours));
        self.their_cost.push(cost(theirs));
    }

    fn summary(&self) -> Summary {
        Summary {
            load: self.name,
            unit: self.unit,
            placement: self.placement,
            rival: self.rival,
            rounds: self.ratios.len(),
            ours_median: median(&self.ours),
            rival_median: median(&self.theirs),
            ratio: median(&self.ratios),
            ratio_min: self.ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratio_max: self.ratios.iter().copied().fold(0.0, f64::max),
            ours_cpu_us: median(&self.our_cost),
            rival_cpu_us: median(&self.their_cost),
        }
    }
}

impl Report {
    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    pub(crate) fn add(&mut self, line: Line) {
        eprintln!("{}, {:?}: {:.2}", line.name, line.placement, median(&line.ratios));
        self.lines.push(line);
    }

    /// Prints to stdout.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let loads: Vec<_> = self.lines.iter().map(Line::summary).collect();
        if json {
            let document = Document { schema: 2, notes: &self.notes, loads };
            println!("{}", serde_json::to_string_pretty(&document)?);
            return Ok(());
        }
        for note in &self.notes {
            println!("{note}");
        }
        println!("{}", table(&loads));
        Ok(())
    }
}

fn table(loads: &[Summary]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "load",
        "CPU",
        "unit",
        "ours",
        "rival",
        "",
        "ratio",
        "least",
        "most",
        "CPU µs/op ours",
        "rival",
    ]);
    for load in loads {
        let unit = match load.unit {
            Unit::Operations => "op/s",
            Unit::Throughput => "MiB/s",
        };
        let placement = match load.placement {
            Placement::Shared => "shared",
            Placement::Apart => "one each",
        };
        table.add_row([
            load.load.to_owned(),
            placement.to_owned(),
            unit.to_owned(),
            format!("{:.0}", load.ours_median),
            format!("{:.0}", load.rival_median),
            load.rival.to_owned(),
            format!("{:.2}", load.ratio),
            format!("{:.2}", load.ratio_min),
            format!("{:.2}", load.ratio_max),
            format!("{:.0}", load.ours_cpu_us),
            format!("{:.0}", load.rival_cpu_us),
        ]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
        (Some(low), Some(high)) if sorted.len().is_multiple_of(2) => (low + high) / 2.0,
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_the_two_middle_ones() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }
}
