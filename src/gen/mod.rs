//! Writes Ninja.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`ninja_writer`] | Ninja's own syntax: what must be escaped, and how |
//! | [`rules`] | the snippet of a tool, from its rule |
//! | [`context`] | the ConTeXt modules that come with cpods |
//! | `cli` | the command line of `cpods-gen` |

mod cli;
pub mod context;
pub mod ninja_writer;
pub mod rules;

pub use cli::{command, main};
