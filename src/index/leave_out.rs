//! What of a root is closed, by the configuration; and what is as if it were not there, cpods' own.

use globset::{GlobSet, GlobSetBuilder};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Globs of names that nobody is to look into, as `leave_out` in `hub.toml` has them. Whatever a
/// glob matches is left out, with all below it; but not a symbolic link: what it leads to counts.
#[derive(Clone, Debug, Default)]
pub struct LeaveOut {
    /// The root's path from the directory that the globs are below; the globs.
    above: Vec<(PathBuf, GlobSet)>,
    /// The path from the root to the directory that the globs are below; the globs.
    inside: Vec<(PathBuf, GlobSet)>,
}

/// Why there is nothing to be seen of a root.
#[derive(Debug, thiserror::Error)]
pub enum LeaveOutError {
    /// Such roots have no index.
    #[error("root `{}` is left out by the configuration", .0.display())]
    Root(PathBuf),
    /// Not a glob.
    #[error("cannot understand what is left out")]
    Glob(#[from] globset::Error),
}

/// A glob of a path below a directory: `*` and `?` stay within one name, `**` does not.
///
/// # Errors
/// Not a glob.
pub fn glob(text: &str) -> Result<globset::Glob, globset::Error> {
    globset::GlobBuilder::new(text.trim_end_matches('/'))
        .literal_separator(true)
        .build()
}

impl LeaveOut {
    /// From globs, each below a directory, which may be above, inside or beside the root.
    ///
    /// # Errors
    /// The root itself is left out, or a glob is none.
    pub fn new(root: &Path, globs: &[(PathBuf, Vec<String>)]) -> Result<Self, LeaveOutError> {
        // Compared by real names, as the root is known by its own.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let root = real(root);
        let mut found = Self::default();
        for (top, texts) in globs {
            let top = real(top);
            let mut set = GlobSetBuilder::new();
            for text in texts {
                set.add(glob(text)?);
            }
            let set = set.build()?;
            if let Ok(below) = root.strip_prefix(&top) {
                if below.ancestors().any(|dir| set.is_match(dir)) {
                    return Err(LeaveOutError::Root(root));
                }
                found.above.push((below.to_owned(), set));
            } else if let Ok(way) = top.strip_prefix(&root) {
                found.inside.push((way.to_owned(), set));
            }
        }
        Ok(found)
    }

    /// Whether a name below the root is left out; it is not asked of what is below such a name.
    pub fn has(&self, path: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        self.above
            .iter()
            .any(|(way, set)| set.is_match(way.join(path)))
            || self.inside.iter().any(|(way, set)| {
                let below = path.strip_prefix(way);
                below.is_ok_and(|below| set.is_match(below))
            })
    }
}

/// Whether a file's name, without directories, is one that outputs carry for a moment on their way
/// to their own: `.cpods-`, 16 hexadecimal digits, `.tmp`.
pub fn is_temporary(name: &[u8]) -> bool {
    name.strip_prefix(b".cpods-")
        .and_then(|rest| rest.strip_suffix(b".tmp"))
        .is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_below_directories_wherever_the_root_is() {
        let globs = |top: &str, texts: &[&str]| {
            let texts = texts.iter().map(|text| (*text).to_owned()).collect();
            (PathBuf::from(top), texts)
        };
        let root = Path::new("/nowhere/w/root");
        let some = LeaveOut::new(
            root,
            &[
                globs("/nowhere/w", &["root/keys/", "**/.env", "*.c"]),
                globs("/nowhere/w/root/sub", &["*.o"]),
                globs("/nowhere/x", &["**"]),
            ],
        );
        let some = some.unwrap();
        for (path, left_out) in [
            ("keys", true),
            ("sub/keys", false),
            (".env", true),
            ("sub/deep/.env", true),
            ("a.c", false),
            ("sub/a.o", true),
            ("a.o", false),
            ("sub/deep/a.o", false),
        ] {
            assert_eq!(some.has(path.as_bytes()), left_out, "{path}");
        }
        let whole = LeaveOut::new(root, &[globs("/nowhere", &["w"])]);
        assert!(matches!(whole, Err(LeaveOutError::Root(_))));
        let bad = LeaveOut::new(root, &[globs("/nowhere", &["["])]);
        assert!(matches!(bad, Err(LeaveOutError::Glob(_))));
    }

    #[test]
    fn knows_the_temporaries_of_commits() {
        let temporary = crate::cc::temporary_of(Path::new("a/b.o"));
        assert!(is_temporary(temporary.file_name().unwrap().as_bytes()));
        for other in [
            ".cpods-rules-cache",
            ".cpods-.tmp",
            "b.o",
            "x.cpods-0123456789abcdef.tmp",
        ] {
            assert!(!is_temporary(other.as_bytes()), "{other}");
        }
    }
}
