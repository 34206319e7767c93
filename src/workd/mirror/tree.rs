//! A root's copy on this pod's disk, and how changes are made to it.
//!
//! Jobs read it while it changes, as on the hub compilers read a directory that an editor saves to:
//! a file changes only by a rename. Every name has an inode of its own, but for those that share one
//! on the hub. What an earlier session left is believed only as far as the index, which looks at
//! every file, says what it is.

mod evict;

use super::contents::Contents;
use super::dir::TreeDir;
use super::gate::Gate;
use super::holds::{self, Filled, Holds, Leases};
use super::on_disk::{self, above, content, content_of, is_plain, make_closed, raw, set, told};
use super::store::Store;
use crate::job::Digest;
use crate::paths::Bytes;
use crate::wire::files::{Change, Entry, EntryKind};
use evict::later_of;
use rustix::fd::RawFd;
use rustix::fs::{AtFlags, CWD};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One root's copy.
#[derive(Debug)]
pub(super) struct Tree {
    dir: TreeDir,
    path: PathBuf,
    /// What stands there, as the hub has it.
    names: BTreeMap<Bytes, Entry>,
    /// Names of files, by what they hold.
    content: Contents,
    /// Names of files whose content may come later, whether it is here or not.
    later: BTreeSet<Bytes>,
    /// Names whose content was gone when they were to be made.
    holes: BTreeSet<Bytes>,
    /// Files whose content comes once somebody opens them.
    pub(super) holds: Holds,
}

/// What there is besides the tree when changes are made to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct With<'a> {
    pub(super) store: &'a Store,
    /// Content that will come later, with other changes.
    pub(super) gone: &'a HashSet<Digest>,
    pub(super) stop: &'a AtomicBool,
    /// None where files must be there whole.
    pub(super) leases: Option<&'a Leases>,
    pub(super) gate: &'a Gate,
}

impl Tree {
    /// Opens or makes one; `cache_file` spares reading what was read before.
    pub(super) fn open(path: &Path, cache_file: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        holds::sweep(path)?;
        let mut tree = Self {
            dir: TreeDir::open(path)?,
            path: path.into(),
            names: BTreeMap::new(),
            content: Contents::default(),
            later: BTreeSet::new(),
            holes: BTreeSet::new(),
            holds: Holds::default(),
        };
        for (name, entry) in on_disk::names(path, cache_file)? {
            if let Some(what) = content_of(&entry) {
                tree.content.insert(what, &name, entry.group);
            }
            tree.names.insert(name, entry);
        }
        Ok(tree)
    }

    /// Whether it is what the hub told, with nothing that the hub is about to tell anew.
    pub(super) fn is_whole(&self) -> bool {
        self.holes.is_empty()
    }

    /// Whether some file holds this.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.content.has(digest)
    }

    /// What these changes need that is neither here nor among what came in. With so many leases to
    /// be had, what may come later is not needed.
    pub(super) fn lacks(&self, changes: &[Change], store: &Store, leases: usize) -> Vec<Digest> {
        let (mut asked, mut leases) = (HashSet::new(), leases);
        let mut lacking = Vec::new();
        for Change { name, entry, later } in changes {
            let Some(digest) = entry.as_ref().and_then(content) else {
                continue;
            };
            if self.content.has(digest) || asked.contains(&digest) || store.has(digest) {
                continue;
            }
            if *later && leases > 0 {
                leases -= usize::from(self.holds.at(name).is_none());
                continue;
            }
            asked.insert(digest);
            lacking.push(digest);
        }
        lacking
    }

    /// What is here without its content.
    pub(super) fn without(&self) -> Vec<Digest> {
        self.holds.contents().collect()
    }

    /// Takes changes over, in their order. With `everything`, what they do not name goes.
    ///
    /// # Errors
    /// The disk's, or a stop. The tree is then neither the old nor the new one, and must not be used.
    pub(super) fn apply(
        &mut self,
        mut changes: Vec<Change>,
        everything: bool,
        with: With<'_>,
    ) -> io::Result<()> {
        let later = later_of(&changes);
        if everything {
            changes = self.differences(changes);
        }
        self.save_content(&changes, with.store)?;
        let mut directories = BTreeSet::new();
        for Change { name, entry, later } in changes {
            if with.stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if !is_plain(&name) {
                return Err(io::Error::other("a name that leads out of the root"));
            }
            directories.insert(above(&name));
            match entry {
                None => self.remove(&name, with.gate)?,
                Some(entry) => {
                    if entry.what == EntryKind::Dir {
                        directories.insert(name.clone());
                    }
                    let put = self.put(&name, &entry, later, with);
                    put.map_err(|error| told(&name, &error))?;
                }
            }
        }
        // Last, since whatever is made in a directory changes its time.
        for name in directories.iter().rev() {
            let entry = self.names.get(name);
            if let Some(entry) = entry.filter(|entry| entry.what == EntryKind::Dir) {
                self.dir.set_time(name, entry.mtime)?;
            }
        }
        self.note_later(later);
        Ok(())
    }

    /// Content came that files of this tree may wait for. Whoever opened one and was not found yet
    /// did so after `since`; gives for how long somebody had one open at most.
    pub(super) fn fill(
        &mut self,
        digest: Digest,
        store: &Store,
        since: Instant,
    ) -> io::Result<Option<Duration>> {
        if !self.holds.lacks(digest) {
            return Ok(None);
        }
        let Filled { names, waited } = self.holds.fill(digest, &store.path(digest), since)?;
        for name in names {
            let entry = self.names.get(&name);
            if let Some((entry, what)) = entry.and_then(|it| Some((it, content_of(it)?))) {
                self.content.insert(what, &name, entry.group);
            }
        }
        Ok(waited)
    }

    /// The changes that make this tree what the list says.
    fn differences(&self, list: Vec<Change>) -> Vec<Change> {
        let wanted: HashSet<&Bytes> = list.iter().map(|change| &change.name).collect();
        let surplus = self.names.keys().rev();
        let surplus = surplus.filter(|name| !wanted.contains(name) && !raw(name).is_empty());
        let mut changes: Vec<Change> = surplus
            .map(|name| Change {
                name: name.clone(),
                entry: None,
                later: false,
            })
            .collect();
        // Numbers of groups are each machine's own.
        let is_known = |change: &Change| {
            let known = self.names.get(&change.name);
            change.entry.as_ref().is_some_and(|entry| {
                entry.what != EntryKind::Dir && entry.group.is_none() && Some(entry) == known
            })
        };
        changes.extend(list.into_iter().filter(|change| !is_known(change)));
        changes
    }

    /// Puts aside what is still needed of files that these changes remove or overwrite.
    fn save_content(&self, changes: &[Change], store: &Store) -> io::Result<()> {
        let touched = changes.iter().filter(|change| {
            let entry = change.entry.as_ref();
            !entry.is_some_and(|entry| self.keeps_content(&change.name, entry))
        });
        let touched: HashSet<&Bytes> = touched.map(|change| &change.name).collect();
        for digest in changes
            .iter()
            .filter_map(|change| content(change.entry.as_ref()?))
        {
            let mut names = self.content.names(digest);
            if names.any(|name| !touched.contains(name)) || store.has(digest) {
                continue;
            }
            if let Some(name) = self.content.names(digest).next() {
                let from = self.path.join(name.as_path());
                rustix::fs::linkat(CWD, from, CWD, store.path(digest), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    /// Whether a name is to stay the file that it is, of other mode or time at most.
    fn keeps_content(&self, name: &Bytes, entry: &Entry) -> bool {
        self.names.get(name).is_some_and(|was| {
            let is_single = was.group.is_none() && entry.group.is_none();
            is_single && was.what == entry.what && content(was).is_some()
        })
    }

    /// Whether a name could stay the file that it is since it lacks both its old content and its new
    /// one. (Logs of builds, and what tools make: a new file each time is dear, above all where
    /// many were removed just before.)
    fn changes_content(&mut self, name: &Bytes, entry: &Entry, store: &Store) -> io::Result<bool> {
        let EntryKind::File { digest, size_bytes } = entry.what else {
            return Ok(false);
        };
        let was = self.names.get(name);
        let is_single = was.is_some_and(|was| was.group.is_none()) && entry.group.is_none();
        if !is_single || self.content.has(digest) || store.has(digest) {
            return Ok(false);
        }
        self.holds.change(name, (digest, size_bytes))
    }

    /// Makes a name what it is to be.
    fn put(&mut self, name: &Bytes, wanted: &Entry, later: bool, with: With<'_>) -> io::Result<()> {
        let mut entry = wanted.clone();
        let is_dir = entry.what == EntryKind::Dir;
        let was_dir = self.names.get(name).map(|was| was.what == EntryKind::Dir);
        if was_dir.is_some_and(|was| was != is_dir) {
            self.remove(name, with.gate)?;
        }
        if is_dir {
            self.dir.put_dir(name, &entry, was_dir == Some(true))?;
            self.note(name, entry, None, with.gate);
            return Ok(());
        }
        if self.keeps_content(name, &entry)
            || later && self.changes_content(name, &entry, with.store)?
        {
            self.dir.set(name, &entry)?;
            self.holds.set_time(name, entry.mtime);
            self.names.insert(name.clone(), entry);
            return Ok(());
        }
        let (aside, mut held) = (with.store.aside(), None);
        match entry.what.clone() {
            EntryKind::Dir => {}
            EntryKind::Link { target } => rustix::fs::symlink(target.as_path(), &aside)?,
            EntryKind::Closed { size_bytes } => make_closed(&aside, size_bytes)?,
            EntryKind::File { digest, size_bytes } => {
                if let Some(other) = self.twin(name, &entry) {
                    let other = self.path.join(other.as_path());
                    rustix::fs::linkat(CWD, other, CWD, &aside, AtFlags::empty())?;
                    held = self.twin(name, &entry).and_then(|it| self.holds.at(it));
                } else if !self.fetch(digest, with.store, &aside)? {
                    held =
                        self.put_hollow(&aside, &mut entry, (digest, size_bytes), later, with)?;
                }
            }
        }
        let is_hole = entry.what != wanted.what;
        set(CWD, &aside, &entry)?;
        self.dir.rename(&aside, name)?;
        if was_dir.is_some() {
            // Renamed over another name of the same file, it is still there (rename(2)).
            let _ = fs::remove_file(&aside);
        }
        self.note(name, entry, held, with.gate);
        if is_hole {
            self.holes.insert(name.clone());
        }
        Ok(())
    }

    /// Makes a file whose content is not here: held, or, if it is gone for now, closed.
    fn put_hollow(
        &mut self,
        aside: &Path,
        entry: &mut Entry,
        what: (Digest, u64),
        later: bool,
        with: With<'_>,
    ) -> io::Result<Option<RawFd>> {
        if let Some(leases) = with.leases.filter(|_| later) {
            return self.holds.make(aside, what, entry.mtime, leases).map(Some);
        }
        if !with.gone.contains(&what.0) {
            return Err(io::Error::other("its content is not here"));
        }
        let size_bytes = what.1;
        make_closed(aside, size_bytes)?;
        entry.what = EntryKind::Closed { size_bytes };
        Ok(None)
    }

    /// Brings content to `aside`; false if there is none.
    fn fetch(&self, digest: Digest, store: &Store, aside: &Path) -> io::Result<bool> {
        if store.take(digest, aside)? {
            return Ok(true);
        }
        let Some(name) = self.content.names(digest).next() else {
            return Ok(false);
        };
        fs::copy(self.path.join(name.as_path()), aside)?;
        Ok(true)
    }

    /// Another name of the same file, already in place.
    fn twin(&self, name: &Bytes, entry: &Entry) -> Option<&Bytes> {
        let (group, digest) = (entry.group?, content(entry)?);
        let here = self.content.names(digest);
        let mut same = here.chain(self.holds.names(digest));
        same.find(|other| {
            let there = self.names.get(*other);
            *other != name && there.is_some_and(|there| there.group == Some(group))
        })
    }

    fn remove(&mut self, name: &Bytes, gate: &Gate) -> io::Result<()> {
        let Some(entry) = self.names.get(name) else {
            return Ok(());
        };
        if entry.what != EntryKind::Dir {
            self.dir.unlink_as(name, false)?;
            self.forget(name, gate);
            return Ok(());
        }
        let inside: Vec<Bytes> = self
            .names
            .range(name.clone()..)
            .take_while(|(other, _)| raw(other).starts_with(raw(name)))
            .filter(|(other, _)| *other != name && other.as_path().starts_with(name.as_path()))
            .map(|(other, _)| other.clone())
            .collect();
        for other in inside.iter().rev() {
            let is_dir = self
                .names
                .get(other)
                .is_some_and(|it| it.what == EntryKind::Dir);
            self.dir.unlink_as(other, is_dir)?;
            self.forget(other, gate);
        }
        self.dir.unlink_as(name, true)?;
        self.forget(name, gate);
        Ok(())
    }

    /// A name stands for this now, with its content or held without it.
    fn note(&mut self, name: &Bytes, entry: Entry, held: Option<RawFd>, gate: &Gate) {
        self.forget(name, gate);
        match (content_of(&entry), held) {
            (Some(_), Some(fd)) => self.holds.name(fd, name, entry.mtime),
            (Some(what), None) => self.content.insert(what, name, entry.group),
            (None, _) => {}
        }
        self.names.insert(name.clone(), entry);
    }

    fn forget(&mut self, name: &Bytes, gate: &Gate) {
        self.holes.remove(name);
        self.holds.unname(name, gate.begun());
        self.later.remove(name);
        if let Some(what) = self.names.remove(name).as_ref().and_then(content_of) {
            self.content.remove(what, name);
        }
    }
}
