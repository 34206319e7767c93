//! Paths as cpods thinks of them: a root and the way below it.
//!
//! Knows nothing of the disk: everything here is lexical, on bytes. Whether a path exists, or is a
//! symlink that leads elsewhere, is the business of the shells around the pure rooms.

use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A path or another word of a command line, as the bytes the kernel sees.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bytes(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl Bytes {
    /// The bytes as the operating system's string.
    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    /// The bytes as a path.
    pub fn as_path(&self) -> &Path {
        Path::new(self.as_os_str())
    }

    /// The text for people, with what is not UTF-8 replaced.
    pub fn display(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.display())
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<OsString> for Bytes {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl From<&OsStr> for Bytes {
    fn from(text: &OsStr) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&Path> for Bytes {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

/// Which of the hub's roots: an index into its [`Roots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RootId(pub u16);

/// A place below a root. `below` has no leading slash, no `.` and no `..`; empty is the root itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RootPath {
    /// The root.
    pub root: RootId,
    /// The way from the root, lexically normalised.
    pub below: Bytes,
}

/// The directories that pods may see, none inside another, in the order of their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roots(Vec<Bytes>);

/// A directory that cannot be a root.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RootsError {
    /// Roots are absolute, since they are compared with what command lines name.
    #[error("root `{0}` is not an absolute path")]
    Relative(String),
    /// The whole file system is never a root.
    #[error("root `/` would show the whole machine to pods")]
    Everything,
    /// More roots than a [`RootId`] can count.
    #[error("{0} roots are more than the {max} that cpods can serve", max = u16::MAX)]
    TooMany(usize),
}

impl Roots {
    /// Takes directories in any order; one inside another is folded into the outer.
    pub fn new<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, RootsError> {
        let mut kept: Vec<PathBuf> = Vec::new();
        for path in paths {
            let path = path.as_ref();
            if !path.is_absolute() {
                return Err(RootsError::Relative(path.display().to_string()));
            }
            let path = normalise(path);
            if path == Path::new("/") {
                return Err(RootsError::Everything);
            }
            kept.push(path);
        }
        kept.sort();
        kept.dedup_by(|inner, outer| inner.starts_with(outer));
        if kept.len() > usize::from(u16::MAX) {
            return Err(RootsError::TooMany(kept.len()));
        }
        Ok(Self(
            kept.iter().map(|path| path.as_path().into()).collect(),
        ))
    }

    /// The root directories with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (RootId, &Path)> {
        (0u16..).map(RootId).zip(self.0.iter().map(Bytes::as_path))
    }

    /// Whether there is no root at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The root's own directory; none for an id that another hub gave out.
    pub fn directory(&self, root: RootId) -> Option<&Path> {
        self.0.get(usize::from(root.0)).map(Bytes::as_path)
    }

    /// Where `path`, taken from `cwd` if it is relative, lies below a root; none if outside all.
    pub fn locate(&self, cwd: &Path, path: &Path) -> Option<RootPath> {
        let whole = normalise(&cwd.join(path));
        let (root, below) = self.holder(whole.as_os_str().as_bytes())?;
        let below = below.into();
        Some(RootPath { root, below })
    }

    /// The root that holds a normal path, and what of the path is below it.
    pub fn holder<'a>(&self, path: &'a [u8]) -> Option<(RootId, &'a [u8])> {
        let mut roots = (0u16..).map(RootId).zip(&self.0);
        roots.find_map(|(root, dir)| Some((root, below(&dir.0, path)?)))
    }

    /// The path on the hub; none for a root that these roots do not have.
    pub fn absolute(&self, path: &RootPath) -> Option<PathBuf> {
        let directory = self.directory(path.root)?;
        Some(if path.below.0.is_empty() {
            directory.into()
        } else {
            directory.join(path.below.as_path())
        })
    }
}

/// Removes `.`, `..` and doubled slashes by their text alone, as `realpath -ms` would.
pub fn normalise(path: &Path) -> PathBuf {
    let path = path.as_os_str().as_bytes();
    let is_absolute = path.starts_with(b"/");
    let mut clean: Vec<u8> = Vec::with_capacity(path.len());
    for part in path.split(|byte| *byte == b'/') {
        let above = clean.iter().rposition(|byte| *byte == b'/');
        let last = &clean[above.map_or(0, |slash| slash + 1)..];
        match part {
            b"" | b"." => {}
            b".." if is_absolute && clean.is_empty() => {}
            b".." if !last.is_empty() && last != b".." => clean.truncate(above.unwrap_or(0)),
            part => {
                if is_absolute || !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend(part);
            }
        }
    }
    if is_absolute && clean.is_empty() {
        clean.push(b'/');
    }
    OsString::from_vec(clean).into()
}

/// Whether [`normalise`] has nothing to do to an absolute path.
pub fn is_normal(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else {
        return false;
    };
    let mut parts = rest.split(|byte| *byte == b'/');
    rest.is_empty() || !parts.any(|part| matches!(part, b"" | b"." | b".."))
}

/// What of a normal path is below a normal directory: nothing if it is the directory itself.
pub fn below<'a>(dir: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    match path.strip_prefix(dir)? {
        [] => Some(&[]),
        [b'/', below @ ..] => Some(below),
        rest => (dir == b"/").then_some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn normalises_by_text() {
        for (given, clean) in [
            ("/a/./b//c/", "/a/b/c"),
            ("/a/../../b", "/b"),
            ("../a/../b", "../b"),
            ("a/..", ""),
            ("/", "/"),
        ] {
            assert_eq!(normalise(Path::new(given)), Path::new(clean), "{given}");
        }
    }

    /// As the standard library's idea of components has it.
    fn by_components(path: &Path) -> PathBuf {
        use std::path::Component;
        let mut clean = PathBuf::new();
        for part in path.components() {
            match (part, clean.components().next_back()) {
                (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
                (Component::ParentDir, Some(Component::Normal(_))) => drop(clean.pop()),
                (part, _) => clean.push(part),
            }
        }
        clean
    }

    proptest! {
        #[test]
        fn normal_paths(path in "(/|a|b|\\.|\\.\\.){0,12}", dir in "/(a|b)?(/a)?") {
            let clean = normalise(Path::new(&path));
            let wanted = by_components(Path::new(&path)).into_os_string();
            prop_assert_eq!(clean.as_os_str(), wanted.as_os_str());
            let is_clean = path.starts_with('/') && clean.as_os_str() == path.as_str();
            prop_assert_eq!(is_normal(path.as_bytes()), is_clean);
            let dir = normalise(Path::new(&dir));
            let under = below(dir.as_os_str().as_bytes(), clean.as_os_str().as_bytes());
            let under = under.map(|below| Path::new(OsStr::from_bytes(below)));
            prop_assert_eq!(under, clean.strip_prefix(&dir).ok());
        }
    }

    #[test]
    fn nested_roots_fold_into_the_outer() {
        let roots = Roots::new(["/w/a/b", "/w/a", "/w/ab", "/x/"]).unwrap();
        let all: Vec<_> = roots
            .iter()
            .map(|(_, path)| path.to_str().unwrap())
            .collect();
        assert_eq!(all, ["/w/a", "/w/ab", "/x"]);
        let found = roots
            .locate(Path::new("/w/a/b"), Path::new("../c.h"))
            .unwrap();
        assert_eq!((found.root, found.below.clone()), (RootId(0), "c.h".into()));
        assert_eq!(roots.absolute(&found).unwrap(), Path::new("/w/a/c.h"));
        assert_eq!(roots.locate(Path::new("/w/a"), Path::new("../c.h")), None);
        assert_eq!(
            roots
                .locate(Path::new("/w/a"), Path::new("../ab/c.h"))
                .unwrap()
                .root,
            RootId(1)
        );
    }

    #[test]
    fn refuses_what_cannot_be_a_root() {
        assert_eq!(Roots::new(["a"]), Err(RootsError::Relative("a".into())));
        assert_eq!(Roots::new(["/a/.."]), Err(RootsError::Everything));
    }
}
