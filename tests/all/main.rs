//! The integration tests: one program, since each would link the whole library again.

mod project;
mod support;
mod tool;

mod faults;
mod house;
mod launcher;
mod ninja;
mod ninja_ends;
