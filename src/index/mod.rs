//! The index of a root: every name with its kind, mode, size, times and digest, kept true.
//!
//! Made by one walk and kept by inotify(7) from then on; where that cannot be had, by walking
//! again. Synchronous and owned by one thread. It knows nothing of jobs and pods: whoever is about
//! to fix the state of the files for a job calls [`Index::settle`], and whatever happened to the
//! root before that call is in the index after it, since the kernel queues the event before the
//! writer's call returns.
//!
//! What no event tells, and hence the index cannot know (of all but the first, a stat may tell: see
//! [`Index::doubt_all`]):
//!
//! - what a program stores through a mapping that it still holds: told when it unmaps or ends;
//! - what is written to a file of one link through an open file that was opened outside the root;
//! - that a file of one link was linked to a name outside, or to one inside that is gone again
//!   before the index looks, and was changed through that name;
//! - on file systems that are scanned: a change that leaves size, mtime and ctime as they were.
//!   Some of them (sshfs) have no change time of their own, and there the modification time, which
//!   programs can set, is all there is; and the clock that times are compared with is this machine's.

mod cache;
mod doubt;
mod entry;
mod ground;
mod hash;
mod leave_out;
mod links;
mod mounts;
mod node;
mod path;
mod reading;
mod settle;
mod stat;
mod table;
mod walk;
mod watch;

#[cfg(test)]
pub(crate) mod tests;

pub use entry::{Content, Entry, Kind, Time};
pub use leave_out::{LeaveOut, LeaveOutError, glob, is_temporary};
pub use mounts::{mounted_below, why_silent};
pub use reading::{Read, Reading};

use crate::job::Digest;
use cache::Known;
use doubt::Ears;
use ground::Ground;
use hash::Outcome;
use mounts::Mounts;
use stat::{Inode, Stat};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use table::{Name, Table};
use watch::Watch;

/// How often a file that changes while it is hashed is hashed again within one settling.
const ROUNDS: usize = 4;

/// How an index is to be kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where digests are kept for the next start.
    pub cache_file: Option<PathBuf>,
    /// What is closed, whatever stands there.
    pub leave_out: LeaveOut,
    /// Files of more bytes are hashed when they are asked for.
    pub hash_up_to: u64,
}

impl Default for Options {
    /// No cache, everything, and up to 64 MiB.
    fn default() -> Self {
        Self {
            cache_file: None,
            leave_out: LeaveOut::default(),
            hash_up_to: 64 << 20,
        }
    }
}

/// How changes are noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// By events: settling costs what changed.
    Watching,
    /// By walking the whole root at each settling.
    Scanning {
        /// Why there are no events.
        why: String,
    },
}

/// How much memory an index takes, by its own reckoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Names, the root's own and directories among them.
    pub entries: usize,
    /// Everything, in bytes.
    pub total_bytes: usize,
    /// The part of it that is the names' text.
    pub names_bytes: usize,
    /// Directories watched. The kernel takes about a kilobyte for each, beside the directory.
    pub watches: usize,
}

/// The root as a whole cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} `{}`", path.display())]
pub struct IndexError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> IndexError {
    move |source| IndexError {
        what,
        path: path.to_owned(),
        source: source.into(),
    }
}

/// The index of one root. See the module's text.
#[derive(Debug)]
pub struct Index {
    ground: Ground,
    options: Options,
    how: How,
    watch: Option<Watch>,
    mounts: Mounts,
    table: Table,
    ears: Ears,
    /// Files to be hashed.
    pending: BTreeMap<Name, Stat>,
    /// Digests of files that have no name yet, or none any more.
    known: Known,
    /// Files whose digests are not to be believed while this settling lasts.
    void: BTreeSet<Inode>,
    /// Files that are not tried again while this settling lasts.
    restless: BTreeSet<Name>,
    /// What waits to be hashed is left for somebody else.
    reads_elsewhere: bool,
    /// A time before everything that this settling looks at.
    now: Time,
    /// A link came, went or leads elsewhere.
    links_changed: bool,
    /// Files hashed since the cache was written.
    hashed: usize,
    is_walked: bool,
}

impl Index {
    /// An index of what is below `root`, which is known by its real path. Nothing is read yet but
    /// the cache: the first settling does that.
    ///
    /// # Errors
    /// The root cannot be opened.
    pub fn open(root: &Path, options: Options) -> Result<Self, IndexError> {
        let real = root.canonicalize().map_err(failed("open root", root))?;
        let ground = Ground::open(real).map_err(failed("open root", root))?;
        let known = options.cache_file.as_deref().map(cache::load);
        let mut index = Self {
            mounts: Mounts::open(ground.root()),
            ground,
            options,
            how: How::Watching,
            watch: None,
            table: Table::default(),
            ears: Ears::default(),
            pending: BTreeMap::new(),
            known: known.unwrap_or_default(),
            void: BTreeSet::new(),
            restless: BTreeSet::new(),
            reads_elsewhere: false,
            now: Time::default(),
            links_changed: false,
            hashed: 0,
            is_walked: false,
        };
        index.begin();
        Ok(index)
    }

    /// Brings the index up to date with the root: whatever happened before this call is in it
    /// afterwards. Returns the generation.
    ///
    /// It ends also while others go on writing: a file that changes each time it is hashed becomes
    /// [`Content::Unstable`] until a later settling finds it at rest.
    ///
    /// # Errors
    /// The root is not there. What the index holds is outdated then; settling may be tried again.
    pub fn settle(&mut self) -> Result<u64, IndexError> {
        self.settle_at(Time::now())
    }

    /// Has the next settling look at every name by stat, for those who have time to spare: what
    /// happened unheard is found then.
    pub fn doubt_all(&mut self) {
        self.ears.doubt.everything();
    }

    /// The number of changes so far, 0 before the first settling: raised only when something that
    /// an [`Entry`] tells is different, or may be, of a file without digest.
    pub fn generation(&self) -> u64 {
        self.table.generation()
    }

    /// What changed after `generation`, none for a name that was removed, in an order in which it
    /// can be applied: removals, deepest first; directories, outer first; files; links. What stands
    /// at a name that is now of another kind gives way. A directory's own time is changed by what
    /// is made in it and so must be set last.
    ///
    /// Everything there is if `generation` is 0. None if the index does not remember that far, or
    /// never was at that generation: then [`Index::entries`] is all there is, and everything else
    /// was removed. Costs what changed, not what there is.
    pub fn changes_since(
        &self,
        generation: u64,
    ) -> Option<impl Iterator<Item = (&[u8], Option<&Entry>)>> {
        let changes = self.table.changes_since(generation)?;
        let changes = changes.into_iter();
        Some(changes.map(|(name, entry)| (name.as_ref(), entry)))
    }

    /// Every name below the root in the order of its bytes; the root itself is the first, its name
    /// is empty.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &Entry)> {
        self.table
            .iter()
            .map(|(name, node)| (name.as_ref(), &node.entry))
    }

    /// What stands at a path below the root; links are not followed.
    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        self.table.get(path).map(|node| &node.entry)
    }

    /// The digest of a file as of the last settling, hashed now if it is one that is hashed only
    /// when asked for. None if there is no such file or it does not hold still. Settles, and thereby may raise the
    /// generation, if the file turns out to have changed; having a digest is no change.
    ///
    /// # Errors
    /// As of [`Index::settle`].
    pub fn digest(&mut self, path: &[u8]) -> Result<Option<Digest>, IndexError> {
        for _ in 0..ROUNDS {
            let node = match self.table.get(path) {
                Some(node) if node.is_unhashed() => node,
                other => return Ok(other.and_then(|node| node.entry.digest())),
            };
            let (node, now) = (node.clone(), Time::now());
            let outcome = hash::one(&self.ground, path, u64::MAX, &mut Vec::new());
            self.drain()?;
            if let Outcome::Hashed(stat, digest) = outcome
                && node.is_same(&stat)
                && !self.is_in_doubt(path, node.inode)
            {
                self.hashed += 1;
                let names: Vec<Name> = self.table.names_of(node.inode).cloned().collect();
                for name in names {
                    self.table.set_digest(&name, &stat, digest, now);
                }
                return Ok(Some(digest));
            }
            self.settle()?;
        }
        Ok(None)
    }

    /// How changes are noticed.
    pub fn how(&self) -> &How {
        &self.how
    }

    /// The root's real path.
    pub fn root(&self) -> &Path {
        self.ground.root()
    }

    /// How many names there are, the root's own and directories among them.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is nothing, as before the first settling.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory all this takes.
    pub fn memory(&self) -> Memory {
        let (total_bytes, names_bytes) = self.table.memory();
        Memory {
            entries: self.len(),
            total_bytes,
            names_bytes,
            watches: self.watch.as_ref().map_or(0, Watch::len),
        }
    }

    /// Readable when something happened in the root, for those who settle ahead of need; none if
    /// nothing tells.
    pub fn readiness(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(Watch::fd)
    }

    /// Writes the cache, if there is to be one. Files that had changed too shortly before they
    /// were hashed are hashed once more, so that the next start need not; call it when there is
    /// time. The first settling writes the cache by itself.
    ///
    /// # Errors
    /// The cache cannot be written.
    pub fn save(&mut self) -> Result<(), IndexError> {
        self.save_at(Time::now())
    }
}
