//! Makes room on a full disk, where copies of hubs' roots were too large for it.

use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs;
use std::io;
use std::path::Path;

/// With less room than this hardly a job can run.
const LEAST_BYTES: u64 = 64 << 20;

/// Removes the copies that no session uses, if the disk is full; true if there were any.
pub(crate) fn make_room(cache: &Path) -> bool {
    let folder = cache.join("mirror");
    let Ok(found) = rustix::fs::statvfs(cache) else {
        return false;
    };
    if found.f_bavail.saturating_mul(found.f_frsize) >= LEAST_BYTES {
        return false;
    }
    let removed = remove_unused(&folder);
    match &removed {
        Ok(0) => {}
        Ok(count) => tracing::warn!("the disk is full: removed {count} copies of hubs' files"),
        Err(error) => tracing::warn!(%error, "the disk is full, and copies cannot be removed"),
    }
    removed.is_ok_and(|count| count > 0)
}

fn remove_unused(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(entry.path(), flags, Mode::empty())?;
        if rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Not itself: whoever has it open would lock a folder that is not there.
            for inner in fs::read_dir(entry.path())? {
                let inner = inner?;
                match inner.file_type()?.is_dir() {
                    true => fs::remove_dir_all(inner.path())?,
                    false => fs::remove_file(inner.path())?,
                }
            }
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["ab.1", "ab.2"] {
            fs::create_dir_all(dir.path().join(name).join("content/x")).unwrap();
            fs::write(dir.path().join(name).join("boot"), "b").unwrap();
        }
        let used = fs::File::open(dir.path().join("ab.2")).unwrap();
        rustix::fs::flock(&used, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(remove_unused(dir.path()).unwrap(), 1);
        let left = |name: &str| fs::read_dir(dir.path().join(name)).unwrap().count();
        assert_eq!((left("ab.1"), left("ab.2")), (0, 2));
        assert_eq!(remove_unused(&dir.path().join("none")).unwrap(), 0);
    }
}
