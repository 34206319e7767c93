//! What the kernel says of a file, and when that is enough to believe that its content is the same.

use super::entry::Time;
use rustix::fs::FileType;

/// How long before it was hashed a file must have been changed last: file systems and older
/// kernels keep times too coarsely to tell two changes within this span apart.
const SETTLED_SECONDS: i64 = 2;

/// The part of stat(2) that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) size_bytes: u64,
    /// With the bits of the file's type.
    pub(super) mode: u32,
    pub(super) links: u64,
    pub(super) mtime: Time,
    pub(super) ctime: Time,
}

impl Stat {
    pub(super) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    pub(super) fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// The same in all that shows a change. The count of links is not among it, as changing it
    /// shows in the change time.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let links = other.links;
        Self { links, ..*self } == *other
    }

    pub(super) fn inode(&self) -> Inode {
        Inode {
            ino: self.ino,
            dev: self.dev,
        }
    }
}

/// Which file, whatever its names. By number first: inotify knows no more of a file without name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Inode {
    pub(super) ino: u64,
    pub(super) dev: u64,
}

/// Whether a file that was last changed at `ctime` cannot have changed since without showing it,
/// if its hashing began at `hashed`.
pub(super) fn is_settled(ctime: Time, hashed: Time) -> bool {
    let earliest = Time {
        seconds: ctime.seconds.saturating_add(SETTLED_SECONDS),
        ..ctime
    };
    earliest <= hashed
}

impl From<rustix::fs::Stat> for Stat {
    #[expect(
        clippy::unnecessary_cast,
        clippy::useless_conversion,
        reason = "the fields' types differ between architectures"
    )]
    fn from(stat: rustix::fs::Stat) -> Self {
        let time = |seconds, nanoseconds: u64| Time {
            seconds,
            // Below a thousand million.
            nanoseconds: nanoseconds as u32,
        };
        Self {
            dev: stat.st_dev.into(),
            ino: stat.st_ino.into(),
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode as u32,
            links: stat.st_nlink as u64,
            mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_have_been_left_alone_for_two_seconds() {
        let at = |seconds, nanoseconds| Time {
            seconds,
            nanoseconds,
        };
        for (ctime, hashed, settled) in [
            (at(10, 5), at(12, 5), true),
            (at(10, 5), at(12, 4), false),
            (at(10, 5), at(10, 5), false),
            (at(13, 0), at(12, 0), false),
            (at(i64::MAX, 0), at(12, 0), false),
        ] {
            assert_eq!(is_settled(ctime, hashed), settled, "{ctime:?} {hashed:?}");
        }
    }
}
