//! The integration tests: one program, since each would link the whole library again.

mod support;

mod house;
mod launcher;
mod rules_real;
