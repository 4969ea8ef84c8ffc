//! Copy-on-write sparse volumes
