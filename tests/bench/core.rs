//! Core benchmark.
fn main() {}
