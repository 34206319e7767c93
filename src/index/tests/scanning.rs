//! Without events.

use super::super::How;
use super::*;

fn blind(space: &mut Space) {
    space.index.scan("a test wants it so".into());
}

#[test]
fn changes_are_found_by_walking() {
    let mut space = Space::new();
    blind(&mut space);
    let how = How::Scanning {
        why: "a test wants it so".into(),
    };
    assert_eq!(space.index.how(), &how);
    fs::create_dir_all(space.at("a/b")).unwrap();
    fs::write(space.at("a/b/file"), "one").unwrap();
    let before = space.settle();
    assert_eq!(space.settle(), before);
    let time = space.index.get(b"a/b/file").unwrap().mtime;
    fs::write(space.at("a/b/file"), "two").unwrap();
    set_mtime(&space.at("a/b/file"), time).unwrap();
    assert_eq!(space.settle(), before + 1);
    fs::rename(space.at("a"), space.at("c")).unwrap();
    space.settle();
    fs::remove_dir_all(space.at("c")).unwrap();
    space.settle();
    assert_eq!(space.index.len(), 1);
}

#[test]
fn two_writes_within_one_tick_are_told_apart() {
    let mut space = Space::new();
    blind(&mut space);
    let file = space.at("file");
    for round in 0..200 {
        fs::write(&file, format!("{round:03}")).unwrap();
        space.settle();
    }
}

#[test]
fn a_settled_file_is_not_read_again() {
    let mut space = Space::new();
    blind(&mut space);
    fs::write(space.at("file"), "one").unwrap();
    let later = |seconds| Time {
        seconds: Time::now().seconds + seconds,
        nanoseconds: 0,
    };
    space.index.settle_at(later(0)).unwrap();
    space.index.settle_at(later(10)).unwrap();
    let before = space.index.hashed;
    space.index.settle_at(later(20)).unwrap();
    assert_eq!(space.index.hashed, before);
}

#[test]
fn a_pseudo_file_system_is_scanned() {
    let index = Index::open(Path::new("/proc/self/fdinfo"), Options::default()).unwrap();
    assert!(matches!(index.how(), How::Scanning { .. }));
    assert_eq!(index.memory().watches, 0);
}
