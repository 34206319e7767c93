//! What somebody else changed while the job ran.

use super::{Commit, Entry};
use crate::job::Written;
use crate::wire::messages::Stamp;
use std::io;
use std::path::Path;

impl Commit {
    /// What nobody said the job would write does not go over a file that somebody changed while the
    /// job ran, nor in the place of one that somebody removed. Then nothing is removed either: it may
    /// be what the job moved there. (Looked at before anything is put in place, since that changes
    /// other names of the same file.)
    pub(super) fn leave_what_is_newer(&mut self, stamp: Stamp) {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.is_overtaken(stamp));
        if self.entries.len() < before {
            self.entries.retain(|entry| entry.what != Written::Removed);
        }
    }
}

impl Entry {
    /// Whether the hub has something newer at the place of something unannounced.
    fn is_overtaken(&self, stamp: Stamp) -> bool {
        let was_there = match self.what {
            Written::File { was_there, .. } => was_there,
            Written::Symlink { .. } => false,
            Written::Directory { .. } | Written::Removed => return false,
        };
        self.role.is_none()
            && match std::fs::symlink_metadata(&self.path) {
                Ok(found) => !found.is_dir() && is_newer(&found, stamp),
                Err(error) => was_there && error.kind() == io::ErrorKind::NotFound,
            }
    }
}

/// Removes what the job removed, and only that: a file that came or changed after the job's state
/// was fixed is somebody else's, and so is a directory that is not empty.
pub(super) fn remove_unless_newer(path: &Path, stamp: Stamp) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.is_dir() {
        return match std::fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed,
        };
    }
    if is_newer(&found, stamp) {
        return Ok(());
    }
    std::fs::remove_file(path)
}

/// Whether a file came or changed after this time. (By the time that nobody can put back.)
fn is_newer(found: &std::fs::Metadata, stamp: Stamp) -> bool {
    use std::os::unix::fs::MetadataExt;
    (found.ctime(), found.ctime_nsec()) > (stamp.seconds, i64::from(stamp.nanoseconds))
}
