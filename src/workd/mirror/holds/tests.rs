//! Files that are held up.

use super::super::Command;
use super::*;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::mpsc;

#[test]
fn one_who_only_looks_ends_no_mirror() {
    let dir = tempfile::tempdir().unwrap();
    let (commands, _told) = mpsc::channel();
    let leases = leases(dir.path(), None, commands).unwrap();
    let path = dir.path().join("a");
    let file = File::create(&path).unwrap();
    let looks = File::open(&path).unwrap();
    assert_eq!(
        leases.ear.hold(&file).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    let looking = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        drop(looks);
    });
    let until = Instant::now() + Duration::from_secs(10);
    assert!(hold_once_closed(&file, &leases, until).unwrap());
    looking.join().unwrap();
    assert!(!lease::is_opened(&file));
}

#[test]
fn a_spare_that_somebody_has_looked_at_holds_up_nobody_and_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let (commands, _told) = mpsc::channel();
    let leases = leases(dir.path(), None, commands).unwrap();
    leases.file(&dir.path().join("a")).unwrap();
    while !leases.is_provided() {
        leases.provide();
    }
    let spares = fs::read_dir(dir.path()).unwrap().flatten();
    let spares = spares.filter(|it| it.file_name().as_encoded_bytes().starts_with(b"spare"));
    for spare in spares {
        let looks = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(spare.path());
        assert_eq!(looks.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    let made = leases.file(&dir.path().join("b")).unwrap();
    assert!(!lease::is_opened(&made));
    // And new ones are made in their places.
    leases.provide();
    let made = leases.file(&dir.path().join("c")).unwrap();
    assert!(!lease::is_opened(&made));
}

#[test]
fn a_file_without_content_is_one_that_was_made_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let (commands, told) = mpsc::channel();
    let leases = leases(dir.path(), None, commands).unwrap();
    let spares = || -> BTreeMap<u64, PathBuf> {
        let found = fs::read_dir(dir.path()).unwrap().flatten();
        let spares = found.filter(|it| it.file_name().as_encoded_bytes().starts_with(b"spare"));
        spares.map(|it| (it.ino(), it.path())).collect()
    };
    assert!(leases.is_provided(), "nobody wanted one");
    let made = leases.file(&dir.path().join("a")).unwrap();
    assert!(!lease::is_opened(&made));
    while !leases.is_provided() {
        leases.provide();
    }
    let before = spares();
    let mut holds = Holds::default();
    let content = (Digest::of(b"b"), 5);
    let at = dir.path().join("b");
    let fd = holds
        .make(
            &at,
            content,
            Stamp {
                seconds: 1,
                nanoseconds: 0,
            },
            &leases,
        )
        .unwrap();
    assert!(before.contains_key(&fs::metadata(&at).unwrap().ino()));
    assert_eq!(
        (spares().len(), leases.is_provided()),
        (before.len() - 1, false)
    );
    let opening = std::thread::spawn(move || fs::read(at));
    while !matches!(told.recv().unwrap(), Command::Opened(opened, _) if opened == fd) {}
    drop(holds);
    assert_eq!(opening.join().unwrap().unwrap(), [0; 5]);
    // Somebody tidied up.
    spares()
        .values()
        .for_each(|it| fs::remove_file(it).unwrap());
    let made = leases.file(&dir.path().join("c")).unwrap();
    assert!(dir.path().join("c").is_file());
    assert!(!lease::is_opened(&made));
}
