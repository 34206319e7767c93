//! Writes Ninja.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`ninja_writer`] | Ninja's own syntax: what must be escaped, and how |
//! | [`rules`] | the snippet of a tool, from its rule |
//! | `cli` | the command line of `cpods-gen` |

mod cli;
pub mod ninja_writer;
pub mod rules;

pub use cli::{command, main};
