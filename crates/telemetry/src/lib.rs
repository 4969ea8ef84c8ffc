//! Tracing set-up, metrics registry and error-chain printing for all programs
