//! What must be looked at again, told from what was heard.
//!
//! The rules, each for a case in which inotify says less than one would think:
//!
//! - an event on a file voids its digest, and no stat brings it back: one that shows nothing may
//!   come from a store through a mapping, or from two writes within the file system's tick;
//! - an event on a directory has the one that holds it listed again, and so has one on a name that
//!   is a surprise. (Not one on a file that is made: where a thousand objects lie in one directory,
//!   each would have them all listed);
//! - `#` and a number is how the kernel calls a file that was opened without a name and linked
//!   later: the names of that inode are meant;
//! - content written under a name that is gone: a file that was linked to another name and
//!   unlinked from this one, whose writer goes on. Any name may be that other one: all are looked
//!   at. (Programs that lock do close a file after they removed it; that says nothing.)

use super::leave_out::{LeaveOut, is_temporary};
use super::path;
use super::table::Name;
use super::watch::Heard;
use rustix::fs::inotify::ReadFlags;
use std::collections::{BTreeMap, BTreeSet};

/// How a name is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sure {
    /// What stat tells decides whether the content is the same.
    ByStat,
    /// Its content has changed for all one knows.
    Void,
}

/// How a directory is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Names that came, went or are other files now.
    Names,
    /// Every name.
    Stats,
    /// Every name, and everything below.
    Tree,
}

/// What must be looked at again.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    pub(super) dirs: BTreeMap<Vec<u8>, Scope>,
    pub(super) looks: BTreeMap<Vec<u8>, Sure>,
    /// Inode numbers whose names are void.
    pub(super) numbers: BTreeSet<u64>,
}

impl Doubt {
    pub(super) fn is_empty(&self) -> bool {
        self.dirs.is_empty() && self.looks.is_empty() && self.numbers.is_empty()
    }

    /// The whole root, by stat.
    pub(super) fn everything(&mut self) {
        self.list(b"", Scope::Tree);
    }

    pub(super) fn list(&mut self, dir: &[u8], scope: Scope) {
        match self.dirs.get_mut(dir) {
            Some(other) => *other = scope.max(*other),
            None => _ = self.dirs.insert(dir.to_vec(), scope),
        }
    }

    pub(super) fn look(&mut self, path: &[u8], sure: Sure) {
        match self.looks.get_mut(path) {
            Some(other) => *other = sure.max(*other),
            None => _ = self.looks.insert(path.to_vec(), sure),
        }
    }
}

/// Turns what is heard into doubt.
#[derive(Debug, Default)]
pub(super) struct Ears {
    pub(super) doubt: Doubt,
    /// Names that came since the index was last true and are not gone again: content written under
    /// one of them is no surprise, though the index does not have it yet.
    born: BTreeSet<Box<[u8]>>,
}

impl Ears {
    /// `is_known` tells whether the index has or is about to have a name.
    pub(super) fn hear(
        &mut self,
        heard: &Heard,
        leave_out: &LeaveOut,
        is_known: impl Fn(&[u8]) -> bool,
    ) {
        let (dir, name, flags) = match heard {
            Heard::Event { dir, name, flags } => (dir, name, *flags),
            Heard::Overflow => return self.doubt.everything(),
        };
        if name.is_empty() {
            return self.hear_of_dir(dir, flags);
        }
        let names =
            ReadFlags::CREATE | ReadFlags::DELETE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
        if flags.intersects(names) {
            // Its time has changed.
            self.doubt.look(dir, Sure::ByStat);
        }
        let path = path::join(dir, name);
        if is_temporary(name) {
            return;
        }
        if leave_out.has(&path) {
            // Whether it is there counts, and, of a link, where it leads.
            if flags.intersects(names | ReadFlags::ATTRIB) {
                self.doubt.look(&path, Sure::ByStat);
            }
            return;
        }
        let number = number(name);
        self.doubt.numbers.extend(number);
        let is_known = is_known(&path);
        if flags.contains(ReadFlags::ISDIR) {
            self.doubt.list(dir, Scope::Names);
            self.doubt.look(&path, Sure::ByStat);
            if flags.contains(ReadFlags::ATTRIB) {
                // What it holds may have become readable, or unreadable.
                self.doubt.list(&path, Scope::Stats);
            }
        } else if is_known || flags.contains(ReadFlags::CREATE) {
            self.doubt.look(&path, Sure::Void);
        } else if flags.intersects(names) {
            // Where a directory folds case it may have it under another spelling.
            self.doubt.list(dir, Scope::Names);
        }
        if number.is_none() && !flags.contains(ReadFlags::ISDIR) {
            self.remember(dir, path, flags, is_known);
        }
    }

    /// Keeps what later events are understood by.
    fn remember(&mut self, dir: &[u8], path: Vec<u8>, flags: ReadFlags, is_known: bool) {
        let came = ReadFlags::CREATE | ReadFlags::MOVED_TO;
        let went = ReadFlags::DELETE | ReadFlags::MOVED_FROM;
        if flags.intersects(came) {
            self.born.insert(path.into());
        } else if flags.intersects(went) {
            self.born.remove(path.as_slice());
        } else if !is_known && !self.born.contains(path.as_slice()) {
            self.doubt.list(dir, Scope::Stats);
            if flags.contains(ReadFlags::MODIFY) {
                self.doubt.everything();
            }
        }
    }

    /// Something about a watched directory itself.
    fn hear_of_dir(&mut self, dir: &Name, flags: ReadFlags) {
        self.doubt.look(dir, Sure::ByStat);
        if flags.intersects(ReadFlags::ATTRIB | ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
            self.doubt.list(dir, Scope::Stats);
        }
        if flags.intersects(ReadFlags::MOVE_SELF | ReadFlags::DELETE_SELF) {
            self.doubt.list(path::parent(dir), Scope::Names);
        }
    }

    /// What was in doubt, to be resolved now.
    pub(super) fn take(&mut self) -> Doubt {
        std::mem::take(&mut self.doubt)
    }

    /// The index is true: what came is known.
    pub(super) fn rest(&mut self) {
        self.born.clear();
    }
}

/// The inode number of a file that is called by it.
fn number(name: &[u8]) -> Option<u64> {
    std::str::from_utf8(name.strip_prefix(b"#")?)
        .ok()?
        .parse()
        .ok()
}
