//! Commits on a real disk.

use super::*;
use std::os::unix::fs::MetadataExt;

const STAMP: Stamp = Stamp {
    seconds: 1_700_000_000,
    nanoseconds: 5,
};

fn file(mode: u32) -> Written {
    Written::File {
        mode,
        size_bytes: 0,
        was_there: false,
    }
}

/// A file that was there, changed.
fn changed() -> Written {
    Written::File {
        mode: 0o644,
        size_bytes: 0,
        was_there: true,
    }
}

fn commit_one(path: &Path, content: &[u8], digest: Digest) -> Result<(), CommitError> {
    let mut commit = Commit::default();
    commit.begin(0, path.into(), Some(Role::Output), file(0o640))?;
    commit.write(0, content)?;
    commit.finish(STAMP, &[(0, digest)], &|_| true)
}

#[test]
fn a_file_carries_mode_and_stamp_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.o");
    for content in [&b"first"[..], b"second"] {
        commit_one(&path, content, Digest::of(content)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!(
        (found.mode() & 0o7777, found.mtime(), found.mtime_nsec()),
        (0o640, 1_700_000_000, 5)
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_wrong_digest_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.o");
    std::fs::write(&path, "old").unwrap();
    let error = commit_one(&path, b"new", Digest::of(b"other")).unwrap_err();
    assert!(error.to_string().contains("a.o"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_a_killed_wrapper_left_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.o");
    std::fs::write(&path, "old").unwrap();
    std::fs::write(temporary_of(&path), "left behind").unwrap();
    commit_one(&path, b"new", Digest::of(b"new")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_a_living_wrapper_has_set_aside_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.o");
    std::fs::write(&path, "old").unwrap();
    let other = Aside::of(&path);
    other.make(|named| std::fs::write(named, "others")).unwrap();
    assert_eq!(other.named, temporary_of(&path));
    commit_one(&path, b"new", Digest::of(b"new")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
    assert_eq!(std::fs::read(&other.named).unwrap(), b"others");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn files_that_cannot_be_without_a_name_have_one_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.o");
    let (_one, first) = temporary::named(dir.path(), &path).unwrap();
    let (two, second) = temporary::named(dir.path(), &path).unwrap();
    assert!(first == temporary_of(&path) && second != first);
    // Of one that is dead the name is taken, with what it left.
    drop(two);
    std::fs::write(&first, "others").unwrap();
    let (_two, again) = temporary::named(dir.path(), &path).unwrap();
    assert_eq!(again, second);
    assert_eq!(std::fs::read(&first).unwrap(), b"others");
}

#[test]
fn many_that_write_one_output_all_put_it_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.o");
    let write = |letter: u8| {
        let content = vec![letter; 10_000];
        for _ in 0..200 {
            commit_one(&path, &content, Digest::of(&content)).unwrap();
        }
    };
    // One of these names is of the process: of more than two threads some would share it.
    std::thread::scope(|scope| {
        for letter in [b'a', b'b'] {
            scope.spawn(move || write(letter));
        }
    });
    let left = std::fs::read(&path).unwrap();
    assert!(left.len() == 10_000 && left.iter().all(|byte| *byte == left[0]));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_primary_output_comes_last() {
    let roles = [
        Some(Role::Output),
        None,
        Some(Role::Depfile),
        Some(Role::SideOutput),
    ];
    let mut turns: Vec<_> = roles
        .into_iter()
        .map(|role| Entry {
            index: 0,
            path: "x".into(),
            role,
            what: file(0),
            content: None,
        })
        .collect();
    turns.push(Entry {
        index: 0,
        path: "x".into(),
        role: None,
        what: Written::Removed,
        content: None,
    });
    turns.sort_by_key(Entry::turn);
    let order: Vec<_> = turns.iter().map(|entry| entry.role).collect();
    assert_eq!(
        order,
        [
            None,
            None,
            Some(Role::SideOutput),
            Some(Role::Depfile),
            Some(Role::Output)
        ]
    );
}

#[test]
fn links_directories_and_removals() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("gone"), "").unwrap();
    let mut commit = Commit::default();
    commit
        .begin(0, at("new"), None, Written::Directory { mode: 0o750 })
        .unwrap();
    commit.begin(1, at("new/f"), None, file(0o600)).unwrap();
    commit
        .begin(
            2,
            at("link"),
            None,
            Written::Symlink {
                target: "new/f".into(),
            },
        )
        .unwrap();
    commit.begin(3, at("gone"), None, Written::Removed).unwrap();
    commit.write(1, b"content").unwrap();
    commit
        .finish(LATER, &[(1, Digest::of(b"content"))], &|_| true)
        .unwrap();
    assert_eq!(std::fs::read(at("link")).unwrap(), b"content");
    assert_eq!(std::fs::metadata(at("new")).unwrap().mode() & 0o777, 0o750);
    assert!(!at("gone").exists());
}

#[test]
fn an_unwritable_place_is_named() {
    let error = commit_one(Path::new("/proc/self/x.o"), b"", Digest::of(b"")).unwrap_err();
    assert!(error.to_string().contains("/proc/self"), "{error}");
}

/// Later than any file of these tests.
const LATER: Stamp = Stamp {
    seconds: 40_000_000_000,
    nanoseconds: 0,
};

/// What one job changed, in the order in which a pod tells it; of files, the content is the name.
fn commit_all(dir: &Path, stamp: Stamp, changes: &[(&str, Written)]) -> Result<(), CommitError> {
    let mut commit = Commit::default();
    let mut digests = Vec::new();
    for (index, (name, what)) in (0..).zip(changes) {
        commit.begin(index, dir.join(name), None, what.clone())?;
        if matches!(what, Written::File { .. }) {
            commit.write(index, name.as_bytes())?;
            digests.push((index, Digest::of(name.as_bytes())));
        }
    }
    commit.finish(stamp, &digests, &|path: &Path| {
        let parent = path.parent().unwrap().canonicalize();
        parent.is_ok_and(|real| real.starts_with(dir))
    })
}

const DIRECTORY: Written = Written::Directory { mode: 0o550 };

#[test]
fn a_file_becomes_a_directory_and_the_other_way() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    std::fs::write(dir.join("one"), "old").unwrap();
    std::fs::create_dir(dir.join("two")).unwrap();
    let changes = [
        ("one", Written::Removed),
        ("one", DIRECTORY),
        ("one/in", file(0o644)),
        ("one/deep", DIRECTORY),
        ("one/deep/er", file(0o644)),
        ("two", Written::Removed),
        ("two", file(0o644)),
    ];
    commit_all(&dir, LATER, &changes).unwrap();
    assert_eq!(
        std::fs::read(dir.join("one/deep/er")).unwrap(),
        b"one/deep/er"
    );
    assert_eq!(std::fs::read(dir.join("two")).unwrap(), b"two");
    let mode = std::fs::metadata(dir.join("one")).unwrap().mode() & 0o7777;
    assert_eq!(mode, 0o550, "given last, or nothing could be put into it");
}

#[test]
fn what_came_while_the_job_ran_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    std::fs::create_dir(dir.join("d")).unwrap();
    std::fs::write(dir.join("d/mine"), "newer than the stamp").unwrap();
    let changes = [("d/mine", Written::Removed), ("d", Written::Removed)];
    commit_all(&dir, STAMP, &changes).unwrap();
    assert!(dir.join("d/mine").exists());
    commit_all(&dir, LATER, &changes).unwrap();
    assert!(!dir.join("d").exists());
}

#[test]
fn a_link_of_the_same_job_leads_nothing_outside() {
    let outside = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    std::fs::create_dir(dir.join("d")).unwrap();
    std::os::unix::fs::symlink("d", dir.join("by")).unwrap();
    let target = outside.path().into();
    let link = Written::Symlink { target };
    for changes in [
        [
            ("d", Written::Removed),
            ("d", link.clone()),
            ("d/key", file(0o644)),
        ],
        [
            ("d", Written::Removed),
            ("d", link.clone()),
            ("by/key", file(0o644)),
        ],
        [
            ("d", Written::Removed),
            ("d", link.clone()),
            ("by/key", link),
        ],
    ] {
        commit_all(&dir, LATER, &changes).unwrap_err();
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        let _ = std::fs::remove_file(dir.join("d"));
        std::fs::create_dir_all(dir.join("d")).unwrap();
    }
}

#[test]
fn nothing_is_seen_of_a_job_that_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut commit = Commit::default();
    let new = dir.path().join("new");
    commit.begin(0, new.clone(), None, DIRECTORY).unwrap();
    commit.begin(1, new.join("x"), None, file(0o644)).unwrap();
    commit.write(1, b"x").unwrap();
    drop(commit);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn files_that_wait_in_one_directory_have_names_of_their_own() {
    let dir = Path::new("/root");
    let inner = temporary::temporary_in(dir, Path::new("/root/new/a.o"));
    let other = temporary::temporary_in(dir, Path::new("/root/more/a.o"));
    assert!(inner != other && inner.parent() == Some(dir));
    let beside = Path::new("/root/a.o");
    assert_eq!(temporary::temporary_in(dir, beside), temporary_of(beside));
}

#[test]
fn what_nobody_announced_does_not_go_over_what_came_while_the_job_ran() {
    let link = || Written::Symlink {
        target: "elsewhere".into(),
    };
    let make = || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        for name in ["edited", "link", "moved"] {
            std::fs::write(path.join(name), "the user's").unwrap();
        }
        (dir, path)
    };
    let changes = [
        ("edited", changed()),
        ("link", link()),
        ("gone", changed()),
        ("made", file(0o644)),
        ("moved", Written::Removed),
    ];
    let (_dir, path) = make();
    commit_all(&path, STAMP, &changes).unwrap();
    for name in ["edited", "link", "moved"] {
        assert_eq!(std::fs::read(path.join(name)).unwrap(), b"the user's");
    }
    assert!(!path.join("gone").exists());
    assert_eq!(std::fs::read(path.join("made")).unwrap(), b"made");
    // Of before the job they are what it changed.
    let (_dir, path) = make();
    let changes = changes.into_iter().filter(|(name, _)| *name != "gone");
    commit_all(&path, LATER, &changes.collect::<Vec<_>>()).unwrap();
    assert_eq!(std::fs::read(path.join("edited")).unwrap(), b"edited");
    assert!(path.join("link").is_symlink() && !path.join("moved").exists());
}

#[test]
fn other_names_of_what_a_job_wrote_are_its_own_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    std::fs::write(path.join("one"), "old").unwrap();
    std::fs::hard_link(path.join("one"), path.join("two")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    let stamp = Stamp {
        seconds: time.tv_sec,
        nanoseconds: u32::try_from(time.tv_nsec).unwrap(),
    };
    std::thread::sleep(std::time::Duration::from_millis(20));
    commit_all(&path, stamp, &[("one", changed()), ("two", changed())]).unwrap();
    for name in ["one", "two"] {
        assert_eq!(std::fs::read(path.join(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn what_was_announced_goes_over_what_is_there_as_the_tools_own_would() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.o");
    std::fs::write(&path, "newer than the stamp").unwrap();
    commit_one(&path, b"new", Digest::of(b"new")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
}
