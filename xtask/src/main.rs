//! One door for chores: demo, test, vm

fn main() {}
