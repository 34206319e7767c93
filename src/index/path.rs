//! Paths below a root as bytes: no slash at either end, empty for the root itself.

use std::ops::Bound;

/// A name in a directory.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    if !dir.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The directory that holds a name; the root's is the root.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    &path[..slash.unwrap_or(0)]
}

/// A name without its directory.
pub(super) fn name(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    slash.map_or(path, |slash| &path[slash + 1..])
}

/// A range of paths.
#[derive(Clone, Debug)]
pub(super) struct Range {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

/// Everything below a directory. What sorts between a directory and its own, such as `a-b`
/// between `a` and `a/b`, is not in it.
pub(super) fn below(dir: &[u8]) -> Range {
    if dir.is_empty() {
        return Range {
            start: Bound::Excluded(Vec::new()),
            end: Bound::Unbounded,
        };
    }
    Range {
        start: Bound::Excluded(join(dir, b"")),
        end: Bound::Excluded(past(dir)),
    }
}

/// The first that sorts after everything below a directory: `0` is what comes after `/`.
fn past(dir: &[u8]) -> Vec<u8> {
    [dir, b"0"].concat()
}

impl Range {
    /// For the ranges of maps.
    pub(super) fn as_bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (
            self.start.as_ref().map(Vec::as_slice),
            self.end.as_ref().map(Vec::as_slice),
        )
    }

    /// Begins behind this path from now on.
    pub(super) fn after(&mut self, path: &[u8]) {
        self.start = Bound::Excluded(path.to_vec());
    }

    /// Begins behind everything below this directory from now on.
    pub(super) fn after_below(&mut self, dir: &[u8]) {
        self.start = Bound::Included(past(dir));
    }
}
