//! Names that come, go and change places.

use super::*;
use crate::index::doubt::Scope;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::symlink;

#[test]
fn directories_are_renamed_and_replaced() {
    let mut space = Space::with(Options::default(), |root| {
        for dir in ["one", "two"] {
            fs::create_dir_all(root.join(dir).join("sub")).unwrap();
            fs::write(root.join(dir).join("sub/file"), dir).unwrap();
        }
    });
    let content = |space: &Space, path: &str| space.digest(path).unwrap();
    let exchange = |space: &Space| {
        let (one, two) = (space.at("one"), space.at("two"));
        renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).unwrap();
    };
    exchange(&space);
    space.settle();
    assert_eq!(content(&space, "one/sub/file"), Digest::of(b"two"));
    // Each is still heard of under its own name.
    fs::write(space.at("one/sub/file"), "three").unwrap();
    fs::write(space.at("two/sub/new"), "four").unwrap();
    space.settle();
    // Both, before the index looks.
    exchange(&space);
    fs::write(space.at("one/sub/file"), "five").unwrap();
    fs::rename(space.at("one"), space.at("two/one")).unwrap();
    fs::create_dir_all(space.at("one/sub")).unwrap();
    fs::write(space.at("one/sub/file"), "six").unwrap();
    space.settle();
    assert_eq!(content(&space, "two/one/sub/file"), Digest::of(b"five"));
    fs::write(space.at("two/one/sub/file"), "7even").unwrap();
    space.settle();
    // Out of the root and back in, changed meanwhile.
    fs::rename(space.at("two/one"), space.outside("away")).unwrap();
    space.settle();
    fs::write(space.outside("away/sub/file"), "eight").unwrap();
    fs::rename(space.outside("away"), space.at("back")).unwrap();
    space.settle();
    fs::rename(space.at("back"), space.outside("away")).unwrap();
    fs::write(space.outside("away/sub/file"), "9ine!").unwrap();
    fs::rename(space.outside("away"), space.at("back")).unwrap();
    space.settle();
    assert_eq!(content(&space, "back/sub/file"), Digest::of(b"9ine!"));
}

#[test]
fn a_directory_is_moved_and_moved_back_while_the_index_looks() {
    let mut space = Space::with(Options::default(), |root| {
        fs::create_dir_all(root.join("one/dir/sub")).unwrap();
        fs::create_dir(root.join("two")).unwrap();
    });
    // What settling does, with the moves in between: it finds the directory at both places.
    fs::rename(space.at("one/dir"), space.at("two/dir")).unwrap();
    space.index.list(b"two", Scope::Names);
    fs::rename(space.at("two/dir"), space.at("one/dir")).unwrap();
    space.index.list(b"one", Scope::Names);
    space.settle();
    for new in ["one/dir/new", "one/dir/sub/new"] {
        fs::write(space.at(new), "heard of").unwrap();
        space.settle();
    }
}

#[test]
fn a_moved_directory_is_not_read_again() {
    let mut space = Space::with(Options::default(), |root| {
        fs::create_dir(root.join("one")).unwrap();
        fs::write(root.join("one/file"), "x").unwrap();
    });
    // The file is old enough for its digest to be believed.
    let later = Time {
        seconds: Time::now().seconds + 100,
        nanoseconds: 0,
    };
    fs::write(space.at("one/file"), "y").unwrap();
    space.index.settle_at(later).unwrap();
    for (from, to) in [("one", "two"), ("two", "a"), ("a", "z")] {
        fs::rename(space.at(from), space.at(to)).unwrap();
        let before = space.index.hashed;
        space.index.settle_at(later).unwrap();
        assert_eq!(space.index.hashed, before);
        space.check();
    }
    fs::write(space.at("z/file"), "z").unwrap();
    fs::rename(space.at("z"), space.at("b")).unwrap();
    space.index.settle_at(later).unwrap();
    space.check();
}

#[test]
fn changes_can_be_applied_in_their_order() {
    let mut space = Space::with(Options::default(), |root| {
        fs::create_dir_all(root.join("old/deep")).unwrap();
        fs::write(root.join("old/deep/file"), "").unwrap();
        fs::write(root.join("old/file"), "").unwrap();
        fs::write(root.join("file"), "").unwrap();
    });
    let all = space.changes(0);
    assert_eq!(
        all,
        ["", "old", "old/deep", "file", "old/deep/file", "old/file"]
    );
    let before = space.index.generation();
    fs::remove_dir_all(space.at("old")).unwrap();
    symlink("new/deep/x", space.at("a")).unwrap();
    fs::create_dir_all(space.at("new/deep")).unwrap();
    fs::write(space.at("new/deep/x"), "").unwrap();
    space.settle();
    let expected = [
        "-old/file",
        "-old/deep/file",
        "-old/deep",
        "-old",
        "",
        "new",
        "new/deep",
        "new/deep/x",
        "a",
    ];
    assert_eq!(space.changes(before), expected);
    let after = space.index.generation();
    assert!(space.changes(after).is_empty());
    assert!(space.index.changes_since(after + 1).is_none());
    // A name that came back is told once, and as what it is now.
    fs::write(space.at("old"), "").unwrap();
    space.settle();
    assert_eq!(space.changes(after), ["", "old"]);
    assert!(!space.changes(before).contains(&"-old".to_owned()));
}

#[test]
fn old_removals_are_forgotten_and_said_to_be() {
    let mut space = Space::new();
    let start = space.index.generation();
    let stat = super::super::Stat::from(rustix::fs::stat("/").unwrap());
    let node = || super::super::node::Node::new(&stat, Kind::Other, Time::default());
    let mut last = start;
    for number in 0..70_000 {
        let name = format!("x{number}");
        space.index.table.put(name.as_bytes(), node(), false);
        last = space.index.generation();
        space.index.table.remove(name.as_bytes());
    }
    assert!(space.index.changes_since(start).is_none());
    assert_eq!(space.changes(last), ["-x69999"]);
    assert_eq!(space.changes(0), [""]);
}

#[test]
fn links_that_lead_out_are_noted() {
    let mut space = Space::new();
    let outside = |space: &Space, path: &str| match space.kind(path) {
        Some(Kind::Link { outside, .. }) => *outside,
        other => panic!("{other:?}"),
    };
    fs::create_dir(space.at("d")).unwrap();
    symlink("d/file", space.at("in")).unwrap();
    symlink("../x", space.at("out")).unwrap();
    symlink("/etc/passwd", space.at("far")).unwrap();
    symlink(space.at("d"), space.at("absolute")).unwrap();
    symlink("d/way/file", space.at("through")).unwrap();
    space.settle();
    let all = ["in", "out", "far", "absolute", "through"];
    let found = all.map(|path| outside(&space, path));
    assert_eq!(found, [false, true, true, false, false]);
    let before = space.index.generation();
    symlink("../..", space.at("d/way")).unwrap();
    space.settle();
    assert!(outside(&space, "through"));
    assert!(space.changes(before).contains(&"through".to_owned()));
    fs::remove_file(space.at("d/way")).unwrap();
    fs::create_dir(space.at("d/way")).unwrap();
    space.settle();
    assert!(!outside(&space, "through"));
}

#[test]
fn what_a_link_leads_to_is_never_taken_for_the_roots() {
    let mut space = Space::new();
    fs::create_dir_all(space.outside("secret/sub")).unwrap();
    fs::write(space.outside("secret/sub/key"), "key").unwrap();
    fs::create_dir_all(space.at("d/sub")).unwrap();
    fs::write(space.at("d/sub/key"), "own").unwrap();
    space.settle();
    fs::write(space.at("d/sub/key"), "own").unwrap();
    fs::write(space.at("d/sub/new"), "own").unwrap();
    fs::rename(space.at("d"), space.outside("d")).unwrap();
    symlink(space.outside("secret"), space.at("d")).unwrap();
    space.settle();
    assert_eq!(space.index.get(b"d/sub/key"), None);
    assert!(matches!(
        space.kind("d"),
        Some(Kind::Link { outside: true, .. })
    ));
}

#[test]
fn directories_and_files_are_made_faster_than_heard_of() {
    let mut space = Space::new();
    for round in 0..10 {
        let root = space.at("");
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let top = root.join(format!("w{worker}-{round}"));
                scope.spawn(move || {
                    for number in 0..50 {
                        let dir = top.join(format!("{}/{number}", number % 7));
                        fs::create_dir_all(&dir).unwrap();
                        fs::write(dir.join("file"), number.to_string()).unwrap();
                        if number % 5 == 0 {
                            fs::rename(&dir, top.join(format!("moved{number}"))).unwrap();
                        }
                    }
                });
            }
            // While they are at it.
            for _ in 0..5 {
                space.index.settle().unwrap();
            }
        });
        space.settle();
    }
}

#[test]
fn files_vanish_while_they_are_hashed() {
    let mut space = Space::new();
    let root = space.at("");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                number += 1;
                let path = root.join(format!("f{}", number % 20));
                fs::write(&path, vec![1; 100_000]).unwrap();
                let older = root.join(format!("f{}", (number + 10) % 20));
                let _ = fs::remove_file(older);
            }
        });
        for _ in 0..50 {
            space.index.settle().unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    space.settle();
}

#[test]
fn more_happens_than_the_kernel_keeps() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let mut space = Space::new();
    fs::create_dir(space.at("d")).unwrap();
    fs::write(space.at("d/kept"), "old").unwrap();
    space.settle();
    // Two names in turn, since equal events in a row are merged.
    for number in 0..=limit {
        fs::write(space.at(["x", "y"][number % 2]), "").unwrap();
    }
    fs::write(space.at("d/kept"), "new").unwrap();
    fs::create_dir(space.at("d/sub")).unwrap();
    space.settle();
    assert_eq!(space.digest("d/kept"), Some(Digest::of(b"new")));
    assert_eq!(space.index.how(), &super::super::How::Watching);
    fs::write(space.at("d/sub/file"), "later").unwrap();
    space.settle();
}

#[test]
fn the_root_itself_is_replaced() {
    let mut space = Space::new();
    fs::write(space.at("a"), "one").unwrap();
    space.settle();
    fs::rename(space.at(""), space.outside("old")).unwrap();
    let error = space.index.settle().unwrap_err();
    assert!(
        error.to_string().starts_with("cannot open root `"),
        "{error}"
    );
    fs::create_dir(space.at("")).unwrap();
    fs::write(space.at("a"), "two").unwrap();
    space.settle();
    fs::write(space.at("a"), "six").unwrap();
    fs::write(space.outside("old/a"), "not this").unwrap();
    space.settle();
}
