//! The ONTAP shell: what administrators type over SSH, ZAPI's `system-cli` runs and `/api/private/cli` reaches.
//!
//! ```text
//! line ─ words ─ arguments (abbreviations, queries) ─ Command (a row of commands) ─┬ Table   show
//!                                                                                 ├ Target  create, modify, delete
//!                             management (REST from within) ──────────────────────┘
//! ```
//!
//! Output and errors are worded as ONTAP words them; the rules of the array are the management API's.

mod arguments;
mod command;
mod commands;
mod console;
mod help;
mod passthrough;
mod run;
pub(crate) mod service;
mod ssh;
mod table;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

pub(crate) use help::{completion, help};
pub(crate) use passthrough::{Request, passthrough};

use arguments::Arguments;
use command::Command;

use crate::management::Management;
use crate::state::Refusal;

/// Why a command fails: what the shell prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(pub(crate) String);

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(format!("Error: command failed: {}", refusal.message))
    }
}

/// A command that has been read and waits for the answers to its prompts.
#[derive(Debug)]
pub(crate) struct Prepared {
    command: Command,
    arguments: Arguments,
    /// The command in full, when it was abbreviated.
    expanded: Option<String>,
}

/// Reads a line. A line without words is no command.
///
/// # Errors
/// [`Failure`] for what is no command or does not fit it. `svm` is the SVM of whoever types, if they have one.
pub(crate) fn prepare(line: &str, svm: Option<&str>) -> Result<Option<Prepared>, Failure> {
    let words = words::words(line).map_err(|error| Failure(format!("Error: {error}")))?;
    if words.is_empty() {
        return Ok(None);
    }
    let (command, rest) = arguments::find(commands::ALL, &words)?;
    let arguments = arguments::read(&command, rest, svm)?;
    let typed = words.iter().take(words.len().saturating_sub(rest.len())).map(String::as_str);
    let expanded = (!typed.eq(command.words.iter().copied())).then(|| format!("  ({})\n", command.title()));
    Ok(Some(Prepared { command, arguments, expanded }))
}

impl Prepared {
    /// What is to be asked before it runs; the answers are secrets.
    pub(crate) fn prompts(&self) -> &'static [&'static str] {
        self.command.prompts
    }

    /// Runs it. The text is what the shell prints.
    ///
    /// # Errors
    /// [`Failure`]: what the shell prints instead.
    pub(crate) fn run(
        mut self,
        management: &mut Management<'_>,
        answers: Vec<String>,
    ) -> Result<String, Failure> {
        self.arguments.answers = answers;
        let text = run::run(management, &self.command, &self.arguments);
        let expanded = self.expanded.unwrap_or_default();
        text.map(|text| format!("{expanded}{text}"))
            .map_err(|Failure(text)| Failure(format!("{expanded}{text}")))
    }
}

/// Runs the words of a command, as `system-cli` has them; what they print, and whether they succeeded.
pub(crate) fn execute(management: &mut Management<'_>, words: &[String]) -> (String, bool) {
    let quoted = words.iter().map(|word| {
        // One word alone is a whole line: some clients send it so.
        if words.len() > 1 && word.contains(char::is_whitespace) && !word.contains('"') {
            format!("\"{word}\"")
        } else {
            word.clone()
        }
    });
    let line = quoted.collect::<Vec<_>>().join(" ");
    let svm = management.svm().map(str::to_owned);
    let outcome = match prepare(&line, svm.as_deref()) {
        Ok(Some(prepared)) => prepared.run(management, Vec::new()),
        Ok(None) => Ok(String::new()),
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(text) => (text, true),
        Err(Failure(text)) => (format!("{text}\n"), false),
    }
}
