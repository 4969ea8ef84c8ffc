//! The administrator's door to controller and agents

fn main() {}
