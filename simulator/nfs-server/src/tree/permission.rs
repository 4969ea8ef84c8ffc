//! Who may do what, by mode bits.

use crate::tree::Tree;
use crate::tree::error::TreeError;
use crate::tree::inode::{Inode, InodeNumber};

pub(super) const SET_UID: u32 = 0o4000;
pub(super) const SET_GID: u32 = 0o2000;
pub(super) const STICKY: u32 = 0o1000;

/// As whom an operation runs, after squashing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
}

impl Identity {
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    pub(crate) fn is_in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// One of the three mode bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Read,
    Write,
    /// Search, of a directory.
    Execute,
}

impl Right {
    fn bit(self) -> u32 {
        match self {
            Self::Read => 4,
            Self::Write => 2,
            Self::Execute => 1,
        }
    }
}

impl Inode {
    pub(super) fn permits(&self, who: &Identity, right: Right) -> bool {
        if who.is_root() {
            return right != Right::Execute || self.is_directory() || self.mode & 0o111 != 0;
        }
        let class = if who.uid == self.uid {
            6
        } else if who.is_in_group(self.gid) {
            3
        } else {
            0
        };
        (self.mode >> class) & right.bit() != 0
    }

    pub(super) fn require_right(&self, who: &Identity, right: Right) -> Result<(), TreeError> {
        if self.permits(who, right) { Ok(()) } else { Err(TreeError::AccessDenied) }
    }

    /// For data operations: NFS v3 knows no open, hence the owner passes whatever the mode has
    /// become since its open (RFC 1813 §4.4), and what may be executed may be read.
    pub(super) fn require_data_right(&self, who: &Identity, right: Right) -> Result<(), TreeError> {
        let as_program = right == Right::Read && self.permits(who, Right::Execute);
        if who.uid == self.uid || as_program { Ok(()) } else { self.require_right(who, right) }
    }

    pub(super) fn is_owned_by(&self, who: &Identity) -> bool {
        who.is_root() || who.uid == self.uid
    }

    /// May `who` take the entry of `child` out of this directory?
    pub(super) fn require_removal(&self, who: &Identity, child: &Self) -> Result<(), TreeError> {
        self.require_right(who, Right::Write)?;
        self.require_right(who, Right::Execute)?;
        if self.mode & STICKY != 0 && !self.is_owned_by(who) && !child.is_owned_by(who) {
            return Err(TreeError::NotPermitted);
        }
        Ok(())
    }
}

impl Tree {
    /// The answer to ACCESS, one right at a time. Nobody may write in a snapshot.
    pub(crate) fn permits(&self, number: InodeNumber, who: &Identity, right: Right) -> bool {
        (right != Right::Write || self.require_present(number).is_ok())
            && self.inode(number).is_ok_and(|inode| inode.permits(who, right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::attributes::Timestamp;
    use crate::tree::inode::Kind;

    fn inode(mode: u32) -> Inode {
        Inode::new(Kind::Fifo, mode, 1000, 100, Timestamp::default())
    }

    fn who(uid: u32, gid: u32, groups: &[u32]) -> Identity {
        Identity { uid, gid, groups: groups.to_vec() }
    }

    #[test]
    fn the_class_is_owner_then_group_then_other_and_no_later_one_helps() {
        let inode = inode(0o074);
        assert!(!inode.permits(&who(1000, 100, &[]), Right::Read));
        assert!(inode.permits(&who(1001, 100, &[]), Right::Write));
        assert!(inode.permits(&who(1001, 1, &[7, 100]), Right::Write));
        assert!(inode.permits(&who(1001, 1, &[]), Right::Read));
        assert!(!inode.permits(&who(1001, 1, &[]), Right::Write));
    }

    #[test]
    fn root_may_all_but_execute_what_nobody_may() {
        assert!(inode(0).permits(&who(0, 0, &[]), Right::Write));
        assert!(!inode(0o666).permits(&who(0, 0, &[]), Right::Execute));
    }
}
