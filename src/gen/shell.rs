//! Finds the programs in a line of the shell, as far as that can be done without running it.
//!
//! Knows words, quotes, lists, pipes, redirections, variables before a command and `env`
//! (POSIX.1-2017, "Shell Command Language"). What it does not know it says so of; it never guesses.

/// A word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Where it begins in the line.
    pub at: usize,
    /// Without its quotes.
    pub text: Vec<u8>,
    /// Whether the shell would put something else in its place, so that `text` is not all.
    pub expands: bool,
}

/// A command of the line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simple {
    /// Variables set before it.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// The program and its arguments; at least one.
    pub words: Vec<Word>,
    /// Whether its standard input comes from somewhere.
    pub has_input: bool,
}

/// Words that are no command, or behind which one begins.
const BEFORE: [&[u8]; 13] = [
    b"!", b"{", b"}", b"if", b"then", b"else", b"elif", b"fi", b"do", b"done", b"while", b"until",
    b"exec",
];

/// Words that begin what is not read here.
const BEYOND: [&[u8]; 5] = [b"for", b"case", b"function", b"select", b"eval"];

/// The commands of a line, in order; none where it cannot be read.
pub fn commands(line: &[u8]) -> Option<Vec<Simple>> {
    let mut reader = Reader { line, at: 0 };
    let mut all = Vec::new();
    let mut words = Vec::new();
    let mut has_input = false;
    loop {
        reader.blanks();
        let separator = reader.separator();
        if !separator.is_empty() || reader.at == line.len() {
            let found = Simple::new(std::mem::take(&mut words), has_input)?;
            all.extend(found);
            if separator.is_empty() {
                return Some(all);
            }
            // A group behind a pipe reads from it as a whole.
            has_input = separator == b"|" || (has_input && separator == b"(");
            continue;
        }
        match reader.redirection()? {
            Redirection::Input => {
                has_input = true;
                reader.target()?;
            }
            Redirection::Output => reader.target()?,
            Redirection::None => words.push(reader.word()?),
        }
    }
}

impl Simple {
    /// None inside for a command without a program; none where it is not understood.
    fn new(words: Vec<Word>, has_input: bool) -> Option<Option<Self>> {
        let mut simple = Self {
            has_input,
            ..Self::default()
        };
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.peek() {
            if BEYOND.contains(&&*word.text) {
                return None;
            }
            if let Some(set) = assignment(word) {
                simple.env.push(set);
            } else if !BEFORE.contains(&&*word.text) {
                break;
            }
            words.next();
        }
        simple.words = words.collect();
        if simple.words.is_empty() {
            return Some(None);
        }
        simple.enter_env();
        Some(Some(simple))
    }

    /// Goes behind `env NAME=VALUE` and CMake's `cmake -E env NAME=VALUE`; their flags are not read.
    fn enter_env(&mut self) {
        let name = self.words[0].text.rsplit(|byte| *byte == b'/').next();
        let text = |index: usize| self.words.get(index).map(|word| &word.text[..]);
        let mut at = match name.unwrap_or_default() {
            b"env" => 1,
            b"cmake" if text(1) == Some(b"-E") && text(2) == Some(b"env") => 3,
            _ => return,
        };
        let mut env = Vec::new();
        while let Some(set) = self.words.get(at).and_then(assignment) {
            env.push(set);
            at += 1;
        }
        if text(at) == Some(b"--") {
            at += 1;
        }
        let program = self.words.get(at);
        if program.is_some_and(|word| !word.text.starts_with(b"-")) {
            self.words.drain(..at);
            self.env.extend(env);
        }
    }
}

/// `NAME=VALUE`.
fn assignment(word: &Word) -> Option<(Vec<u8>, Vec<u8>)> {
    let equals = word.text.iter().position(|byte| *byte == b'=')?;
    let (name, value) = word.text.split_at(equals);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let fits = !name.is_empty() && name.iter().all(is_name) && !name[0].is_ascii_digit();
    fits.then(|| (name.to_vec(), value[1..].to_vec()))
}

enum Redirection {
    None,
    Input,
    Output,
}

struct Reader<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.line[self.at..]
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.rest().first().copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn blanks(&mut self) {
        while self.rest().starts_with(b" ") || self.rest().starts_with(b"\t") {
            self.at += 1;
        }
        if self.rest().starts_with(b"#") {
            let end = self.rest().iter().position(|byte| *byte == b'\n');
            self.at += end.unwrap_or(self.rest().len());
        }
    }

    fn separator(&mut self) -> &'a [u8] {
        const ALL: [&[u8]; 8] = [b"&&", b"||", b"|", b"&", b";", b"(", b")", b"\n"];
        let rest = self.rest();
        let found = ALL.iter().find(|it| rest.starts_with(it));
        let length = found.map_or(0, |it| it.len());
        self.at += length;
        &rest[..length]
    }

    /// The operator of a redirection, with the number before it; a text in the line itself is not
    /// understood.
    fn redirection(&mut self) -> Option<Redirection> {
        let rest = self.rest();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let operator = &rest[digits..];
        const ALL: [&[u8]; 7] = [b">>", b">&", b">|", b">", b"<>", b"<&", b"<"];
        if operator.starts_with(b"<<") {
            return None;
        }
        let Some(found) = ALL.iter().find(|it| operator.starts_with(it)) else {
            return Some(Redirection::None);
        };
        self.at += digits + found.len();
        Some(match found[0] {
            b'<' => Redirection::Input,
            _ => Redirection::Output,
        })
    }

    fn target(&mut self) -> Option<()> {
        self.blanks();
        let from = self.at;
        self.word()?;
        (self.at > from).then_some(())
    }

    fn word(&mut self) -> Option<Word> {
        let mut word = Word {
            at: self.at,
            ..Word::default()
        };
        word.expands = self.rest().starts_with(b"~");
        while let Some(byte) = self.rest().first().copied() {
            if b" \t\n|&;()<>".contains(&byte) {
                break;
            }
            self.at += 1;
            match byte {
                b'\\' => word.text.extend(self.next()),
                b'\'' => {
                    let length = self.rest().iter().position(|byte| *byte == b'\'')?;
                    word.text.extend(&self.rest()[..length]);
                    self.at += length + 1;
                }
                b'"' => self.double_quoted(&mut word)?,
                b'$' | b'`' => self.expansion(byte, &mut word)?,
                b'*' | b'?' | b'[' => {
                    word.expands = true;
                    word.text.push(byte);
                }
                _ => word.text.push(byte),
            }
        }
        Some(word)
    }

    fn double_quoted(&mut self, word: &mut Word) -> Option<()> {
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => {
                    let next = self.next()?;
                    if !b"$`\"\\\n".contains(&next) {
                        word.text.push(b'\\');
                    }
                    word.text.push(next);
                }
                byte @ (b'$' | b'`') => self.expansion(byte, word)?,
                byte => word.text.push(byte),
            }
        }
    }

    /// Behind a `$` or a backquote; a `$` that begins nothing is itself.
    fn expansion(&mut self, first: u8, word: &mut Word) -> Option<()> {
        let close = match (first, self.rest().first()) {
            (b'`', _) => b'`',
            (_, Some(b'{')) => b'}',
            // What stands in it may hold anything that stands in a line.
            (_, Some(b'(')) => return None,
            (_, Some(byte)) if byte.is_ascii_alphanumeric() || b"_@*#?-$!".contains(byte) => {
                word.expands = true;
                return Some(());
            }
            _ => {
                word.text.push(b'$');
                return Some(());
            }
        };
        let length = self.rest().iter().position(|byte| *byte == close)?;
        self.at += length + 1;
        word.expands = true;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The programs, each with how many words, or `-`; `<` where it has an input.
    fn programs(line: &str) -> String {
        let Some(all) = commands(line.as_bytes()) else {
            return "-".to_owned();
        };
        let shown = all.iter().map(|one| {
            let program = String::from_utf8_lossy(&one.words[0].text);
            let input = if one.has_input { "<" } else { "" };
            format!("{program}{input}@{}:{}", one.words[0].at, one.words.len())
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn finds_programs() {
        for (line, found) in [
            ("", ""),
            ("gcc -c a.c", "gcc@0:3"),
            (
                ": && /usr/bin/gcc a.o && :",
                ":@0:1 /usr/bin/gcc@5:2 :@25:1",
            ),
            ("cd '/a b' && gcc -c x", "cd@0:2 gcc@13:3"),
            ("A=1 B='x y' gcc a", "gcc@12:2"),
            ("env A=1 gcc a", "gcc@8:2"),
            ("cmake -E env A=1 -- gcc a", "gcc@20:2"),
            ("cmake -E env --unset=A gcc a", "cmake@0:6"),
            ("cmake -E touch a", "cmake@0:4"),
            ("env", "env@0:1"),
            ("a | gcc -x c - 2>&1 >x", "a@0:1 gcc<@4:4"),
            ("a | (b; c)", "a@0:1 b<@5:1 c@8:1"),
            ("gcc < a > b", "gcc<@0:1"),
            ("z3 a >b.tmp&&mv b.tmp b", "z3@0:2 mv@13:3"),
            ("! gcc a || { z3 b; }", "gcc@2:2 z3@13:2"),
            ("if gcc a; then b; fi", "gcc@3:2 b@15:1"),
            ("'gcc' \"-DX=\\\"a\\\"\"", "gcc@0:2"),
            ("a # gcc", "a@0:1"),
            ("for x in a; do gcc $x; done", "-"),
            ("gcc 'a", "-"),
            ("gcc <<E", "-"),
            ("gcc $(a; b)", "-"),
            ("gcc >", "-"),
            ("A=1", ""),
        ] {
            assert_eq!(programs(line), found, "{line}");
        }
    }

    #[test]
    fn knows_what_it_does_not_know() {
        for (line, text, expands) in [
            ("a\\ b", "a b", false),
            ("\"a\\$b\\n\"", "a$b\\n", false),
            ("$x", "x", true),
            ("a${x}b", "ab", true),
            ("a`b c`d", "ad", true),
            ("'$x'", "$x", false),
            ("-Wl,-rpath,'$ORIGIN'", "-Wl,-rpath,$ORIGIN", false),
            ("a$", "a$", false),
            ("*.c", "*.c", true),
            ("~/a", "~/a", true),
        ] {
            let all = commands(line.as_bytes()).unwrap();
            let word = &all[0].words[0];
            assert_eq!(String::from_utf8_lossy(&word.text), text, "{line}");
            assert_eq!(word.expands, expands, "{line}");
        }
        let all = commands(b"CPATH=/x gcc").unwrap();
        assert_eq!(all[0].env, [(b"CPATH".to_vec(), b"/x".to_vec())]);
    }
}
