//! A tree's directory on this pod's disk: names below it, reached through no link.

use super::on_disk::{above, raw, set, times, told};
use crate::paths::Bytes;
use crate::wire::files::Entry;
use crate::wire::messages::Stamp;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// The directory.
#[derive(Debug)]
pub(super) struct TreeDir(OwnedFd);

impl TreeDir {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Puts in place what was made aside.
    pub(super) fn rename(&self, aside: &Path, name: &Bytes) -> io::Result<()> {
        let (dir, last) = self.parent(name)?;
        Ok(rustix::fs::renameat(CWD, aside, &dir, last)?)
    }

    /// Gives mode and time to what is there.
    pub(super) fn set(&self, name: &Bytes, entry: &Entry) -> io::Result<()> {
        let (dir, last) = self.parent(name)?;
        set(&dir, last, entry)
    }

    pub(super) fn set_time(&self, name: &Bytes, mtime: Stamp) -> io::Result<()> {
        let (dir, last) = self.parent(name)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(&dir, last, &times(mtime), flags)?)
    }

    pub(super) fn put_dir(&self, name: &Bytes, entry: &Entry, is_there: bool) -> io::Result<()> {
        let (dir, last) = self.parent(name)?;
        let mode = match entry.mode & 0o700 {
            // One that nobody may look into, and that holds nothing here.
            0 => Mode::empty(),
            _ => Mode::from_raw_mode(entry.mode & 0o777 | 0o700),
        };
        if !is_there && !raw(name).is_empty() {
            rustix::fs::mkdirat(&dir, last, mode)?;
        }
        rustix::fs::chmodat(&dir, last, mode, AtFlags::empty())?;
        Ok(())
    }

    pub(super) fn unlink_as(&self, name: &Bytes, is_dir: bool) -> io::Result<()> {
        let (dir, last) = self.parent(name)?;
        let flags = match is_dir {
            true => AtFlags::REMOVEDIR,
            false => AtFlags::empty(),
        };
        match rustix::fs::unlinkat(&dir, last, flags) {
            // It may never have been put there.
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(told(name, &errno.into())),
        }
    }

    /// The directory that a name stands in, and its last part.
    fn parent<'n>(&self, name: &'n Bytes) -> io::Result<(OwnedFd, &'n OsStr)> {
        let path = name.as_path();
        // The root itself is in itself.
        let last = path.file_name().unwrap_or(OsStr::new("."));
        Ok((self.open_dir(&above(name))?, last))
    }

    fn open_dir(&self, name: &Bytes) -> io::Result<OwnedFd> {
        let path = match raw(name).is_empty() {
            true => Path::new("."),
            false => name.as_path(),
        };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(rustix::fs::openat2(
            &self.0,
            path,
            flags,
            Mode::empty(),
            resolve,
        )?)
    }
}
