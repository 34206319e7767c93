//! How much all mirrors of this pod may hold, and what goes first where that, or the disk, is not
//! enough: copies that no session uses, the longest unused first; then, in each session's own, the
//! content that was used least recently (`keeper/fit.rs`).
//!
//! Several workers may have one cache folder, so that each copy says on the disk how much it holds,
//! and when it was used last.

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// With less room on the disk than this hardly a job can run.
const LEAST_BYTES: u64 = 64 << 20;

/// A copy that no session used for so long goes in any case. Whoever is away for a holiday finds it
/// again; after more than that most of it has changed, or nobody comes back.
const UNUSED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// A session notes that often that its copy is in use; one that has not for longer is not.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// The others' notes are not read more often.
const READ_EVERY: Duration = Duration::from_secs(1);

/// In a copy's folder: holds how many bytes it takes; its time is that of the last use.
const NOTE: &str = "used";

/// The mirrors of this pod, and their limit.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    folder: PathBuf,
    most_bytes: u64,
}

/// One of the copies.
#[derive(Debug)]
struct Copy {
    path: PathBuf,
    used: SystemTime,
    /// As noted.
    bytes: Option<u64>,
}

impl Copy {
    fn is_live(&self) -> bool {
        let since = self.used.elapsed().unwrap_or_default();
        since < 3 * NOTE_EVERY
    }

    fn bytes(&self) -> u64 {
        self.bytes.unwrap_or_else(|| {
            let found = walkdir::WalkDir::new(&self.path).into_iter().flatten();
            let found = found.filter_map(|entry| entry.metadata().ok());
            found.map(|found| found.blocks() * 512).sum()
        })
    }
}

impl Room {
    pub(crate) fn new(cache: &Path, most_bytes: u64) -> Self {
        Self {
            folder: cache.join("mirror"),
            most_bytes,
        }
    }

    /// Removes copies that no session uses, as long as there is too much, and those that none used
    /// for long. May take its time.
    pub(crate) fn tidy(&self) {
        let held = self.copies().map(|all| all.iter().map(Copy::bytes).sum());
        let removed = held.and_then(|held: u64| {
            self.remove(|copy, removed_bytes| {
                let unused = copy.used.elapsed().unwrap_or_default();
                unused > UNUSED_FOR || held.saturating_sub(removed_bytes) > self.most_bytes
            })
        });
        match removed {
            Ok(0) => {}
            Ok(count) => tracing::info!("removed {count} copies of hubs' files that nobody uses"),
            Err(error) => tracing::warn!(%error, "unused copies cannot be removed"),
        }
    }

    /// The same beside everything else.
    pub(crate) fn tidy_aside(&self) {
        static BUSY: AtomicBool = AtomicBool::new(false);
        if BUSY.swap(true, Ordering::Relaxed) {
            return;
        }
        let room = self.clone();
        let tidy = move || {
            room.tidy();
            BUSY.store(false, Ordering::Relaxed);
        };
        let begun = std::thread::Builder::new().name("tidy".into()).spawn(tidy);
        if begun.is_err() {
            BUSY.store(false, Ordering::Relaxed);
        }
    }

    /// All copies, the longest unused first.
    fn copies(&self) -> io::Result<Vec<Copy>> {
        let mut all = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(all),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let note = path.join(NOTE);
            let noted = fs::read_to_string(&note);
            let used = fs::metadata(&note).or_else(|_| fs::metadata(&path));
            all.push(Copy {
                used: used.and_then(|found| found.modified())?,
                bytes: noted.ok().and_then(|text| text.trim().parse().ok()),
                path,
            });
        }
        all.sort_by_key(|copy| copy.used);
        Ok(all)
    }

    /// Removes those that no session uses, the longest unused first, if they are to go after so many
    /// bytes were removed; gives how many went.
    fn remove(&self, is_to_go: impl Fn(&Copy, u64) -> bool) -> io::Result<usize> {
        let (mut count, mut removed_bytes) = (0, 0);
        for copy in self.copies()? {
            if !is_to_go(&copy, removed_bytes) {
                continue;
            }
            let bytes = copy.bytes();
            if remove_unused(&copy.path)? {
                removed_bytes += bytes;
                count += 1;
            }
        }
        Ok(count)
    }

    /// The part of it that a session has.
    pub(super) fn own(&self, base: &Path) -> Share {
        let mut share = Share {
            room: self.clone(),
            base: base.into(),
            noted: None,
            others: (0, 1),
            read: None,
        };
        // What it holds from before is found out later.
        let known = fs::read_to_string(base.join(NOTE)).ok();
        share.note(known.and_then(|text| text.trim().parse().ok()).unwrap_or(0));
        share
    }
}

/// What one session's copy may hold.
#[derive(Debug)]
pub(super) struct Share {
    room: Room,
    base: PathBuf,
    /// What was noted, and when.
    noted: Option<(u64, Instant)>,
    /// What other copies in use hold, and how many there are with this.
    others: (u64, u64),
    read: Option<Instant>,
}

impl Share {
    /// The most that all copies may hold.
    pub(super) fn most_bytes(&self) -> u64 {
        self.room.most_bytes
    }

    /// By how much it is too much, if this copy holds so many bytes.
    pub(super) fn over(&mut self, own_bytes: u64) -> u64 {
        self.note(own_bytes);
        if self.read.is_none_or(|read| read.elapsed() > READ_EVERY) {
            self.read = Some(Instant::now());
            self.read_others(own_bytes);
        }
        let most = self.room.most_bytes;
        let (others, count) = self.others;
        // Each may hold its part, whatever the others do.
        let over = (own_bytes + others).saturating_sub(most);
        let over = over.min(own_bytes.saturating_sub(most / count));
        over.max(LEAST_BYTES.saturating_sub(free(&self.base).unwrap_or(u64::MAX)))
    }

    /// The session goes on.
    pub(super) fn note(&mut self, own_bytes: u64) {
        let step = (self.room.most_bytes / 64).max(1 << 20);
        let is_noted = self.noted.is_some_and(|(bytes, at)| {
            bytes.abs_diff(own_bytes) < step && at.elapsed() < NOTE_EVERY
        });
        if is_noted {
            return;
        }
        self.noted = Some((own_bytes, Instant::now()));
        // Not by a rename: it holds a number and is read again.
        if let Err(error) = fs::write(self.base.join(NOTE), own_bytes.to_string()) {
            tracing::debug!("note what a mirror holds: {error}");
        }
    }

    /// The session ends.
    pub(super) fn end(&mut self, own_bytes: u64) {
        self.noted = None;
        self.note(own_bytes);
    }

    fn read_others(&mut self, own_bytes: u64) {
        let all = self.room.copies().unwrap_or_default();
        let all = all.iter().filter(|copy| copy.path != self.base);
        let (live, unused): (Vec<_>, Vec<_>) = all.partition(|copy| copy.is_live());
        let held: u64 = live.iter().filter_map(|copy| copy.bytes).sum();
        self.others = (held, live.len() as u64 + 1);
        let unused_bytes: u64 = unused.iter().filter_map(|copy| copy.bytes).sum();
        if unused_bytes > 0 && own_bytes + held + unused_bytes > self.room.most_bytes {
            self.room.tidy_aside();
        }
    }
}

/// Removes copies that no session uses, if the disk is full, until it is not; true if there were any.
pub(crate) fn make_room(cache: &Path) -> bool {
    let is_full = || free(cache).is_some_and(|free| free < LEAST_BYTES);
    if !is_full() {
        return false;
    }
    let removed = Room::new(cache, 0).remove(|_, _| is_full());
    match &removed {
        Ok(0) => {}
        Ok(count) => tracing::warn!("the disk is full: removed {count} copies of hubs' files"),
        Err(error) => tracing::warn!(%error, "the disk is full, and copies cannot be removed"),
    }
    removed.is_ok_and(|count| count > 0)
}

/// What is free on the disk that a directory is on, if that can be told.
fn free(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// A folder that no other session uses: two builds of one hub may be here at a time.
pub(super) fn own_folder(parent: &Path, hub: &str) -> io::Result<(PathBuf, OwnedFd)> {
    if hub.is_empty() || !hub.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(io::Error::other("the hub has no name"));
    }
    for number in 1..1000 {
        let path = parent.join(format!("{hub}.{number}"));
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).recursive(true).create(&path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = match rustix::fs::open(&path, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => continue,
            opened => opened?,
        };
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            // Another may just have removed it.
            Ok(()) if is_same(&dir, &path) => return Ok((path, dir)),
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::Error::other("too many mirrors of one hub"))
}

fn is_same(dir: &OwnedFd, path: &Path) -> bool {
    let found = rustix::fs::fstat(dir).and_then(|it| Ok((it, rustix::fs::stat(path)?)));
    found.is_ok_and(|(it, there)| it.st_ino == there.st_ino && it.st_dev == there.st_dev)
}

/// Removes a copy; false if a session uses it.
fn remove_unused(path: &Path) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        opened => opened?,
    };
    if rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    remove_all(path)?;
    Ok(true)
}

/// Also what holds directories that nobody may look into.
fn remove_all(path: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(path).into_iter().flatten() {
        let is_closed = |found: fs::Metadata| found.is_dir() && found.mode() & 0o700 != 0o700;
        if entry.metadata().is_ok_and(is_closed) {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o700))?;
        }
    }
    fs::remove_dir_all(path)
}

#[cfg(test)]
#[path = "tests/room.rs"]
mod tests;
