//! Which copies go, and when.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn copy(cache: &Path, name: &str, bytes: u64, unused: Duration) -> PathBuf {
    let path = cache.join("mirror").join(name);
    fs::create_dir_all(path.join("content/x")).unwrap();
    fs::create_dir_all(path.join("root/files/closed")).unwrap();
    fs::write(path.join("root/files/a"), "a").unwrap();
    let closed = fs::Permissions::from_mode(0o0);
    fs::set_permissions(path.join("root/files/closed"), closed).unwrap();
    fs::write(path.join(NOTE), bytes.to_string()).unwrap();
    let note = fs::File::options().write(true).open(path.join(NOTE));
    note.unwrap()
        .set_modified(SystemTime::now() - unused)
        .unwrap();
    path
}

fn use_it(path: &Path) -> fs::File {
    let used = fs::File::open(path).unwrap();
    rustix::fs::flock(&used, FlockOperation::NonBlockingLockExclusive).unwrap();
    used
}

#[test]
fn what_is_unused_for_longest_goes_first_and_never_what_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path();
    let all: Vec<PathBuf> = (1..=4)
        .map(|n| copy(cache, &format!("ab.{n}"), 100, n * DAY))
        .collect();
    let left = || all.iter().map(|it| it.exists()).collect::<Vec<_>>();
    Room::new(cache, 400).tidy();
    assert_eq!(left(), [true; 4]);
    let used = use_it(&all[3]);
    Room::new(cache, 399).tidy();
    assert_eq!(left(), [true, true, false, true]);
    Room::new(cache, 0).tidy();
    assert_eq!(left(), [false, false, false, true]);
    drop(used);
    assert!(!make_room(cache), "the disk is not full");
    Room::new(cache, 0).tidy();
    assert_eq!(left(), [false; 4]);
    Room::new(&cache.join("none"), 0).tidy();
}

#[test]
fn what_nobody_used_for_long_goes_in_any_case() {
    let dir = tempfile::tempdir().unwrap();
    let old = copy(dir.path(), "ab.1", 0, 31 * DAY);
    let young = copy(dir.path(), "ab.2", 0, 29 * DAY);
    // One of an earlier version, without a note.
    let bare = copy(dir.path(), "cd.1", 0, DAY);
    fs::remove_file(bare.join(NOTE)).unwrap();
    Room::new(dir.path(), u64::MAX).tidy();
    assert_eq!(
        [old, young, bare.clone()].map(|it| it.exists()),
        [false, true, true]
    );
    Room::new(dir.path(), 1).tidy();
    assert!(!bare.exists(), "what it takes was counted");
}

#[test]
fn each_has_a_part_that_the_others_leave() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (
        copy(dir.path(), "ab.1", 0, DAY),
        copy(dir.path(), "cd.1", 0, DAY),
    );
    let _used = [use_it(&one), use_it(&two)];
    let room = Room::new(dir.path(), 100 << 20);
    let (mut one, mut two) = (room.own(&one), room.own(&two));
    assert_eq!(one.over(90 << 20), 0);
    assert_eq!(one.over(101 << 20), 1 << 20);
    two.read = None;
    assert_eq!(two.over(40 << 20), 0, "less than its part");
    one.read = None;
    assert_eq!(one.over(80 << 20), 20 << 20);
    assert_eq!(one.over(60 << 20), 0);
}
