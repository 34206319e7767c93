//! The root's directory, and opening what is below it without ever being led elsewhere.
//!
//! A directory may be replaced by a link at any moment: every way down is walked by the kernel
//! with links and mounts refused, openat2(2), so that nothing outside is taken for the root's.

use super::stat::{Inode, Stat};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An open root.
#[derive(Debug)]
pub(super) struct Ground {
    root: PathBuf,
    fd: OwnedFd,
    inode: Inode,
    /// The kernel has no openat2(2), or a sandbox forbids it.
    is_plain: bool,
}

impl Ground {
    pub(super) fn open(root: PathBuf) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &root, flags, Mode::empty())?;
        let inode = Stat::from(rustix::fs::fstat(&fd)?).inode();
        let mut ground = Self {
            root,
            fd,
            inode,
            is_plain: false,
        };
        ground.is_plain = matches!(ground.stat(b""), Err(Errno::NOSYS | Errno::PERM));
        Ok(ground)
    }

    /// The same, for somebody else.
    pub(super) fn again(&self) -> Result<Self, Errno> {
        Ok(Self {
            root: self.root.clone(),
            fd: rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)?,
            ..*self
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Of the file system that the root is on.
    pub(super) fn dev(&self) -> u64 {
        self.inode.dev
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether the root's path still names the directory that was opened.
    pub(super) fn is_there(&self) -> bool {
        let found = rustix::fs::stat(&self.root);
        found.is_ok_and(|found| Stat::from(found).inode() == self.inode)
    }

    fn open_below(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = below(path);
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if self.is_plain {
            return rustix::fs::openat(&self.fd, path, flags, Mode::empty());
        }
        let resolve =
            ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                opened => return opened,
            }
        }
    }

    pub(super) fn open_dir(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// For reading; does not wait if it is a pipe after all.
    pub(super) fn open_file(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.open_below(path, flags)
    }

    /// What stands at a path, and a handle by which [`read_link`] reads it if it is a link.
    pub(super) fn look(&self, path: &[u8]) -> Result<(OwnedFd, Stat), Errno> {
        let fd = self.open_below(path, OFlags::PATH)?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((fd, stat.into()))
    }

    /// The same without the handle.
    pub(super) fn stat(&self, path: &[u8]) -> Result<Stat, Errno> {
        self.look(path).map(|(_, stat)| stat)
    }

    /// Cheaper, and may be led outside by links on the way: good to see that something changed.
    pub(super) fn glance(&self, path: &[u8]) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.fd, below(path), AtFlags::SYMLINK_NOFOLLOW).map(Stat::from)
    }
}

fn below(path: &[u8]) -> &OsStr {
    OsStr::from_bytes(if path.is_empty() { b"." } else { path })
}

/// The target of the link that `fd` is a handle of, or that is called `name` in it.
pub(super) fn read_link(fd: BorrowedFd<'_>, name: &[u8]) -> Result<Box<[u8]>, Errno> {
    let target = rustix::fs::readlinkat(fd, OsStr::from_bytes(name), Vec::new())?;
    Ok(target.into_bytes().into())
}
