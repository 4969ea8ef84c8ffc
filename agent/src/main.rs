//! The node agent: a published volume becomes a directory or a device on this node

fn main() {}
