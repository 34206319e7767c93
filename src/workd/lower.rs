//! What has to be asked of the roots' own files before a job starts.

use crate::job::Output;
use crate::paths::{Bytes, RootId, RootPath};
use rustix::fs::FileType;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Directories that were found to be the worker's own. Should one be given away later, a job there
/// ends with EOVERFLOW, which counts as the pod's fault: late, but not wrong.
#[derive(Debug, Default)]
pub(crate) struct Owned(Mutex<HashSet<(RootId, PathBuf)>>);

impl Owned {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(RootId, PathBuf)>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// In an overlay nothing can be written in a directory of another user or group: the kernel gives
/// EOVERFLOW, which a tool reports as its own failure. `dirs` are the roots' directories here. Each
/// directory is asked about once: over a network every question is a round trip.
///
/// # Errors
/// Which directory or file, and whose it is.
pub(super) fn check_owners(
    outputs: &[Output],
    dirs: &[PathBuf],
    owned: &Owned,
) -> Result<(), String> {
    let ours = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    for output in outputs {
        let Some(files) = dirs.get(usize::from(output.at.root.0)) else {
            continue;
        };
        for place in output.at.below.as_path().ancestors() {
            let key = (output.at.root, place.to_path_buf());
            if owned.lock().contains(&key) {
                break;
            }
            let path = files.join(place);
            let Ok(stat) = rustix::fs::lstat(&path) else {
                continue;
            };
            if (stat.st_uid, stat.st_gid) != ours {
                return Err(format!(
                    "`{}` belongs to user {} and group {}, not to the worker's",
                    path.display(),
                    stat.st_uid,
                    stat.st_gid
                ));
            }
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                owned.lock().insert(key);
            }
        }
    }
    Ok(())
}

/// Directories to make below the outputs' directory (rewrite view), parents before children. Only
/// where the root has the directory: a tool that would fail for want of it shall.
pub(super) fn out_dirs(wanted: &[RootPath], dirs: &[PathBuf]) -> Vec<Bytes> {
    let mut made = Vec::new();
    for dir in wanted {
        let files = dirs.get(usize::from(dir.root.0));
        if files.is_some_and(|files| files.join(dir.below.as_path()).is_dir()) {
            let mut way = Path::new(&dir.root.0.to_string()).to_path_buf();
            for part in dir.below.as_path() {
                way.push(part);
                made.push(Bytes::from(way.as_path()));
            }
        }
    }
    made
}
