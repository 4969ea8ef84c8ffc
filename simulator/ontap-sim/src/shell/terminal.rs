//! A line being typed: what keys do to it and what of it is echoed. Pure: keys in, text and lines out.

use super::{completion, help};

/// Bytes in one line beyond which keys are ignored.
const LONGEST: usize = 64 << 10;
/// Lines that the arrow keys find again.
const REMEMBERED: usize = 200;

/// What a key has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reaction {
    /// To be shown.
    Show(String),
    /// A line is complete.
    Line(String),
    /// The line was given up.
    Interrupted,
    /// There is nothing more to come.
    End,
}

/// A line editor as far as a shell needs one.
#[derive(Debug, Default)]
pub(super) struct Terminal {
    /// Whether keys are echoed, since the client's side does not: there is a pty.
    pub(super) echo: bool,
    /// Whether what is typed is a secret.
    pub(super) hidden: bool,
    line: Vec<u8>,
    escape: Vec<u8>,
    after_return: bool,
    history: Vec<String>,
    place: usize,
}

impl Terminal {
    /// A terminal whose keys are echoed, or not.
    pub(super) fn new(echo: bool) -> Self {
        Self { echo, ..Self::default() }
    }

    /// Takes one byte.
    pub(super) fn key(&mut self, byte: u8) -> Option<Reaction> {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        if !self.escape.is_empty() {
            return self.escaped(byte);
        }
        match byte {
            b'\n' if after_return => None,
            b'\r' | b'\n' => Some(Reaction::Line(self.finish())),
            0x1b if self.echo => {
                self.escape.push(byte);
                None
            }
            0x03 => {
                self.line.clear();
                Some(Reaction::Interrupted)
            }
            0x04 if self.line.is_empty() => Some(Reaction::End),
            0x08 | 0x7f => self.erase(),
            // Clears the line.
            0x15 => self.replace(""),
            b'\t' if self.echo && !self.hidden => completion(&self.text()).map(|rest| self.insert(&rest)),
            b'?' if self.echo && !self.hidden => {
                let text = help(&self.text()).replace('\n', "\r\n");
                Some(Reaction::Show(format!("?\r\n{text}")))
            }
            byte if (byte < 0x20 && byte != b'\t') || self.line.len() >= LONGEST => None,
            byte => {
                self.line.push(byte);
                // A character of several bytes is echoed whole.
                let shown = self.echo && !self.hidden;
                let whole = std::str::from_utf8(&self.line).is_ok();
                let last = String::from_utf8_lossy(&self.line).chars().next_back();
                last.filter(|_| shown && whole).map(|last| Reaction::Show(last.to_string()))
            }
        }
    }

    /// What is typed so far, to be shown again after something else was.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.line).into_owned()
    }

    fn finish(&mut self) -> String {
        let line = self.text();
        self.line.clear();
        if !self.hidden && !line.trim().is_empty() && self.history.last() != Some(&line) {
            if self.history.len() >= REMEMBERED {
                self.history.remove(0);
            }
            self.history.push(line.clone());
        }
        self.place = self.history.len();
        line
    }

    fn erase(&mut self) -> Option<Reaction> {
        let mut text = self.text();
        text.pop()?;
        self.line = text.into_bytes();
        (self.echo && !self.hidden).then(|| Reaction::Show("\x08 \x08".to_owned()))
    }

    fn insert(&mut self, text: &str) -> Reaction {
        self.line.extend(text.bytes());
        Reaction::Show(text.to_owned())
    }

    fn replace(&mut self, text: &str) -> Option<Reaction> {
        let before = self.text().chars().count();
        self.line = text.as_bytes().to_vec();
        (self.echo && !self.hidden).then(|| Reaction::Show(format!("{}{text}", "\x08 \x08".repeat(before))))
    }

    /// The arrow keys up and down: `ESC [ A`, `ESC [ B`; other sequences do nothing.
    fn escaped(&mut self, byte: u8) -> Option<Reaction> {
        self.escape.push(byte);
        if matches!(self.escape.as_slice(), [0x1b, b'[' | b'O']) {
            return None;
        }
        let ends = byte.is_ascii_alphabetic() || byte == b'~' || self.escape.len() > 8;
        let up = match self.escape.as_slice() {
            [0x1b, _, b'A'] => Some(true),
            [0x1b, _, b'B'] => Some(false),
            _ => None,
        };
        if ends {
            self.escape.clear();
        }
        if self.hidden {
            return None;
        }
        let place = if up? { self.place.checked_sub(1)? } else { self.place.saturating_add(1) };
        self.place = place.min(self.history.len());
        let line = self.history.get(self.place).cloned().unwrap_or_default();
        self.replace(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(terminal: &mut Terminal, keys: &str) -> Vec<Reaction> {
        keys.bytes().filter_map(|byte| terminal.key(byte)).collect()
    }

    fn lines(reactions: Vec<Reaction>) -> Vec<String> {
        let line = |reaction| if let Reaction::Line(line) = reaction { Some(line) } else { None };
        reactions.into_iter().filter_map(line).collect()
    }

    #[test]
    fn a_line_is_edited_completed_and_found_again() {
        let mut terminal = Terminal { echo: true, ..Terminal::default() };
        assert_eq!(lines(typed(&mut terminal, "vserver\x7f\x7fer show\r\n")), ["vserver show"]);
        assert_eq!(lines(typed(&mut terminal, "x\x15version\r")), ["version"]);
        assert_eq!(lines(typed(&mut terminal, "\x1b[A\x1b[A -fields uuid\r")), ["vserver show -fields uuid"]);
        assert_eq!(lines(typed(&mut terminal, "vol\tsho\t\r")), ["volume show "]);
        assert_eq!(typed(&mut terminal, "ä"), [Reaction::Show("ä".into())]);
    }

    #[test]
    fn a_secret_is_neither_echoed_nor_found_again() {
        let mut terminal = Terminal { echo: true, hidden: true, ..Terminal::default() };
        assert_eq!(typed(&mut terminal, "sec?ret\r"), [Reaction::Line("sec?ret".into())]);
        terminal.hidden = false;
        assert_eq!(typed(&mut terminal, "\x1b[A\r"), [Reaction::Line(String::new())]);
    }

    #[test]
    fn any_bytes_are_taken() {
        let mut terminal = Terminal { echo: true, ..Terminal::default() };
        for byte in (0..=255_u8).chain([0x1b; 20]).chain([0xff, b'\t', b'?', 0x7f, b'\r']) {
            terminal.key(byte);
        }
    }
}
