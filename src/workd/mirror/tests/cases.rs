//! Single cases that went wrong once, or nearly.

use super::{Answer, Asked, FromPod, Out, Pair, Pod, find, split};
use crate::job::Digest;
use crate::paths::RootId;
use crate::wire::codec;
use crate::wire::files::{Change, Entry, EntryKind, More};
use crate::wire::messages::{SentWhy, Stamp, ToPod};
use rustix::fs::{CWD, FileType, Mode};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn mode(pod: &Pod, name: &str) -> u32 {
    let found = pod.place.join(name).symlink_metadata().unwrap();
    found.permissions().mode()
}

#[test]
fn equal_files_are_files_of_their_own() {
    let mut pair = Pair::new(1);
    let root = pair.root.clone();
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/y"), "equal").unwrap();
    pair.check("at first");
    // The directory is in the list, its file is not.
    fs::write(root.join("d/other"), "other").unwrap();
    fs::write(root.join("x"), "equal").unwrap();
    pair.check("with an equal file");
    // All names of a content are in the list, and one more.
    for name in ["x", "d/y"] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(root.join("a"), "equal").unwrap();
    fs::rename(root.join("d/y"), root.join("d/z")).unwrap();
    pair.check("with another");
    for name in ["a", "x", "d/z"] {
        let found = pair.pod.place.join(name).metadata().unwrap();
        assert_eq!(found.nlink(), 1, "{name}");
    }
}

#[test]
fn no_file_is_away_while_its_mode_changes() {
    let mut pair = Pair::new(2);
    let (one, two) = (pair.root.join("one"), pair.root.join("two"));
    fs::write(&one, "x").unwrap();
    fs::hard_link(&one, &two).unwrap();
    pair.check("at first");
    let before = pair.pod.place.join("one").metadata().unwrap().ino();
    fs::set_permissions(&one, fs::Permissions::from_mode(0o600)).unwrap();
    pair.check("after");
    let after = pair.pod.place.join("one").metadata().unwrap().ino();
    assert_eq!(before, after, "the same file, of another mode");
}

#[test]
fn a_file_that_nobody_opened_stays_the_same_file() {
    let mut pair = Pair::new(4);
    let (here, there) = (pair.root.join("a.o"), pair.pod.place.join("a.o"));
    let is_hollow = || {
        let found = fs::metadata(&there).unwrap();
        found.len() > 0 && found.blocks() == 0
    };
    let ino = || fs::metadata(&there).unwrap().ino();
    let replace = |pair: &mut Pair, content: String| {
        fs::write(&here, content).unwrap();
        pair.update();
        while pair.pump() {}
        let times = [&here, &there].map(|path| fs::metadata(path).unwrap().modified().unwrap());
        assert_eq!(times[0], times[1]);
    };
    replace(&mut pair, "one".repeat(5_000));
    let before = ino();
    replace(&mut pair, "three".repeat(7_000));
    assert_eq!((ino(), is_hollow()), (before, true));
    assert_eq!(fs::metadata(&there).unwrap().len(), 35_000);
    // Whoever opens it has what it stands for now.
    let (told, read) = std::sync::mpsc::channel();
    let path = there.clone();
    std::thread::spawn(move || told.send(fs::read(path)));
    let content = loop {
        pair.pod.hear(std::time::Duration::from_millis(20));
        while pair.pump() {}
        if let Ok(content) = read.try_recv() {
            break content.unwrap();
        }
    };
    assert_eq!(content, "three".repeat(7_000).into_bytes());
    // And what has content is replaced.
    replace(&mut pair, "two".repeat(6_000));
    assert_ne!(ino(), before);
    pair.check("at the end");
}

#[test]
fn jobs_wait_until_what_was_gone_is_told_anew() {
    let mut pair = Pair::new(3);
    let file = pair.root.join("a");
    fs::write(&file, "first").unwrap();
    pair.check("at first");
    pair.hub.made([Digest::of(b"second")].into_iter());
    fs::write(&file, "second").unwrap();
    pair.update();
    fs::write(&file, "third").unwrap();
    let (before, mut was_closed) = (pair.pod.lists.1, false);
    while pair.pump() {
        let is_closed = mode(&pair.pod, "a") & 0o777 == 0;
        was_closed |= is_closed;
        assert!(!is_closed || pair.pod.lists.1 == before, "a job saw it");
    }
    assert!(was_closed && pair.counts.1 == 1);
    assert_eq!(fs::read(pair.pod.place.join("a")).unwrap(), b"third");
    assert_eq!(pair.pod.lists.0, pair.pod.lists.1);
}

#[test]
fn what_could_not_be_read_once_is_told_again() {
    let mut pair = Pair::new(4);
    let file = pair.root.join("a");
    fs::write(&file, "first").unwrap();
    pair.check("at first");
    pair.hub.made([Digest::of(b"second")].into_iter());
    fs::write(&file, "second").unwrap();
    pair.update();
    while let Some(message) = pair.on_the_way.pop_front() {
        pair.pod.take(codec::decode(&message).unwrap());
    }
    let Ok(Out::Message(FromPod::Lacks { root, digests })) = pair.pod.asks.try_recv() else {
        panic!("nothing was asked for");
    };
    // Away while it is read, and there again before anybody looks: no change for the index.
    let aside = pair.root.join("../aside");
    fs::rename(&file, &aside).unwrap();
    let answers = Asked::new(find(&pair.indexes, root, &digests, SentWhy::Asked)).turn();
    fs::rename(&aside, &file).unwrap();
    assert!(matches!(answers[..], [Answer::Gone(_)]), "{answers:?}");
    let way = &mut pair.on_the_way;
    let mut tell = |message: &ToPod| {
        split(message, way);
        Ok(())
    };
    let told = pair
        .hub
        .gone(&mut pair.indexes, root, digests[0], &mut tell);
    told.unwrap();
    while pair.pump() {}
    assert_eq!(pair.pod.lists.0, pair.pod.lists.1, "no job waits for ever");
    assert_eq!(fs::read(pair.pod.place.join("a")).unwrap(), b"second");
    pair.check("after all");
}

#[test]
fn what_is_no_file_is_refused() {
    let mut pair = Pair::new(5);
    let pipe = pair.root.join("pipe");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    pair.settle();
    assert_eq!(mode(&pair.pod, "pipe"), 0o40_000, "nobody may look into it");
    pair.restart();
    pair.settle();
    assert_eq!(mode(&pair.pod, "pipe"), 0o40_000);
    fs::remove_file(&pipe).unwrap();
    fs::write(&pipe, "a file").unwrap();
    pair.check("a file");
}

/// A hub may not look into a directory, and then may again.
#[test]
fn a_closed_directory_is_opened_and_closed_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut pod = Pod::open(dir.path());
    let entry = |what, mode| Entry {
        what,
        mode,
        mtime: Stamp {
            seconds: 7,
            nanoseconds: 8,
        },
        group: None,
    };
    let link = EntryKind::Link { target: "x".into() };
    let change = |name: &str, entry| Change {
        name: name.into(),
        entry,
        later: false,
    };
    let lists = [
        vec![change("d", Some(entry(EntryKind::Dir, 0)))],
        vec![
            change("d", Some(entry(EntryKind::Dir, 0o755))),
            change("d/l", Some(entry(link, 0o777))),
        ],
        vec![
            change("d/l", None),
            change("d", Some(entry(EntryKind::Dir, 0))),
        ],
        vec![change("d", None)],
    ];
    let modes = [Some(0o40_000), Some(0o40_755), Some(0o40_000), None];
    for (changes, mode) in lists.into_iter().zip(modes) {
        pod.take(ToPod::Changes {
            root: RootId(0),
            changes,
            more: More::Nothing,
        });
        let found = pod.place.join("d").symlink_metadata().ok();
        assert_eq!(found.as_ref().map(MetadataExt::mode), mode);
        let time = found.map(|found| (found.mtime(), found.mtime_nsec()));
        assert!(time.is_none_or(|time| time == (7, 8)));
    }
}

#[test]
fn content_that_came_before_a_cut_is_not_asked_for_again() {
    let mut pair = Pair::new(6);
    for number in 0..50 {
        fs::write(pair.root.join(number.to_string()), [number; 1000]).unwrap();
    }
    pair.update();
    while pair.counts.0 == 0 || pair.on_the_way.len() < 20 {
        assert!(pair.pump());
    }
    for _ in 0..10 {
        let message = pair.on_the_way.pop_front().unwrap();
        pair.pod.take(crate::wire::codec::decode(&message).unwrap());
    }
    assert_eq!(pair.counts.0, 50);
    let damaged = pair.pod.place.join("../../content");
    let damaged = fs::read_dir(damaged).unwrap().flatten().next().unwrap();
    fs::write(damaged.path(), "damaged").unwrap();
    pair.on_the_way.clear();
    pair.restart();
    pair.check("after the cut");
    assert!(pair.counts.0 <= 91, "{} were asked for", pair.counts.0);
}
