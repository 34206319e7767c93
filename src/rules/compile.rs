//! Rule files to rules: lays a file over what it extends, checks it, and flattens it.
//!
//! Used by the build script for the built-in rules and by the programs for a user's, so it knows
//! nothing of the rest of the house, and reads no files itself.

use super::file::{File, Word};
use super::flags;
use super::glob;
use super::lay::{lay, words};
use super::ninja;
use super::rule::{List, Rule, Text};
use std::fmt;
use std::ops::Range;

/// The file that every rule is laid over.
const COMMON: &str = "common";
/// Longest chain of `extends`.
const MAX_BASES: usize = 8;

/// What is wrong with a rule file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The file's name, or its path where there is one.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The key it is about; empty where the TOML itself is broken.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}

/// The text of a rule file under its tool's name.
pub type Source<'a> = (&'a str, &'a str);

/// A file together with what errors need to say where.
pub(super) struct Layer {
    shown: String,
    text: String,
    pub(super) file: File,
}

impl Layer {
    fn parse(shown: &str, text: &str) -> Result<Self, RuleError> {
        let file = toml::from_str(text).map_err(|error| {
            let at = error.span().unwrap_or(0..0);
            RuleError {
                file: shown.into(),
                line: line_of(text, at.start),
                key: key_at(text, &at),
                message: error.message().trim().replace('\n', " "),
            }
        })?;
        Ok(Self {
            shown: shown.into(),
            text: text.into(),
            file,
        })
    }

    pub(super) fn fault(
        &self,
        at: &Range<usize>,
        key: &str,
        message: impl Into<String>,
    ) -> RuleError {
        RuleError {
            file: self.shown.clone(),
            line: line_of(&self.text, at.start),
            key: key.into(),
            message: message.into(),
        }
    }

    pub(super) fn globs(&self, key: &str, globs: &[Word]) -> Result<List<Text>, RuleError> {
        for word in globs {
            if let Some(fault) = glob::fault(word.get_ref()) {
                let message = format!("bad glob `{}`: {fault}", word.get_ref());
                return Err(self.fault(&word.span(), key, message));
            }
        }
        Ok(words(globs))
    }

    /// Checks that a template holds no placeholder but these.
    pub(super) fn template(
        &self,
        key: &str,
        word: &Word,
        known: &[&str],
    ) -> Result<Text, RuleError> {
        let mut rest = word.get_ref().as_str();
        while let Some(open) = rest.find('{') {
            let end = rest[open..]
                .find('}')
                .map_or(rest.len(), |end| open + end + 1);
            let name = &rest[open..end];
            if !known.contains(&name) {
                let known = known.join("`, `");
                let message = format!("unknown placeholder `{name}`, expected `{known}`");
                return Err(self.fault(&word.span(), key, message));
            }
            rest = &rest[end..];
        }
        Ok(word.get_ref().clone().into())
    }

    pub(super) fn templates(
        &self,
        key: &str,
        all: &[Word],
        known: &[&str],
    ) -> Result<List<Text>, RuleError> {
        let all: Result<Vec<_>, _> = all
            .iter()
            .map(|word| self.template(key, word, known))
            .collect();
        Ok(all?.into())
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let upto = &text.as_bytes()[..at.min(text.len())];
    upto.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The key that a span points at, or that the value it points at belongs to.
fn key_at(text: &str, at: &Range<usize>) -> String {
    let pointed = text.get(at.clone()).unwrap_or_default();
    let is_key = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    let start = text[..at.start.min(text.len())]
        .rfind('\n')
        .map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let left = line.split('=').next().unwrap_or_default().trim();
    match (is_key(pointed), is_key(left)) {
        (true, _) => pointed.into(),
        (false, true) => left.into(),
        (false, false) => String::new(),
    }
}

/// Compiles the file `tool` shown as `shown` in errors; none for one that is only a base. `library`
/// holds the files that may be extended.
///
/// # Errors
/// The first thing that is wrong with the file or with one that it extends.
pub fn compile(
    tool: &str,
    shown: &str,
    source: &str,
    library: &[Source<'_>],
) -> Result<Option<Rule>, RuleError> {
    let layers = layers(tool, shown, source, library)?;
    let Some(top) = layers.last() else {
        return Ok(None);
    };
    if top.file.base {
        if let Some(first) = top.file.programs.as_ref().and_then(|all| all.first()) {
            return Err(top.fault(&first.span(), "programs", "a base covers no programs"));
        }
        // Checked all the same, so that a base's faults are shown as its own.
        flags::tables(&layers)?;
        return Ok(None);
    }
    let mut rule = Rule {
        tool: tool.to_owned().into(),
        ..Rule::default()
    };
    for layer in &layers {
        lay(&mut rule, layer)?;
    }
    if rule.programs.is_empty() && !rule.covers_roots {
        return Err(top.fault(&(0..0), "programs", "the rule covers no program"));
    }
    ninja::lay(&mut rule, &layers)?;
    rule.tables = flags::tables(&layers)?.into();
    Ok(Some(rule))
}

/// The file and what it extends, the lowest first.
fn layers(
    tool: &str,
    shown: &str,
    source: &str,
    library: &[Source<'_>],
) -> Result<Vec<Layer>, RuleError> {
    let mut layers = vec![Layer::parse(shown, source)?];
    let mut at = tool.to_owned();
    while let Some(extends) = layers[layers.len() - 1].file.extends.clone() {
        let lower = layers[layers.len() - 1].fault(&extends.span(), "extends", "");
        let name = extends.into_inner();
        let found = library.iter().find(|(known, _)| *known == name);
        let message = match found {
            Some((_, text)) if name != at && layers.len() <= MAX_BASES => {
                layers.push(Layer::parse(&format!("{name}.toml"), text)?);
                at = name;
                continue;
            }
            Some(_) => format!("`{name}` extends itself or too many others"),
            None => format!("there is no rule file `{name}`"),
        };
        return Err(RuleError { message, ..lower });
    }
    if tool != COMMON
        && let Some((name, text)) = library.iter().find(|(known, _)| *known == COMMON)
    {
        layers.push(Layer::parse(&format!("{name}.toml"), text)?);
    }
    layers.reverse();
    Ok(layers)
}
