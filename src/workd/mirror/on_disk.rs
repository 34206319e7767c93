//! What stands on this pod's disk: read by an index, and small changes to single names.

use crate::index::{Content, Index, Kind, Options};
use crate::job::Digest;
use crate::paths::Bytes;
use crate::wire::files::{Entry, EntryKind, MOST_FILE_BYTES};
use crate::wire::messages::Stamp;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;
use rustix::path::Arg;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Everything below a directory, which need not be what was put there. What `cache_file` remembers
/// is not read again.
pub(super) fn names(path: &Path, cache_file: &Path) -> io::Result<Vec<(Bytes, Entry)>> {
    let options = Options {
        cache_file: Some(cache_file.into()),
        // Root may read what is closed, which may be as large as it likes.
        hash_up_to: MOST_FILE_BYTES,
        ..Options::default()
    };
    let mut index = Index::open(path, options).map_err(io::Error::other)?;
    index.settle().map_err(io::Error::other)?;
    let mut names = Vec::with_capacity(index.len());
    for (name, entry) in index.entries() {
        let what = match &entry.kind {
            Kind::File {
                size_bytes,
                content: Content::Digest(digest),
            } => EntryKind::File {
                digest: *digest,
                size_bytes: *size_bytes,
            },
            Kind::Dir | Kind::Unreadable { is_dir: true } => EntryKind::Dir,
            Kind::Link { target, .. } => EntryKind::Link {
                target: Bytes::from(&target[..]),
            },
            Kind::File { size_bytes, .. } => EntryKind::Closed {
                size_bytes: *size_bytes,
            },
            Kind::Unreadable { is_dir: false } | Kind::Other => EntryKind::Closed {
                // Whatever it is; nothing else comes of it than that it is made anew.
                size_bytes: 0,
            },
        };
        let found = Entry {
            what,
            mode: entry.mode,
            mtime: Stamp {
                seconds: entry.mtime.seconds,
                nanoseconds: entry.mtime.nanoseconds,
            },
            group: entry.group,
        };
        names.push((Bytes::from(name), found));
    }
    Ok(names)
}

/// How many files of one session may be open, of all that this process may have open.
pub(super) fn most_files() -> usize {
    /// For everything else.
    const RESERVE: u64 = 512;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = limit.current.unwrap_or(1 << 20);
    usize::try_from(limit.saturating_sub(RESERVE) / 2).unwrap_or(0)
}

pub(super) fn content(entry: &Entry) -> Option<Digest> {
    match entry.what {
        EntryKind::File { digest, .. } => Some(digest),
        _ => None,
    }
}

/// A file's content and its length.
pub(super) fn content_of(entry: &Entry) -> Option<(Digest, u64)> {
    match entry.what {
        EntryKind::File { digest, size_bytes } => Some((digest, size_bytes)),
        _ => None,
    }
}

pub(super) fn raw(name: &Bytes) -> &[u8] {
    name.as_os_str().as_bytes()
}

/// The directory that a name stands in.
pub(super) fn above(name: &Bytes) -> Bytes {
    name.as_path().parent().unwrap_or(Path::new("")).into()
}

pub(super) fn is_plain(name: &Bytes) -> bool {
    let mut parts = name.as_path().components();
    parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// A file that nobody may read, which takes no room.
pub(super) fn make_closed(path: &Path, size_bytes: u64) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    match rustix::fs::ftruncate(&file, size_bytes) {
        // Longer than files here can be: it is there all the same.
        Err(Errno::FBIG | Errno::INVAL) => Ok(()),
        made => Ok(made?),
    }
}

pub(super) fn set<P: Arg + Copy>(dir: impl AsFd, name: P, entry: &Entry) -> io::Result<()> {
    if !matches!(
        entry.what,
        EntryKind::Link { .. } | EntryKind::Closed { .. }
    ) {
        // What the hub may read a job may read here, too, whoever owns it there.
        let mode = Mode::from_raw_mode(entry.mode & 0o777 | 0o400);
        rustix::fs::chmodat(&dir, name, mode, AtFlags::empty())?;
    }
    let times = times(entry.mtime);
    rustix::fs::utimensat(&dir, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

pub(super) fn times(stamp: Stamp) -> Timestamps {
    let time = Timespec {
        tv_sec: stamp.seconds,
        tv_nsec: stamp.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

pub(super) fn told(name: &Bytes, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("mirror `{}`: {error}", name.display()),
    )
}
