//! How the index holds against what happens to files.

mod content;
mod large;
mod moves;
mod names;
pub(crate) mod operations;
pub(crate) mod operators;
mod random;
mod restart;
mod scanning;

use super::{Content, Index, Kind, Options, Time};
use crate::job::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Owned by one thread, which need not be the one that made it.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Index>();
};

/// A root with its index.
struct Space {
    dir: tempfile::TempDir,
    index: Index,
}

impl Space {
    fn new() -> Self {
        Self::with(Options::default(), |_| {})
    }

    /// With what `make` puts there before the index is opened.
    fn with(options: Options, make: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir(&root).unwrap();
        make(&root);
        let mut index = Index::open(&root, options).unwrap();
        index.settle().unwrap();
        let space = Self { dir, index };
        space.check();
        space
    }

    fn at(&self, below: &str) -> PathBuf {
        self.index.root().join(below)
    }

    fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    /// Settles, and holds the index against the root.
    fn settle(&mut self) -> u64 {
        let generation = self.index.settle().unwrap();
        self.check();
        generation
    }

    /// The same with a clock so late that stat would be believed, were it asked: events alone tell.
    fn settle_late(&mut self) -> u64 {
        let mut late = Time::now();
        late.seconds += 100;
        let generation = self.index.settle_at(late).unwrap();
        self.check();
        generation
    }

    fn check(&self) {
        assert_eq!(told(&self.index), seen(self.index.root()));
    }

    fn kind(&self, path: &str) -> Option<&Kind> {
        self.index.get(path.as_bytes()).map(|entry| &entry.kind)
    }

    fn digest(&self, path: &str) -> Option<Digest> {
        self.index.get(path.as_bytes())?.digest()
    }

    /// What changed since, `-` in front of what was removed.
    fn changes(&self, since: u64) -> Vec<String> {
        let changes = self.index.changes_since(since).unwrap();
        let text = |path| String::from_utf8_lossy(path).into_owned();
        changes
            .map(|(path, entry)| match entry {
                Some(_) => text(path),
                None => format!("-{}", text(path)),
            })
            .collect()
    }
}

/// What both the index and a walk by other means tell of a name: what it is in words, and its
/// mode, time and the least of the names that it shares its inode with.
type Told = BTreeMap<Vec<u8>, (String, u32, Time, Option<Vec<u8>>)>;

fn told(index: &Index) -> Told {
    let mut least = BTreeMap::new();
    let entries = index.entries().map(|(path, entry)| {
        let what = match &entry.kind {
            Kind::File {
                size_bytes,
                content: Content::Digest(digest),
            } => format!("{size_bytes} {digest}"),
            Kind::Dir => "directory".into(),
            Kind::Link { target, .. } => format!("-> {}", String::from_utf8_lossy(target)),
            other => format!("{other:?}"),
        };
        let group = entry.group;
        let group = group.map(|group| least.entry(group).or_insert(path.to_vec()).clone());
        (path.to_vec(), (what, entry.mode, entry.mtime, group))
    });
    entries.collect()
}

fn seen(root: &Path) -> Told {
    let mut least = BTreeMap::new();
    let walk =
        walkdir::WalkDir::new(root).sort_by(|a, b| a.path().as_os_str().cmp(b.path().as_os_str()));
    let mut all: Vec<_> = walk.into_iter().map(Result::unwrap).collect();
    all.sort_by_key(|found| found.path().as_os_str().as_bytes().to_vec());
    let entries = all.iter().map(|found| {
        let stat = found.path().symlink_metadata().unwrap();
        let path = found.path().strip_prefix(root).unwrap();
        let path = path.as_os_str().as_bytes().to_vec();
        let what = if stat.is_file() {
            let content = fs::read(found.path()).unwrap();
            format!("{} {}", stat.len(), Digest::of(&content))
        } else if stat.is_dir() {
            "directory".into()
        } else if stat.is_symlink() {
            let target = fs::read_link(found.path()).unwrap();
            format!("-> {}", target.to_string_lossy())
        } else {
            format!("{:?}", Kind::Other)
        };
        let is_shared = (stat.is_file() || stat.is_symlink()) && stat.nlink() > 1;
        let group = is_shared.then(|| least.entry(stat.ino()).or_insert(path.clone()).clone());
        let mtime = Time {
            seconds: stat.mtime(),
            nanoseconds: u32::try_from(stat.mtime_nsec()).unwrap(),
        };
        (path, (what, stat.mode() & 0o7777, mtime, group))
    });
    entries.collect()
}

/// Gives a file the time it had, as `touch -r` would.
fn set_mtime(path: &Path, time: Time) -> rustix::io::Result<()> {
    let time = rustix::fs::Timespec {
        tv_sec: time.seconds,
        tv_nsec: time.nanoseconds.into(),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let no_follow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, no_follow)
}

/// A shared mapping of the first bytes of a file.
struct Mapping(*mut u8);

impl Mapping {
    const LENGTH: usize = 8;

    fn of(file: &fs::File) -> Self {
        use std::os::fd::AsRawFd;
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory in use.
        let place = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                Self::LENGTH,
                access,
                shared,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(place, libc::MAP_FAILED);
        Self(place.cast())
    }

    fn store(&self, place: usize, byte: u8) {
        assert!(place < Self::LENGTH);
        // SAFETY: within the mapping, which lives as long as `self`; the files have that length.
        unsafe { self.0.add(place).write_volatile(byte) };
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of` with this length, and not used any more.
        unsafe { libc::munmap(self.0.cast(), Self::LENGTH) };
    }
}
