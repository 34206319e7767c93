//! What a job wrote: reads the directory that took its changes.
//!
//! In the overlay view that is the upper layer, whose language is that of the kernel's
//! `Documentation/filesystems/overlayfs.rst`: a character device 0:0 is something removed, a
//! directory with `user.overlay.opaque` hides everything below it in the lower layer. In the
//! rewrite view it is the outputs' directory, in which neither occurs. Nothing of the job runs any
//! more while this reads. Does not know of jobs or the wire; contents are read elsewhere.
//!
//! The lower layer may have changed since the job began (a mirror follows the hub). So what differs
//! from it is not always the job's doing: see [`copied`].

mod copied;

use crate::job::Written;
use crate::paths::Bytes;
use copied::Doubt;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One change, by its path below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub below: Bytes,
    /// What.
    pub what: Written,
}

/// What changes were made on.
#[derive(Clone, Copy)]
pub struct Lower<'a> {
    /// Where it is.
    pub dir: &'a Path,
    /// Whether what stands at a path below the root may have come there after the job began.
    pub is_new: &'a dyn Fn(&Path) -> bool,
}

impl std::fmt::Debug for Lower<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.dir.fmt(f)
    }
}

/// Reads what was changed: `upper` holds the changes, `lower` is what they were made on. `wanted`
/// says for a path below the root whether its being unchanged matters not (an output that the job
/// was to write is one even if it came out the same). Of what is not wanted, that which was merely
/// copied up is no change, whatever is below it by now.
///
/// Of something removed, what was below it comes first, so that a reader needs only `unlink` and
/// `rmdir`, in order.
///
/// # Errors
/// Those of reading either directory.
pub fn changes(
    upper: &OwnedFd,
    lower: Lower<'_>,
    wanted: &dyn Fn(&Path) -> bool,
) -> io::Result<Vec<Change>> {
    let mut walk = Walk {
        lower,
        wanted,
        found: Vec::new(),
        may_have_moved: false,
    };
    let dir = upper.try_clone()?;
    walk.directory(&dir, Path::new(""), true)?;
    Ok(walk.without_doubt())
}

/// Opens a file that [`changes`] has found, whatever its mode says.
///
/// # Errors
/// Those of open(2).
pub fn open(upper: &OwnedFd, below: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    open_even_if_forbidden(upper, below, flags).map(File::from)
}

fn open_even_if_forbidden(dir: &OwnedFd, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // The worker owns it, so it may give itself leave; the mode was noted before.
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777 | 0o500);
            rustix::fs::chmodat(dir, name, mode, AtFlags::empty())?;
            Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
        }
        other => Ok(other?),
    }
}

struct Walk<'a> {
    lower: Lower<'a>,
    wanted: &'a dyn Fn(&Path) -> bool,
    found: Vec<(Change, Doubt)>,
    /// Something was removed: perhaps what stands elsewhere by now.
    may_have_moved: bool,
}

impl Walk<'_> {
    /// `merged`: what is in the lower layer at this place shows through.
    fn directory(&mut self, dir: &OwnedFd, below: &Path, merged: bool) -> io::Result<()> {
        for name in &copied::names(dir)? {
            let name = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
            self.entry(dir, name, &below.join(name), merged)?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &OwnedFd, name: &Path, below: &Path, merged: bool) -> io::Result<()> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let under = if merged {
            self.lower_stat(below)?
        } else {
            None
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let under_kind = under.as_ref().map(|s| FileType::from_raw_mode(s.st_mode));
        if kind != FileType::Directory && under_kind == Some(FileType::Directory) {
            self.removed_tree(below)?;
        }
        let mode = u32::from(stat.st_mode as u16) & 0o777;
        match kind {
            FileType::Directory => self.kept_directory(dir, name, below, under, mode)?,
            FileType::RegularFile => {
                let same = match &under {
                    Some(under) if !(self.wanted)(below) => {
                        is_untouched(&stat, under) && self.same_content(&open(dir, name)?, below)?
                    }
                    _ => false,
                };
                if !same {
                    let (doubt, was_there) =
                        self.doubt((dir, name, below), &stat, under.as_ref())?;
                    let what = Written::File {
                        mode,
                        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
                        was_there,
                    };
                    self.push_if(below, what, doubt);
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes();
                let same = under_kind == Some(FileType::Symlink)
                    && std::fs::read_link(self.lower.dir.join(below))
                        .is_ok_and(|old| old.as_os_str().as_bytes() == target);
                if !same {
                    let target = Bytes(target);
                    self.push(below, Written::Symlink { target });
                }
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                self.may_have_moved = true;
                match under_kind {
                    None | Some(FileType::Directory) => {}
                    Some(_) => self.push(below, Written::Removed),
                }
            }
            // A socket or a pipe of the job's own has no meaning outside it.
            _ => {}
        }
        Ok(())
    }

    fn kept_directory(
        &mut self,
        parent: &OwnedFd,
        name: &Path,
        below: &Path,
        under: Option<Stat>,
        mode: u32,
    ) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = open_even_if_forbidden(parent, name, flags)?;
        let mut merged = false;
        match under.map(|under| (FileType::from_raw_mode(under.st_mode), under)) {
            Some((FileType::Directory, under)) => {
                merged = !is_opaque(&dir);
                if !merged {
                    self.may_have_moved = true;
                    self.removed_below(&dir, below)?;
                }
                if !merged || under.st_mode & 0o777 != mode {
                    self.push(below, Written::Directory { mode });
                }
            }
            Some(_) => {
                self.push(below, Written::Removed);
                self.push(below, Written::Directory { mode });
            }
            None => {
                let doubt = match copied::is_copy(&dir) {
                    true => Doubt::Empty,
                    false => Doubt::None,
                };
                self.push_if(below, Written::Directory { mode }, doubt);
            }
        }
        self.directory(&dir, below, merged)
    }

    /// What an opaque directory hides and does not have itself.
    fn removed_below(&mut self, upper: &OwnedFd, below: &Path) -> io::Result<()> {
        for name in self.lower_names(below)? {
            let place = below.join(&name);
            let kept = rustix::fs::statat(upper, &name, AtFlags::SYMLINK_NOFOLLOW).ok();
            let kept = kept.map(|stat| FileType::from_raw_mode(stat.st_mode));
            let old = self.lower_stat(&place)?;
            let old = old.map(|stat| FileType::from_raw_mode(stat.st_mode));
            match (old, kept) {
                (Some(FileType::Directory), Some(FileType::Directory)) => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let dir = open_even_if_forbidden(upper, &name, flags)?;
                    self.removed_below(&dir, &place)?;
                }
                (Some(FileType::Directory), _) => self.removed_tree(&place)?,
                (Some(_), None | Some(FileType::Directory)) => self.push(&place, Written::Removed),
                (Some(_) | None, _) => {}
            }
        }
        Ok(())
    }

    /// A directory of the lower layer with all below it, the deepest first.
    fn removed_tree(&mut self, below: &Path) -> io::Result<()> {
        for name in self.lower_names(below)? {
            let place = below.join(name);
            match self.lower_stat(&place)? {
                Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    self.removed_tree(&place)?;
                }
                Some(_) => self.push(&place, Written::Removed),
                None => {}
            }
        }
        self.push(below, Written::Removed);
        Ok(())
    }

    fn lower_names(&self, below: &Path) -> io::Result<BTreeSet<PathBuf>> {
        std::fs::read_dir(self.lower.dir.join(below))?
            .map(|entry| Ok(PathBuf::from(entry?.file_name())))
            .collect()
    }

    fn lower_stat(&self, below: &Path) -> io::Result<Option<Stat>> {
        match rustix::fs::lstat(self.lower.dir.join(below)) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn same_content(&self, upper: &File, below: &Path) -> io::Result<bool> {
        let lower = match open_lower(self.lower.dir, below) {
            // Its content is not here, so that it was not copied.
            Err(Errno::WOULDBLOCK) => return Ok(false),
            lower => lower?,
        };
        let mut ours = io::BufReader::with_capacity(64 << 10, upper);
        let mut theirs = io::BufReader::with_capacity(64 << 10, lower);
        loop {
            let mut a = [0; 16 << 10];
            let mut b = [0; 16 << 10];
            let read = read_full(&mut ours, &mut a)?;
            if read != read_full(&mut theirs, &mut b)? || a[..read] != b[..read] {
                return Ok(false);
            }
            if read == 0 {
                return Ok(true);
            }
        }
    }

    fn push(&mut self, below: &Path, what: Written) {
        self.push_if(below, what, Doubt::None);
    }

    fn push_if(&mut self, below: &Path, what: Written, doubt: Doubt) {
        let below = below.into();
        self.found.push((Change { below, what }, doubt));
    }
}

fn open_lower(lower: &Path, below: &Path) -> rustix::io::Result<File> {
    // A mirror's file may be without its content, and whoever opens it waits for the worker.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(lower.join(below), flags, Mode::empty()).map(File::from)
}

fn read_full(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether a file may be a mere copy of the one below: copying up keeps size, mode and time, and
/// any write changes the time. (A tool that touches a file without changing it wants the time
/// changed, so that is a change; one that puts the time back is found by its content.)
fn is_untouched(upper: &Stat, lower: &Stat) -> bool {
    FileType::from_raw_mode(lower.st_mode) == FileType::RegularFile
        && upper.st_size == lower.st_size
        && upper.st_mode & 0o7777 == lower.st_mode & 0o7777
        && (upper.st_mtime, upper.st_mtime_nsec) == (lower.st_mtime, lower.st_mtime_nsec)
}

fn is_opaque(dir: &OwnedFd) -> bool {
    let mut value = [0; 8];
    let read = rustix::fs::fgetxattr(dir.as_fd(), "user.overlay.opaque", &mut value);
    // `x` marks a directory that holds whiteouts of another form, not an opaque one.
    read.is_ok_and(|length| value[..length].starts_with(b"y"))
}
