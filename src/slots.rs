//! Two counts of running jobs for the whole machine.
//!
//! Every wrapper that runs its command locally, and the hub's own pod for each of its jobs, holds
//! one of as many slots as the machine has cores. Every worker (a service, the hub's own, those that
//! hubs have sent) holds one of as many as it offers for each of its jobs; see [`jobs`]. A slot is a
//! POSIX record lock on one byte of a file in the user's runtime folder: the kernel frees it however
//! its holder ends, it survives execve(2) (so a wrapper can become the tool and keep its slot) and is
//! not inherited by children (so a tool that leaves a daemon behind does not keep one). See
//! fcntl_locking(2).
//!
//! Such locks belong to the process and vanish when *any* descriptor of the file is closed. Hence
//! the one [`Slots`] of a process, which is never closed.

pub mod jobs;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// Set by a wrapper for the tool it becomes: children of that tool run inside its slot.
pub const HELD: &str = "CPODS_SLOT_HELD";

/// Descriptors below this are left free for shell scripts, which name theirs by number.
const LOWEST_DESCRIPTOR: libc::c_int = 100;

/// How long to wait before looking again when every slot is taken.
const RETRY: Duration = Duration::from_millis(10);

/// The machine's slots as this process sees them.
#[derive(Debug)]
pub struct Slots {
    file: OwnedFd,
    /// Which bytes this process holds: its own locks never stand in its own way.
    held: Mutex<BTreeSet<usize>>,
    /// How many there are for local runs: the cores this process may use.
    count: usize,
    /// How many of this process's wishes for workers' slots wait.
    waiting: Mutex<usize>,
}

/// One slot, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    slots: &'static Slots,
    byte: usize,
}

/// The user's folder for sockets and locks: `$XDG_RUNTIME_DIR/cpods`, else one in /tmp.
pub fn runtime_dir() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if Path::new(&dir).is_dir() => Path::new(&dir).join("cpods"),
        _ => PathBuf::from(format!(
            "/tmp/cpods-{}",
            rustix::process::geteuid().as_raw()
        )),
    }
}

/// Makes [`runtime_dir`], for this user alone, and refuses one that somebody else made.
///
/// # Errors
/// The folder cannot be made, or belongs to another user.
pub fn make_runtime_dir() -> io::Result<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let dir = runtime_dir();
    match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = std::fs::symlink_metadata(&dir)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        let why = format!("`{}` belongs to another user", dir.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(dir)
}

impl Slots {
    /// This process's view of the slots, opened at the first call.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn open() -> io::Result<&'static Self> {
        static SLOTS: OnceLock<Slots> = OnceLock::new();
        if let Some(slots) = SLOTS.get() {
            return Ok(slots);
        }
        let file = open_high(&make_runtime_dir()?.join("slots"))?;
        Ok(SLOTS.get_or_init(|| Self {
            file,
            held: Mutex::default(),
            count: cores(),
            waiting: Mutex::default(),
        }))
    }

    /// How many there are for local runs.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes a free slot for a local run.
    pub fn try_take(&'static self) -> Option<Slot> {
        self.take_of(0..self.count)
    }

    /// Takes the first free byte of these.
    fn take_of(&'static self, bytes: impl IntoIterator<Item = usize>) -> Option<Slot> {
        let mut held = self.lock_table();
        let is_free = |&byte: &usize| !held.contains(&byte) && self.set(byte, libc::F_WRLCK);
        let byte = bytes.into_iter().find(is_free)?;
        held.insert(byte);
        Some(Slot { slots: self, byte })
    }

    /// Waits for a slot.
    pub fn take(&'static self) -> Slot {
        loop {
            if let Some(slot) = self.try_take() {
                return slot;
            }
            std::thread::sleep(RETRY);
        }
    }

    fn lock_table(&self) -> std::sync::MutexGuard<'_, BTreeSet<usize>> {
        self.held
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Locks or unlocks one byte; false if another process holds it.
    fn set(&self, byte: usize, kind: libc::c_int) -> bool {
        let lock = lock(byte, 1, kind);
        // SAFETY: the descriptor is open and `lock` outlives the call.
        unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_SETLK, &lock) == 0 }
    }
}

/// What fcntl(2) is told of some bytes.
fn lock(byte: usize, bytes: usize, kind: libc::c_int) -> libc::flock {
    // SAFETY: `flock` is plain data, for which all zeroes is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = byte as libc::off_t;
    lock.l_len = bytes as libc::off_t;
    lock
}

impl Slot {
    /// Keeps the slot through execve(2) until the program that this process becomes has ended.
    ///
    /// # Errors
    /// fcntl(2)'s.
    pub fn keep_for_exec(self) -> io::Result<()> {
        rustix::io::fcntl_setfd(&self.slots.file, rustix::io::FdFlags::empty())?;
        std::mem::forget(self);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Not before, lest another thread take it in between and lose it.
        let mut held = self.slots.lock_table();
        self.slots.set(self.byte, libc::F_UNLCK);
        held.remove(&self.byte);
    }
}

/// The cores that this process may use. Not the standard library's count, which also reads
/// control groups: a dozen calls, in a program that is started once per command.
fn cores() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count().max(1) as usize)
}

/// Opens the lock file at a descriptor out of the way of scripts.
fn open_high(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    // SAFETY: the descriptor is open; the call only makes another.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, LOWEST_DESCRIPTOR) } {
        // A descriptor limit below 100: the low number serves.
        -1 => Ok(file.into()),
        // SAFETY: fcntl just made this descriptor and nobody else has it. Closing `file` here is
        // before any lock is taken, so none is lost.
        high => Ok(unsafe { OwnedFd::from_raw_fd(high) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_slots_than_cores_and_each_comes_back() {
        let slots = Slots::open().unwrap();
        // Other processes of this user may hold some; a process never gets more than there are.
        let mut taken: Vec<Slot> = std::iter::from_fn(|| slots.try_take()).collect();
        assert!(taken.len() <= slots.count());
        assert!(slots.try_take().is_none());
        if taken.pop().is_some() {
            assert!(slots.try_take().is_some());
        }
    }
}
