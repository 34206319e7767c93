//! Files changed by insertions alone, with a note at the end that says how to take them out again.
//!
//! The note goes where the file goes: when a generator writes the file anew it is gone with the
//! insertions, and nothing beside the file could be left behind that is about an older one.

use crate::job::Digest;
use thiserror::Error;

/// Text to be put in before the byte at this offset.
pub type Insertion = (usize, Vec<u8>);

const NOTE: &[u8] =
    b"# Changed by cpods-gen; `cpods-gen wrap --undo` gives the original back, to the byte.\n";
const HEAD: &str = "# cpods-gen 1 ";

/// A file whose note does not fit its content.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// Edited by hand, most likely.
    #[error("it was changed after it was wrapped; have its generator write it anew")]
    Changed,
    /// A note of another version of this program.
    #[error("it was wrapped by another version of cpods-gen; have its generator write it anew")]
    Version,
}

/// The file with the insertions, which are sorted, and the note; the file itself if there are none.
pub fn apply(original: &[u8], insertions: &[Insertion]) -> Vec<u8> {
    if insertions.is_empty() {
        return original.to_vec();
    }
    let end = (original.len(), b"\n".to_vec());
    let end = (!original.ends_with(b"\n")).then_some(end);
    let mut text = Vec::with_capacity(original.len() * 2);
    let mut note = format!("{HEAD}{}", Digest::of(original));
    let mut done = 0;
    for (at, what) in insertions.iter().chain(&end) {
        text.extend(&original[done..*at]);
        text.extend(what);
        done = *at;
        note.push_str(&format!(" {at}:{}", what.len()));
    }
    text.extend(&original[done..]);
    text.extend(NOTE);
    text.extend(note.as_bytes());
    text.push(b'\n');
    text
}

/// The original; none if there is no note, so that the file is one itself.
///
/// # Errors
/// If the note does not fit.
pub fn strip(text: &[u8]) -> Result<Option<Vec<u8>>, PatchError> {
    let note = text.windows(NOTE.len()).rposition(|part| part == NOTE);
    let Some(note) = note else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&text[note + NOTE.len()..]);
    let line = line.ok().and_then(|line| line.strip_suffix('\n'));
    let line = line.ok_or(PatchError::Changed)?;
    let line = line.strip_prefix(HEAD).ok_or(PatchError::Version)?;
    let mut words = line.split(' ');
    let digest = words.next().unwrap_or_default();
    let original = take_out(&text[..note], words).ok_or(PatchError::Changed)?;
    if Digest::of(&original).to_string() != digest {
        return Err(PatchError::Changed);
    }
    Ok(Some(original))
}

fn take_out<'a>(text: &[u8], words: impl Iterator<Item = &'a str>) -> Option<Vec<u8>> {
    let mut original = Vec::with_capacity(text.len());
    let mut rest = text;
    for word in words {
        let (at, length) = word.split_once(':')?;
        let (at, length): (usize, usize) = (at.parse().ok()?, length.parse().ok()?);
        let kept = at.checked_sub(original.len())?;
        original.extend(rest.get(..kept)?);
        rest = rest.get(kept.checked_add(length)?..)?;
    }
    original.extend(rest);
    Some(original)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_in_comes_out(
            original in prop::collection::vec(prop::sample::select(b"ab\n# ".to_vec()), 0..60),
            insertions in prop::collection::btree_map(0usize..60, "[a-z\n]{0,5}", 0..6),
        ) {
            let insertions: Vec<Insertion> = insertions
                .into_iter()
                .filter(|(at, _)| *at <= original.len())
                .map(|(at, text)| (at, text.into_bytes()))
                .collect();
            let changed = apply(&original, &insertions);
            let back = strip(&changed).unwrap();
            prop_assert_eq!(back.is_some(), !insertions.is_empty());
            prop_assert_eq!(back.unwrap_or(changed), original);
        }
    }

    #[test]
    fn a_note_that_does_not_fit_is_an_error() {
        let changed = apply(b"rule a\n", &[(5, b"x".to_vec())]);
        for (from, to) in [
            ("rule", "Rule"),
            (" 5:1", " 5:2"),
            (" 5:1", ""),
            (" 5:1", " 99:1"),
            (" 5:1", " 5:99999999999999999999"),
            (" 5:1\n", " 5:1\nbuild b: a\n"),
        ] {
            let text = String::from_utf8(changed.clone()).unwrap();
            let broken = text.replacen(from, to, 1);
            assert_ne!(broken, text);
            let error = strip(broken.as_bytes()).unwrap_err();
            assert_eq!(error, PatchError::Changed, "{from:?} {to:?}");
        }
        let text = String::from_utf8(changed)
            .unwrap()
            .replace("gen 1", "gen 2");
        assert_eq!(strip(text.as_bytes()), Err(PatchError::Version));
    }
}
