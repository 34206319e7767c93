//! What was looked at, and whether it still is what it was.

use super::digests::{Seconds, Stamp, now};
use super::parallel;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files and directories as they were when they were first looked at.
#[derive(Debug)]
pub(super) struct Seen {
    began: Seconds,
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
}

impl Seen {
    /// Nothing, from now on.
    pub(super) fn new() -> Self {
        Self {
            began: now(),
            stamps: BTreeMap::new(),
        }
    }

    /// Notes how a path is, if it was not looked at before; to be called before looking closer.
    /// None if there is nothing.
    pub(super) fn note(&mut self, path: &Path) -> Option<Stamp> {
        if let Some(stamp) = self.stamps.get(path) {
            return *stamp;
        }
        let stamp = stamp(path);
        self.stamps.insert(path.into(), stamp);
        stamp
    }

    /// Notes what was stamped elsewhere.
    pub(super) fn add(&mut self, path: PathBuf, stamp: Stamp) {
        self.stamps.entry(path).or_insert(Some(stamp));
    }

    /// Whether nothing has changed since, for sure: what changed at all shortly before the first
    /// look could have changed again within the same tick of the clock.
    pub(super) fn is_unchanged(&self) -> bool {
        let all: Vec<_> = self.stamps.iter().collect();
        let same = |(path, then): &(&PathBuf, &Option<Stamp>)| {
            stamp(path) == **then && then.is_none_or(|then| then.is_settled(self.began))
        };
        parallel::map(&all, 64, same).into_iter().all(|same| same)
    }

    /// What is no directory: names may come and go around it.
    pub(super) fn files(&self) -> SeenFiles {
        let is_file = |then: &Stamp| !then.is_directory();
        let files = self.stamps.iter();
        let files = files.filter(|(_, then)| then.as_ref().is_some_and(is_file));
        SeenFiles(Self {
            began: self.began,
            stamps: files.map(|(path, then)| (path.clone(), *then)).collect(),
        })
    }
}

/// The files of a look that was made, apart from what looks next.
#[derive(Debug)]
pub struct SeenFiles(Seen);

impl SeenFiles {
    /// Whether none has changed since, for sure.
    pub fn are_unchanged(&self) -> bool {
        self.0.is_unchanged()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    path.metadata().ok().map(|found| Stamp::of(&found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Pretends that all this was long ago, for the times of a new file.
    fn later(seen: &mut Seen) {
        seen.began.0 += 1000;
    }

    #[test]
    fn tells_what_changed_since_the_first_look() {
        let space = tempfile::tempdir().unwrap();
        let (file, absent) = (space.path().join("file"), space.path().join("absent"));
        fs::write(&file, "1").unwrap();
        let see = || {
            let mut seen = Seen::new();
            assert!(seen.note(&file).is_some());
            assert_eq!(seen.note(&absent), None);
            assert!(!seen.is_unchanged(), "too new to be sure");
            later(&mut seen);
            assert!(seen.is_unchanged());
            seen
        };
        let mut seen = see();
        fs::write(&file, "22").unwrap();
        assert!(!seen.is_unchanged());
        seen.note(&file);
        assert!(!seen.is_unchanged(), "the first look counts");
        let seen = see();
        fs::write(&absent, "").unwrap();
        assert!(!seen.is_unchanged());
        fs::remove_file(&absent).unwrap();
        let seen = see();
        fs::remove_file(&file).unwrap();
        assert!(!seen.is_unchanged());
    }
}
