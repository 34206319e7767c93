//! What has to be asked of the roots' own files before a job starts.

use crate::job::Output;
use crate::paths::{Bytes, RootPath};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// In an overlay nothing can be written in a directory of another user or group: the kernel gives
/// EOVERFLOW, which a tool reports as its own failure. `dirs` are the roots' directories here.
///
/// # Errors
/// Which directory or file, and whose it is.
pub(super) fn check_owners(outputs: &[Output], dirs: &[PathBuf]) -> Result<(), String> {
    let ours = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let mut seen = BTreeSet::new();
    for output in outputs {
        let Some(files) = dirs.get(usize::from(output.at.root.0)) else {
            continue;
        };
        for place in output.at.below.as_path().ancestors() {
            if !seen.insert((output.at.root, place)) {
                break;
            }
            let path = files.join(place);
            if let Ok(stat) = rustix::fs::lstat(&path)
                && (stat.st_uid, stat.st_gid) != ours
            {
                return Err(format!(
                    "`{}` belongs to user {} and group {}, not to the worker's",
                    path.display(),
                    stat.st_uid,
                    stat.st_gid
                ));
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
