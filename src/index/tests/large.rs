//! Large files, and many.

use super::*;
use std::os::unix::fs::FileExt;
use std::time::Instant;

fn small() -> Options {
    Options {
        hash_up_to: 1000,
        ..Options::default()
    }
}

fn is_unhashed(space: &Space, path: &str) -> bool {
    let unhashed = Content::Unhashed;
    matches!(space.kind(path), Some(Kind::File { content, .. }) if *content == unhashed)
}

#[test]
fn large_files_are_hashed_when_asked_for() {
    let dir = |root: &Path| fs::write(root.join("small"), "x").unwrap();
    let mut space = Space::with(small(), dir);
    let (large, other) = (vec![1; 1001], vec![2; 1001]);
    fs::write(space.at("large"), &large).unwrap();
    let before = space.index.settle().unwrap();
    assert!(is_unhashed(&space, "large"));
    assert_eq!(
        space.index.digest(b"large").unwrap(),
        Some(Digest::of(&large))
    );
    assert_eq!(space.settle(), before);
    assert_eq!(
        space.index.digest(b"small").unwrap(),
        Some(Digest::of(b"x"))
    );
    assert_eq!(space.index.digest(b"none").unwrap(), None);
    assert_eq!(space.index.digest(b"").unwrap(), None);
    // A change is told though nothing but the content is different.
    let time = space.index.get(b"large").unwrap().mtime;
    for content in [&other, &large] {
        let before = space.index.generation();
        fs::write(space.at("large"), content).unwrap();
        set_mtime(&space.at("large"), time).unwrap();
        space.index.settle().unwrap();
        assert!(is_unhashed(&space, "large"));
        assert_eq!(space.changes(before), ["large"]);
    }
    // Changed since the index was settled.
    fs::write(space.at("large"), &other).unwrap();
    assert_eq!(
        space.index.digest(b"large").unwrap(),
        Some(Digest::of(&other))
    );
    space.settle();
    fs::write(space.at("large"), "small now").unwrap();
    space.settle();
    assert_eq!(
        space.index.digest(b"large").unwrap(),
        Some(Digest::of(b"small now"))
    );
}

#[test]
fn what_is_much_is_read_elsewhere() {
    let mut space = Space::new();
    let contents = |byte| vec![byte; 9 << 20];
    for name in ["a", "b", "c"] {
        fs::write(space.at(name), contents(1)).unwrap();
    }
    let reading = space.index.much_to_read().unwrap().unwrap();
    assert!(space.index.is_half_way());
    // Meanwhile one changes, one goes, and one comes.
    fs::write(space.at("b"), contents(2)).unwrap();
    fs::remove_file(space.at("c")).unwrap();
    fs::write(space.at("d"), "x").unwrap();
    space.index.enter(reading.read()).unwrap();
    assert_eq!(space.digest("a"), Some(Digest::of(&contents(1))));
    assert!(space.index.much_to_read().unwrap().is_none(), "b is little");
    space.settle();
    assert!(!space.index.is_half_way());
}

#[test]
fn what_never_rests_is_not_waited_for() {
    let mut space = Space::new();
    let large = vec![1; 20 << 20];
    fs::write(space.at("large"), &large).unwrap();
    fs::write(space.at("small"), "x").unwrap();
    let reading = space.index.much_to_read().unwrap().unwrap();
    // Written while it is read.
    fs::write(space.at("large"), &large[1..]).unwrap();
    fs::write(space.at("small"), "y").unwrap();
    space.index.enter(reading.read()).unwrap();
    assert!(space.index.much_to_read().unwrap().is_some());
    space.index.lose_patience();
    assert!(space.index.much_to_read().unwrap().is_none());
    space.index.settle().unwrap();
    let unstable = Content::Unstable;
    assert!(
        matches!(space.kind("large"), Some(Kind::File { content, .. }) if *content == unstable)
    );
    assert_eq!(space.digest("small"), Some(Digest::of(b"y")));
    // It is left alone now.
    space.settle();
}

/// The largest that this process has been, in bytes.
fn peak() -> usize {
    status("VmHWM:")
}

fn status(field: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[test]
fn a_sparse_file_of_four_gib_is_never_in_memory() {
    let mut space = Space::new();
    let file = fs::File::create(space.at("sparse")).unwrap();
    file.set_len(4 << 30).unwrap();
    file.write_all_at(b"x", (4 << 30) - 1).unwrap();
    space.index.settle().unwrap();
    assert!(is_unhashed(&space, "sparse"));
    let before = peak();
    let digest = space.index.digest(b"sparse").unwrap().unwrap();
    assert!(peak() - before < 1 << 30);
    let mut hasher = blake3::Hasher::new();
    let zeros = vec![0; 1 << 20];
    for _ in 0..4095 {
        hasher.update(&zeros);
    }
    hasher.update(&zeros[1..]);
    hasher.update(b"x");
    assert_eq!(digest.0, *hasher.finalize().as_bytes());
}

#[test]
#[ignore = "takes a while; prints what it measures"]
fn a_hundred_thousand_files() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    for number in 0..100_000 {
        let parent = root.join(format!("some/directory/{}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&parent).unwrap();
        }
        let content = format!("{number}\n").repeat(number % 1000);
        fs::write(parent.join(format!("a-source-file-{number}.c")), content).unwrap();
    }
    let options = Options {
        cache_file: Some(dir.path().join("cache")),
        ..Options::default()
    };
    let resident = status("VmRSS:");
    let mut index = Index::open(&root, options.clone()).unwrap();
    let start = Instant::now();
    index.settle().unwrap();
    println!("first index: {:?}", start.elapsed());
    let memory = index.memory();
    let files = memory.entries;
    assert!(files > 100_000);
    let own = (memory.total_bytes - memory.names_bytes) / files;
    let names = memory.names_bytes / files;
    println!("memory a name: {own} bytes and {names} of the name, by reckoning");
    let grown = status("VmRSS:") - resident;
    println!("memory a name: {} bytes in all, resident", grown / files);
    assert!(own < 400);
    let start = Instant::now();
    for _ in 0..1000 {
        index.settle().unwrap();
    }
    println!("nothing changed: {:?}", start.elapsed() / 1000);
    let file = root.join("some/directory/7/a-source-file-700.c");
    let mut spent = std::time::Duration::ZERO;
    for number in 0..100 {
        fs::write(&file, format!("{number}")).unwrap();
        let before = index.generation();
        let start = Instant::now();
        index.settle().unwrap();
        assert_eq!(index.changes_since(before).unwrap().count(), 1);
        spent += start.elapsed();
    }
    println!("one file changed: {:?}", spent / 100);
    let start = Instant::now();
    let name = dir.path().join("root/some/directory/7/new.c");
    fs::write(&name, "").unwrap();
    index.settle().unwrap();
    println!("one file made: {:?}", start.elapsed());
    let start = Instant::now();
    fs::rename(root.join("some"), root.join("other")).unwrap();
    index.settle().unwrap();
    println!("the whole directory renamed: {:?}", start.elapsed());
    index.scan("a test wants it so".into());
    index.settle().unwrap();
    let later = Time {
        seconds: Time::now().seconds + 10,
        nanoseconds: 0,
    };
    index.settle_at(later).unwrap();
    let start = Instant::now();
    index.settle_at(later).unwrap();
    println!("scanned without events: {:?}", start.elapsed());
    index.save_at(later).unwrap();
    drop(index);
    let start = Instant::now();
    let mut index = Index::open(&root, options).unwrap();
    index.settle_at(later).unwrap();
    println!(
        "after a restart: {:?}, {} hashed",
        start.elapsed(),
        index.hashed
    );
    assert_eq!(index.hashed, 0);
}
