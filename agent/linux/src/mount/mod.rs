//! Mounts: what there are, and how to make and unmake them.
//!
//! Mounts are built detached and attached last (fsopen(2), open_tree(2), move_mount(2); Linux 5.2):
//! all that can hang, fail or need a second step happens before anything is visible, and a call that
//! comes back after its deadline attaches nothing.

pub mod attach;
pub mod detach;
pub mod nfs;
mod options;
pub mod table;
