//! What all configuration files have in common: they are TOML, and every error says at which line
//! and at which key. Knows nothing of what they mean.

use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A file that cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read `{path}`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}:{line}: {what}", path = path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Which key, and what is wrong with it.
        what: String,
    },
}

/// Something wrong at a place of the text.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) at: Range<usize>,
    pub(crate) what: String,
}

impl Wrong {
    /// The place's line in the text, counted from 1.
    pub(crate) fn line(&self, text: &str) -> usize {
        let before = &text.as_bytes()[..self.at.start.min(text.len())];
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

/// Something wrong there.
pub(crate) fn wrong<T>(at: Range<usize>, what: impl fmt::Display) -> Result<T, Wrong> {
    let what = what.to_string();
    Err(Wrong { at, what })
}

/// The text as a table of this form.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().unwrap_or(0..0);
        let message = error.message().trim_end();
        let key =
            key_before(text, at.start).or_else(|| text.get(at.clone()).filter(|it| is_bare(it)));
        let what = match key {
            Some(key) if !message.contains(&format!("`{key}`")) => format!("`{key}`: {message}"),
            _ => message.to_owned(),
        };
        Wrong { at, what }
    })
}

/// The key whose value begins here, where both are in one line.
fn key_before(text: &str, at: usize) -> Option<&str> {
    let before = text.get(..at)?;
    let line = before.rsplit('\n').next()?;
    let key = line.split('=').next()?.trim();
    (line.contains('=') && is_bare(key)).then_some(key)
}

fn is_bare(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !key.is_empty() && key.chars().all(plain)
}

/// A whole file, taken apart by `parse`.
pub(crate) fn load<T>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Result<T, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
        path: path.into(),
        source,
    })?;
    parse(&text).map_err(|wrong| FileError::Wrong {
        path: path.into(),
        line: wrong.line(&text),
        what: wrong.what,
    })
}

/// A file of this name in the user's configuration folder, if it is there.
pub(crate) fn own(name: &str) -> Option<PathBuf> {
    let folder = crate::rulefiles::config_folder(|name| std::env::var_os(name))?;
    let path = folder.join(name);
    path.exists().then_some(path)
}

/// A path with a leading `~` put in full.
pub(crate) fn absolute(text: &str, home: Option<&Path>) -> Result<PathBuf, String> {
    let path = match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_path_buf(),
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(&rest[1..]),
        _ => PathBuf::from(text),
    };
    if path.is_absolute() {
        return Ok(path);
    }
    Err(format!("`{text}` is neither absolute nor below `~`"))
}

/// The user's home, as the environment has it.
pub(crate) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_value() {
        let text = "a = 1\n  list.of-b = [1, \"x\"]\n[c]\n\"x = y\" = 3\n";
        let key = |value: &str| key_before(text, text.find(value).unwrap());
        assert_eq!(key("1"), Some("a"));
        assert_eq!(key("\"x\""), Some("list.of-b"));
        assert_eq!(key("c]"), None);
        assert_eq!(key("3"), None);
        assert_eq!(key_before("ä", 1), None);
    }
}
