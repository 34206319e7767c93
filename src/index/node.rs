//! A name's entry with what is needed to see whether it still holds.

use super::entry::{Content, Entry, Kind, Time};
use super::stat::{Inode, Stat, is_settled};
use rustix::fs::FileType;
use std::num::NonZeroU64;

/// An entry with what is needed to see whether it still holds.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) entry: Entry,
    pub(super) inode: Inode,
    /// In two, since together they take four bytes more, of which there are many.
    ctime_seconds: i64,
    ctime_nanoseconds: u32,
    /// Whether an equal stat means equal content.
    settled: bool,
    /// The generation in which it changed last.
    pub(super) seq: u64,
}

impl Node {
    /// `hashed` is a time before the content was looked at.
    pub(super) fn new(stat: &Stat, kind: Kind, hashed: Time) -> Self {
        let is_shared = stat.links > 1 && matches!(kind, Kind::File { .. } | Kind::Link { .. });
        let entry = Entry {
            kind,
            mode: stat.permissions(),
            mtime: stat.mtime,
            group: is_shared
                .then(|| {
                    // Inode numbers are unique in all but layered file systems.
                    NonZeroU64::new(stat.ino ^ stat.dev.rotate_left(40))
                })
                .flatten(),
        };
        Self {
            entry,
            inode: stat.inode(),
            ctime_seconds: stat.ctime.seconds,
            ctime_nanoseconds: stat.ctime.nanoseconds,
            settled: is_settled(stat.ctime, hashed),
            seq: 0,
        }
    }

    /// What is left out: of what it is, that it is there is all that shows.
    pub(super) fn closed(stat: &Stat) -> Self {
        let is_dir = stat.file_type() == FileType::Directory;
        let mut node = Self::unknown();
        node.entry.kind = Kind::Unreadable { is_dir };
        node
    }

    /// A name of which not even a stat is to be had.
    pub(super) fn unknown() -> Self {
        let entry = Entry {
            kind: Kind::Unreadable { is_dir: false },
            mode: 0,
            mtime: Time::default(),
            group: None,
        };
        Self {
            entry,
            inode: Inode { ino: 0, dev: 0 },
            ctime_seconds: 0,
            ctime_nanoseconds: 0,
            settled: false,
            seq: 0,
        }
    }

    fn ctime(&self) -> Time {
        Time {
            seconds: self.ctime_seconds,
            nanoseconds: self.ctime_nanoseconds,
        }
    }

    pub(super) fn is_dir(&self) -> bool {
        self.entry.kind == Kind::Dir
    }

    /// Of a file or a link: nothing at all has changed by what stat tells.
    pub(super) fn is_same(&self, stat: &Stat) -> bool {
        let size_bytes = match &self.entry.kind {
            Kind::File { size_bytes, .. } => Some(*size_bytes),
            Kind::Link { target, .. } => Some(target.len() as u64),
            Kind::Dir | Kind::Unreadable { .. } | Kind::Other => None,
        };
        size_bytes == Some(stat.size_bytes)
            && stat.file_type() == self.file_type()
            && self.inode == stat.inode()
            && self.ctime() == stat.ctime
            && self.entry.mtime == stat.mtime
            && self.entry.mode == stat.permissions()
    }

    /// As stat would tell it, of what is there twice only if it is a file or a link.
    fn file_type(&self) -> FileType {
        match self.entry.kind {
            Kind::Link { .. } => FileType::Symlink,
            _ => FileType::RegularFile,
        }
    }

    /// Whether [`Node::is_same`] is proof of the same content.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
            && !matches!(
                self.entry.kind,
                Kind::File {
                    content: Content::Unstable,
                    ..
                }
            )
    }

    /// A file that is hashed when it is asked for.
    pub(super) fn is_unhashed(&self) -> bool {
        let unhashed = Content::Unhashed;
        matches!(self.entry.kind, Kind::File { content, .. } if content == unhashed)
    }

    /// The stat of a file as it was.
    pub(super) fn stat(&self) -> Option<Stat> {
        let Kind::File { size_bytes, .. } = self.entry.kind else {
            return None;
        };
        Some(Stat {
            dev: self.inode.dev,
            ino: self.inode.ino,
            size_bytes,
            mode: self.entry.mode | FileType::RegularFile.as_raw_mode(),
            links: 1 + u64::from(self.entry.group.is_some()),
            mtime: self.entry.mtime,
            ctime: self.ctime(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::size_of;

    #[test]
    fn a_node_fits_what_allocators_give() {
        assert!(size_of::<Node>() <= 120, "{}", size_of::<Node>());
    }
}
