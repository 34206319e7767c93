//! Where symbolic links lead: by their texts, without the disk.

use super::path;
use crate::paths::normalise;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// As many as the kernel follows, path_resolution(7).
const MOST: usize = 40;

/// Whether following the link at `at` to its `target` leaves `root`. `link` tells the target of a
/// path below the root that is a link. A path that goes out and comes back in has left; one that
/// ends nowhere or runs in a circle stays.
pub(super) fn lead_outside<'a>(
    root: &Path,
    at: &[u8],
    target: &'a [u8],
    link: impl Fn(&[u8]) -> Option<&'a [u8]>,
) -> bool {
    let mut here = path::parent(at).to_vec();
    let mut todo: Vec<Vec<u8>> = Vec::new();
    if !follow(root, target, &mut here, &mut todo) {
        return true;
    }
    let mut followed = 1;
    while let Some(part) = todo.pop() {
        match part.as_slice() {
            b"" | b"." => {}
            b".." if here.is_empty() => return true,
            b".." => here.truncate(path::parent(&here).len()),
            name => {
                let next = path::join(&here, name);
                let Some(target) = link(&next) else {
                    here = next;
                    continue;
                };
                followed += 1;
                if followed > MOST {
                    return false;
                }
                if !follow(root, target, &mut here, &mut todo) {
                    return true;
                }
            }
        }
    }
    false
}

/// Puts the parts of a target in front of what is still to be gone; false if it is outside.
fn follow(root: &Path, target: &[u8], here: &mut Vec<u8>, todo: &mut Vec<Vec<u8>>) -> bool {
    let whole = Path::new(OsStr::from_bytes(target));
    if whole.is_absolute() {
        let clean = normalise(whole);
        // As it is written if it can be: what is below the root may be links.
        let below = whole.strip_prefix(root).or(clean.strip_prefix(root));
        let Ok(below) = below else {
            return false;
        };
        here.clear();
        push(below.as_os_str().as_bytes(), todo);
    } else {
        push(target, todo);
    }
    true
}

fn push(text: &[u8], todo: &mut Vec<Vec<u8>>) {
    todo.extend(text.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn by_text_and_through_other_links() {
        let links: BTreeMap<&str, &str> = [
            ("up", ".."),
            ("d/up", ".."),
            ("d/self", "."),
            ("circle", "d/../circle"),
            ("home", "/w/root/d"),
            ("etc", "/etc"),
        ]
        .into();
        let link = |path: &[u8]| {
            let target = links.get(std::str::from_utf8(path).unwrap())?;
            Some(target.as_bytes())
        };
        for (at, target, outside) in [
            ("a", "b", false),
            ("d/a", "../b", false),
            ("d/a", "../../b", true),
            ("a", "../root/b", true),
            ("a", "/w/root/b", false),
            ("a", "/w/./x/../root", false),
            ("a", "/w/root/d/up/../b", true),
            ("a", "/w/rootless", true),
            ("a", "nowhere/../../b", true),
            ("a", "d/up/b", false),
            ("a", "d/up/../b", true),
            ("a", "up/b", true),
            ("a", "d/self/self/up/up", true),
            ("a", "home/up", false),
            ("a", "home/../../b", true),
            ("a", "etc/passwd", true),
            ("a", "circle", false),
            ("a", "", false),
        ] {
            let found = lead_outside(Path::new("/w/root"), at.as_bytes(), target.as_bytes(), link);
            assert_eq!(found, outside, "{at} -> {target}");
        }
    }
}
