//! The agent's hands: the only crate that knows a syscall, /proc, /sys or an external program
