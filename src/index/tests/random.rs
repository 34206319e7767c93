//! Whatever happens, in whatever order: the index is what a fresh walk finds, and whoever applies
//! its changes has the same.

use super::super::Reading;
use super::operations::Random;
use super::operators::Operators;
use super::*;
use proptest::prelude::*;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

/// A place in a small tree, so that operations meet.
type Place = (u8, u8, u8);

#[derive(Clone, Debug)]
enum Step {
    Create(Place, u8),
    /// In place, of the same size.
    Overwrite(Place, u8),
    /// The same, and the old time put back.
    Disguise(Place, u8),
    Truncate(Place, u8),
    Rename(Place, Place),
    Exchange(Place, Place),
    HardLink(Place, Place),
    Symlink(Place, Place),
    Delete(Place),
    Mkdir(Place),
    Chmod(Place, bool),
    Utime(Place, u32),
    Mapped(Place, u8),
    Unnamed(Place, u8),
    /// Linked to a name outside and written there.
    Outside(Place, u8),
    Settle,
    /// What changed is read elsewhere: begun, and, the next time, entered.
    Read,
}

fn place() -> impl Strategy<Value = Place> {
    (0..4u8, 0..4u8, 0..4u8)
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let byte = any::<u8>;
    prop_oneof![
        6 => (place(), byte()).prop_map(|(at, byte)| Create(at, byte)),
        4 => (place(), byte()).prop_map(|(at, byte)| Overwrite(at, byte)),
        3 => (place(), byte()).prop_map(|(at, byte)| Disguise(at, byte)),
        1 => (place(), byte()).prop_map(|(at, byte)| Truncate(at, byte)),
        4 => (place(), place()).prop_map(|(from, to)| Rename(from, to)),
        2 => (place(), place()).prop_map(|(from, to)| Exchange(from, to)),
        2 => (place(), place()).prop_map(|(from, to)| HardLink(from, to)),
        2 => (place(), place()).prop_map(|(from, to)| Symlink(from, to)),
        3 => place().prop_map(Delete),
        4 => place().prop_map(Mkdir),
        1 => (place(), any::<bool>()).prop_map(|(at, on)| Chmod(at, on)),
        1 => (place(), any::<u32>()).prop_map(|(at, time)| Utime(at, time)),
        2 => (place(), byte()).prop_map(|(at, byte)| Mapped(at, byte)),
        1 => (place(), byte()).prop_map(|(at, byte)| Unnamed(at, byte)),
        1 => (place(), byte()).prop_map(|(at, byte)| Outside(at, byte)),
        6 => Just(Settle),
        6 => Just(Read),
    ]
}

fn path(root: &Path, (depth, a, b): Place) -> PathBuf {
    match depth {
        0 => root.join(format!("n{a}")),
        1 => root.join(format!("n{a}/n{b}")),
        _ => root.join(format!("n{a}/n{b}/n{}", a ^ b)),
    }
}

/// Does it if it can be done; most that cannot is of no interest.
fn run(root: &Path, step: &Step) -> std::io::Result<()> {
    let at = |place: &Place| path(root, *place);
    match step {
        Step::Create(place, byte) => fs::write(at(place), [*byte; 8])?,
        Step::Overwrite(place, byte) => overwrite(&at(place), *byte)?,
        Step::Disguise(place, byte) => {
            let stat = at(place).symlink_metadata()?;
            overwrite(&at(place), *byte)?;
            let nanoseconds = u32::try_from(stat.mtime_nsec()).unwrap();
            let seconds = stat.mtime();
            set_mtime(
                &at(place),
                Time {
                    seconds,
                    nanoseconds,
                },
            )?;
        }
        Step::Truncate(place, byte) => {
            let file = OpenOptions::new().write(true).open(at(place))?;
            file.set_len(u64::from(*byte))?;
        }
        Step::Rename(from, to) => fs::rename(at(from), at(to))?,
        Step::Exchange(from, to) => {
            rustix::fs::renameat_with(CWD, at(from), CWD, at(to), RenameFlags::EXCHANGE)?;
        }
        Step::HardLink(from, to) => fs::hard_link(at(from), at(to))?,
        Step::Symlink((_, a, b), to) => symlink(format!("../n{a}/n{b}"), at(to))?,
        Step::Delete(place) => {
            let path = at(place);
            if path.symlink_metadata()?.is_dir() {
                fs::remove_dir_all(path)?;
            } else {
                fs::remove_file(path)?;
            }
        }
        Step::Mkdir(place) => fs::create_dir(at(place))?,
        Step::Chmod(place, on) => {
            let mode = if *on { 0o755 } else { 0o640 };
            if !at(place).symlink_metadata()?.is_symlink() {
                fs::set_permissions(at(place), fs::Permissions::from_mode(mode))?;
            }
        }
        Step::Utime(place, time) => {
            at(place).symlink_metadata()?;
            set_mtime(
                &at(place),
                Time {
                    seconds: i64::from(*time),
                    nanoseconds: time % 1000,
                },
            )?;
        }
        Step::Mapped(place, byte) => {
            let file = OpenOptions::new().read(true).write(true).open(at(place))?;
            if file.metadata()?.len() >= 8 {
                Mapping::of(&file).store(usize::from(byte % 8), *byte);
            }
        }
        Step::Unnamed(place, byte) => {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::openat(CWD, root, flags, Mode::from(0o644))?;
            let file = fs::File::from(file);
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, own, CWD, at(place), AtFlags::SYMLINK_FOLLOW)?;
            file.write_all_at(&[*byte; 8], 0)?;
        }
        Step::Outside(place, byte) => {
            let outside = root.parent().unwrap().join("outside");
            let _ = fs::remove_file(&outside);
            fs::hard_link(at(place), &outside)?;
            overwrite(&outside, *byte)?;
        }
        Step::Settle | Step::Read => {}
    }
    Ok(())
}

/// Writing through a link outside is seen of files that the index knows to have several.
fn is_told_late(step: &Step, index: &Index) -> bool {
    let Step::Outside(place, _) = step else {
        return false;
    };
    let path = path(Path::new(""), *place);
    let entry = index.get(path.as_os_str().as_bytes());
    entry.is_none_or(|entry| entry.group.is_none())
}

fn overwrite(path: &Path, byte: u8) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[byte], 3)
}

/// What a reader of changes has made of them.
#[derive(Default)]
struct Mirror {
    generation: u64,
    entries: BTreeMap<Vec<u8>, super::super::Entry>,
}

impl Mirror {
    fn follow(&mut self, index: &Index) {
        for (path, entry) in index.changes_since(self.generation).unwrap() {
            let below = super::super::path::below(path);
            let mut below = self.entries.range::<[u8], _>(below.as_bounds());
            match entry {
                None => {
                    assert!(below.next().is_none(), "removed before what it holds");
                    self.entries.remove(path);
                }
                Some(entry) => {
                    let is_dir = entry.kind == Kind::Dir;
                    assert!(is_dir || below.next().is_none(), "not empty");
                    let parent = self.entries.get(super::super::path::parent(path));
                    let is_held = parent.is_some_and(|parent| parent.kind == Kind::Dir);
                    assert!(path.is_empty() || is_held, "nothing to hold it");
                    self.entries.insert(path.to_vec(), entry.clone());
                }
            }
        }
        self.generation = index.generation();
        let all = index.entries();
        assert!(all.eq(self.entries.iter().map(|(path, entry)| (&path[..], entry))));
    }
}

fn hold(steps: &[Step]) {
    let mut space = Space::new();
    let mut mirror = Mirror::default();
    let root = space.at("");
    let mut reading = None;
    for step in steps {
        if is_told_late(step, &space.index) {
            continue;
        }
        if matches!(step, Step::Read) {
            reading = match reading.take().map(Reading::read) {
                None => space.index.reading_of(0).unwrap(),
                Some(read) => {
                    space.index.enter(read).unwrap();
                    None
                }
            };
        }
        // What cannot be done changes nothing, or what it did is seen.
        let _ = run(&root, step);
        // A link that is made, used and removed before the index looks is told by nothing.
        if matches!(step, Step::Settle | Step::HardLink(..)) {
            let before = space.index.generation();
            space.settle();
            mirror.follow(&space.index);
            let quiet = space.index.settle().unwrap();
            assert!(quiet >= before);
        }
    }
    space.settle();
    mirror.follow(&space.index);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_index_is_what_a_walk_finds(steps in proptest::collection::vec(step(), 100..140)) {
        hold(&steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    #[ignore = "a hundred thousand operations"]
    fn the_index_is_what_a_walk_finds_for_long(steps in proptest::collection::vec(step(), 500..501)) {
        hold(&steps);
    }
}

/// Several processes at once, while the index is asked: true whenever they pause.
fn storm(pauses: usize, operations: usize, seed: u64) {
    let mut space = Space::new();
    let mut mirror = Mirror::default();
    let mut operators = Operators::new(space.index.root(), 3);
    let mut random = Random(seed);
    for pause in 0..pauses {
        operators.work(operations, pause % 4 == 3, &mut random);
        while operators.are_busy() {
            if let Some(reading) = space.index.reading_of(0).unwrap() {
                space.index.enter(reading.read()).unwrap();
            }
            space.index.settle().unwrap();
            mirror.follow(&space.index);
        }
        space.settle();
        mirror.follow(&space.index);
    }
    println!("seed {seed}: {} operations", operators.done);
    assert_eq!(operators.done, 3 * pauses * operations);
}

#[test]
fn several_at_once() {
    storm(10, 100, 1);
}

#[test]
#[ignore = "a hundred thousand operations"]
fn several_at_once_for_long() {
    storm(100, 334, 2);
}
