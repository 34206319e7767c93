//! Directories of the hub's shown in the new root in place of the pod's, also where the pod has
//! nothing to put them on.
//!
//! What the pod has must stay as it is, so a directory in which something is missing is covered by
//! one in memory that shows all the rest of it.

use super::proto::Replaced;
use super::sys::{self, Step, StepError};
use super::template::path;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Shows all of these in the view that is being built on `view`, with the help of directories on
/// `stage`, beside it.
pub(super) fn show(stage: &Path, view: &Path, replaced: &[Replaced]) -> Result<(), StepError> {
    let mut sorted: Vec<&Replaced> = replaced.iter().collect();
    // What lies in another comes on top of it.
    sorted.sort_by(|one, other| one.path.as_path().cmp(other.path.as_path()));
    for (number, one) in sorted.into_iter().enumerate() {
        let what = || format!("show the hub's `{}`", one.path.display());
        let at = match find(view, one.path.as_path()) {
            Some(at) => at,
            None => make_way((stage, view), one.path.as_path(), number)?,
        };
        match &one.files {
            Some(files) => rustix::mount::mount_bind_recursive(files.as_path(), &at).step(what)?,
            None => {
                let empty = own(stage, "empty").step(what)?;
                rustix::mount::mount_bind(&empty, &at).step(what)?;
            }
        }
        protect(&at)?;
    }
    Ok(())
}

/// Where a directory of the new root really is, if it is there.
fn find(view: &Path, dir: &Path) -> Option<PathBuf> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, view, flags, Mode::empty()).ok()?;
    // A link that begins with `/` begins at the new root.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(&root, dir, flags, Mode::empty(), resolve).ok()?;
    fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()
}

/// Makes an empty directory where there is none; gives its real place.
fn make_way(
    (stage, view): (&Path, &Path),
    dir: &Path,
    number: usize,
) -> Result<PathBuf, StepError> {
    let what = || format!("make `{}` in the new root", dir.display());
    let ways = dir.ancestors().skip(1);
    let (at, there) = ways
        .filter_map(|above| Some((find(view, above)?, above)))
        .next()
        .ok_or(rustix::io::Errno::NOENT)
        .step(what)?;
    // Below an ancestor of itself.
    let below = dir.strip_prefix(there).unwrap_or(dir);
    if at == view {
        // Still open to changes.
        fs::create_dir_all(at.join(below)).step(what)?;
        return Ok(at.join(below));
    }
    let cover = own(stage, &format!("cover/{number}")).step(what)?;
    let missing = below.components().next().map(|first| first.as_os_str());
    for entry in fs::read_dir(&at).step(what)? {
        let entry = entry.step(what)?;
        if Some(entry.file_name().as_os_str()) != missing {
            copy(&entry, &cover.join(entry.file_name())).step(what)?;
        }
    }
    fs::create_dir_all(cover.join(below)).step(what)?;
    rustix::mount::mount_bind_recursive(&cover, &at).step(what)?;
    protect(&at)?;
    Ok(at.join(below))
}

/// Shows an entry of one directory in another.
fn copy(entry: &fs::DirEntry, to: &Path) -> std::io::Result<()> {
    let (from, kind) = (entry.path(), entry.file_type()?);
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    match kind.is_dir() {
        true => fs::create_dir(to)?,
        false => drop(File::create(to)?),
    }
    Ok(rustix::mount::mount_bind_recursive(from, to)?)
}

/// A directory in the memory of the root that is being built, for everybody to read.
fn own(stage: &Path, name: &str) -> std::io::Result<PathBuf> {
    let dir = stage.join(name);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn protect(at: &Path) -> Result<(), StepError> {
    let hard = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    sys::restrict_mount(&path(at)?, hard, true).step(|| format!("protect `{}`", at.display()))
}
