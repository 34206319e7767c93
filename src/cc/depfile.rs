//! What a compiler says it read (Make's syntax, as gcc and clang write it), held against what a pod
//! may have read: files of the roots, and the system directories that the tool's identity covers.
//! Anything else was the pod's own, which the hub may not have, or have otherwise.

use crate::paths::{Bytes, Roots, below, is_normal, normalise};
use crate::rules::Text;
use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, openat};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a job may have read.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// The job's working directory.
    pub(crate) cwd: &'a Path,
    /// The rule's system directories.
    pub(crate) system: &'a [Text],
}

impl Known<'_> {
    /// The first file in a depfile that the job must not have read, or that is not there. `covered`
    /// is what the tool's identity covers; where that is nothing, the rule's system directories are
    /// believed.
    pub(super) fn first_unknown(
        &self,
        depfile: &[u8],
        roots: &Roots,
        covered: &[Bytes],
    ) -> Option<PathBuf> {
        let mut disk = Disk::default();
        let mut names = Names::of(depfile);
        names.find_map(|name| {
            let path = match name.first() {
                Some(b'/') => name,
                _ => {
                    let path = self.cwd.join(OsStr::from_bytes(&name));
                    Cow::Owned(path.as_os_str().as_bytes().to_vec())
                }
            };
            let is_fine = self.is_shared(&path, roots, covered) && disk.has(&path);
            (!is_fine).then(|| OsStr::from_bytes(&path).into())
        })
    }

    fn is_shared(&self, path: &[u8], roots: &Roots, covered: &[Bytes]) -> bool {
        let whole = match is_normal(path) {
            true => Cow::Borrowed(Path::new(OsStr::from_bytes(path))),
            false => Cow::Owned(normalise(Path::new(OsStr::from_bytes(path)))),
        };
        let bytes = whole.as_os_str().as_bytes();
        // Most names are told without a look at their parts.
        roots.holder(bytes).is_some()
            || covered.iter().any(|dir| below(&dir.0, bytes).is_some())
            || self.is_system(&whole, covered)
    }

    fn is_system(&self, whole: &Path, covered: &[Bytes]) -> bool {
        if covered.is_empty() {
            return self.system.iter().any(|dir| whole.starts_with(&**dir));
        }
        let is_below = |whole: &Path| covered.iter().any(|it| whole.starts_with(it.as_path()));
        // The real name is asked for only where the written one does not tell.
        is_below(whole) || whole.canonicalize().is_ok_and(|real| is_below(&real))
    }
}

/// Tells what is there. Hundreds of names lie in a few directories, which are looked up once each.
#[derive(Default)]
struct Disk {
    /// Directories by name, and none where it cannot be opened; the latest last.
    dirs: Vec<(Vec<u8>, Option<OwnedFd>)>,
}

/// Directories that are kept open at a time.
const MOST_DIRS: usize = 32;

impl Disk {
    fn has(&mut self, path: &[u8]) -> bool {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let (dir, name) = path.split_at(slash.map_or(0, |slash| slash + 1));
        let known = self.dirs.iter().rposition(|(known, _)| known == dir);
        let at = known.unwrap_or_else(|| {
            if self.dirs.len() == MOST_DIRS {
                self.dirs.remove(0);
            }
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = openat(CWD, OsStr::from_bytes(dir), flags, Mode::empty());
            self.dirs.push((dir.to_vec(), opened.ok()));
            self.dirs.len() - 1
        });
        // Asked for the user who opens files, which takes the kernel no other credentials first.
        let flags = AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW;
        let is_there = |dir| accessat(dir, OsStr::from_bytes(name), Access::EXISTS, flags).is_ok();
        // Where this cannot be asked (before Linux 5.8; no more open files) it is no answer.
        self.dirs[at].1.as_ref().is_some_and(is_there)
            || Path::new(OsStr::from_bytes(path))
                .symlink_metadata()
                .is_ok()
    }
}

/// All prerequisites, in the order in which they stand.
struct Names<'a> {
    rest: &'a [u8],
    in_targets: bool,
}

impl<'a> Names<'a> {
    fn of(depfile: &'a [u8]) -> Self {
        let (rest, in_targets) = (depfile, true);
        Self { rest, in_targets }
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((word, rest)) = word(self.rest) {
            self.rest = rest;
            match word {
                Word::Text(_) if self.in_targets => {}
                Word::Text(name) => return Some(name),
                Word::Target => self.in_targets = false,
                Word::EndOfRule => self.in_targets = true,
            }
        }
        None
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Word<'a> {
    Text(Cow<'a, [u8]>),
    /// A word with a colon at its end.
    Target,
    EndOfRule,
}

/// The next word, and what comes after it.
fn word(text: &[u8]) -> Option<(Word<'_>, &[u8])> {
    let mut rest = text;
    loop {
        match rest {
            [] => return None,
            [b'\n', after @ ..] => return Some((Word::EndOfRule, after)),
            [b'\\', b'\r', b'\n', after @ ..]
            | [b'\\', b'\n', after @ ..]
            | [b' ' | b'\t' | b'\r', after @ ..] => rest = after,
            _ => break,
        }
    }
    let start = rest;
    let mut word = Cow::Borrowed(&start[..0]);
    loop {
        // What stands for a byte, and how many bytes stand for it.
        let (byte, length) = match rest {
            [] | [b' ' | b'\t' | b'\r' | b'\n', ..] => break,
            [b'\\', b'\n', ..] | [b'\\', b'\r', b'\n', ..] => break,
            [b'\\', next @ (b' ' | b'#' | b':'), ..] | [b'$', next @ b'$', ..] => (*next, 2),
            [byte, ..] => (*byte, 1),
        };
        rest = &rest[length..];
        match (&mut word, length) {
            (Cow::Borrowed(plain), 1) => *plain = &start[..plain.len() + 1],
            (word, _) => word.to_mut().push(byte),
        }
    }
    // An escaped colon is of the name.
    let raw = &start[..start.len() - rest.len()];
    match raw.ends_with(b":") && !raw.ends_with(b"\\:") {
        true => Some((Word::Target, rest)),
        false => Some((Word::Text(word), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prerequisites_of_all_rules() {
        for (text, wanted) in [
            ("", &[][..]),
            ("a.o: a.c a.h\n", &["a.c", "a.h"]),
            (
                "a.o: a.c \\\n /usr/include/b.h\n\na.h:\n",
                &["a.c", "/usr/include/b.h"],
            ),
            ("a.o b.o : a.c\r\nb: c", &["a.c", "c"]),
            ("x: a\\ b.h c\\#d.h $$e.h", &["a b.h", "c#d.h", "$e.h"]),
            ("x: a\\b.h", &["a\\b.h"]),
            ("x: a\\\r\n b\\ \\\n c$d\\#", &["a", "b ", "c$d#"]),
            ("x: \\\n\\\n", &[]),
            ("x: a\\: b", &["a:", "b"]),
        ] {
            // A colon on its own ends the targets, too.
            let text = text.replace(" :", ":");
            let found = Names::of(text.as_bytes()).map(|name| Bytes::from(&*name));
            let found: Vec<_> = found.collect();
            let found: Vec<_> = found.iter().map(Bytes::display).collect();
            assert_eq!(found, wanted, "{text:?}");
        }
    }

    #[test]
    fn what_is_outside_or_absent_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("a.h"), "").unwrap();
        std::fs::write(dir.path().join("out.h"), "").unwrap();
        let roots = Roots::new([&root]).unwrap();
        let known = Known {
            cwd: &root,
            system: &["/usr".into()],
        };
        let first = |text: &str| {
            let depfile = format!("a.o: {text}\n");
            let found = known.first_unknown(depfile.as_bytes(), &roots, &[]);
            found.map(|path| path.strip_prefix(&root).unwrap_or(&path).to_owned())
        };
        assert_eq!(first("a.h /usr/include/stdio.h"), None);
        assert_eq!(first("./ /usr/include/"), None);
        assert_eq!(first("a.h b.h").unwrap(), Path::new("b.h"));
        assert!(first("../out.h").is_some());
        assert!(first("/etc/passwd").is_some());
        assert!(first("/usr/include/no/such.h").is_some());
        assert!(first("/usr/../etc/passwd").is_some());
        let covered = ["/usr/include".into()];
        let one = |name: &str| {
            known
                .first_unknown(name.as_bytes(), &roots, &covered)
                .is_some()
        };
        assert!(!one("a.o: a.h /usr/include/stdio.h"));
        assert!(
            one("a.o: /usr/bin/env"),
            "a system directory, but not covered"
        );
    }
}
