//! A copy that may hold only so much.

use super::{NEVER, Pair, whatever_happens};
use crate::job::Digest;
use crate::paths::{RootId, RootPath};
use crate::wire::messages::ToPod;
use crate::workd::mirror::Command;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

const LARGE_BYTES: usize = 300 << 10;

fn large(byte: u8) -> Vec<u8> {
    vec![byte; LARGE_BYTES]
}

fn at(name: &str) -> RootPath {
    RootPath {
        root: RootId(0),
        below: name.into(),
    }
}

/// With files `f0` to `f4`, all large, and two that are small.
fn pair(seed: u64, limit_bytes: u64) -> Pair {
    let mut pair = Pair::new(seed);
    for number in 0..5 {
        fs::write(pair.root.join(format!("f{number}")), large(number)).unwrap();
    }
    fs::write(pair.root.join("small"), "small").unwrap();
    fs::write(pair.root.join("small.o"), "a product").unwrap();
    pair.limit(limit_bytes);
    pair.settle();
    pair
}

impl Pair {
    /// What somebody reads who opens a file on the pod.
    fn read_there(&mut self, name: &str) -> Vec<u8> {
        let path = self.pod.place.join(name);
        let reader = std::thread::spawn(move || fs::read(path).unwrap());
        while !reader.is_finished() {
            self.pod.hear(Duration::from_millis(1));
            while self.pump() {}
        }
        self.pod.hear(Duration::ZERO);
        while self.pump() {}
        reader.join().unwrap()
    }

    /// Those of the large files that are there whole.
    fn whole(&self) -> Vec<u8> {
        let is_whole = |number: &u8| {
            let found = self.pod.place.join(format!("f{number}")).metadata();
            found.unwrap().blocks() > 0
        };
        (0..5).filter(is_whole).collect()
    }

    fn blocks_bytes(&self) -> u64 {
        let found = walkdir::WalkDir::new(&self.pod.place).into_iter().flatten();
        let found = found.filter(|entry| entry.file_type().is_file());
        found
            .map(|entry| entry.metadata().unwrap().blocks() * 512)
            .sum()
    }
}

#[test]
fn what_was_used_least_recently_goes_first() {
    const LIMIT: u64 = 1 << 20;
    let mut pair = pair(1, LIMIT);
    assert!(pair.whole().is_empty());
    for number in 0..5 {
        assert_eq!(pair.read_there(&format!("f{number}")), large(number));
        assert!(pair.blocks_bytes() <= LIMIT, "{}", pair.blocks_bytes());
    }
    assert_eq!(pair.whole(), [2, 3, 4]);
    // Nobody hears that a whole file is opened; what a command line names is known.
    let used = Command::Used(vec![at("f2"), at("small"), at("none")]);
    pair.pod.keeper.take(used, &NEVER).unwrap();
    assert_eq!(pair.read_there("f0"), large(0));
    assert_eq!(pair.whole(), [0, 2, 4]);
    // The hub knows what is not there any more: as inputs they are sent, what is there is not.
    let inputs = [at("f0"), at("f1"), at("f3")];
    let (mut sent, mut tell) = (0, |_: &ToPod| Ok(()));
    let coming = pair.hub.inputs(&pair.indexes, inputs.iter(), &mut tell);
    sent += coming.unwrap().len();
    assert_eq!(sent, 2);
}

#[test]
fn what_went_before_its_job_came_comes_again() {
    let mut pair = pair(5, 0);
    assert_eq!(pair.read_there("f0"), large(0));
    assert!(pair.whole().is_empty());
    // The hub has sent it, as it knows, and does not by itself once more.
    let (told, mut here) = tokio::sync::oneshot::channel();
    let wanted = Command::Inputs(vec![Digest::of(&large(0))], told);
    pair.pod.keeper.take(wanted, &NEVER).unwrap();
    assert!(here.try_recv().is_err());
    while pair.pump() {}
    here.try_recv().unwrap();
}

#[test]
fn a_list_that_brings_content_makes_room_for_it() {
    let mut pair = pair(2, 1 << 20);
    for name in ["f0", "f1", "f2"] {
        pair.read_there(name);
    }
    // What was opened before goes along when it changes.
    fs::write(pair.root.join("f3"), large(33)).unwrap();
    fs::write(pair.root.join("f1"), large(31)).unwrap();
    pair.settle();
    // For a moment there were two of `f1`.
    assert_eq!(pair.whole(), [1, 2]);
    pair.read_there("f3");
    assert_eq!(pair.whole(), [1, 2, 3]);
    pair.check("after all");
}

#[test]
fn who_has_it_open_keeps_it_and_small_files_stay() {
    let mut pair = pair(3, 0);
    fs::hard_link(pair.root.join("f0"), pair.root.join("twin")).unwrap();
    fs::hard_link(pair.root.join("f0"), pair.root.join("twin2")).unwrap();
    pair.settle();
    let guest = pair.pod.gate.come();
    assert_eq!(pair.read_there("f0"), large(0));
    assert_eq!(pair.whole(), [0], "a job is here that may read it again");
    let mut open = File::open(pair.pod.place.join("twin")).unwrap();
    drop(guest);
    pair.pod.hear(Duration::from_millis(10));
    while pair.pump() {}
    assert!(pair.whole().is_empty());
    let mut content = Vec::new();
    open.read_to_end(&mut content).unwrap();
    assert_eq!(content, large(0));
    let inodes = ["f0", "twin", "twin2"].map(|name| {
        let found = pair.pod.place.join(name).metadata().unwrap();
        assert_eq!((found.nlink(), found.blocks()), (3, 0), "{name}");
        assert_eq!(found.len(), LARGE_BYTES as u64);
        found.ino()
    });
    assert!(inodes.iter().all(|it| *it == inodes[0]));
    assert!(open.metadata().unwrap().ino() != inodes[0]);
    let small = pair.pod.place.join("small").metadata().unwrap();
    assert!(small.blocks() > 0);
    pair.check("after all");
}

#[test]
fn what_went_is_followed_as_before() {
    let mut pair = pair(4, 0);
    let root = pair.root.clone();
    fs::create_dir(root.join("d")).unwrap();
    fs::rename(root.join("f0"), root.join("d/f0")).unwrap();
    pair.settle();
    for name in ["d/f0", "f1", "f2", "f3", "f4"] {
        pair.read_there(name);
    }
    let file = pair.pod.place.join("d/f0");
    assert_eq!(file.metadata().unwrap().blocks(), 0);
    let time = |path: &std::path::Path| {
        let found = path.metadata().unwrap();
        (found.mtime(), found.mtime_nsec())
    };
    assert_eq!(time(&root.join("d")), time(&pair.pod.place.join("d")));
    fs::set_permissions(root.join("d/f0"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(root.join("f1"), root.join("d/f1")).unwrap();
    fs::copy(root.join("f2"), root.join("copy")).unwrap();
    fs::remove_file(root.join("f3")).unwrap();
    symlink("copy", root.join("f3")).unwrap();
    // The same content under a name that is not to come later.
    fs::write(root.join("other"), large(4)).unwrap();
    pair.check("changed");
    pair.check("once more");
    pair.restart();
    pair.check("after a restart");
    pair.hub = crate::schedd::mirror::Mirror::default();
    pair.restart();
    pair.check("and with another hub");
}

#[test]
fn the_copy_is_the_root_whatever_it_may_hold() {
    whatever_happens((1, Some(0)), 24, 25);
    whatever_happens((2, Some(1 << 20)), 24, 25);
}
