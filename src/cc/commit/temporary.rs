//! Names for what is not in its place yet.
//!
//! Two jobs may write one output at a time, as two compilers may: each has its own content, and
//! whoever comes last stays. So of what stands under the name that an output's temporary usually
//! has, only what a dead wrapper left is taken away.

use crate::job::Digest;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `.cpods-<16 hex digits>.tmp` beside `path`: the same for the same output, so that the next
/// commit of that output sweeps what a killed wrapper left.
pub fn temporary_of(path: &Path) -> PathBuf {
    temporary_in(path.parent().unwrap_or(path), path)
}

/// The same in a directory further up: told apart by the whole way from there, since files of one
/// name in directories that are still to be made wait in the same place.
pub(super) fn temporary_in(dir: &Path, path: &Path) -> PathBuf {
    let way = path.strip_prefix(dir).unwrap_or(path);
    dir.join(called(way.as_os_str().as_bytes()))
}

/// One of this process alone.
fn own_in(dir: &Path, path: &Path) -> PathBuf {
    let way = path.strip_prefix(dir).unwrap_or(path);
    let own = std::process::id().to_le_bytes();
    dir.join(called(&[way.as_os_str().as_bytes(), &own].concat()))
}

fn called(what: &[u8]) -> String {
    let digest = Digest::of(what).to_string();
    format!(".cpods-{}.tmp", &digest[..16])
}

/// A name beside a path, for the moment before something takes its place.
pub(super) struct Aside {
    pub(super) named: PathBuf,
    /// On the directory, while this is the usual name: what else has it is of a dead wrapper.
    _lock: Option<OwnedFd>,
}

impl Aside {
    /// The usual name, or one of this process alone where another is about to put something in its
    /// place in this directory.
    pub(super) fn of(path: &Path) -> Self {
        let dir = path.parent().unwrap_or(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(CWD, dir, flags, Mode::empty());
        let lock = lock.ok().filter(try_to_hold);
        let named = match lock {
            Some(_) => temporary_in(dir, path),
            None => own_in(dir, path),
        };
        Self { named, _lock: lock }
    }

    /// Makes something of this name.
    pub(super) fn make(&self, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
        match make(&self.named) {
            Err(error) if is_taken(&error) => {
                std::fs::remove_file(&self.named)?;
                make(&self.named)
            }
            made => made,
        }
    }
}

/// A new file for what is to stand at `path`, with a name in `dir`: where files cannot be without.
/// It is to be renamed, and nothing else, for its name to be free only together with its lock.
pub(super) fn named(dir: &Path, path: &Path) -> io::Result<(File, PathBuf)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    for named in [temporary_in(dir, path), own_in(dir, path)] {
        let open = || rustix::fs::openat(CWD, &named, flags, Mode::from(0o600));
        let file = match open() {
            Err(Errno::EXIST) if sweep(&named) => open(),
            opened => opened,
        };
        match file {
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
            Ok(file) => {
                try_to_hold(&file);
                return Ok((file.into(), named));
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

/// Takes a lock (flock(2)) that lasts until the file is closed, or the process ends.
fn try_to_hold(file: &OwnedFd) -> bool {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Removes what a wrapper left that was killed while it wrote. False for what somebody may want.
fn sweep(named: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let left = match rustix::fs::openat(CWD, named, flags, Mode::empty()) {
        Ok(left) => left,
        // It is in its place by now.
        Err(error) => return error == Errno::NOENT,
    };
    // By the time that it is held it may be in its place, and the name be another's.
    let is_it = || {
        let there = rustix::fs::lstat(named).map(|found| (found.st_dev, found.st_ino));
        let held = rustix::fs::fstat(&left).map(|found| (found.st_dev, found.st_ino));
        there == held
    };
    try_to_hold(&left) && (!is_it() || std::fs::remove_file(named).is_ok())
}

/// Gives an unnamed file its name, if nothing has it.
pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
    let own = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    Ok(rustix::fs::linkat(
        CWD,
        own,
        CWD,
        path,
        AtFlags::SYMLINK_FOLLOW,
    )?)
}
