//! A session of the shell: prompt, lines, questions and their answers. Where its bytes come from is not known
//! here.

use std::collections::VecDeque;

use super::terminal::{Reaction, Terminal};
use super::{Failure, Prepared, prepare};

/// What the session wants done.
#[derive(Debug)]
pub(super) enum Want {
    /// Show this.
    Show(String),
    /// Run this, and call [`Console::ran`] with what came of it.
    Run(Prepared, Vec<String>),
    /// End, with this exit status.
    End(u32),
}

/// A session.
#[derive(Debug)]
pub(super) struct Console {
    terminal: Terminal,
    prompt: String,
    svm: Option<String>,
    /// A command that waits for answers, and those it has.
    asking: Option<(Prepared, Vec<String>)>,
    /// Commands of an `exec` request that are still to run; none in an interactive session.
    script: Option<VecDeque<String>>,
    status: u32,
}

impl Console {
    /// An interactive session of someone who sees `svm` alone, or all.
    pub(super) fn interactive(cluster: &str, svm: Option<String>, echo: bool) -> Self {
        let prompt = format!("{}::> ", svm.as_deref().unwrap_or(cluster));
        let terminal = Terminal::new(echo);
        Self { terminal, prompt, svm, asking: None, script: None, status: 0 }
    }

    /// The commands of `ssh host 'command; command'`.
    pub(super) fn script(commands: &str, svm: Option<String>, echo: bool) -> Self {
        let script = Some(split(commands).into());
        Self { prompt: String::new(), script, ..Self::interactive("", svm, echo) }
    }

    /// What comes first.
    pub(super) fn begin(&mut self) -> Vec<Want> {
        if self.script.is_some() { self.next() } else { vec![Want::Show(self.prompt.clone())] }
    }

    /// Takes a byte that was typed.
    pub(super) fn key(&mut self, byte: u8) -> Vec<Want> {
        match self.terminal.key(byte) {
            None => Vec::new(),
            Some(Reaction::Show(text)) if text.starts_with('?') => {
                vec![Want::Show(format!("{text}{}{}", self.prompt, self.terminal.text()))]
            }
            Some(Reaction::Show(text)) => vec![Want::Show(text)],
            Some(Reaction::Interrupted) => {
                self.terminal.hidden = false;
                self.asking = None;
                let mut wants = vec![Want::Show("^C\n".into())];
                wants.extend(self.next());
                wants
            }
            Some(Reaction::End) => vec![Want::Show("\n".into()), Want::End(self.status)],
            Some(Reaction::Line(line)) => {
                let mut wants = Vec::new();
                if self.terminal.echo {
                    wants.push(Want::Show("\n".into()));
                }
                wants.extend(self.line(line));
                wants
            }
        }
    }

    /// Whether bytes are awaited: otherwise a command runs or the session is over.
    pub(super) fn listens(&self) -> bool {
        self.script.is_none() || self.asking.is_some()
    }

    /// Takes what a command printed.
    pub(super) fn ran(&mut self, outcome: Result<String, Failure>) -> Vec<Want> {
        let text = match outcome {
            Ok(text) => text,
            Err(failure) => {
                self.status = 1;
                format!("\n{failure}\n\n")
            }
        };
        let mut wants = vec![Want::Show(text)];
        wants.extend(self.next());
        wants
    }

    /// The next command of a script, or the prompt.
    fn next(&mut self) -> Vec<Want> {
        match self.script.as_mut().map(VecDeque::pop_front) {
            None => vec![Want::Show(self.prompt.clone())],
            Some(Some(line)) => self.line(line),
            Some(None) => vec![Want::End(self.status)],
        }
    }

    fn line(&mut self, line: String) -> Vec<Want> {
        if let Some((prepared, mut answers)) = self.asking.take() {
            answers.push(line);
            return self.ask(prepared, answers);
        }
        if matches!(line.trim(), "exit" | "quit" | "logout") {
            return vec![Want::Show("Goodbye\n".into()), Want::End(self.status)];
        }
        match prepare(&line, self.svm.as_deref()) {
            Ok(Some(prepared)) => self.ask(prepared, Vec::new()),
            Ok(None) => self.next(),
            Err(failure) => self.ran(Err(failure)),
        }
    }

    fn ask(&mut self, prepared: Prepared, answers: Vec<String>) -> Vec<Want> {
        let question = prepared.prompts().get(answers.len());
        self.terminal.hidden = question.is_some();
        match question {
            Some(question) => {
                self.asking = Some((prepared, answers));
                vec![Want::Show((*question).to_owned())]
            }
            None => vec![Want::Run(prepared, answers)],
        }
    }
}

/// Commands between semicolons that are not quoted.
fn split(commands: &str) -> Vec<String> {
    let mut quoted = false;
    let parts = commands.split(|character| {
        quoted ^= character == '"';
        character == '\n' || (character == ';' && !quoted)
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_parted_by_semicolons_outside_quotes() {
        assert_eq!(split("set -rows 0; vol show;"), ["set -rows 0", "vol show"]);
        assert_eq!(split("volume modify -comment \"a;b\""), ["volume modify -comment \"a;b\""]);
    }

    #[test]
    fn a_password_is_asked_twice_and_a_script_ends_with_its_status() {
        let mut console = Console::script("security login password -username admin", None, false);
        assert!(matches!(console.begin().as_slice(), [Want::Show(_)]) && console.listens());
        let first: Vec<_> = b"one\n".iter().flat_map(|byte| console.key(*byte)).collect();
        assert!(matches!(first.as_slice(), [Want::Show(_)]), "{first:?}");
        let second: Vec<_> = b"two\n".iter().flat_map(|byte| console.key(*byte)).collect();
        let [Want::Run(_, answers)] = second.as_slice() else { panic!("{second:?}") };
        assert_eq!(answers, &["one", "two"]);
        let last = console.ran(Err(Failure("Error".into())));
        assert!(matches!(last.as_slice(), [Want::Show(_), Want::End(1)]), "{last:?}");
    }
}
