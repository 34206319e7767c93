//! Values of Ninja files that remember where they come from.

use crate::paths::normalise;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A byte of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the files of the build.
    pub file: usize,
    /// The byte.
    pub at: usize,
}

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its text.
    pub text: Vec<u8>,
    /// Places where it begins: references, the outermost first, and last the text itself. None for
    /// what Ninja makes itself (`$in`).
    pub places: Vec<Place>,
}

/// A value with its history.
pub type Value = Vec<Span>;

/// The text of a value.
pub fn flat(value: &[Span]) -> Vec<u8> {
    value.iter().flat_map(|span| span.text.clone()).collect()
}

pub(super) fn literal(bytes: &[u8], file: usize, at: usize) -> Span {
    Span {
        text: bytes.to_vec(),
        places: vec![Place { file, at }],
    }
}

/// What came by a reference begins there, too.
pub(super) fn through(mut value: Value, place: Place) -> Value {
    value.retain(|span| !span.text.is_empty());
    if let Some(first) = value.first_mut() {
        first.places.insert(0, place);
    }
    value
}

pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let path = normalise(Path::new(OsStr::from_bytes(path)));
    match path.as_os_str().as_bytes() {
        b"" => b".".to_vec(),
        path => path.to_vec(),
    }
}

/// As Ninja quotes paths for the shell (`GetShellEscapedString`).
pub(super) fn quoted(path: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_+-./".contains(byte);
    if path.iter().all(plain) {
        return path.to_vec();
    }
    let mut quoted = b"'".to_vec();
    for byte in path {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            _ => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}
