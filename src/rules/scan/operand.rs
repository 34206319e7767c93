//! Stage 1, words that are no flags: operands, and flags that the rule does not know.
//!
//! Does not know where paths lie, nor what a mode makes of the sources.

use super::{At, Scan, Source, kind, role};
use crate::job::Role;
use crate::rules::ask::{FileKind, Look};
use crate::rules::glob;
use crate::rules::rule::{Text, Value};
use crate::rules::set::basename;
use std::path::Path;

impl Scan<'_> {
    pub(super) fn set_language(&mut self, name: &[u8]) {
        let has = |names: &[Text]| names.iter().any(|known| known.as_bytes() == name);
        self.language = self
            .rule
            .languages
            .iter()
            .position(|language| has(&language.names));
        if self.language.is_none() && name != b"none" {
            self.stays_local("unknown language", name);
        }
    }

    /// A word that is no flag that the rule knows.
    pub(super) fn operand(&mut self, at: At, cwd: &Path, look: &dyn Look) {
        let operands = &self.rule.operands;
        let text = self.text(&at);
        if let Some((_, why)) = operands
            .local
            .iter()
            .find(|(word, _)| word.as_bytes() == text)
        {
            let text = text.to_vec();
            return self.stays_local(why, &text);
        }
        let guess = operands.value == Value::Guess;
        if text.starts_with(b"-") && !self.flags_ended && !guess {
            return self.unknown(at, cwd, look);
        }
        let is_text = operands
            .text
            .iter()
            .any(|glob| glob::matches(glob.as_bytes(), text));
        if operands.value == Value::Text || is_text || text.is_empty() {
            return;
        }
        if guess {
            return self.guess(at);
        }
        let text = text.to_vec();
        let language = self.language.or_else(|| self.language_of(&text));
        let has_languages = !self.rule.languages.is_empty();
        match language.map(|at| &self.rule.languages[at]) {
            Some(language) if language.local.is_some() => {
                self.stays_local(language.local.as_deref().unwrap_or_default(), &text);
            }
            None if has_languages && !operands.other => {
                self.stays_local("unknown kind of source", &text);
            }
            _ => {}
        }
        if language.is_some() || !has_languages {
            let name = text.clone();
            self.sources.push(Source { name, language });
        }
        self.mark(at, role(operands.value), false);
        let missing =
            !operands.extensions.is_empty() && kind(&text, cwd, look) == FileKind::Missing;
        let found = operands.extensions.iter().find(|extension| {
            missing && kind(&[&text, extension.as_bytes()].concat(), cwd, look) == FileKind::Regular
        });
        if let (Some(extension), Some(mark)) = (found, self.marks.last_mut()) {
            mark.suffix = extension.to_string();
        }
    }

    /// A word of a tool of which nothing is known: a path, or one behind `=`.
    fn guess(&mut self, (word, bytes): At) {
        let text = &self.words.words[word][bytes.clone()];
        let behind = text.iter().rposition(|byte| *byte == b'=').map(|at| at + 1);
        if let Some(behind) = behind.filter(|at| *at < text.len()) {
            self.mark((word, bytes.start + behind..bytes.end), Role::Input, true);
        } else if !text.starts_with(b"-") {
            self.mark((word, bytes), Role::Input, true);
        }
    }

    /// By the longest extension, so that `.c++` is not `.c`.
    fn language_of(&self, path: &[u8]) -> Option<usize> {
        let name = basename(path);
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        let has = |extensions: &[Text]| {
            extensions
                .iter()
                .any(|extension| extension.as_bytes() == &name[dot..])
        };
        self.rule
            .languages
            .iter()
            .position(|language| has(&language.extensions))
    }

    /// A flag that the rule does not know passes if it can carry no path.
    pub(super) fn unknown(&mut self, at: At, cwd: &Path, look: &dyn Look) {
        let text = self.text(&at).to_vec();
        let known = self
            .rule
            .unknown
            .iter()
            .any(|begin| text.starts_with(begin.as_bytes()));
        let value = text
            .iter()
            .position(|byte| *byte == b'=')
            .map(|equals| &text[equals + 1..]);
        let may_be_path = match value {
            Some(value) => {
                value.contains(&b'/')
                    || !value.is_empty() && kind(value, cwd, look) != FileKind::Missing
            }
            None => text.contains(&b'/'),
        };
        if !known || may_be_path {
            self.stays_local("unknown flag", &text);
        }
    }
}
