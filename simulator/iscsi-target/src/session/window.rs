//! Command numbering (RFC 7143 §4.2.2.1): commands are taken in CmdSN order, within a window.

use std::collections::BTreeMap;

use crate::login::COMMAND_WINDOW;
use crate::pdu::Pdu;

/// The command window of a session.
#[derive(Debug)]
pub(crate) struct CommandWindow {
    expected: u32,
    /// Numbered commands taken and not answered at once: they keep the window from moving on.
    outstanding: u32,
    /// Requests that are not taken yet, by number; bounded by the window.
    early: BTreeMap<u32, Pdu>,
}

impl CommandWindow {
    pub(crate) fn new(expected: u32) -> Self {
        Self { expected, outstanding: 0, early: BTreeMap::new() }
    }

    /// ExpCmdSN to announce.
    pub(crate) fn expected(&self) -> u32 {
        self.expected
    }

    /// MaxCmdSN to announce; never goes back.
    pub(crate) fn maximum(&self) -> u32 {
        self.expected.wrapping_add(COMMAND_WINDOW - self.outstanding).wrapping_sub(1)
    }

    /// Takes a numbered request in. One outside the window is dropped silently, as the RFC wants.
    pub(crate) fn take(&mut self, pdu: Pdu) {
        let ahead = pdu.cmd_sn().wrapping_sub(self.expected);
        if ahead < COMMAND_WINDOW - self.outstanding {
            self.early.entry(pdu.cmd_sn()).or_insert(pdu);
        }
    }

    /// The request whose turn it is.
    pub(crate) fn next(&mut self) -> Option<Pdu> {
        let pdu = self.early.remove(&self.expected)?;
        self.expected = self.expected.wrapping_add(1);
        Some(pdu)
    }

    /// The request just taken is not answered at once: the window stands still for it.
    pub(crate) fn hold(&mut self) {
        self.outstanding += 1;
    }

    /// A held request was answered or aborted.
    pub(crate) fn finish(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u32) -> Pdu {
        Pdu::new(0x01, 0x80).with_u32(24, number)
    }

    #[test]
    fn requests_come_out_in_order_and_each_once() {
        let mut window = CommandWindow::new(u32::MAX);
        for number in [1, u32::MAX, u32::MAX, 0] {
            window.take(numbered(number));
        }
        let order: Vec<_> = std::iter::from_fn(|| window.next()).map(|pdu| pdu.cmd_sn()).collect();
        assert_eq!(order, [u32::MAX, 0, 1]);
        window.take(numbered(0));
        assert!(window.next().is_none(), "a number once taken is not taken again");
    }

    #[test]
    fn the_window_opens_as_commands_are_answered() {
        let mut window = CommandWindow::new(1);
        assert_eq!(window.maximum(), COMMAND_WINDOW);
        for number in 1..=COMMAND_WINDOW {
            window.take(numbered(number));
            assert!(window.next().is_some());
            window.hold();
        }
        assert_eq!(window.maximum(), COMMAND_WINDOW, "full: the maximum stands still");
        window.take(numbered(COMMAND_WINDOW + 1));
        assert!(window.next().is_none(), "beyond the maximum");
        window.finish();
        assert_eq!(window.maximum(), COMMAND_WINDOW + 1);
    }
}
