//! The controller: claims become volumes, nodes are granted access

fn main() {}
