//! Rule files, and what a command line means by them.
//!
//! `ninja-rules/README.md` says what a rule file may hold. The build script compiles the files
//! ([`compile`]) into tables; [`parse`] and [`resolve`] turn a command line into a job or a reason
//! to run it locally. Reads no file and no clock: what stands on the disk is asked of a [`Look`].

mod ask;
mod classify;
pub mod compile;
mod diagnostics;
mod explain;
mod file;
mod flags;
mod glob;
mod lay;
mod ninja;
mod outcome;
mod resolve;
mod rule;
mod scan;
mod set;
mod words;
mod written;

pub use ask::{Command, Decision, FileKind, Look, Reason};
pub use classify::{Parsed, classify, parse};
pub use diagnostics::{Diagnosis, diagnose};
pub use explain::{Argument, Explanation, Written, explain};
pub use resolve::resolve;
pub use rule::{
    Attach, Diagnostic, Flag, Language, List, Mode, NameMap, NinjaRule, NinjaVariable, Operands,
    Pod, Probe, Rewrite, Rule, Says, Search, Strict, Table, Text, Value, Variable,
};
pub use set::{RuleSet, machine_identity};
pub use written::{first_input_of, outputs_of};

/// Whether a text fits one of the globs that rules hold.
pub fn fits(glob: &str, text: &[u8]) -> bool {
    glob::matches(glob.as_bytes(), text)
}

#[cfg(test)]
mod compile_tests;
#[cfg(test)]
mod manual_tests;
#[cfg(test)]
mod tests;
