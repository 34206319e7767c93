//! Hears of changes in the directories of a root, by inotify(7). What they mean is not known here.

use super::path;
use super::table::Name;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Fits some hundred events of ordinary names.
const BUFFER_BYTES: usize = 32 * 1024;

/// The least that an event takes in the kernel's queue.
const EVENT_BYTES: u64 = 16;

/// A change of what a directory holds, of an entry's content or metadata, or of the directory.
fn wanted() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
}

/// Something that happened.
#[derive(Debug)]
pub(super) enum Heard {
    /// In a directory; `name` is empty if it happened to the directory itself.
    Event {
        dir: Name,
        name: Box<[u8]>,
        flags: ReadFlags,
    },
    /// More than the kernel keeps: what it was is lost.
    Overflow,
}

/// Watches on directories.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: OwnedFd,
    dirs: BTreeMap<i32, Name>,
    numbers: BTreeMap<Name, i32>,
}

impl Watch {
    pub(super) fn new() -> Result<Self, Errno> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self {
            inotify,
            dirs: BTreeMap::new(),
            numbers: BTreeMap::new(),
        })
    }

    /// Readable when something happened.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    pub(super) fn len(&self) -> usize {
        self.dirs.len()
    }

    /// Watches an open directory under this name from now on. By the handle, so that it is surely
    /// the directory that is listed next: a name may lead to another one by then.
    ///
    /// The same directory may have been known by another name, which is returned: it was moved, and
    /// nothing is heard of that name any more, should it be moved back.
    pub(super) fn add(&mut self, fd: BorrowedFd<'_>, dir: &[u8]) -> Result<Option<Name>, Errno> {
        let handle = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let number = inotify::add_watch(&self.inotify, handle, wanted())?;
        if self.numbers.get(dir) == Some(&number) {
            return Ok(None);
        }
        self.remove(dir);
        let name = Name::from(dir);
        let other = self.dirs.insert(number, name.clone());
        if let Some(other) = &other {
            self.numbers.remove(other);
        }
        self.numbers.insert(name, number);
        Ok(other)
    }

    /// Forgets a directory.
    pub(super) fn remove(&mut self, dir: &[u8]) {
        if let Some(number) = self.numbers.remove(dir) {
            self.dirs.remove(&number);
            // Fails for one that is gone with its directory.
            let _ = inotify::remove_watch(&self.inotify, number);
        }
    }

    /// Forgets all directories below one.
    pub(super) fn remove_below(&mut self, dir: &[u8]) {
        let range = path::below(dir);
        let below = self.numbers.range::<[u8], _>(range.as_bounds());
        let names: Vec<Name> = below.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.remove(&name);
        }
    }

    /// All that happened before this call, in order; and no more than that, so that it ends while
    /// others go on writing. Never waits.
    pub(super) fn drain(&mut self) -> Result<Vec<Heard>, Errno> {
        let mut heard = Vec::new();
        let mut left = rustix::io::ioctl_fionread(&self.inotify)?.div_ceil(EVENT_BYTES);
        if left == 0 {
            return Ok(heard);
        }
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        // What is read must be told: no event is left behind in the buffer.
        while left > 0 || !reader.is_buffer_empty() {
            left = left.saturating_sub(1);
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                heard.push(Heard::Overflow);
                continue;
            }
            let Some(dir) = self.dirs.get(&event.wd()).cloned() else {
                continue;
            };
            if flags.contains(ReadFlags::IGNORED) {
                self.dirs.remove(&event.wd());
                self.numbers.remove(&dir);
            }
            let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
            heard.push(Heard::Event {
                dir,
                name: name.into(),
                flags,
            });
        }
        Ok(heard)
    }
}
