//! Files of a tree that are there without their content: right in size, mode and time, and held by
//! a lease, so that whoever opens one waits until the content was put into it.

use super::lease::{self, Ear};
use super::on_disk::{self, times};
use super::spares::Spares;
use crate::job::Digest;
use crate::paths::Bytes;
use crate::wire::messages::Stamp;
use rustix::fd::{AsRawFd, RawFd};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long files without content may be open to others when no job runs; all jobs wait for that.
const CLOSED_WITHIN: Duration = Duration::from_millis(500);

/// What a session's trees need for such files.
#[derive(Debug)]
pub(super) struct Leases {
    pub(super) ear: Ear,
    /// Each takes a file descriptor.
    pub(super) most: usize,
    /// One who opened a file is not held up for longer.
    pub(super) late_after: Duration,
    /// And after so long the kernel may have let him go on.
    pub(super) lost_after: Duration,
    spares: RefCell<Spares>,
}

impl Leases {
    /// Makes ahead some of the files that will be needed.
    pub(super) fn provide(&self) {
        /// Somebody may come meanwhile.
        const AT_ONCE: usize = 8;
        let mut spares = self.spares.borrow_mut();
        for _ in 0..AT_ONCE {
            if !spares.is_full() {
                spares.add(&self.ear);
            }
        }
    }

    /// Whether there is nothing to be made ahead.
    pub(super) fn is_provided(&self) -> bool {
        self.spares.borrow().is_full()
    }

    /// A new file at a path, held.
    fn file(&self, at: &Path) -> io::Result<File> {
        if let Some(spare) = self.spares.borrow_mut().take(at) {
            return Ok(spare);
        }
        let mut new = File::options();
        let file = new.read(true).write(true).create(true).truncate(true);
        let file = file.open(at)?;
        self.ear.hold(&file)?;
        Ok(file)
    }
}

#[derive(Debug)]
struct Hold {
    file: File,
    digest: Digest,
    mtime: Stamp,
    /// None any more, once it was removed; jobs that began before may still open it.
    names: BTreeSet<Bytes>,
    /// A name that it has or had.
    name: Bytes,
    /// So many jobs had begun when its last name went.
    until: u64,
}

/// The files of one tree. Paths of the tree are told by the tree.
#[derive(Debug, Default)]
pub(super) struct Holds {
    all: BTreeMap<RawFd, Hold>,
    names: HashMap<Bytes, RawFd>,
    contents: HashMap<Digest, BTreeSet<RawFd>>,
    /// Those that somebody was found to have opened, each with a time before which nobody had.
    opened: BTreeMap<RawFd, Instant>,
}

/// What became of files whose content came.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub(super) names: Vec<Bytes>,
    /// For how long at most somebody had one of them open before; none if nobody had.
    pub(super) waited: Option<Duration>,
}

impl Holds {
    /// Makes such a file at a path, with no name in the tree yet.
    pub(super) fn make(
        &mut self,
        at: &Path,
        (digest, size_bytes): (Digest, u64),
        mtime: Stamp,
        leases: &Leases,
    ) -> io::Result<RawFd> {
        let file = leases.file(at)?;
        file.set_len(size_bytes)?;
        let fd = file.as_raw_fd();
        self.contents.entry(digest).or_default().insert(fd);
        let hold = Hold {
            file,
            digest,
            mtime,
            names: BTreeSet::new(),
            name: Bytes::default(),
            until: 0,
        };
        self.all.insert(fd, hold);
        Ok(fd)
    }

    /// Has the file at a name stand for other content, if it has no other name and nobody has opened
    /// it; false if it cannot. (Its time is then wrong.)
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn change(
        &mut self,
        name: &Bytes,
        (digest, size_bytes): (Digest, u64),
    ) -> io::Result<bool> {
        let hold = self.names.get(name).and_then(|fd| self.all.get_mut(fd));
        let is_free = |hold: &&mut Hold| hold.names.len() == 1 && !lease::is_opened(&hold.file);
        let Some(hold) = hold.filter(is_free) else {
            return Ok(false);
        };
        // Who opens it from here on is given the new content.
        hold.file.set_len(size_bytes)?;
        let (fd, was) = (
            hold.file.as_raw_fd(),
            std::mem::replace(&mut hold.digest, digest),
        );
        self.forget_content(was, fd);
        self.contents.entry(digest).or_default().insert(fd);
        Ok(true)
    }

    fn forget_content(&mut self, digest: Digest, fd: RawFd) {
        if let Some(fds) = self.contents.get_mut(&digest) {
            fds.remove(&fd);
            if fds.is_empty() {
                self.contents.remove(&digest);
            }
        }
    }

    /// It has this name, and this time, from now on.
    pub(super) fn name(&mut self, fd: RawFd, name: &Bytes, mtime: Stamp) {
        if let Some(hold) = self.all.get_mut(&fd) {
            hold.names.insert(name.clone());
            hold.name = name.clone();
            hold.mtime = mtime;
            self.names.insert(name.clone(), fd);
        }
    }

    /// It has lost this name, after so many jobs had begun.
    pub(super) fn unname(&mut self, name: &Bytes, begun: u64) {
        if let Some(hold) = self.names.remove(name).and_then(|fd| self.all.get_mut(&fd)) {
            hold.names.remove(name);
            hold.until = begun;
        }
    }

    /// What stands at this name.
    pub(super) fn at(&self, name: &Bytes) -> Option<RawFd> {
        self.names.get(name).copied()
    }

    /// The time it has changed to.
    pub(super) fn set_time(&mut self, name: &Bytes, mtime: Stamp) {
        let fd = self.at(name);
        if let Some(hold) = fd.and_then(|fd| self.all.get_mut(&fd)) {
            hold.mtime = mtime;
        }
    }

    /// Whether files wait for this content.
    pub(super) fn lacks(&self, digest: Digest) -> bool {
        self.contents.contains_key(&digest)
    }

    /// Names of files that wait for this content.
    pub(super) fn names(&self, digest: Digest) -> impl Iterator<Item = &Bytes> {
        let fds = self.contents.get(&digest).into_iter().flatten();
        let holds = fds.filter_map(|fd| self.all.get(fd));
        holds.flat_map(|hold| &hold.names)
    }

    /// All contents that are not here.
    pub(super) fn contents(&self) -> impl Iterator<Item = Digest> {
        self.contents.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Looks at one file, or at all: gives name and content of those that were opened, which
    /// happened after `since`.
    pub(super) fn look(&mut self, at: Option<RawFd>, since: Instant) -> Vec<(Bytes, Digest)> {
        let (mut found, opened) = (Vec::new(), &mut self.opened);
        let mut look = |(fd, hold): (&RawFd, &Hold)| {
            if !opened.contains_key(fd) && lease::is_opened(&hold.file) {
                opened.insert(*fd, since);
                found.push((hold.name.clone(), hold.digest));
            }
        };
        match at {
            Some(fd) => self.all.get_key_value(&fd).into_iter().for_each(look),
            None => self.all.iter().for_each(&mut look),
        }
        found
    }

    /// Contents for which somebody waits, and since when at most.
    pub(super) fn opened(&self) -> impl Iterator<Item = (Digest, Instant)> {
        let opened = self.opened.iter();
        opened.filter_map(|(fd, since)| Some((self.all.get(fd)?.digest, *since)))
    }

    /// Whether somebody waits for this content, and whether the file has still a name.
    pub(super) fn opened_as(&self, digest: Digest) -> impl Iterator<Item = bool> {
        let fds = self.contents.get(&digest).into_iter().flatten();
        let opened = fds.filter(|fd| self.opened.contains_key(fd));
        let holds = opened.filter_map(|fd| self.all.get(fd));
        holds.map(|hold| !hold.names.is_empty())
    }

    /// Puts the content into all files that want it, and lets go of them. Whoever opened one and was
    /// not found yet did so after `since`.
    pub(super) fn fill(
        &mut self,
        digest: Digest,
        content: &Path,
        since: Instant,
    ) -> io::Result<Filled> {
        let (mut whole, mut filled) = (Vec::new(), Filled::default());
        for fd in self.contents.get(&digest).into_iter().flatten() {
            if let Some(hold) = self.all.get_mut(fd) {
                // Should it fail, nobody is to see half of it: the session ends, then the lease.
                hold.put(content)?;
                whole.push(*fd);
                let found = self.opened.remove(fd);
                let since = found.or_else(|| lease::is_opened(&hold.file).then_some(since));
                filled.waited = filled.waited.max(since.map(|since| since.elapsed()));
            }
        }
        // Not before all have it: whoever goes on may look at another of them, whose time is wrong
        // while it is written.
        self.contents.remove(&digest);
        for hold in whole.iter().filter_map(|fd| self.all.remove(fd)) {
            for name in &hold.names {
                self.names.remove(name);
            }
            // Closed at once, so that nobody who executes it meets one who might still write.
            let Hold { file, names, .. } = hold;
            drop(file);
            filled.names.extend(names);
        }
        Ok(filled)
    }

    /// Holds up whoever opens those files anew that were opened, now that nobody waits any more.
    /// What somebody keeps open all the same is given up: gives its names, to which others belong.
    pub(super) fn renew(&mut self, leases: &Leases) -> io::Result<Vec<Vec<Bytes>>> {
        let until = Instant::now() + CLOSED_WITHIN;
        let mut lost = Vec::new();
        for (fd, hold) in &self.all {
            if lease::is_opened(&hold.file) {
                lease::release(&hold.file)?;
                let held = hold_once_closed(&hold.file, leases, until);
                if !held.map_err(|it| on_disk::told(&hold.name, &it))? {
                    lost.push(*fd);
                }
            }
        }
        self.opened.clear();
        let mut names = Vec::new();
        for fd in lost {
            let Some(hold) = self.all.remove(&fd) else {
                continue;
            };
            self.forget_content(hold.digest, fd);
            for name in &hold.names {
                self.names.remove(name);
            }
            names.push(hold.names.into_iter().collect());
        }
        Ok(names)
    }

    /// Lets go of files that no job can open any more; `any_before` tells whether a job runs that
    /// is as old as the number.
    pub(super) fn reap(&mut self, any_before: impl Fn(u64) -> bool) {
        let is_over = |hold: &Hold| hold.names.is_empty() && !any_before(hold.until);
        let over = self.all.iter().filter(|(_, hold)| is_over(hold));
        let over: Vec<(RawFd, Digest)> = over.map(|(fd, hold)| (*fd, hold.digest)).collect();
        for (fd, digest) in over {
            self.all.remove(&fd);
            self.opened.remove(&fd);
            self.forget_content(digest, fd);
        }
    }
}

/// Takes the lease anew. Whoever waited for the file goes on at that moment, and has it open: no job,
/// these have ended, but perhaps one that only looks, or a job's last breath in the kernel. False if
/// it stays open.
fn hold_once_closed(file: &File, leases: &Leases, until: Instant) -> io::Result<bool> {
    loop {
        match leases.ear.hold(file) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() >= until {
                    return Ok(false);
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done.map(|()| true),
        }
    }
}

impl Hold {
    fn put(&mut self, content: &Path) -> io::Result<()> {
        let mut from = File::open(content)?;
        self.file.rewind()?;
        io::copy(&mut from, &mut self.file)?;
        rustix::fs::futimens(&self.file, &times(self.mtime))?;
        Ok(())
    }
}

/// Proves that leases work in this directory, and finds out how many there may be.
///
/// # Errors
/// They do not.
pub(super) fn leases(
    dir: &Path,
    late_after: Option<Duration>,
    commands: std::sync::mpsc::Sender<super::Command>,
) -> io::Result<Leases> {
    lease::prove(dir)?;
    /// By so much the kernel's clock, or its signal, may be off.
    const MARGIN: Duration = Duration::from_secs(1);
    let break_time = lease::break_time()?;
    // The rest of the time is for ending the jobs.
    let patience = break_time * 2 / 3;
    if patience < Duration::from_secs(2) {
        return Err(io::Error::other("lease-break-time is too short"));
    }
    Ok(Leases {
        ear: Ear::start(commands)?,
        most: on_disk::most_files(),
        late_after: late_after.map_or(patience, |it| it.min(patience)),
        lost_after: break_time.saturating_sub(MARGIN),
        spares: RefCell::new(Spares::new(dir)),
    })
}

/// Removes files that an earlier session left without content, which would be read for nothing.
pub(super) fn sweep(tree: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    /// Smaller files may have no blocks of their own.
    const LARGE_BYTES: u64 = 64 << 10;
    let found = walkdir::WalkDir::new(tree).into_iter().flatten();
    for entry in found.filter(|entry| entry.file_type().is_file()) {
        let Ok(stat) = entry.metadata() else { continue };
        if stat.len() > LARGE_BYTES && stat.blocks() == 0 {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
