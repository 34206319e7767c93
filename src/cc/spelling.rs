//! Another name of the working directory, and the symlinks that make it one.

use crate::paths::Roots;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Most symlinks on one way, as the kernel has it.
const MOST_LINKS: usize = 40;

/// The symlinks on the way from `/` along `path` into a root; none if it does not lead into one.
pub(super) fn links(path: &Path, roots: &Roots) -> Option<Vec<(PathBuf, PathBuf)>> {
    let parts = |path: &Path| -> Vec<OsString> {
        let names = path.components().filter(|part| *part != Component::RootDir);
        names.map(|part| part.as_os_str().to_owned()).collect()
    };
    let mut found = Vec::new();
    let mut at = PathBuf::from("/");
    let mut rest: VecDeque<_> = parts(path).into();
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        if roots.locate(Path::new("/"), &next).is_some() {
            return Some(found);
        }
        if let Ok(target) = fs::read_link(&next) {
            if found.len() == MOST_LINKS || next.starts_with("/tmp") {
                // A job's /tmp is its own.
                return None;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                rest.push_front(part);
            }
            found.push((next, target));
        } else {
            at = next;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn follows_the_links_into_a_root() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let dir = dir.path().canonicalize().unwrap();
        fs::create_dir_all(dir.join("data/project/sub")).unwrap();
        symlink("data", dir.join("home")).unwrap();
        symlink(dir.join("home/../home"), dir.join("again")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        let roots = Roots::new([dir.join("data/project")]).unwrap();
        let found = links(&dir.join("again/project/sub"), &roots).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|(path, _)| path.strip_prefix(&dir).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["again", "home", "home"]);
        assert_eq!(links(&dir.join("data"), &roots), None);
        assert_eq!(links(&dir.join("loop/x"), &roots), None);
    }
}
