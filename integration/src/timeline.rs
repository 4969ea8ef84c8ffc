//! What happened, where, and how long it took: printed as it happens, or kept for JSON.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Serialize;

/// One line of the timeline.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Milliseconds since the timeline began.
    pub at_ms: u64,
    /// What was done.
    pub what: String,
    /// On what: a node, an array, the controller.
    #[serde(rename = "where")]
    pub place: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// The agent's own share, in milliseconds: not spent waiting for kernel, iscsid, udev, multipathd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_ms: Option<f64>,
    /// The agent's steps with their own and waiting time in microseconds, as it reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<serde_json::Value>,
    /// What is worth knowing about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What an agent tells about a call beside its answer.
#[derive(Debug, Clone, Default)]
pub struct AgentTimes {
    /// Time not spent waiting for kernel, iscsid, udev, multipathd.
    pub own: Option<Duration>,
    /// Step by step.
    pub steps: Option<serde_json::Value>,
}

/// What was proven by a scene.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// The scene's letter.
    pub scene: &'static str,
    /// The sentence that now holds.
    pub proven: String,
}

/// Where rows go as they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// A table on stdout, row by row.
    Table,
    /// Nothing on stdout; progress on stderr. For JSON and for tests.
    Quiet,
}

/// Collects rows and proofs; shared by everything that runs in a lab.
#[derive(Debug)]
pub struct Timeline {
    began: Instant,
    display: Display,
    rows: Mutex<Vec<Row>>,
    proofs: Mutex<Vec<Proof>>,
}

impl Timeline {
    /// An empty timeline that begins now.
    pub fn new(display: Display) -> Self {
        if display == Display::Table {
            println!("{:>8}  {:<44} {:<16} {:>9}  {:>9}", "at", "what", "where", "ms", "agent ms");
        }
        Self { began: Instant::now(), display, rows: Mutex::default(), proofs: Mutex::default() }
    }

    /// Begins a part of the story.
    pub fn heading(&self, text: &str) {
        match self.display {
            Display::Table => println!("\n{text}"),
            Display::Quiet => eprintln!("{text}"),
        }
    }

    /// Shows what is being waited for, on a terminal only, until the next row takes its line.
    pub fn working(&self, what: &str, place: &str) {
        if self.display == Display::Table && std::io::stdout().is_terminal() {
            print!("\r\x1b[2K{:>8}  {what} … {place}", "");
            let _shown_later_otherwise = std::io::stdout().flush();
        }
    }

    /// Adds a row for something that began at `since` and ended now.
    pub fn row(&self, what: &str, place: &str, since: Instant, note: &str) {
        self.agent_row(what, place, since, AgentTimes::default(), note);
    }

    /// Adds a row for a call of an agent that began at `since` and ended now.
    pub fn agent_row(&self, what: &str, place: &str, since: Instant, times: AgentTimes, note: &str) {
        let milliseconds = |duration: Duration| (duration.as_secs_f64() * 1e5).round() / 100.0;
        let row = Row {
            at_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            what: what.to_owned(),
            place: place.to_owned(),
            ms: milliseconds(since.elapsed()),
            own_ms: times.own.map(milliseconds),
            steps: times.steps,
            note: note.to_owned(),
        };
        if self.display == Display::Table {
            let at = Duration::from_millis(row.at_ms).as_secs_f64();
            let own = row.own_ms.map_or(String::new(), |own| format!("{own:.1}"));
            println!(
                "{at:>7.1}s  {:<44} {:<16} {:>9.0}  {own:>9}  {}",
                row.what, row.place, row.ms, row.note
            );
        }
        lock(&self.rows).push(row);
    }

    /// Notes what a scene has proven.
    pub fn prove(&self, scene: &'static str, proven: impl Into<String>) {
        let proof = Proof { scene, proven: proven.into() };
        if self.display == Display::Table {
            println!("          => {}", proof.proven);
        }
        lock(&self.proofs).push(proof);
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// All rows so far.
    pub fn rows(&self) -> Vec<Row> {
        lock(&self.rows).clone()
    }

    /// All proofs so far.
    pub fn proofs(&self) -> Vec<Proof> {
        lock(&self.proofs).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
