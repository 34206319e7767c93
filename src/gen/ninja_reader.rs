//! Reads Ninja's syntax (Ninja manual, "Ninja file reference"; its `lexer.in.cc` for the details).
//!
//! Every text remembers where in the file it stands, so that whoever changes a file can do it by
//! insertions and leave everything else as it is, byte for byte. Knows nothing of values: what a
//! variable holds is the business of `ninja_eval`.

use thiserror::Error;

/// A file that Ninja would not read either.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct ReadError {
    /// Counted from 1.
    pub line: usize,
    /// In a few words.
    pub what: &'static str,
}

/// A part of a value or path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text; an escape is a part of its own, so that bytes and offsets agree in all others.
    Literal {
        /// Where it begins in the file.
        at: usize,
        /// What it stands for.
        bytes: Vec<u8>,
    },
    /// `$name` or `${name}`.
    Variable {
        /// Where the `$` is.
        at: usize,
        /// The name.
        name: String,
    },
}

/// A value or path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Its parts, in order.
    pub parts: Vec<Part>,
    /// Where it ends in the file.
    pub end: usize,
}

/// `name = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The name.
    pub key: String,
    /// The value.
    pub value: Text,
}

/// A build statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// `$out`.
    pub outputs: Vec<Text>,
    /// After `|`, left of the colon.
    pub implicit_outputs: Vec<Text>,
    /// The rule's name.
    pub rule: String,
    /// `$in`.
    pub inputs: Vec<Text>,
    /// After `|`.
    pub implicit: Vec<Text>,
    /// After `||`.
    pub order_only: Vec<Text>,
    /// After `|@`.
    pub validations: Vec<Text>,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A variable at the top level.
    Variable(Text),
    /// A rule.
    Rule,
    /// A pool.
    Pool,
    /// A build statement.
    Build(Box<Build>),
    /// What is built when nothing is asked for.
    Default(Vec<Text>),
    /// Another file, in this one's scope.
    Include(Text),
    /// Another file, in a scope of its own.
    Subninja(Text),
}

/// A statement with the lines below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it says.
    pub what: What,
    /// The name of the variable, rule or pool; empty for others.
    pub name: String,
    /// Where it begins in the file.
    pub start: usize,
    /// Where the first line below it begins or would begin.
    pub below: usize,
    /// The lines below it.
    pub bindings: Vec<Binding>,
}

/// The statements of a file, in order.
///
/// # Errors
/// If it is no Ninja file.
pub fn read(text: &[u8]) -> Result<Vec<Statement>, ReadError> {
    let mut reader = Reader { text, at: 0 };
    let mut all = Vec::new();
    loop {
        if reader.indented()? {
            return Err(reader.error("unexpected indent"));
        }
        if reader.at == text.len() {
            return Ok(all);
        }
        if !reader.eat(b"\n") && !reader.eat(b"\r\n") {
            all.push(reader.statement()?);
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

fn is_simple_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_name(byte: u8) -> bool {
    is_simple_name(byte) || byte == b'.'
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }

    fn error(&self, what: &'static str) -> ReadError {
        let before = &self.text[..self.at];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        ReadError { line, what }
    }

    fn eat(&mut self, word: &[u8]) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn eat_while(&mut self, fits: impl Fn(u8) -> bool) -> usize {
        let from = self.at;
        while self.text.get(self.at).is_some_and(|byte| fits(*byte)) {
            self.at += 1;
        }
        self.at - from
    }

    /// Spaces and continued lines, as after every token.
    fn space(&mut self) {
        while self.eat_while(|byte| byte == b' ') > 0 || self.eat(b"$\n") || self.eat(b"$\r\n") {}
    }

    fn newline(&mut self) -> Result<(), ReadError> {
        if self.eat(b"\n") || self.eat(b"\r\n") {
            return Ok(());
        }
        Err(self.error("expected the end of the line"))
    }

    /// At the beginning of a line: skips comments, and the spaces of a line that has some and is
    /// not empty.
    fn indented(&mut self) -> Result<bool, ReadError> {
        loop {
            let spaces = self.eat_while(|byte| byte == b' ');
            if self.rest().first() == Some(&b'#') {
                self.eat_while(|byte| byte != b'\n' && byte != 0);
                if !self.eat(b"\n") {
                    return Err(self.error("a comment without an end of the line"));
                }
                continue;
            }
            if self.rest().is_empty() {
                return Ok(false);
            }
            // An empty line ends what is below a statement.
            let empty = self.rest().starts_with(b"\n") || self.rest().starts_with(b"\r\n");
            return Ok(spaces > 0 && !empty);
        }
    }

    fn name(&mut self) -> Result<String, ReadError> {
        let from = self.at;
        if self.eat_while(is_name) == 0 {
            return Err(self.error("expected a name"));
        }
        let name = self.text[from..self.at].iter();
        let name = name.map(|byte| char::from(*byte)).collect();
        self.space();
        Ok(name)
    }

    fn statement(&mut self) -> Result<Statement, ReadError> {
        let start = self.at;
        let word = self.name()?;
        let mut name = String::new();
        let mut has_below = false;
        let what = match word.as_str() {
            "rule" | "pool" => {
                name = self.name()?;
                has_below = true;
                self.newline()?;
                if word == "rule" {
                    What::Rule
                } else {
                    What::Pool
                }
            }
            "build" => {
                has_below = true;
                What::Build(Box::new(self.build()?))
            }
            "default" => {
                let targets = self.paths()?;
                if targets.is_empty() {
                    return Err(self.error("expected a path"));
                }
                self.newline()?;
                What::Default(targets)
            }
            "include" | "subninja" => {
                let path = self.text_until(true)?;
                self.space();
                self.newline()?;
                if word == "include" {
                    What::Include(path)
                } else {
                    What::Subninja(path)
                }
            }
            _ => {
                name = word;
                What::Variable(self.value()?)
            }
        };
        let below = self.at;
        let mut bindings = Vec::new();
        while has_below && self.indented()? {
            let key = self.name()?;
            let value = self.value()?;
            bindings.push(Binding { key, value });
        }
        Ok(Statement {
            what,
            name,
            start,
            below,
            bindings,
        })
    }

    fn build(&mut self) -> Result<Build, ReadError> {
        let mut build = Build {
            outputs: self.paths()?,
            ..Build::default()
        };
        if self.mark(b"|") {
            build.implicit_outputs = self.paths()?;
        }
        if build.outputs.is_empty() && build.implicit_outputs.is_empty() {
            return Err(self.error("expected a path"));
        }
        if !self.mark(b":") {
            return Err(self.error("expected `:`"));
        }
        build.rule = self.name()?;
        build.inputs = self.paths()?;
        if !self.rest().starts_with(b"||") && !self.rest().starts_with(b"|@") && self.mark(b"|") {
            build.implicit = self.paths()?;
        }
        if self.mark(b"||") {
            build.order_only = self.paths()?;
        }
        if self.mark(b"|@") {
            build.validations = self.paths()?;
        }
        self.newline()?;
        Ok(build)
    }

    fn mark(&mut self, mark: &[u8]) -> bool {
        let found = self.eat(mark);
        if found {
            self.space();
        }
        found
    }

    fn value(&mut self) -> Result<Text, ReadError> {
        if !self.mark(b"=") {
            return Err(self.error("expected `=`"));
        }
        let text = self.text_until(false)?;
        self.newline()?;
        Ok(text)
    }

    fn paths(&mut self) -> Result<Vec<Text>, ReadError> {
        let mut all = Vec::new();
        loop {
            let path = self.text_until(true)?;
            self.space();
            if path.parts.is_empty() {
                return Ok(all);
            }
            all.push(path);
        }
    }

    /// A value, to the end of the line, or a path.
    fn text_until(&mut self, is_path: bool) -> Result<Text, ReadError> {
        let mut text = Text::default();
        loop {
            let at = self.at;
            let Some(byte) = self.rest().first().copied() else {
                return Err(self.error("unexpected end of the file"));
            };
            match byte {
                b'\n' => break,
                b'\r' if self.rest().starts_with(b"\r\n") => break,
                b' ' | b':' | b'|' if is_path => break,
                0 | b'\r' => return Err(self.error("a control character")),
                b'$' => self.dollar(&mut text.parts)?,
                _ => {
                    let stop: &[u8] = if is_path { b"$ :\r\n|\0" } else { b"$\r\n\0" };
                    self.eat_while(|byte| !stop.contains(&byte));
                    let bytes = self.text[at..self.at].to_vec();
                    text.parts.push(Part::Literal { at, bytes });
                }
            }
        }
        text.end = self.at;
        Ok(text)
    }

    fn dollar(&mut self, parts: &mut Vec<Part>) -> Result<(), ReadError> {
        let at = self.at;
        self.at += 1;
        if self.eat(b"\n") || self.eat(b"\r\n") {
            self.eat_while(|byte| byte == b' ');
            return Ok(());
        }
        let braced = self.eat(b"{");
        let from = self.at;
        let length = self.eat_while(if braced { is_name } else { is_simple_name });
        if length > 0 && (!braced || self.eat(b"}")) {
            let name = self.text[from..from + length].iter();
            let name = name.map(|byte| char::from(*byte)).collect();
            parts.push(Part::Variable { at, name });
            return Ok(());
        }
        let byte = self.text.get(at + 1).copied();
        let escaped = byte.filter(|byte| b"$ :".contains(byte));
        let Some(escaped) = escaped else {
            self.at = at;
            return Err(self.error("a `$` that escapes nothing; a `$` itself is `$$`"));
        };
        self.at = at + 2;
        let bytes = vec![escaped];
        parts.push(Part::Literal { at, bytes });
        Ok(())
    }
}

#[cfg(test)]
#[path = "ninja_reader_tests.rs"]
mod tests;
