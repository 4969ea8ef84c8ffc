//! Command numbering (RFC 7143 §4.2.2.1): commands are taken in CmdSN order, within a window.

use std::collections::BTreeMap;

use crate::login::COMMAND_WINDOW;
use crate::pdu::Pdu;

/// Data of requests that came before their turn, in bytes: on one connection there is no honest
/// reason for any.
const MAX_EARLY: usize = 4 * 1024 * 1024;

/// The command window of a session.
#[derive(Debug)]
pub(crate) struct CommandWindow {
    expected: u32,
    /// Numbered commands taken and not answered at once: they keep the window from moving on.
    outstanding: u32,
    /// Requests that are not taken yet, by number; bounded by the window. None for one that was
    /// aborted before it came.
    early: BTreeMap<u32, Option<Pdu>>,
    early_bytes: usize,
}

impl CommandWindow {
    pub(crate) fn new(expected: u32) -> Self {
        Self { expected, outstanding: 0, early: BTreeMap::new(), early_bytes: 0 }
    }

    /// ExpCmdSN to announce.
    pub(crate) fn expected(&self) -> u32 {
        self.expected
    }

    /// MaxCmdSN to announce; never goes back.
    pub(crate) fn maximum(&self) -> u32 {
        self.expected.wrapping_add(COMMAND_WINDOW - self.outstanding).wrapping_sub(1)
    }

    /// Takes a numbered request in: true if it is its turn. One before its turn is kept for
    /// [`Self::next`]; one outside the window is dropped silently, as the RFC wants.
    pub(crate) fn take(&mut self, pdu: &Pdu<&[u8]>) -> bool {
        let number = pdu.cmd_sn();
        if number == self.expected && self.early.is_empty() && self.outstanding < COMMAND_WINDOW {
            self.expected = self.expected.wrapping_add(1);
            return true;
        }
        let fits = self.early_bytes + pdu.data.len() <= MAX_EARLY;
        if self.holds(number) && fits && !self.early.contains_key(&number) {
            self.early_bytes += pdu.data.len();
            self.early.insert(number, Some(pdu.keep()));
        }
        false
    }

    /// Whether a request with this number would be taken.
    fn holds(&self, number: u32) -> bool {
        number.wrapping_sub(self.expected) < COMMAND_WINDOW - self.outstanding
    }

    /// The request whose turn it is, of those kept.
    pub(crate) fn next(&mut self) -> Option<Pdu> {
        while let Some(request) = self.early.remove(&self.expected) {
            self.expected = self.expected.wrapping_add(1);
            if let Some(pdu) = request {
                self.early_bytes = self.early_bytes.saturating_sub(pdu.data.len());
                return Some(pdu);
            }
        }
        None
    }

    /// Counts a request that has not come, and that an abort names, as received (RFC 7143 §11.6.1);
    /// false if it is not one of those yet to come before `before`.
    pub(crate) fn renounce(&mut self, number: u32, before: u32) -> bool {
        let is_to_come = self.holds(number) && before.wrapping_sub(number).wrapping_sub(1) < COMMAND_WINDOW;
        if is_to_come && let Some(Some(pdu)) = self.early.insert(number, None) {
            self.early_bytes = self.early_bytes.saturating_sub(pdu.data.len());
        }
        is_to_come
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

    /// The numbers that come out when these come in.
    fn pass(window: &mut CommandWindow, numbers: &[u32]) -> Vec<u32> {
        let mut out = Vec::new();
        for number in numbers {
            if window.take(&numbered(*number).lend()) {
                out.push(*number);
            }
            out.extend(std::iter::from_fn(|| window.next()).map(|pdu| pdu.cmd_sn()));
        }
        out
    }

    #[test]
    fn requests_come_out_in_order_and_each_once() {
        let mut window = CommandWindow::new(u32::MAX);
        assert_eq!(pass(&mut window, &[1, u32::MAX, u32::MAX, 0]), [u32::MAX, 0, 1]);
        assert!(pass(&mut window, &[0]).is_empty(), "a number once taken is not taken again");
    }

    #[test]
    fn the_window_opens_as_commands_are_answered() {
        let mut window = CommandWindow::new(1);
        assert_eq!(window.maximum(), COMMAND_WINDOW);
        for number in 1..=COMMAND_WINDOW {
            assert_eq!(pass(&mut window, &[number]), [number]);
            window.hold();
        }
        assert_eq!(window.maximum(), COMMAND_WINDOW, "full: the maximum stands still");
        assert!(pass(&mut window, &[COMMAND_WINDOW + 1]).is_empty(), "beyond the maximum");
        window.finish();
        assert_eq!(window.maximum(), COMMAND_WINDOW + 1);
    }

    #[test]
    fn a_request_aborted_before_it_came_is_passed_over() {
        let mut window = CommandWindow::new(1);
        assert!(pass(&mut window, &[2]).is_empty());
        assert!(!window.renounce(3, 3), "not before the abort itself");
        assert!(!window.renounce(0, 3), "it was taken long ago");
        assert!(window.renounce(1, 3));
        assert_eq!(pass(&mut window, &[3]), [2, 3]);
    }

    #[test]
    fn requests_before_their_turn_hold_a_bounded_amount_of_memory() {
        let mut window = CommandWindow::new(1);
        let data = vec![0; MAX_EARLY / 4];
        for number in 2..10 {
            let pdu = Pdu { header: numbered(number).header, data: &data[..] };
            assert!(!window.take(&pdu));
        }
        assert_eq!(window.early.len(), 4);
    }
}
