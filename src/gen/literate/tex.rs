//! Reads TeX source as far as its commands: comments and verbatim text are left out.
//!
//! Knows how arguments are delimited and what ConTeXt typesets verbatim, not what a command means.
//! Expands nothing: what a macro makes is not seen.

use std::collections::BTreeSet;

/// Environments whose content is no TeX, or not read where it stands.
const VERBATIM: &[&str] = &[
    "typing",
    "TEX",
    "LUA",
    "XML",
    "MP",
    "CTX",
    "PARSEDXML",
    "luacode",
    "lua",
    "ctxluacode",
    "buffer",
    "hiding",
];

/// Commands whose argument is typeset verbatim.
const INLINE: &[&str] = &["type", "typ", "tex"];

/// The environments of a document that are typeset verbatim.
#[derive(Clone, Debug)]
pub(super) struct Verbatim(BTreeSet<String>);

impl Default for Verbatim {
    fn default() -> Self {
        Self(VERBATIM.iter().map(ToString::to_string).collect())
    }
}

impl Verbatim {
    /// Another one, as `\definetyping` makes them.
    pub(super) fn add(&mut self, name: &str) {
        self.0.insert(name.to_owned());
    }
}

/// A command, without its backslash, and the line where it stands, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command<'a> {
    pub(super) name: &'a str,
    pub(super) line: usize,
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
        }
    }

    /// The next command that is neither in a comment nor verbatim; arguments of the one before that
    /// were not taken are read as text.
    pub(super) fn command(&mut self, verbatim: &Verbatim) -> Option<Command<'a>> {
        loop {
            let found = self.rest().find(['\\', '%'])?;
            self.forward(found);
            if self.rest().starts_with('%') {
                self.line_end();
                continue;
            }
            let line = self.line;
            self.forward(1);
            let name = self.word(|it| it.is_ascii_alphabetic());
            if name.is_empty() {
                // A control symbol: `\%` begins no comment.
                let symbol = self.rest().chars().next()?;
                self.forward(symbol.len_utf8());
            } else if INLINE.contains(&name) {
                self.inline();
            } else if let Some(kind) = name.strip_prefix("start")
                && verbatim.0.contains(kind)
            {
                self.until_stop(kind);
            } else {
                return Some(Command { name, line });
            }
        }
    }

    /// An argument in braces, which may stand on the next line. The braces within match.
    pub(super) fn braces(&mut self) -> Option<&'a str> {
        self.delimited('{', '}', true)
    }

    /// An argument in brackets.
    pub(super) fn brackets(&mut self) -> Option<&'a str> {
        self.delimited('[', ']', true)
    }

    /// As [`Reader::braces`], on this line.
    pub(super) fn braces_here(&mut self) -> Option<&'a str> {
        self.delimited('{', '}', false)
    }

    /// A file's name, in braces, brackets, quotes, or bare.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        if let Some(name) = self.braces().or_else(|| self.brackets()) {
            return Some(name);
        }
        self.spaces(false);
        if self.rest().starts_with('"') {
            let length = self.rest()[1..].find('"')?;
            let name = &self.rest()[1..=length];
            self.forward(length + 2);
            return Some(name);
        }
        let name = self.word(|it| !it.is_whitespace() && !"\\%{}[]".contains(it));
        (!name.is_empty()).then_some(name)
    }

    /// To behind `\stopKIND`, or to the end.
    pub(super) fn until_stop(&mut self, kind: &str) {
        let stop = format!("\\stop{kind}");
        let mut from = 0;
        while let Some(found) = self.rest()[from..].find(&stop) {
            let behind = from + found + stop.len();
            let next = self.rest()[behind..].chars().next();
            if !next.is_some_and(|it| it.is_ascii_alphabetic()) {
                self.forward(behind);
                return;
            }
            from = behind;
        }
        self.forward(self.rest().len());
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn forward(&mut self, length: usize) {
        let passed = &self.rest()[..length];
        self.line += passed.matches('\n').count();
        self.at += length;
    }

    fn line_end(&mut self) {
        let length = self.rest().find('\n').unwrap_or(self.rest().len());
        self.forward(length);
    }

    fn word(&mut self, is_of_it: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|it| !is_of_it(it)).unwrap_or(rest.len());
        self.forward(length);
        &rest[..length]
    }

    fn spaces(&mut self, lines_too: bool) {
        self.word(|it| it.is_whitespace() && (lines_too || it != '\n'));
    }

    fn delimited(&mut self, open: char, close: char, lines_too: bool) -> Option<&'a str> {
        let before = self.clone();
        self.spaces(lines_too);
        if !self.rest().starts_with(open) {
            *self = before;
            return None;
        }
        let rest = self.rest();
        let mut depth = 0;
        let mut escaped = false;
        for (index, letter) in rest.char_indices() {
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                // Braces hide brackets from each other.
                '{' => depth += 1,
                '}' => depth -= 1,
                '[' if open == '[' && depth == 0 => depth += 1,
                ']' if open == '[' && depth == 1 => depth -= 1,
                _ => {}
            }
            if depth == 0 && letter == close && !escaped {
                self.forward(index + 1);
                return Some(&rest[1..index]);
            }
        }
        *self = before;
        None
    }

    /// The argument of `\type`: in braces, in `<<` and `>>`, or between two of one letter.
    fn inline(&mut self) {
        if self.braces_here().is_some() {
            return;
        }
        while self.delimited('[', ']', false).is_some() {}
        if self.braces_here().is_some() {
            return;
        }
        self.spaces(false);
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return;
        };
        let close = match rest.starts_with("<<") {
            true => ">>".to_owned(),
            false => first.to_string(),
        };
        let line = rest.find('\n').unwrap_or(rest.len());
        let begin = close.len();
        if let Some(found) = rest.get(begin..line).and_then(|it| it.find(&close)) {
            self.forward(begin + found + close.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(text: &str) -> Vec<(String, usize)> {
        let verbatim = Verbatim::default();
        let mut reader = Reader::new(text);
        let mut found = Vec::new();
        while let Some(command) = reader.command(&verbatim) {
            found.push((command.name.to_owned(), command.line));
        }
        found
    }

    #[test]
    fn comments_and_verbatim_text_hold_no_commands() {
        for (text, wanted) in [
            ("a\\b c % \\d\n\\e", &[("b", 1), ("e", 2)][..]),
            ("100\\% \\a", &[("a", 1)]),
            ("\\\\% \\a\n\\b", &[("b", 2)]),
            (
                "\\starttyping\n\\a %\n\\stoptypings\n\\stoptyping \\b",
                &[("b", 4)],
            ),
            ("\\type{\\a {\\b}}\\c", &[("c", 1)]),
            ("\\type<<\\a>>\\c \\type+\\b+\\d", &[("c", 1), ("d", 1)]),
            ("\\type[x]{\\a}\\typefile{b}", &[("typefile", 1)]),
            ("\\startluacode\n%\\stopluacode\\a", &[("a", 2)]),
            ("\\startbuffer[x]\n\\a\n", &[]),
            ("\\é\\a", &[("a", 1)]),
            ("\\", &[]),
            ("\\type", &[]),
        ] {
            let wanted: Vec<_> = wanted.iter().map(|(it, n)| (it.to_string(), *n)).collect();
            assert_eq!(commands(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn names_come_in_four_forms() {
        for (text, wanted) in [
            ("\\input a/b.tex \\x", Some("a/b.tex")),
            ("\\input{a b}", Some("a b")),
            ("\\input [a]", Some("a")),
            ("\\input \"a b.tex\" c", Some("a b.tex")),
            ("\\input a\\relax", Some("a")),
            ("\\input\n {a}", Some("a")),
            ("\\input % no\n", None),
            ("\\input {a", None),
        ] {
            let mut reader = Reader::new(text);
            reader.command(&Verbatim::default()).unwrap();
            assert_eq!(reader.name(), wanted, "{text:?}");
        }
    }

    #[test]
    fn arguments_match_their_braces() {
        let mut reader = Reader::new("\\a[b={[x],y}]{c{d}\\}e}\n{f}{g");
        reader.command(&Verbatim::default()).unwrap();
        assert_eq!(reader.brackets(), Some("b={[x],y}"));
        assert_eq!(reader.braces_here(), Some("c{d}\\}e"));
        assert_eq!(reader.braces_here(), None);
        assert_eq!(reader.braces(), Some("f"));
        assert_eq!(reader.braces(), None);
    }
}
