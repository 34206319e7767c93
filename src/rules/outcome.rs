//! What a rule says of what a tool says, and of its success. A part of `rule`; also compiled into the
//! build script.

use super::rule::{List, Text};
use serde::{Deserialize, Serialize};

/// When a job that ended with exit code 0 has failed all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strict {
    /// Without a primary output that was written.
    pub output: bool,
    /// Flags that have it see more failures itself, given unless the same flag is there already.
    pub args: List<Text>,
    /// Globs on words that hide what it is judged by: an error.
    pub blind: List<Text>,
    /// With such a line among what it says.
    pub says: List<Says>,
}

/// Lines that mean a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Says {
    /// Globs on a whole line of standard output or error.
    pub lines: List<Text>,
    /// What they mean.
    pub why: Text,
}

/// A line that speaks of a place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// What the whole line looks like: text, `*`, `{file}`, `{line}`, `{column}`, `{message}`.
    pub line: Text,
    /// `error`, `warning` or `note`.
    pub severity: Text,
}
