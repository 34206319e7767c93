//! Content on its way into a mirror: what the hub sends, and what jobs of this pod wrote.
//!
//! Files named by their digest in one directory. What a session that was cut off leaves is verified
//! by the next, so that a long transfer goes on where it ended; and swept once it is not needed.

use super::Command;
use crate::job::Digest;
use crate::paths::Bytes;
use crate::wire::packed;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// A piece is a frame's payload at most.
const MOST_PIECE_BYTES: usize = crate::wire::frame::MAX_MESSAGE_BYTES;

/// Of what jobs wrote so much is kept until the hub tells where it belongs; the oldest goes first.
pub(super) const MOST_MADE_BYTES: u64 = 256 << 20;

/// The directory, and the content that is coming in.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    coming: HashMap<Digest, Coming>,
    /// What jobs wrote.
    made: Queue,
    /// What the hub sent ahead of the list that names it.
    ahead: Queue,
    /// What was in one of them and had to go.
    dropped: Vec<Digest>,
}

/// Contents that nobody waits for, oldest first.
#[derive(Debug, Default)]
struct Queue {
    all: VecDeque<(Digest, u64)>,
    bytes: u64,
    most_bytes: u64,
}

impl Queue {
    /// One more; gives those that are too much now.
    fn push(&mut self, digest: Digest, bytes: u64) -> Vec<Digest> {
        self.all.push_back((digest, bytes));
        self.bytes += bytes;
        let mut surplus = Vec::new();
        while self.bytes > self.most_bytes
            && let Some((digest, bytes)) = self.all.pop_front()
        {
            self.bytes -= bytes;
            surplus.push(digest);
        }
        surplus
    }

    fn count(&mut self, is_there: impl Fn(Digest) -> bool) {
        self.all.retain(|(digest, _)| is_there(*digest));
        self.bytes = self.all.iter().map(|(_, bytes)| bytes).sum();
    }
}

#[derive(Debug)]
struct Coming {
    hasher: Box<blake3::Hasher>,
    file: File,
}

impl Store {
    /// One in this directory, with what there is in it of whole contents.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let queue = || Queue {
            most_bytes: MOST_MADE_BYTES,
            ..Queue::default()
        };
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if !is_content(&entry.path(), &entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self {
            dir: dir.into(),
            coming: HashMap::new(),
            made: queue(),
            ahead: queue(),
            dropped: Vec::new(),
        })
    }

    /// Keeps no more than that of what jobs wrote.
    pub(super) fn keep_at_most(&mut self, bytes: u64) {
        self.made.most_bytes = bytes.min(MOST_MADE_BYTES);
    }

    /// Keeps no more than that of what comes ahead of its list.
    #[cfg(test)]
    pub(super) fn keep_ahead_at_most(&mut self, bytes: u64) {
        self.ahead.most_bytes = bytes;
    }

    /// What there may be of contents that nobody waits for.
    pub(super) fn spare_bytes(&self) -> u64 {
        self.made.bytes + self.ahead.bytes
    }

    /// Looks what there is of them, most of which are in the trees by now.
    pub(super) fn count_spare(&mut self) {
        let (mut made, mut ahead) = (
            std::mem::take(&mut self.made),
            std::mem::take(&mut self.ahead),
        );
        made.count(|digest| self.has(digest));
        ahead.count(|digest| self.has(digest));
        (self.made, self.ahead) = (made, ahead);
    }

    /// Removes what an earlier session left and nobody has waited for.
    pub(super) fn sweep(&self) -> io::Result<()> {
        let known = self.made.all.iter().chain(&self.ahead.all);
        let known: HashSet<String> = known.map(|(digest, _)| digest.to_string()).collect();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_part = name.as_encoded_bytes().starts_with(PART.as_bytes());
            if !is_part && !name.to_str().is_some_and(|name| known.contains(name)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Where content of this digest lies, if it is there.
    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    pub(super) fn has(&self, digest: Digest) -> bool {
        rustix::fs::accessat(
            CWD,
            self.path(digest),
            rustix::fs::Access::EXISTS,
            AtFlags::empty(),
        )
        .is_ok()
    }

    /// A name for something that is to be put in place by a rename.
    pub(super) fn aside(&self) -> PathBuf {
        self.dir.join("aside")
    }

    /// Takes the next piece of content; true if that was the last.
    ///
    /// # Errors
    /// The disk's, or content that is not what its digest says.
    pub(super) fn receive(
        &mut self,
        digest: Digest,
        packed: &[u8],
        last: bool,
    ) -> io::Result<bool> {
        let part = self.part(digest);
        let mut coming = match self.coming.remove(&digest) {
            Some(coming) => coming,
            None => Coming {
                hasher: Box::default(),
                file: File::create(&part)?,
            },
        };
        let bytes = packed::unpack(packed, MOST_PIECE_BYTES)?;
        coming.hasher.update(&bytes);
        coming.file.write_all(&bytes)?;
        if !last {
            self.coming.insert(digest, coming);
            return Ok(false);
        }
        if *coming.hasher.finalize().as_bytes() != digest.0 {
            return Err(io::Error::other("content came in damaged"));
        }
        fs::rename(part, self.path(digest))?;
        Ok(true)
    }

    /// Keeps what a job wrote, as long as there is not too much of it.
    pub(super) fn keep(&mut self, digest: Digest, file: &File) {
        let Ok(found) = file.metadata() else {
            return;
        };
        let bytes = found.len();
        if !found.is_file() || bytes > self.made.most_bytes || self.has(digest) {
            return;
        }
        if let Err(error) = self.link_or_copy(digest, file) {
            // The hub will be asked for it.
            return tracing::debug!("what a job wrote is not kept: {error}");
        }
        let surplus = self.made.push(digest, bytes);
        self.drop(surplus);
    }

    /// Content has come that nobody waits for yet.
    pub(super) fn remember(&mut self, digest: Digest) {
        if let Ok(found) = fs::symlink_metadata(self.path(digest)) {
            let surplus = self.ahead.push(digest, found.len());
            self.drop(surplus);
        }
    }

    /// It is elsewhere by now.
    pub(super) fn remove(&self, digest: Digest) -> io::Result<()> {
        fs::remove_file(self.path(digest))
    }

    fn drop(&mut self, surplus: Vec<Digest>) {
        for digest in surplus {
            // Most are in the tree by now.
            if fs::remove_file(self.path(digest)).is_ok() {
                self.dropped.push(digest);
            }
        }
    }

    /// What had to go since this was asked, though the hub may take it to be here.
    pub(super) fn take_dropped(&mut self) -> Vec<Digest> {
        std::mem::take(&mut self.dropped)
    }

    fn link_or_copy(&self, digest: Digest, mut file: &File) -> io::Result<()> {
        let here = format!("/proc/self/fd/{}", file.as_raw_fd());
        let there = self.path(digest);
        if rustix::fs::linkat(CWD, here, CWD, there, AtFlags::SYMLINK_FOLLOW).is_ok() {
            return Ok(());
        }
        // It lies in memory, or is about to be removed.
        let part = self.part(digest);
        let copied = File::create(&part).and_then(|mut part| io::copy(&mut file, &mut part));
        let is_it = copied.is_ok() && is_content(&part, OsStr::new(&digest.to_string()));
        if is_it {
            return fs::rename(part, self.path(digest));
        }
        fs::remove_file(part)?;
        copied.and(Err(io::Error::other("it has changed")))
    }

    /// No more of this content will come.
    pub(super) fn give_up(&mut self, digest: Digest) -> io::Result<()> {
        match self.coming.remove(&digest) {
            Some(_) => fs::remove_file(self.part(digest)),
            None => Ok(()),
        }
    }

    /// Moves content to a path, which it has for itself; false if there is none.
    pub(super) fn take(&self, digest: Digest, to: &Path) -> io::Result<bool> {
        let here = self.path(digest);
        let links = match fs::symlink_metadata(&here) {
            Ok(found) => found.nlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        if links == 1 {
            fs::rename(here, to)?;
        } else {
            // It was put aside by a link, and stands elsewhere still.
            fs::copy(&here, to)?;
            fs::remove_file(here)?;
        }
        Ok(true)
    }

    fn part(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{PART}{digest}"))
    }
}

/// How names of what is not whole begin.
const PART: &str = "part-";

/// Whether a file holds what its name says, and has no other name.
fn is_content(path: &Path, name: &OsStr) -> bool {
    let read = || {
        let found = fs::symlink_metadata(path)?;
        if !found.is_file() || found.nlink() > 1 {
            return Ok(None);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        io::Result::Ok(Some(Digest(*hasher.finalize().as_bytes())))
    };
    // What cannot be read is no content.
    let digest = read().ok().flatten();
    digest.is_some_and(|digest| digest.to_string().as_str() == name)
}

/// Where jobs leave what they wrote, for the mirror to take it from there.
#[derive(Clone, Debug)]
pub(crate) struct Made(pub(super) mpsc::Sender<Command>);

impl Made {
    /// Keeps a file that a job wrote, whose job is over. That it is kept is not promised.
    pub(crate) fn keep(&self, upper: &OwnedFd, below: &Bytes, digest: Digest) {
        // The name may lead through a link that the job made: then nothing is kept.
        let how = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
        let opened = rustix::fs::openat2(upper, below.as_path(), how, Mode::empty(), resolve);
        if let Ok(file) = opened {
            // A thread that has given up has said why.
            let _ = self.0.send(Command::Made(digest, file.into()));
        }
    }
}
