//! What a compiler says it read (Make's syntax, as gcc and clang write it), held against what a pod
//! may have read: files of the roots, and the system directories that the tool's identity covers.
//! Anything else was the pod's own, which the hub may not have, or have otherwise.

use crate::paths::{Bytes, Roots, normalise};
use crate::rules::Text;
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
        names(depfile).into_iter().find_map(|name| {
            let path = self.cwd.join(name.as_path());
            let is_shared =
                roots.locate(self.cwd, &path).is_some() || self.is_system(&path, covered);
            (!is_shared || std::fs::symlink_metadata(&path).is_err()).then_some(path)
        })
    }

    fn is_system(&self, path: &Path, covered: &[Bytes]) -> bool {
        let whole = normalise(path);
        if covered.is_empty() {
            return self.system.iter().any(|dir| whole.starts_with(&**dir));
        }
        let is_below = |whole: &Path| covered.iter().any(|it| whole.starts_with(it.as_path()));
        // The real name is asked for only where the written one does not tell.
        is_below(&whole) || whole.canonicalize().is_ok_and(|real| is_below(&real))
    }
}

/// All prerequisites, in the order in which they stand.
fn names(depfile: &[u8]) -> Vec<Bytes> {
    let mut found = Vec::new();
    let mut in_targets = true;
    for word in words(depfile) {
        match word {
            Word::Text(_) if in_targets => {}
            Word::Text(name) => found.push(Bytes(name)),
            Word::Target => in_targets = false,
            Word::EndOfRule => in_targets = true,
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Text(Vec<u8>),
    /// A word with a colon at its end.
    Target,
    EndOfRule,
}

fn words(text: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    let mut rest = text.iter().copied().peekable();
    let end = |word: &mut Vec<u8>, words: &mut Vec<Word>| {
        if let Some(name) = Some(std::mem::take(word)).filter(|word| !word.is_empty()) {
            words.push(match name.strip_suffix(b":") {
                Some(_) => Word::Target,
                None => Word::Text(name),
            });
        }
    };
    while let Some(byte) = rest.next() {
        match (byte, rest.peek().copied()) {
            (b'\\', Some(b'\n')) => {
                rest.next();
                end(&mut word, &mut words);
            }
            (b'\\', Some(b'\r')) => {}
            (b'\\', Some(next @ (b' ' | b'#' | b':'))) | (b'$', Some(next @ b'$')) => {
                rest.next();
                word.push(next);
            }
            (b' ' | b'\t' | b'\r', _) => end(&mut word, &mut words),
            (b'\n', _) => {
                end(&mut word, &mut words);
                words.push(Word::EndOfRule);
            }
            (byte, _) => word.push(byte),
        }
    }
    end(&mut word, &mut words);
    words
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
        ] {
            // A colon on its own ends the targets, too.
            let found = names(text.replace(" :", ":").as_bytes());
            let found: Vec<_> = found.iter().map(|name| name.display()).collect();
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
