//! Tells that something changed in some directories; what, it does not say.

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// A change of what a directory holds, of an entry's content or metadata, or of the directory.
fn events() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
}

/// Watches directories by inotify(7). Readable when there is something to [`Watch::take`].
///
/// A change is told within the directory only through the name that was used: what is stored
/// through a mapping, or through a hard link elsewhere, raises nothing.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    watched: BTreeMap<PathBuf, i32>,
}

impl Watch {
    /// A watch on nothing.
    ///
    /// # Errors
    /// No more inotify instances for this user.
    pub fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let watched = BTreeMap::new();
        Ok(Self { inotify, watched })
    }

    /// Watches these directories and no others from now on. Those that do not exist are left out:
    /// they appear in a directory that does. Returns whether some were not watched before: what
    /// was seen in them so far may be outdated already, and must be looked at again.
    ///
    /// # Errors
    /// The user's watches are used up: changes of what is not watched go unheard.
    pub fn follow(&mut self, directories: &[PathBuf]) -> io::Result<bool> {
        let wanted: BTreeSet<&PathBuf> = directories.iter().collect();
        let mut result = Ok(());
        let mut kept = BTreeMap::new();
        for directory in wanted {
            match inotify::add_watch(&self.inotify, directory, events()) {
                Ok(number) => _ = kept.insert(directory.clone(), number),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
                Err(error) => result = Err(error.into()),
            }
        }
        // Two names of one directory share a number, and one that was replaced has a new one.
        let numbers: BTreeSet<i32> = kept.values().copied().collect();
        let old = std::mem::replace(&mut self.watched, kept);
        let old: BTreeSet<i32> = old.into_values().collect();
        for &number in old.difference(&numbers) {
            // Fails for one that is gone with its directory.
            let _ = inotify::remove_watch(&self.inotify, number);
        }
        result.map(|()| !numbers.is_subset(&old))
    }

    /// Whether all directories are still those that are watched. One whose way was changed above it,
    /// or over which something was mounted, raises no event.
    pub fn are_in_place(&self) -> bool {
        let mut watched = self.watched.iter();
        watched.all(|(directory, number)| {
            inotify::add_watch(&self.inotify, directory, events()).is_ok_and(|now| now == *number)
        })
    }

    /// Whether anything changed since the last call; never waits.
    ///
    /// # Errors
    /// inotify's.
    pub fn take(&mut self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut changed = false;
        loop {
            match reader.next() {
                // A watch that was removed, by us or with its file system, comes last.
                Ok(event) => changed |= event.events() != inotify::ReadFlags::IGNORED,
                Err(Errno::WOULDBLOCK) => return Ok(changed),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn changed(watch: &mut Watch, what: impl FnOnce()) -> bool {
        assert!(!watch.take().unwrap(), "an event before the change");
        what();
        watch.take().unwrap()
    }

    #[test]
    fn hears_of_every_change_in_its_directories() {
        let space = tempfile::tempdir().unwrap();
        let at = |below: &str| space.path().join(below);
        fs::create_dir_all(at("in/sub")).unwrap();
        fs::create_dir(at("out")).unwrap();
        fs::write(at("in/file"), "").unwrap();
        let mut watch = Watch::new().unwrap();
        watch
            .follow(&[at("in"), at("in/sub"), at("absent")])
            .unwrap();
        type Change<'a> = (&'a str, &'a dyn Fn());
        let changes: [Change<'_>; 6] = [
            ("content", &|| fs::write(at("in/file"), "new").unwrap()),
            ("metadata", &|| {
                fs::set_permissions(at("in/file"), at("out").metadata().unwrap().permissions())
                    .unwrap();
            }),
            ("a new file", &|| fs::write(at("in/sub/new"), "").unwrap()),
            ("a removed file", &|| {
                fs::remove_file(at("in/sub/new")).unwrap()
            }),
            ("a file moved in", &|| {
                fs::write(at("out/moved"), "").unwrap();
                fs::rename(at("out/moved"), at("in/file")).unwrap();
            }),
            ("the directory itself", &|| {
                fs::remove_dir(at("in/sub")).unwrap()
            }),
        ];
        for (name, change) in changes {
            assert!(changed(&mut watch, change), "{name}");
        }
        assert!(!changed(&mut watch, || fs::write(at("out/other"), "").unwrap()));
        assert!(!changed(&mut watch, || _ = fs::read(at("in/file")).unwrap()));
    }

    #[test]
    fn follows_other_directories_from_now_on() {
        let space = tempfile::tempdir().unwrap();
        let at = |below: &str| space.path().join(below);
        for directory in ["one", "two"] {
            fs::create_dir(at(directory)).unwrap();
        }
        let touch = |path: &Path| fs::write(path, "x").unwrap();
        let mut watch = Watch::new().unwrap();
        assert!(watch.follow(&[at("one")]).unwrap());
        assert!(!watch.follow(&[at("one")]).unwrap());
        assert!(watch.follow(&[at("two")]).unwrap());
        assert!(!changed(&mut watch, || touch(&at("one/a"))));
        assert!(changed(&mut watch, || touch(&at("two/a"))));
        assert!(watch.are_in_place());
        // A directory that was replaced is watched again.
        fs::rename(at("two"), at("old")).unwrap();
        fs::create_dir(at("two")).unwrap();
        assert!(watch.take().unwrap());
        assert!(watch.follow(&[at("two")]).unwrap());
        assert!(!changed(&mut watch, || touch(&at("old/b"))));
        assert!(changed(&mut watch, || touch(&at("two/b"))));
        // One that went with the directory above it raises nothing.
        fs::create_dir_all(at("top/in")).unwrap();
        watch.follow(&[at("top/in")]).unwrap();
        watch.take().unwrap();
        fs::rename(at("top"), at("gone")).unwrap();
        fs::create_dir_all(at("top/in")).unwrap();
        assert!(!watch.take().unwrap());
        assert!(!watch.are_in_place());
        assert!(watch.follow(&[at("top/in")]).unwrap());
        assert!(watch.are_in_place());
    }
}
