//! What a walk finds in a root or in its copy.

use crate::job::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What there is at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thing {
    /// What it is, and of a file and a link what it holds.
    what: String,
    mode: u32,
    time: (i64, i64),
    /// The least of the names that it shares its inode with.
    group: Option<Vec<u8>>,
}

const DIRECTORY: &str = "directory";

pub(super) type Seen = BTreeMap<Vec<u8>, Thing>;

/// Reads everything. Modes are as a copy has them: its owner may read everything, and look into all
/// directories.
pub(super) fn seen(root: &Path) -> Seen {
    let content = |path: &Path| {
        let content = fs::read(path).unwrap();
        format!("{} bytes {}", content.len(), Digest::of(&content))
    };
    walk(root, content)
}

fn walk(root: &Path, content: impl Fn(&Path) -> String) -> Seen {
    let walk = walkdir::WalkDir::new(root).sort_by_file_name();
    let (mut least, mut all) = (BTreeMap::new(), Seen::new());
    for found in walk {
        let found = found.unwrap();
        let stat = found.path().symlink_metadata().unwrap();
        let name = found.path().strip_prefix(root).unwrap();
        let name = name.as_os_str().as_bytes().to_vec();
        let bits = stat.mode() & 0o777;
        let (what, mode) = if stat.is_file() {
            (content(found.path()), bits | 0o400)
        } else if stat.is_symlink() {
            let target = fs::read_link(found.path()).unwrap();
            (format!("-> {}", target.display()), 0)
        } else if stat.is_dir() {
            (DIRECTORY.into(), bits | 0o700)
        } else {
            (format!("{:?}", stat.file_type()), bits | 0o700)
        };
        let group = (stat.is_file() && stat.nlink() > 1)
            .then(|| least.entry(stat.ino()).or_insert(name.clone()).clone());
        let time = (stat.mtime(), stat.mtime_nsec());
        let thing = Thing {
            what,
            mode,
            time,
            group,
        };
        all.insert(name, thing);
    }
    all
}

/// While content goes from a copy, the time of its file's directory is another for a moment, and
/// of several names of one file some are another file. What differs from what stands `here` in
/// nothing but that is taken from a second look, which opens no file, so that nothing comes or goes.
pub(super) fn look_again(here: &Seen, there: &mut Seen, copy: &Path) {
    let again = walk(copy, |_| String::new());
    for (name, there) in there {
        let (Some(here), Some(again)) = (here.get(name), again.get(name)) else {
            continue;
        };
        let mut explained = there.clone();
        if here.what == DIRECTORY {
            explained.time = here.time;
        } else {
            explained.group.clone_from(&here.group);
        }
        if explained != *here || there == here {
            continue;
        }
        if here.what == DIRECTORY {
            there.time = again.time;
        } else {
            there.group.clone_from(&again.group);
        }
    }
}
