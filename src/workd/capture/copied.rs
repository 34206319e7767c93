//! What overlayfs copied up, and what the job did to it.
//!
//! Whoever opens a file for writing, or changes its mode or times, has a copy of it in the upper
//! layer, written or not. If the hub changes the file meanwhile, that copy is something old, and
//! not what the job wrote.

use super::{Change, Walk};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, StatxFlags};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

/// What a change may turn out to be once all of the upper layer was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is one.
    None,
    /// A copy of a file that the hub has removed or changed since, unless the job moved it there.
    Old,
    /// A copy of a directory that the hub has removed since: nothing, with nothing in it.
    Empty,
}

/// Whether a file or directory of the upper layer began as a copy of one below. The attribute is
/// there, if empty, also where it names no file (overlayfs.rst, "Inode properties"). A copy of a file
/// of several names has none, since it parts from the others: what becomes of it is for the hub to
/// decide.
pub(super) fn is_copy(upper: impl rustix::fd::AsFd) -> bool {
    let mut nothing: [u8; 0] = [];
    rustix::fs::fgetxattr(upper, "user.overlay.origin", &mut nothing).is_ok()
}

/// Whether a copy was not written to: that, also through a mapping, gives it the time of the moment,
/// which lies between those of its birth and of its last change; copying gives it the time of what
/// is below. One written to whose time was put back looks the same.
pub(super) fn is_unwritten(dir: &OwnedFd, name: &Path) -> io::Result<bool> {
    let asked = StatxFlags::BTIME | StatxFlags::MTIME | StatxFlags::CTIME;
    let found = rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, asked)?;
    let [birth, changed, written] =
        [found.stx_btime, found.stx_ctime, found.stx_mtime].map(|time| (time.tv_sec, time.tv_nsec));
    let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(has_birth && !(birth..=changed).contains(&written))
}

impl Walk<'_> {
    /// What is to be thought of a file that differs from what is below by now, and whether it is one
    /// that was there when the job began.
    pub(super) fn doubt(
        &self,
        (dir, name, below): (&OwnedFd, &Path, &Path),
        stat: &rustix::fs::Stat,
        under: Option<&rustix::fs::Stat>,
    ) -> io::Result<(Doubt, bool)> {
        if (self.wanted)(below) || stat.st_nlink > 1 {
            return Ok((Doubt::None, false));
        }
        // Asked first: it may have to be given another mode to be opened.
        let unwritten = is_unwritten(dir, name)?;
        let opened: File = super::open(dir, name)?;
        if !is_copy(&opened) {
            return Ok((Doubt::None, false));
        }
        let under =
            under.filter(|under| FileType::from_raw_mode(under.st_mode) == FileType::RegularFile);
        let Some(under) = under else {
            return Ok((Doubt::Old, false));
        };
        let is_other = (stat.st_size, stat.st_mtime, stat.st_mtime_nsec)
            != (under.st_size, under.st_mtime, under.st_mtime_nsec);
        match unwritten && is_other && (self.lower.is_new)(below) {
            true => Ok((Doubt::Old, true)),
            false => Ok((Doubt::None, true)),
        }
    }

    /// What is left once it is known whether the job moved anything: a copy may then be something
    /// moved.
    pub(super) fn without_doubt(self) -> Vec<Change> {
        let mut kept: Vec<Change> = Vec::with_capacity(self.found.len());
        for (mut change, doubt) in self.found.into_iter().rev() {
            let goes = match doubt {
                Doubt::None => false,
                Doubt::Old => !self.may_have_moved,
                // Whatever it holds comes after it, so that it was seen before.
                Doubt::Empty => !kept
                    .last()
                    .is_some_and(|next| next.below.as_path().starts_with(change.below.as_path())),
            };
            if goes {
                continue;
            }
            if let crate::job::Written::File { was_there, .. } = &mut change.what {
                *was_there &= !self.may_have_moved;
            }
            kept.push(change);
        }
        kept.reverse();
        kept
    }
}

/// Names in a directory, in order.
pub(super) fn names(dir: &OwnedFd) -> io::Result<std::collections::BTreeSet<CString>> {
    let mut names = std::collections::BTreeSet::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.insert(name);
        }
    }
    Ok(names)
}
