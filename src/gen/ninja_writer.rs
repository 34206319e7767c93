//! Ninja's syntax (Ninja manual, "Lexical syntax"): whatever goes in comes out of Ninja the same.
//!
//! Works on bytes, as file names do. What Ninja cannot hold at all is an error, never something
//! else. Knows nothing of tools; a command is a value like any other, and quoting its words for
//! the shell is the caller's business.

use crate::paths::Bytes;
use thiserror::Error;

/// Something that Ninja's syntax cannot express.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NinjaError {
    /// Line ends and the like, for which Ninja has no escape.
    #[error("ninja cannot hold the control character {byte:#04x} in `{text}`", text = text.display())]
    Control {
        /// The text.
        text: Bytes,
        /// The first such character.
        byte: u8,
    },
    /// A path without a name.
    #[error("ninja has no empty paths")]
    EmptyPath,
    /// A name that is not made of letters, digits, `_`, `-` and `.`.
    #[error("`{0}` is no name in ninja")]
    Name(String),
}

/// Text that may stand in a Ninja file as it is: already escaped, or written in Ninja's syntax.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escaped(Vec<u8>);

/// Holds `|`, for which Ninja has no escape in paths. What a variable holds is not read again.
const BAR: &[u8] = b"cpods_bar";

impl Escaped {
    /// Text in Ninja's own syntax (`$in`), which must be right.
    ///
    /// # Errors
    /// If it holds a character that Ninja has no way to hold.
    pub fn syntax(text: &str) -> Result<Self, NinjaError> {
        printable(text.as_bytes())?;
        Ok(Self(text.as_bytes().to_vec()))
    }

    /// The right side of `name = value`.
    ///
    /// # Errors
    /// If it holds a line end, a carriage return or a NUL.
    pub fn value(text: &[u8]) -> Result<Self, NinjaError> {
        printable(text)?;
        let mut escaped = Vec::with_capacity(text.len());
        for (index, byte) in text.iter().enumerate() {
            match byte {
                b'$' => escaped.extend(b"$$"),
                // Leading spaces would be left off.
                b' ' if index == 0 => escaped.extend(b"$ "),
                _ => escaped.push(*byte),
            }
        }
        Ok(Self(escaped))
    }

    /// A path in a build statement.
    ///
    /// # Errors
    /// As [`Escaped::value`], and if it is empty.
    pub fn path(text: &[u8]) -> Result<Self, NinjaError> {
        printable(text)?;
        if text.is_empty() {
            return Err(NinjaError::EmptyPath);
        }
        let mut escaped = Vec::with_capacity(text.len());
        for byte in text {
            match byte {
                b'$' | b' ' | b':' => escaped.extend([b'$', *byte]),
                b'|' => escaped.extend([b"${", BAR, b"}"].concat()),
                _ => escaped.push(*byte),
            }
        }
        Ok(Self(escaped))
    }

    /// The bytes as they stand in the file.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn printable(text: &[u8]) -> Result<(), NinjaError> {
    let bad = text.iter().find(|byte| b"\n\r\0".contains(byte));
    bad.map_or(Ok(()), |byte| {
        let text = text.into();
        Err(NinjaError::Control { text, byte: *byte })
    })
}

fn name(text: &str) -> Result<&[u8], NinjaError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if text.is_empty() || !text.bytes().all(allowed) {
        return Err(NinjaError::Name(text.to_owned()));
    }
    Ok(text.as_bytes())
}

/// A build statement.
#[derive(Clone, Debug, Default)]
pub struct Build<'a> {
    /// What is built; at least one.
    pub outputs: &'a [&'a [u8]],
    /// What is built besides, and is not in `$out`.
    pub implicit_outputs: &'a [&'a [u8]],
    /// The rule's name.
    pub rule: &'a str,
    /// `$in`.
    pub inputs: &'a [&'a [u8]],
    /// Read, but not in `$in`.
    pub implicit: &'a [&'a [u8]],
    /// Built before, but no reason to build again.
    pub order_only: &'a [&'a [u8]],
    /// Built whenever this is, without being waited for (Ninja 1.11).
    pub validations: &'a [&'a [u8]],
    /// Variables of this statement.
    pub variables: &'a [(&'a str, Escaped)],
}

/// A Ninja file that is being written.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    text: Vec<u8>,
    has_bar: bool,
}

impl Writer {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.text.push(b'\n');
    }

    /// A comment; each of its lines is one.
    pub fn comment(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.replace(['\r', '\0'], " ");
            let line = format!("# {line}");
            self.text.extend(line.trim_end().as_bytes());
            self.blank();
        }
    }

    /// `name = value` at the top level.
    ///
    /// # Errors
    /// If Ninja has no such name.
    pub fn variable(&mut self, key: &str, value: &Escaped) -> Result<(), NinjaError> {
        self.binding(b"", key, value)
    }

    /// A pool that lets so many commands run at a time.
    ///
    /// # Errors
    /// If Ninja has no such name.
    pub fn pool(&mut self, pool: &str, depth: &Escaped) -> Result<(), NinjaError> {
        self.head(b"pool ", pool)?;
        self.binding(b"  ", "depth", depth)
    }

    /// A rule with its variables, `command` among them.
    ///
    /// # Errors
    /// If Ninja has no such name.
    pub fn rule(&mut self, rule: &str, variables: &[(&str, Escaped)]) -> Result<(), NinjaError> {
        self.head(b"rule ", rule)?;
        let mut variables = variables.iter();
        variables.try_for_each(|(key, value)| self.binding(b"  ", key, value))
    }

    /// A build statement.
    ///
    /// # Errors
    /// If Ninja has no such name or path.
    pub fn build(&mut self, build: &Build<'_>) -> Result<(), NinjaError> {
        if build.outputs.is_empty() {
            return Err(NinjaError::EmptyPath);
        }
        let mut line = b"build".to_vec();
        paths(&mut line, b"", build.outputs)?;
        paths(&mut line, b" |", build.implicit_outputs)?;
        line.extend(b": ");
        line.extend(name(build.rule)?);
        paths(&mut line, b"", build.inputs)?;
        paths(&mut line, b" |", build.implicit)?;
        paths(&mut line, b" ||", build.order_only)?;
        paths(&mut line, b" |@", build.validations)?;
        self.statement(&line);
        let mut variables = build.variables.iter();
        variables.try_for_each(|(key, value)| self.binding(b"  ", key, value))
    }

    /// What is built when nothing is asked for.
    ///
    /// # Errors
    /// If Ninja has no such path.
    pub fn default_targets(&mut self, targets: &[&[u8]]) -> Result<(), NinjaError> {
        let mut line = b"default".to_vec();
        paths(&mut line, b"", targets)?;
        self.statement(&line);
        Ok(())
    }

    /// Another file, read in this one's scope.
    ///
    /// # Errors
    /// If Ninja has no such path.
    pub fn include(&mut self, path: &[u8]) -> Result<(), NinjaError> {
        let mut line = b"include".to_vec();
        paths(&mut line, b"", &[path])?;
        self.statement(&line);
        Ok(())
    }

    /// The whole file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.text
    }

    /// Writes a line that may use [`BAR`].
    fn statement(&mut self, line: &[u8]) {
        if !self.has_bar && line.windows(BAR.len()).any(|part| part == BAR) {
            self.has_bar = true;
            self.text.extend([BAR, b" = |\n"].concat());
        }
        self.text.extend(line);
        self.blank();
    }

    fn head(&mut self, kind: &[u8], key: &str) -> Result<(), NinjaError> {
        let line = [kind, name(key)?].concat();
        self.statement(&line);
        Ok(())
    }

    fn binding(&mut self, indent: &[u8], key: &str, value: &Escaped) -> Result<(), NinjaError> {
        self.text.extend([indent, name(key)?, b" ="].concat());
        if !value.as_bytes().is_empty() {
            self.text.push(b' ');
            self.text.extend(value.as_bytes());
        }
        self.blank();
        Ok(())
    }
}

fn paths(line: &mut Vec<u8>, mark: &[u8], all: &[&[u8]]) -> Result<(), NinjaError> {
    if !all.is_empty() {
        line.extend(mark);
    }
    for path in all {
        line.push(b' ');
        line.extend(Escaped::path(path)?.as_bytes());
    }
    Ok(())
}

#[cfg(test)]
#[path = "ninja_writer_tests.rs"]
mod tests;
