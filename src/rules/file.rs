//! A rule file as its author writes it: the shape of the TOML, nothing else.
//!
//! Unknown keys are errors. What the keys mean stands in `ninja-rules/README.md`; whether they fit
//! together is for `compile` to say. Also compiled into the build script.

use super::rule::{Attach, Value};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// Text that errors can point at.
pub(super) type Word = Spanned<String>;

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    /// Only there to be extended.
    pub(super) base: bool,
    /// The file that this one adds to.
    pub(super) extends: Option<Word>,
    /// For people.
    pub(super) summary: String,
    pub(super) programs: Option<Vec<Word>>,
    pub(super) covers_roots: Option<bool>,
    pub(super) needs: Option<Vec<Word>>,
    pub(super) response_files: Option<bool>,
    pub(super) overlay_only: Option<String>,
    pub(super) unknown: Option<Vec<Word>>,
    pub(super) not_found: Option<Vec<Word>>,
    pub(super) misses_softly: Option<bool>,
    pub(super) scratch: Vec<Word>,
    pub(super) system: Vec<Word>,
    pub(super) names: Vec<Spanned<Names>>,
    pub(super) probe: Probe,
    pub(super) modes: Option<Vec<Mode>>,
    pub(super) languages: Option<Vec<Language>>,
    pub(super) operands: Operands,
    pub(super) rewrite: Rewrite,
    pub(super) env: Vec<Spanned<Env>>,
    pub(super) pod: Pod,
    pub(super) strict: Strict,
    pub(super) diagnostics: Option<Vec<Diagnostic>>,
    pub(super) ninja: Ninja,
    pub(super) flags: Vec<Spanned<Flag>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Names {
    pub(super) hub: String,
    pub(super) pod: String,
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Probe {
    pub(super) version: Option<Vec<String>>,
    pub(super) version_line: Option<String>,
    pub(super) target: Option<Vec<String>>,
    pub(super) machine: Option<bool>,
    pub(super) program: Option<bool>,
    pub(super) libraries: Option<bool>,
    pub(super) programs: Option<Vec<String>>,
    pub(super) print_program: Option<Vec<Word>>,
    pub(super) found_files: Option<Vec<String>>,
    pub(super) print_file: Option<Vec<Word>>,
    pub(super) outputs: Option<Vec<Vec<String>>>,
    pub(super) search: Option<Vec<Search>>,
    pub(super) files: Option<Vec<Word>>,
    pub(super) masquerades: Option<Vec<Word>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Search {
    pub(super) args: Vec<String>,
    pub(super) after: String,
    pub(super) before: String,
    pub(super) absent: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mode {
    pub(super) name: Word,
    pub(super) output: Option<Word>,
    pub(super) local: Option<String>,
    pub(super) local_without_output: Option<String>,
    pub(super) overlay_only: Option<String>,
    #[serde(default)]
    pub(super) depfile_is_output: bool,
    #[serde(default)]
    pub(super) writes: Vec<Word>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Language {
    pub(super) names: Vec<Word>,
    #[serde(default)]
    pub(super) extensions: Vec<Word>,
    pub(super) local: Option<String>,
    #[serde(default)]
    pub(super) depfile: bool,
    #[serde(default)]
    pub(super) not_written: Vec<Word>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Operands {
    pub(super) value: Option<Spanned<Value>>,
    pub(super) required: Option<bool>,
    pub(super) local: Option<Vec<LocalWord>>,
    pub(super) text: Option<Vec<Word>>,
    pub(super) other: Option<bool>,
    pub(super) extensions: Option<Vec<Word>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalWord {
    pub(super) word: String,
    pub(super) why: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rewrite {
    pub(super) each_root: Option<Vec<Word>>,
    pub(super) once: Option<Vec<Word>>,
    pub(super) dep_target: Option<Vec<Word>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pod {
    pub(super) env: BTreeMap<String, Word>,
    pub(super) args: Option<Vec<Word>>,
    pub(super) writes_near: Option<bool>,
    pub(super) prepare: Option<Vec<Word>>,
    pub(super) seconds: Option<u32>,
    pub(super) memory_mib: Option<u32>,
    pub(super) waits: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Strict {
    pub(super) output: Option<bool>,
    pub(super) args: Option<Vec<Word>>,
    pub(super) blind: Option<Vec<Word>>,
    pub(super) says: Option<Vec<Says>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Says {
    pub(super) lines: Vec<Word>,
    pub(super) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Diagnostic {
    pub(super) line: Word,
    pub(super) severity: Word,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Ninja {
    pub(super) words: BTreeMap<String, Word>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) rules: Option<Vec<Spanned<NinjaRule>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NinjaRule {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) command: String,
    pub(super) description: String,
    pub(super) depfile: Option<String>,
    #[serde(default)]
    pub(super) deps: bool,
    pub(super) rspfile: Option<String>,
    pub(super) rspfile_content: Option<String>,
    #[serde(default)]
    pub(super) local: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Env {
    pub(super) names: Vec<Word>,
    #[serde(default)]
    pub(super) value: Value,
    #[serde(default)]
    pub(super) list: bool,
    pub(super) local: Option<String>,
    #[serde(default)]
    pub(super) overrides: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flag {
    pub(super) names: Vec<Word>,
    /// Tables; the tool's own command line where absent.
    pub(super) within: Option<Vec<String>>,
    pub(super) attach: Option<Spanned<Attach>>,
    pub(super) value: Option<Spanned<Value>>,
    /// The table of a word for a sub-program.
    pub(super) to: Option<Word>,
    pub(super) after: Option<Word>,
    #[serde(default)]
    pub(super) not_path: Vec<String>,
    #[serde(default)]
    pub(super) bare_name: bool,
    #[serde(default)]
    pub(super) installed: bool,
    #[serde(default)]
    pub(super) local_values: Vec<LocalWord>,
    pub(super) only_in_root: Option<Word>,
    pub(super) mode: Option<Word>,
    pub(super) depfile: Option<Word>,
    #[serde(default)]
    pub(super) dep_target: bool,
    #[serde(default)]
    pub(super) writes: Vec<Word>,
    pub(super) local: Option<String>,
    pub(super) overlay_only: Option<String>,
    pub(super) local_without_output: Option<String>,
    pub(super) suffix: Option<String>,
    #[serde(default)]
    pub(super) ends_flags: bool,
    #[serde(default)]
    pub(super) overrides: bool,
}
