//! Makes a `PWD` hold in the overlay view that reaches the working directory through symlinks
//! outside the roots, as a home that is a link does: compilers write `PWD` into what they make, but
//! only if it leads where they are.

use super::view::View;
use crate::paths::{Bytes, RootPath, Roots};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Most symlinks on one way, as the kernel has it.
const MOST_LINKS: usize = 40;

/// Gives the view what it needs for `pwd` to lead to `cwd`, if it does on the hub.
///
/// # Errors
/// The view cannot have it: why.
pub(crate) async fn make_known(view: &View, pwd: &Path, cwd: &RootPath) -> Result<(), String> {
    if view.roots.locate(Path::new("/"), pwd).is_some() {
        return Ok(());
    }
    let there = view.files.get(usize::from(cwd.root.0));
    let there = there.map(|files| files.join(cwd.below.as_path()));
    let same = match (fs::metadata(pwd), there.map(fs::metadata)) {
        (Ok(a), Some(Ok(b))) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    if !same {
        // Of no use to the tool here as there: it asks the kernel instead.
        return Ok(());
    }
    let unknown = || format!("PWD `{}` cannot be had in a view", pwd.display());
    let links = links(pwd, &view.roots).ok_or_else(unknown)?;
    let mut new: Vec<_> = links
        .into_iter()
        .map(|(a, b)| (bytes(&a), bytes(&b)))
        .collect();
    new.retain(|link| !view.links.borrow().contains(link));
    if new.is_empty() {
        return Ok(());
    }
    view.warden
        .link(new.clone())
        .await
        .map_err(|why| format!("{}: {why}", unknown()))?;
    view.links.borrow_mut().extend(new);
    Ok(())
}

fn bytes(path: &Path) -> Bytes {
    path.into()
}

/// The symlinks on the way from `/` along `path` into a root; none if it does not lead into one.
fn links(path: &Path, roots: &Roots) -> Option<Vec<(PathBuf, PathBuf)>> {
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
