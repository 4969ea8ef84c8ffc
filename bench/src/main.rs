//! Attach and mount latency of any CSI driver

fn main() {}
