//! Argument lists with response files read into them, as GNU's libiberty and LLVM do.
//!
//! Both split at white space and know single quotes, double quotes and, everywhere, a backslash
//! that takes the next byte as it is (`buildargv` in libiberty's argv.c; LLVM's
//! `TokenizeGNUCommandLine`). Neither knows comments, variables or `$`.

use super::ask::{Command, FileKind, Look, Reason};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Most response files on one command line, nested ones included; libiberty stops at 2,000.
const MAX_FILES: usize = 200;
/// Most bytes of all response files together; more would not fit into a message.
const MAX_BYTES: usize = 3 << 20;

/// A command line with its response files read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// All words after the program, in the order in which the tool sees them.
    pub(super) words: Vec<Vec<u8>>,
    /// The response files that the command line itself names.
    pub(super) responses: Vec<Response>,
    /// Paths of all response files, as written, nested ones included.
    pub(super) files: Vec<Vec<u8>>,
}

/// A response file on a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// The `@file` word.
    pub(super) word: Vec<u8>,
    /// Which of the words come from it.
    pub(super) words: Range<usize>,
}

/// Reads the response files of a command line into it.
pub(super) fn expand(command: &Command<'_>, look: &dyn Look) -> Result<Words, Reason> {
    let mut all = Words::default();
    let mut bytes = 0;
    for word in command.argv.iter().skip(1) {
        let word = word.as_bytes();
        let start = all.words.len();
        add(&mut all, word.to_vec(), command.cwd, look, &mut bytes)?;
        if is_response(word) {
            all.responses.push(Response {
                word: word.to_vec(),
                words: start..all.words.len(),
            });
        }
    }
    Ok(all)
}

fn is_response(word: &[u8]) -> bool {
    word.len() > 1 && word[0] == b'@'
}

/// The arguments on the command line as they are, for tools without response files.
pub(super) fn plain(command: &Command<'_>) -> Words {
    let words = command.argv.iter().skip(1);
    Words {
        words: words.map(|word| word.as_bytes().to_vec()).collect(),
        ..Words::default()
    }
}

fn add(
    all: &mut Words,
    first: Vec<u8>,
    cwd: &Path,
    look: &dyn Look,
    bytes: &mut usize,
) -> Result<(), Reason> {
    // Nested files are taken in place, so the words still to come are a stack.
    let mut rest = vec![first];
    while let Some(word) = rest.pop() {
        if !is_response(&word) {
            all.words.push(word);
            continue;
        }
        let reason = |why: &str| Reason {
            why: why.into(),
            detail: String::from_utf8_lossy(&word).into_owned(),
        };
        let path = cwd.join(Path::new(std::ffi::OsStr::from_bytes(&word[1..])));
        // What is no file the tool takes for a strange name of an input, or refuses.
        if look.kind(&path) != FileKind::Regular {
            return Err(reason("unreadable response file"));
        }
        let content = look
            .read(&path)
            .ok_or_else(|| reason("unreadable response file"))?;
        // Here GNU's and LLVM's readings part.
        if content.starts_with(&[0xff, 0xfe]) || content.iter().any(|b| [0, 0x0b, 0x0c].contains(b))
        {
            return Err(reason("strange response file"));
        }
        *bytes += content.len();
        all.files.push(word[1..].to_vec());
        if all.files.len() > MAX_FILES || *bytes > MAX_BYTES {
            return Err(reason("response files without end"));
        }
        let mut inner = split(&content);
        inner.reverse();
        rest.append(&mut inner);
    }
    Ok(())
}

/// Splits the content of a response file into words.
pub(super) fn split(content: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = content.iter().copied();
    while let Some(byte) = bytes.next() {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        match (byte, quote) {
            (b'\\', _) => {
                let next = bytes.next();
                word.get_or_insert_default().extend(next);
            }
            (_, Some(open)) if byte == open => quote = None,
            (b'\'' | b'"', None) => {
                word.get_or_insert_default();
                quote = Some(byte);
            }
            (_, None) if is_space => words.extend(word.take()),
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    words
}

/// Where the words of a text are that a shell will split. A word that is quoted as a whole is given
/// without its quotes. One that is spelled in any other way is an error where it may hold a path,
/// which could not be replaced in it, and text otherwise.
pub(super) fn spaced(text: &[u8]) -> Vec<Result<Range<usize>, Range<usize>>> {
    let mut found = Vec::new();
    let (mut start, mut quote, mut escaped) = (None, None, false);
    for (at, &byte) in text.iter().enumerate() {
        match (byte, quote) {
            _ if escaped => escaped = false,
            (b'\\', None | Some(b'"')) => {
                escaped = true;
                start.get_or_insert(at);
            }
            (_, Some(open)) if byte == open => quote = None,
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                start.get_or_insert(at);
            }
            (b' ' | b'\t' | b'\n', None) => {
                found.extend(start.take().map(|start| spelled(text, start..at)));
            }
            _ => drop(start.get_or_insert(at)),
        }
    }
    found.extend(start.map(|start| spelled(text, start..text.len())));
    found
}

fn spelled(text: &[u8], word: Range<usize>) -> Result<Range<usize>, Range<usize>> {
    let (inner, special) = match &text[word.clone()] {
        [b'\'', .., b'\''] => (word.start + 1..word.end - 1, &b"'"[..]),
        [b'"', .., b'"'] => (word.start + 1..word.end - 1, &b"\"\\$`"[..]),
        _ => (word.clone(), &b"'\"\\$`*?[;&|<>()#~"[..]),
    };
    let is_plain = !text[inner.clone()]
        .iter()
        .any(|byte| special.contains(byte));
    match is_plain {
        true if text[inner.clone()].starts_with(b"@") => Err(word),
        true => Ok(inner),
        // What a shell puts in the place of these, nobody knows here; nor what such a file holds.
        _ if text[word.clone()].iter().any(|byte| b"/$`".contains(byte)) => Err(word),
        false => Ok(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_a_word_are_found_in_their_places() {
        let shown = |text: &str| {
            let parts = spaced(text.as_bytes()).into_iter();
            let shown = parts.map(|part| match part {
                Ok(part) => format!("<{}>", &text[part]),
                Err(part) => format!("!{}!", &text[part]),
            });
            shown.collect::<String>()
        };
        for (text, expected) in [
            ("", ""),
            ("  -Ia  -Ib ", "<-Ia><-Ib>"),
            ("'-DX=' '-DY=\"a/b.h\"' -Ic", "<-DX=><-DY=\"a/b.h\"><-Ic>"),
            ("'-Ia b/c' \"-Id e\"", "<-Ia b/c><-Id e>"),
            ("-I'a b'", "<-I'a b'>"),
            (
                "-I'a/b' -I$HOME/x -Ia\\ /b",
                "!-I'a/b'!!-I$HOME/x!!-Ia\\ /b!",
            ),
            ("\"-I$HOME/x\" '-I$a/x'", "!\"-I$HOME/x\"!<-I$a/x>"),
            ("-DX=$N '-DX=$N' @file", "!-DX=$N!<-DX=$N>!@file!"),
            ("-DX=\\\"y\\\" 'open", "<-DX=\\\"y\\\"><'open>"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn splits_as_the_compilers_do() {
        for (content, words) in [
            ("", vec![]),
            (" \n\t\r", vec![]),
            ("a b\nc", vec!["a", "b", "c"]),
            ("'a b' \"c d\"", vec!["a b", "c d"]),
            ("a'b c'd", vec!["ab cd"]),
            (r#"-DX=\"y\""#, vec!["-DX=\"y\""]),
            (r"'a\'b'", vec!["a'b"]),
            (r#""a\\b""#, vec![r"a\b"]),
            (r"a\ b", vec!["a b"]),
            ("''", vec![""]),
            ("'' x", vec!["", "x"]),
            ("'open end", vec!["open end"]),
            ("a # b $HOME", vec!["a", "#", "b", "$HOME"]),
            ("a\\", vec!["a"]),
        ] {
            let found: Vec<_> = split(content.as_bytes())
                .into_iter()
                .map(|w| String::from_utf8(w).unwrap())
                .collect();
            assert_eq!(found, words, "{content:?}");
        }
    }
}
