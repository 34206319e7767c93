//! Compiles the rule files.

fn main() {}
