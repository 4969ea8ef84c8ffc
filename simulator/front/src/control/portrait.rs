//! What the status page shows of an array: tables of text, and the levers that belong to a row. An
//! array paints it, [`super::page`] turns it into HTML.

use levers::{Access, Attention, BadBlocks, Latency, LunFaults, LunLever};
use serde_json::{Value, json};

/// An array, for the status page.
#[derive(Debug, Clone, Default)]
pub struct Portrait {
    /// The product: `ontap-sim`.
    pub product: String,
    /// The array's name.
    pub name: String,
    /// Facts about the whole: a name and a value each.
    pub facts: Vec<(&'static str, String)>,
    /// The tables, in order.
    pub sections: Vec<Section>,
}

/// A table.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its name in the page, lower case, without spaces: `volumes`.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// The headings of its columns.
    pub columns: &'static [&'static str],
    /// Its rows.
    pub rows: Vec<Row>,
    /// How many rows there are, where not all are shown.
    pub total: usize,
    /// What stands there when there are none.
    pub empty: &'static str,
}

/// A row of a table.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What tells the row from the others for as long as it is there.
    pub key: String,
    /// A cell for each column.
    pub cells: Vec<Cell>,
    /// Levers that belong to it.
    pub levers: Vec<Lever>,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A name or an address: in a fixed-width face.
    Code(String),
    /// A size in bytes.
    Bytes(u64),
    /// How much of how much, in bytes.
    Share {
        /// Used.
        used: u64,
        /// Of so much.
        of: u64,
    },
    /// A state; `well` when nothing needs attention.
    State {
        /// The state's name.
        text: String,
        /// Whether all is well.
        well: bool,
    },
    /// A counter of bytes that only grows: shown as so much a second.
    Rate(u64),
    /// A counter of operations that only grows: shown as so many a second.
    Operations(u64),
}

/// A lever: a form of the page that sends one request to the control endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Lever {
    /// What the button says.
    pub label: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path with its query.
    pub path: String,
    /// The bodies to choose from, by name; one alone needs no choice, none means no body.
    pub choices: Vec<(&'static str, Value)>,
    /// The body that is in force now.
    pub now: Value,
}

/// The levers of a logical unit; `name` as it stands in a query.
pub fn unit_levers(name: &str, lever: &LunLever) -> Vec<Lever> {
    let set = |faults: LunFaults| json!(faults);
    let rest = LunFaults::default;
    let slow = Latency::Fixed { us: 20_000 };
    let bad = BadBlocks { first: 0, last: u64::MAX >> 1, access: Access::Both };
    let faults = Lever {
        label: "unit",
        method: "PUT",
        path: format!("/sim/v1/luns/faults?name={name}"),
        choices: vec![
            ("well", set(rest())),
            ("offline", set(LunFaults { offline: true, ..rest() })),
            ("medium errors", set(LunFaults { medium_errors: vec![bad], ..rest() })),
            ("late by 20 ms", set(LunFaults { latency: Some(slow), ..rest() })),
            ("short reads", set(LunFaults { short_reads: 512, ..rest() })),
            ("reservation conflict", set(LunFaults { reservation_conflict: true, ..rest() })),
            ("task set full", set(LunFaults { task_set_full: true, ..rest() })),
        ],
        now: lever.faults().map_or_else(|| set(rest()), |faults| json!(*faults)),
    };
    // REPORTED LUNS DATA HAS CHANGED, CAPACITY DATA HAS CHANGED (SPC-4 annex on sense codes).
    let attention = |asc, ascq| json!(Attention { asc, ascq });
    let attention = Lever {
        label: "attention",
        method: "POST",
        path: format!("/sim/v1/luns/attention?name={name}"),
        choices: vec![
            ("none", Value::Null),
            ("LUNs changed", attention(0x3f, 0x0e)),
            ("capacity changed", attention(0x2a, 0x09)),
            ("power on or reset", attention(0x29, 0x00)),
        ],
        now: Value::Null,
    };
    vec![faults, attention]
}
