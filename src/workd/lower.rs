//! What has to be asked of the roots' own files before a job starts.

use crate::job::{Job, Output};
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

/// The directory below a root that a job writes in, whose tool [writes near] its outputs; empty is the
/// whole root, as where a link leads elsewhere from there. `files` is the root's directory here.
///
/// [writes near]: crate::rules::Pod::writes_near
pub(super) fn written(job: &Job, root: RootId, files: &Path) -> Bytes {
    let outputs = job.outputs.iter().map(|output| &output.at);
    let outputs = outputs.filter(|at| at.root == root);
    let mut near: Option<&Path> = (job.cwd.root == root).then(|| job.cwd.below.as_path());
    let mut places: Vec<&Path> = near.into_iter().collect();
    for output in outputs {
        let place = output.below.as_path();
        let dir = place.parent().unwrap_or(place);
        near = Some(near.map_or(dir, |near| common(near, dir)));
        places.push(place);
    }
    let near = near.unwrap_or(Path::new(""));
    // Such as are special in the options of an overlay.
    let is_plain = near
        .to_str()
        .is_some_and(|text| !text.contains([',', ':', '\\']));
    let lead_on = places.iter().all(|place| leads_on(files, place));
    if is_plain && lead_on && files.join(near).is_dir() {
        near.into()
    } else {
        Bytes::default()
    }
}

/// The innermost directory that holds both.
fn common<'a>(one: &'a Path, other: &Path) -> &'a Path {
    let mut ancestors = one.ancestors();
    let holds = ancestors.find(|dir| other.starts_with(dir));
    holds.unwrap_or(Path::new(""))
}

/// Whether no link is on the way to a place, nor at it.
fn leads_on(files: &Path, place: &Path) -> bool {
    let mut path = files.to_path_buf();
    for name in place {
        path.push(name);
        match rustix::fs::lstat(&path) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => return false,
            Ok(_) => {}
            // Nothing is below what is not there.
            Err(_) => return true,
        }
    }
    true
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Role;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_written_lies_near() {
        let space = tempfile::tempdir().unwrap();
        let files = space.path();
        for dir in ["build/sub/deep", "src", "odd,name"] {
            fs::create_dir_all(files.join(dir)).unwrap();
        }
        symlink("../src", files.join("build/link")).unwrap();
        symlink("../src/a.o", files.join("build/a.o")).unwrap();
        let at = |below: &str| RootPath {
            root: RootId(0),
            below: below.into(),
        };
        let written = |cwd: &str, outputs: &[&str]| {
            let output = |below: &&str| Output {
                at: at(below),
                role: Role::Output,
            };
            let mut job = Job::of_gcc(Vec::new(), at(cwd));
            job.outputs = outputs.iter().map(output).collect();
            super::written(&job, RootId(0), files).display().to_string()
        };
        for (cwd, outputs, near) in [
            ("build", &["build/sub/x.o", "build/sub/x.d"][..], "build"),
            ("build/sub", &["build/sub/deep/x.o"], "build/sub"),
            ("build/sub", &["build/x.o"], "build"),
            ("build", &["build/new/x.o"], "build"),
            ("build", &["src/x.o"], ""),
            ("src", &["build/x.o"], ""),
            ("", &["build/x.o"], ""),
            ("build", &["build/link/x.o"], ""),
            ("build", &["build/a.o"], ""),
            ("odd,name", &["odd,name/x.o"], ""),
            ("absent", &["absent/x.o"], ""),
            ("build", &[], "build"),
        ] {
            assert_eq!(written(cwd, outputs), near, "{cwd} {outputs:?}");
        }
    }
}
