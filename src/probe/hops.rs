//! The way of a look-up through symlinks.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows in one look-up (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The other symlinks that a look-up of this one passes, by their real places.
pub(super) fn of(link: &Path) -> Vec<PathBuf> {
    let Ok(text) = fs::read_link(link) else {
        return Vec::new();
    };
    let mut at = link.parent().unwrap_or(Path::new("/")).to_path_buf();
    // What is left to be looked up, the next part last.
    let mut left: Vec<OsString> = Vec::new();
    let mut passed = Vec::new();
    push(&mut left, &mut at, &text);
    while let Some(part) = left.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        at.push(part);
        if let Ok(text) = fs::read_link(&at) {
            passed.push(at.clone());
            if passed.len() > MOST_LINKS {
                break;
            }
            at.pop();
            push(&mut left, &mut at, &text);
        }
    }
    passed
}

fn push(left: &mut Vec<OsString>, at: &mut PathBuf, text: &Path) {
    if text.is_absolute() {
        *at = "/".into();
    }
    let parts = text.components().rev().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    left.extend(parts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn all_links_on_the_way_are_named() {
        let space = tempfile::tempdir().unwrap();
        let dir = space.path().canonicalize().unwrap();
        fs::create_dir_all(dir.join("real/sub")).unwrap();
        fs::write(dir.join("real/sub/file"), "").unwrap();
        symlink("real", dir.join("one")).unwrap();
        symlink(dir.join("one/../one/sub"), dir.join("two")).unwrap();
        symlink("two/file", dir.join("three")).unwrap();
        symlink("round", dir.join("round")).unwrap();
        let passed = of(&dir.join("three"));
        assert_eq!(passed, ["two", "one", "one"].map(|name| dir.join(name)));
        assert!(of(&dir.join("real/sub/file")).is_empty());
        assert!(!of(&dir.join("round")).is_empty(), "and it ends");
    }
}
