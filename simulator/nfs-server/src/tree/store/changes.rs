//! What one change of a tree did, gathered while it runs.

use crate::tree::image::Image;
use crate::tree::inode::InodeNumber;
use crate::tree::store::frame::Frame;
use crate::tree::store::record::{Meta, Record};

/// For what the reply to a change waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(in crate::tree) enum Wait {
    #[default]
    Nothing,
    /// Until the kernel has it.
    Written,
    /// Until it is durable.
    Durable,
}

/// The records of a change. A tree in memory keeps none.
#[derive(Debug, Default)]
pub(in crate::tree) struct Changes {
    recording: bool,
    frame: Frame,
    /// Inodes whose attributes changed: recorded once, at the end.
    inodes: Vec<InodeNumber>,
    wait: Wait,
    unstable: bool,
}

impl Changes {
    pub(in crate::tree) fn start_recording(&mut self) {
        self.recording = true;
    }

    /// Keeps no records from now on, or does so again; whether it did before.
    pub(super) fn set_recording(&mut self, on: bool) -> bool {
        std::mem::replace(&mut self.recording, on)
    }

    /// `record` is called only where it is kept.
    pub(in crate::tree) fn record<'data>(&mut self, record: impl FnOnce() -> Record<'data>) {
        if self.recording {
            self.frame.push(&record());
        }
    }

    pub(in crate::tree) fn inode_changed(&mut self, number: InodeNumber) {
        if self.recording && !self.inodes.contains(&number) {
            self.inodes.push(number);
        }
    }

    /// The inodes are no longer those that changed.
    pub(in crate::tree) fn forget_inodes(&mut self) {
        self.inodes.clear();
    }

    /// The change is one that a power cut may undo.
    pub(in crate::tree) fn is_unstable(&mut self) {
        self.unstable = true;
    }

    /// The reply waits for all that went before, though this changes nothing.
    pub(in crate::tree) fn require_durable(&mut self) {
        if self.recording {
            self.wait = Wait::Durable;
        }
    }

    /// The frame of the change that ends here, and what its reply waits for.
    pub(in crate::tree) fn take(&mut self, image: &Image) -> (Option<Frame>, Wait) {
        for number in self.inodes.drain(..) {
            if let Ok(inode) = image.find(number) {
                self.frame.push(&Record::Inode { number, meta: Meta::of(inode) });
            }
        }
        let unstable = std::mem::take(&mut self.unstable);
        let mut wait = std::mem::take(&mut self.wait);
        if self.frame.is_empty() {
            return (None, wait);
        }
        wait = wait.max(if unstable { Wait::Written } else { Wait::Durable });
        (Some(std::mem::take(&mut self.frame)), wait)
    }
}
