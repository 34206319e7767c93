//! How a word stands in a response file. Knows nothing of views.

use crate::paths::Bytes;

/// A word as response files quote it (gcc's `@file`): a backslash before what would end it.
pub(super) fn quote(word: &Bytes) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(word.0.len() + 1);
    if word.0.is_empty() {
        quoted.extend(b"\"\"");
    }
    for byte in &word.0 {
        if byte.is_ascii_whitespace() || matches!(byte, b'\\' | b'\'' | b'"' | 0x0b) {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'\n');
    quoted
}
