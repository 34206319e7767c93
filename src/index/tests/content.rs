//! Files whose content changes, in ways that show little.

use super::*;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::fs::OpenOptions;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};

fn mtime_of(path: &Path) -> Time {
    let stat = path.symlink_metadata().unwrap();
    Time {
        seconds: stat.mtime(),
        nanoseconds: u32::try_from(stat.mtime_nsec()).unwrap(),
    }
}

#[test]
fn same_size_and_same_time() {
    let mut space = Space::new();
    let file = space.at("a.h");
    fs::write(&file, "one").unwrap();
    let time = mtime_of(&file);
    let before = space.settle_late();
    fs::write(&file, "two").unwrap();
    set_mtime(&file, time).unwrap();
    let after = space.settle_late();
    assert!(after > before);
    assert_eq!(space.digest("a.h"), Some(Digest::of(b"two")));
    assert_eq!(space.changes(before), ["a.h"]);
}

#[test]
fn what_changes_nothing_is_no_change() {
    let mut space = Space::new();
    let file = space.at("a");
    fs::write(&file, "one").unwrap();
    let time = mtime_of(&file);
    let before = space.settle();
    assert_eq!(space.settle(), before);
    fs::write(&file, "two").unwrap();
    fs::write(&file, "one").unwrap();
    set_mtime(&file, time).unwrap();
    let mode = file.metadata().unwrap().permissions();
    fs::set_permissions(&file, mode).unwrap();
    fs::read(&file).unwrap();
    assert_eq!(space.settle(), before);
    assert!(space.changes(before).is_empty());
    let mut mode = file.metadata().unwrap().permissions();
    mode.set_mode(0o755);
    fs::set_permissions(&file, mode).unwrap();
    assert_eq!(space.settle(), before + 1);
}

#[test]
fn stores_through_a_mapping_are_heard_at_its_end() {
    let mut space = Space::new();
    for round in 0..50 {
        let file = space.at("mapped");
        fs::write(&file, [0; 8]).unwrap();
        let open = OpenOptions::new().read(true).write(true).open(&file);
        let open = open.unwrap();
        let mapping = Mapping::of(&open);
        drop(open);
        mapping.store(0, 1);
        space.settle_late();
        // The page is dirty already: neither time nor size tell of this one.
        let time = mtime_of(&file);
        mapping.store(1, round);
        assert_eq!(mtime_of(&file), time);
        drop(mapping);
        space.settle_late();
        assert_eq!(
            space.digest("mapped"),
            Some(Digest::of(&[1, round, 0, 0, 0, 0, 0, 0]))
        );
    }
}

#[test]
fn all_names_of_a_file_change_together() {
    let mut space = Space::new();
    fs::create_dir(space.at("d")).unwrap();
    fs::write(space.at("a"), "one").unwrap();
    space.settle_late();
    assert_eq!(space.index.get(b"a").unwrap().group, None);
    fs::hard_link(space.at("a"), space.at("d/b")).unwrap();
    let linked = space.settle_late();
    let group = space.index.get(b"a").unwrap().group;
    assert!(group.is_some());
    assert_eq!(space.index.get(b"d/b").unwrap().group, group);
    fs::write(space.at("d/b"), "two").unwrap();
    space.settle_late();
    assert_eq!(space.digest("a"), Some(Digest::of(b"two")));
    assert_eq!(space.changes(linked), ["a", "d/b"]);
    // Broken: each is its own file again.
    fs::write(space.at("c"), "two").unwrap();
    fs::rename(space.at("c"), space.at("a")).unwrap();
    space.settle_late();
    assert_eq!(space.index.get(b"a").unwrap().group, None);
    assert_eq!(space.index.get(b"d/b").unwrap().group, None);
}

#[test]
fn a_write_through_a_link_outside_is_seen() {
    let mut space = Space::new();
    let (inside, outside) = (space.at("a"), space.outside("a"));
    fs::write(&inside, "0000").unwrap();
    fs::hard_link(&inside, &outside).unwrap();
    // As often as not within one tick of the clock that gives files their times.
    let file = OpenOptions::new().write(true).open(&outside).unwrap();
    for round in 0..200 {
        file.write_all_at(format!("{round:04}").as_bytes(), 0)
            .unwrap();
        space.settle();
    }
}

#[test]
fn a_file_first_without_name_is_written_under_its_number() {
    let mut space = Space::new();
    fs::create_dir(space.at("d")).unwrap();
    space.settle_late();
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, space.at(""), flags, Mode::from(0o644)).unwrap();
    let file = fs::File::from(file);
    file.write_all_at(b"0000", 0).unwrap();
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, own, CWD, space.at("d/late"), AtFlags::SYMLINK_FOLLOW).unwrap();
    space.settle_late();
    for round in 0..100 {
        // By its handle alone: its name is not used.
        file.write_all_at(format!("{round:04}").as_bytes(), 0)
            .unwrap();
        space.settle_late();
    }
}

#[test]
fn a_file_is_written_under_a_name_that_is_gone() {
    let mut space = Space::new();
    fs::create_dir(space.at("d")).unwrap();
    let mut file = fs::File::create(space.at("temporary")).unwrap();
    fs::hard_link(space.at("temporary"), space.at("d/final")).unwrap();
    fs::remove_file(space.at("temporary")).unwrap();
    space.settle();
    for round in 0..100 {
        file.rewind().unwrap();
        file.write_all(format!("{round:04}").as_bytes()).unwrap();
        space.settle();
    }
}

#[test]
fn a_writer_that_never_rests_does_not_hold_up_others() {
    let mut space = Space::new();
    fs::write(space.at("quiet"), "quiet").unwrap();
    fs::write(space.at("log"), vec![1; 1 << 20]).unwrap();
    let log = OpenOptions::new()
        .write(true)
        .open(space.at("log"))
        .unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let is_unstable = |space: &Space| {
        let unstable = Content::Unstable;
        matches!(space.kind("log"), Some(Kind::File { content, .. }) if *content == unstable)
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut count = 0u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                count += 1;
                log.write_all_at(&[1; 4096], count % 64 * 4096).unwrap();
            }
        });
        // It may take a while until the writer has a processor, and for so long as we have one.
        let caught = (0..10_000).any(|_| {
            space.index.settle().unwrap();
            assert_eq!(space.digest("quiet"), Some(Digest::of(b"quiet")));
            std::thread::sleep(std::time::Duration::from_millis(1));
            is_unstable(&space)
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(caught, "it was never caught writing");
    });
    space.settle();
    assert!(!is_unstable(&space), "it came to rest");
}

#[test]
fn links_have_several_names_too() {
    let mut space = Space::new();
    std::os::unix::fs::symlink("nowhere", space.at("a")).unwrap();
    space.settle();
    fs::hard_link(space.at("a"), space.at("b")).unwrap();
    space.settle();
    let time = Time {
        seconds: 1,
        nanoseconds: 2,
    };
    set_mtime(&space.at("b"), time).unwrap();
    space.settle();
    assert_eq!(space.index.get(b"a").unwrap().mtime, time);
}

#[test]
fn what_happened_unheard_is_found_when_all_is_doubted() {
    let mut space = Space::new();
    fs::write(space.at("a"), "one").unwrap();
    let before = space.settle();
    fs::hard_link(space.at("a"), space.outside("a")).unwrap();
    fs::write(space.outside("a"), "changed").unwrap();
    fs::remove_file(space.outside("a")).unwrap();
    assert_eq!(space.index.settle().unwrap(), before, "nothing tells");
    space.index.doubt_all();
    space.settle();
}
