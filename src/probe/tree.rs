//! Digests of whole directories: what a search for a header could find in them.
//!
//! A directory is walked once however many tools search it, and one inside another is a part of
//! the outer walk. Files count by content, symlinks by their text, directories by name.

use super::digests::{Digests, Stamp};
use super::hops;
use super::parallel;
use super::seen::Seen;
use crate::job::Digest;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, FileType};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Far more than any machine's headers; a link to `/` would be found out here.
const MAX_ENTRIES: usize = 1_000_000;

/// What stands at a path.
#[derive(Debug)]
enum What {
    File(Digest),
    Link(Vec<u8>),
    Directory,
    /// It cannot be read, so neither can a compiler's user.
    Unreadable,
    /// Not a thing that holds text.
    Other,
}

/// A walked directory: entries by their path below it, sorted by the paths' bytes.
type Tree = Vec<(PathBuf, What)>;

/// What one directory contributes to an identity.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) digest: Digest,
    /// Where symlinks in it lead, resolved, if that is outside of it. In the order of the links.
    pub(super) leads: Vec<PathBuf>,
    /// Symlinks outside of it that a look-up through one of its own passes.
    pub(super) hops: Vec<PathBuf>,
}

/// All directories walked so far. Paths given to it are canonical.
#[derive(Debug)]
pub(super) struct Forest<'d> {
    digests: &'d Digests,
    seen: &'d mut Seen,
    trees: BTreeMap<PathBuf, Tree>,
    summaries: HashMap<PathBuf, Arc<Summary>>,
    /// Files looked at by themselves.
    files: Vec<PathBuf>,
}

impl<'d> Forest<'d> {
    pub(super) fn new(digests: &'d Digests, seen: &'d mut Seen) -> Self {
        Self {
            digests,
            seen,
            trees: BTreeMap::new(),
            summaries: HashMap::new(),
            files: Vec::new(),
        }
    }

    /// Walks these directories, outer ones before those inside them.
    pub(super) fn walk_all(&mut self, mut directories: Vec<PathBuf>) -> io::Result<()> {
        directories.sort();
        directories
            .iter()
            .try_for_each(|directory| self.walk(directory))
    }

    /// The directory's contribution; walks it if no walk has covered it.
    pub(super) fn summary(&mut self, directory: &Path) -> io::Result<Arc<Summary>> {
        if let Some(summary) = self.summaries.get(directory) {
            return Ok(Arc::clone(summary));
        }
        self.walk(directory)?;
        let summary = self
            .covering(directory)
            .map(|(root, tree)| Arc::new(summarise(root, tree, directory)))
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        self.summaries
            .insert(directory.into(), Arc::clone(&summary));
        Ok(summary)
    }

    /// Every file that was looked at by itself.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Every directory that was walked.
    pub(super) fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.trees.iter().flat_map(|(root, tree)| {
            let inner = tree
                .iter()
                .filter(|(_, what)| matches!(what, What::Directory))
                .map(|(below, _)| root.join(below));
            std::iter::once(root.clone()).chain(inner)
        })
    }

    /// The digest of a file that lies by itself; none if it cannot be read.
    pub(super) fn file(&mut self, path: &Path) -> Option<Digest> {
        let stamp = self.seen.note(path)?;
        self.files.push(path.into());
        self.digests.digest_of(path, stamp).ok()
    }

    fn covering(&self, directory: &Path) -> Option<(&Path, &Tree)> {
        directory.ancestors().find_map(|ancestor| {
            let (root, tree) = self.trees.get_key_value(ancestor)?;
            Some((root.as_path(), tree))
        })
    }

    fn walk(&mut self, directory: &Path) -> io::Result<()> {
        if self.covering(directory).is_none() {
            let tree = walk(directory, self.digests, self.seen)?;
            self.trees.insert(directory.into(), tree);
        }
        Ok(())
    }
}

/// A file met on a walk, its content not yet looked at.
enum Found {
    File(Stamp),
    Known(What),
}

fn walk(root: &Path, digests: &Digests, seen: &mut Seen) -> io::Result<Tree> {
    if !root.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let mut all = Vec::new();
    let mut level = vec![PathBuf::new()];
    while !level.is_empty() {
        for below in &level {
            seen.note(&root.join(below));
        }
        let found = parallel::map(&level, 4, |below| list(root, below));
        let found: Vec<_> = found.into_iter().flatten().collect();
        level = found
            .iter()
            .filter(|(_, found)| matches!(found, Found::Known(What::Directory)))
            .map(|(below, _)| below.clone())
            .collect();
        all.extend(found);
        if all.len() > MAX_ENTRIES {
            return Err(io::Error::other(format!(
                "holds more than {MAX_ENTRIES} files"
            )));
        }
    }
    let files: Vec<_> = all
        .iter()
        .filter_map(|(below, found)| match found {
            Found::File(stamp) => Some((below.as_path(), *stamp)),
            Found::Known(_) => None,
        })
        .collect();
    for (below, stamp) in &files {
        seen.add(root.join(below), *stamp);
    }
    let digests = parallel::map(&files, 32, |(below, stamp)| {
        digests.digest_of(&root.join(below), *stamp)
    });
    let mut digests = digests.into_iter();
    let mut tree: Tree = all
        .into_iter()
        .map(|(below, found)| match found {
            Found::Known(what) => (below, what),
            // As many digests as files, in their order.
            Found::File(_) => match digests.next() {
                Some(Ok(digest)) => (below, What::File(digest)),
                _ => (below, What::Unreadable),
            },
        })
        .collect();
    tree.sort_unstable_by(|(one, _), (other, _)| bytes(one).cmp(bytes(other)));
    Ok(tree)
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// What stands directly in a directory. One that cannot be listed shows nothing to a tool either.
fn list(root: &Path, below: &Path) -> Vec<(PathBuf, Found)> {
    let Ok(entries) = fs::read_dir(root.join(below)) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| {
            let found = match entry.file_type() {
                Ok(kind) => look(&entry, kind).unwrap_or(Found::Known(What::Unreadable)),
                Err(_) => Found::Known(What::Unreadable),
            };
            (below.join(entry.file_name()), found)
        })
        .collect()
}

fn look(entry: &fs::DirEntry, kind: FileType) -> io::Result<Found> {
    Ok(if kind.is_file() {
        Found::File(Stamp::of(&entry.metadata()?))
    } else if kind.is_symlink() {
        let text = fs::read_link(entry.path())?;
        Found::Known(What::Link(bytes(&text).to_vec()))
    } else if kind.is_dir() {
        Found::Known(What::Directory)
    } else {
        Found::Known(What::Other)
    })
}

/// The contribution of `directory`, a part of the tree at `root` or all of it.
fn summarise(root: &Path, tree: &Tree, directory: &Path) -> Summary {
    // Both are canonical, and `directory` was found by going up from it to `root`.
    let mut prefix = bytes(directory.strip_prefix(root).unwrap_or(directory)).to_vec();
    if !prefix.is_empty() {
        prefix.push(b'/');
    }
    let start = tree.partition_point(|(below, _)| bytes(below) < prefix.as_slice());
    let inside = tree[start..]
        .iter()
        .map_while(|(below, what)| Some((bytes(below).strip_prefix(prefix.as_slice())?, what)));
    let mut hasher = blake3::Hasher::new();
    let (mut leads, mut passed) = (Vec::new(), Vec::new());
    for (below, what) in inside {
        let (kind, content): (u8, &[u8]) = match what {
            What::File(digest) => (b'f', &digest.0),
            What::Link(text) => (b'l', text),
            What::Directory => (b'd', b""),
            What::Unreadable => (b'u', b""),
            What::Other => (b'o', b""),
        };
        hasher.update(&[kind]);
        for part in [below, content] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        if kind == b'l' {
            let link = directory.join(Path::new(std::ffi::OsStr::from_bytes(below)));
            // A link that leads nowhere adds nothing but its text.
            let target = link.canonicalize().ok();
            leads.extend(target.filter(|target| !target.starts_with(directory)));
            passed.extend(hops::of(&link));
        }
    }
    Summary {
        digest: Digest(*hasher.finalize().as_bytes()),
        leads,
        hops: passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Space(tempfile::TempDir);

    impl Space {
        fn new() -> Self {
            let space = Self(tempfile::tempdir().unwrap());
            for directory in ["inc/sub", "inc/sub-b", "outside"] {
                fs::create_dir_all(space.at(directory)).unwrap();
            }
            for file in ["inc/a.h", "inc/sub/b.h", "inc/sub-b/c.h", "outside/d.h"] {
                fs::write(space.at(file), file).unwrap();
            }
            symlink("sub/b.h", space.at("inc/inner")).unwrap();
            symlink("../outside", space.at("inc/outer")).unwrap();
            symlink("nowhere", space.at("inc/broken")).unwrap();
            space
        }

        fn at(&self, below: &str) -> PathBuf {
            self.0.path().canonicalize().unwrap().join(below)
        }

        fn summary(&self, below: &str) -> Arc<Summary> {
            let (digests, mut seen) = (Digests::default(), Seen::new());
            let mut forest = Forest::new(&digests, &mut seen);
            forest.summary(&self.at(below)).unwrap()
        }
    }

    #[test]
    fn equal_content_has_equal_digests_wherever_it_lies() {
        let (one, other) = (Space::new(), Space::new());
        assert_eq!(one.summary("inc").digest, other.summary("inc").digest);
        assert_eq!(one.summary("inc").leads, [one.at("outside")]);
    }

    #[test]
    fn every_kind_of_change_shows() {
        type Change = fn(&Space);
        let changes: [(&str, Change); 7] = [
            ("content", |it| {
                fs::write(it.at("inc/sub/b.h"), "x").unwrap()
            }),
            ("a new file", |it| fs::write(it.at("inc/n.h"), "").unwrap()),
            ("a new directory", |it| {
                fs::create_dir(it.at("inc/n")).unwrap();
            }),
            ("a removed file", |it| {
                fs::remove_file(it.at("inc/a.h")).unwrap();
            }),
            ("a renamed file", |it| {
                fs::rename(it.at("inc/a.h"), it.at("inc/A.h")).unwrap();
            }),
            ("a link's text", |it| {
                fs::remove_file(it.at("inc/inner")).unwrap();
                symlink("sub-b/c.h", it.at("inc/inner")).unwrap();
            }),
            ("a file made a link to the same", |it| {
                fs::rename(it.at("inc/a.h"), it.at("outside/a.h")).unwrap();
                symlink("../outside/a.h", it.at("inc/a.h")).unwrap();
            }),
        ];
        for (name, change) in changes {
            let space = Space::new();
            let before = space.summary("inc").digest;
            change(&space);
            assert_ne!(space.summary("inc").digest, before, "{name}");
        }
    }

    #[test]
    fn an_inner_directory_is_the_same_by_itself_and_as_a_part() {
        let space = Space::new();
        let (digests, mut seen) = (Digests::default(), Seen::new());
        let mut forest = Forest::new(&digests, &mut seen);
        forest
            .walk_all(vec![space.at("inc/sub"), space.at("inc")])
            .unwrap();
        assert_eq!(forest.trees.len(), 1);
        for part in ["inc/sub", "inc/sub-b"] {
            let inner = forest.summary(&space.at(part)).unwrap();
            assert_eq!(inner.digest, space.summary(part).digest, "{part}");
        }
        let walked: Vec<_> = forest.directories().collect();
        let expected = ["inc", "inc/sub", "inc/sub-b"].map(|below| space.at(below));
        assert_eq!(walked, expected);
    }

    #[test]
    fn no_directory_no_summary() {
        let space = Space::new();
        let (digests, mut seen) = (Digests::default(), Seen::new());
        let mut forest = Forest::new(&digests, &mut seen);
        assert!(forest.summary(&space.at("absent")).is_err());
        assert!(forest.summary(&space.at("inc/a.h")).is_err());
    }
}
