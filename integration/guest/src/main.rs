//! The control program inside a worker node

fn main() {}
