//! `tine-agent`: configuration, preflight, serve, stop.

fn main() {}
