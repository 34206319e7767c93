//! Writes Ninja.
//!
//! | file | what it does |
//! | --- | --- |
//! | [`ninja_writer`] | Ninja's own syntax: what must be escaped, and how |
//! | [`ninja_reader`], [`ninja_eval`], [`ninja_value`] | what Ninja files say: syntax, meaning, and where a value comes from |
//! | [`rules`] | the snippet of a tool, from its rule |
//! | [`shell`], `judge`, [`wrap`] | where in existing Ninja files the wrapper is put in |
//! | [`patch`], [`put`] | changes that can be taken back; files written whole and only if they change |
//! | [`compdb`], [`compdb_tools`] | other tools over the sources of a compilation database |
//! | [`context`] | the ConTeXt modules that come with cpods |
//! | [`literate`] | the graph of a ConTeXt document |
//! | `cli`, `wrap_cli`, `compdb_cli` | the command line of `cpods-gen` |

mod cli;
pub mod compdb;
mod compdb_cli;
pub mod compdb_tools;
pub mod context;
mod judge;
pub mod literate;
pub mod ninja_eval;
pub mod ninja_reader;
pub mod ninja_value;
pub mod ninja_writer;
pub mod patch;
pub mod put;
pub mod rules;
pub mod shell;
pub mod wrap;
mod wrap_cli;

pub use cli::{command, main};
