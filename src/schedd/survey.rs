//! Whether copies of the roots can be kept on pods: how large they are, and what they lie on.
//!
//! Asks for names and sizes alone; what is in the files is the index's business.

use super::left_out::LeftOut;
use crate::index::{LeaveOut, mounted_below, why_silent};
use crate::paths::Roots;
use crate::wire::files::MOST_FILE_BYTES;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// More names, of all roots, take too much memory and too long a walk at the hub's start.
const MOST_NAMES: u64 = 1_000_000;

/// What was counted so far.
#[derive(Debug, Default)]
struct Count {
    names: u64,
    bytes: u64,
}

/// Why the roots should rather be mounted than copied; none if nothing speaks against copies. Walks
/// them until it knows.
///
/// # Errors
/// A root is left out as a whole.
pub(super) fn why_no_copies(
    roots: &Roots,
    left_out: &LeftOut,
    most_bytes: u64,
) -> anyhow::Result<Option<String>> {
    let mut count = Count::default();
    for (_, root) in roots.iter() {
        let leave_out = LeaveOut::new(root, &left_out.0)?;
        let found = on_other_file_systems(root, &leave_out)
            .or_else(|| too_much(root, &leave_out, most_bytes, MOST_NAMES, &mut count));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// A copy follows by what the kernel tells of changes, and ends where another file system begins.
fn on_other_file_systems(root: &Path, leave_out: &LeaveOut) -> Option<String> {
    let shown = root.display();
    let silent = match File::open(root) {
        Ok(dir) => why_silent(dir.as_fd()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = silent {
        return Some(format!("root `{shown}`: {why}"));
    }
    let points = mounted_below(root);
    let point = points.iter().find(|point| {
        let way = Path::new(std::ffi::OsStr::from_bytes(point)).ancestors();
        !way.into_iter()
            .any(|dir| leave_out.has(dir.as_os_str().as_bytes()))
    })?;
    let point = String::from_utf8_lossy(point);
    Some(format!(
        "another file system is mounted at `{point}` in root `{shown}`"
    ))
}

fn too_much(
    root: &Path,
    leave_out: &LeaveOut,
    most_bytes: u64,
    most_names: u64,
    count: &mut Count,
) -> Option<String> {
    let walk = walkdir::WalkDir::new(root).min_depth(1).into_iter();
    let walk = walk.filter_entry(|entry| {
        let below = entry.path().strip_prefix(root);
        below.is_ok_and(|below| !leave_out.has(below.as_os_str().as_bytes()))
    });
    // What cannot be looked at is not copied.
    for entry in walk.flatten() {
        count.names += 1;
        if entry.file_type().is_file()
            && let Ok(found) = entry.metadata()
            && found.len() <= MOST_FILE_BYTES
        {
            count.bytes += found.len();
        }
        if count.names > most_names {
            return Some(format!("there are more than {most_names} names"));
        }
        if count.bytes > most_bytes {
            let gib = most_bytes >> 30;
            return Some(format!(
                "the roots hold more than {gib} GiB (`mirror_gib` in hub.toml)"
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn roots_are_counted_without_what_is_left_out_or_never_copied() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("out/deep")).unwrap();
        fs::create_dir(root.join("in")).unwrap();
        for (name, size) in [("out/deep/a", 900), ("in/b", 700), ("c", 200)] {
            fs::write(root.join(name), vec![0; size]).unwrap();
        }
        File::create(root.join("huge"))
            .and_then(|file| file.set_len(MOST_FILE_BYTES + 1))
            .unwrap();
        let some = LeaveOut::new(&root, &[(root.clone(), vec!["out".into()])]).unwrap();
        let all = LeaveOut::default();
        let ask = |leave_out: &LeaveOut, bytes, names| {
            too_much(&root, leave_out, bytes, names, &mut Count::default())
        };
        assert_eq!(ask(&some, 900, 4), None, "in, in/b, c and huge");
        assert!(ask(&some, 899, 4).unwrap().contains("`mirror_gib`"));
        assert!(ask(&all, 900, 100).unwrap().contains("`mirror_gib`"));
        assert!(ask(&some, 900, 3).unwrap().contains("3 names"));
        assert_eq!(ask(&all, 1800, 7), None);
    }

    #[test]
    fn what_tells_nothing_of_changes_is_not_copied() {
        let why = on_other_file_systems(Path::new("/proc"), &LeaveOut::default());
        assert!(why.unwrap().contains("root `/proc`: "));
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        assert_eq!(on_other_file_systems(&root, &LeaveOut::default()), None);
    }
}
