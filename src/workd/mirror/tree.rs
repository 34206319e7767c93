//! A root's copy on this pod's disk, and how changes are made to it.
//!
//! Jobs read it while it changes, as on the hub compilers read a directory that an editor saves to:
//! a file changes only by a rename. Every name has an inode of its own, but for those that share one
//! on the hub. What an earlier session left is believed only as far as the index, which looks at
//! every file, says what it is.

use super::on_disk::{self, above, content, is_plain, make_closed, raw, set, times, told};
use super::store::Store;
use crate::job::Digest;
use crate::paths::Bytes;
use crate::wire::files::{Change, Entry, EntryKind};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// One root's copy.
#[derive(Debug)]
pub(super) struct Tree {
    dir: OwnedFd,
    path: PathBuf,
    /// What stands there, as the hub has it.
    names: BTreeMap<Bytes, Entry>,
    /// Names of files, by what they hold.
    content: HashMap<Digest, BTreeSet<Bytes>>,
    /// Names whose content was gone when they were to be made.
    holes: BTreeSet<Bytes>,
}

impl Tree {
    /// Opens or makes one; `cache_file` spares reading what was read before.
    pub(super) fn open(path: &Path, cache_file: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut tree = Self {
            dir: rustix::fs::open(path, flags, Mode::empty())?,
            path: path.into(),
            names: BTreeMap::new(),
            content: HashMap::new(),
            holes: BTreeSet::new(),
        };
        for (name, entry) in on_disk::names(path, cache_file)? {
            tree.note(name, entry);
        }
        Ok(tree)
    }

    /// Whether it is what the hub told, with nothing that the hub is about to tell anew.
    pub(super) fn is_whole(&self) -> bool {
        self.holes.is_empty()
    }

    /// Whether some file holds this.
    pub(super) fn has(&self, digest: Digest) -> bool {
        self.content.contains_key(&digest)
    }

    /// What these changes need that is neither here nor among what came in.
    pub(super) fn lacks(&self, changes: &[Change], store: &Store) -> Vec<Digest> {
        let mut asked = HashSet::new();
        let needed = changes
            .iter()
            .filter_map(|change| content(change.entry.as_ref()?));
        needed
            .filter(|digest| {
                !self.content.contains_key(digest) && asked.insert(*digest) && !store.has(*digest)
            })
            .collect()
    }

    /// Takes changes over, in their order. With `everything`, what they do not name goes. Content in
    /// `gone` will come later, with other changes.
    ///
    /// # Errors
    /// The disk's, or a stop. The tree is then neither the old nor the new one, and must not be used.
    pub(super) fn apply(
        &mut self,
        mut changes: Vec<Change>,
        everything: bool,
        store: &Store,
        gone: &HashSet<Digest>,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        if everything {
            changes = self.differences(changes);
        }
        self.save_content(&changes, store)?;
        let mut directories = BTreeSet::new();
        for Change { name, entry } in changes {
            if stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if !is_plain(&name) {
                return Err(io::Error::other("a name that leads out of the root"));
            }
            directories.insert(above(&name));
            match entry {
                None => self.remove(&name)?,
                Some(entry) => {
                    if entry.what == EntryKind::Dir {
                        directories.insert(name.clone());
                    }
                    let put = self.put(&name, &entry, store, gone);
                    let made = put.map_err(|error| told(&name, &error))?;
                    let is_hole = made.what != entry.what;
                    self.note(name.clone(), made);
                    if is_hole {
                        self.holes.insert(name);
                    }
                }
            }
        }
        // Last, since whatever is made in a directory changes its time.
        for name in directories.iter().rev() {
            let entry = self.names.get(name);
            if let Some(entry) = entry.filter(|entry| entry.what == EntryKind::Dir) {
                let (dir, last) = self.parent(name)?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::utimensat(&dir, last, &times(entry.mtime), flags)?;
            }
        }
        Ok(())
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
            let Some(names) = self.content.get(&digest) else {
                continue;
            };
            if names.iter().any(|name| !touched.contains(name)) || store.has(digest) {
                continue;
            }
            if let Some(name) = names.first() {
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

    /// Makes a name what it is to be; says what it became.
    fn put(
        &mut self,
        name: &Bytes,
        entry: &Entry,
        store: &Store,
        gone: &HashSet<Digest>,
    ) -> io::Result<Entry> {
        let mut entry = entry.clone();
        let is_dir = entry.what == EntryKind::Dir;
        let was_dir = self.names.get(name).map(|was| was.what == EntryKind::Dir);
        if was_dir.is_some_and(|was| was != is_dir) {
            self.remove(name)?;
        }
        if is_dir {
            self.put_dir(name, &entry, was_dir == Some(true))?;
            return Ok(entry);
        }
        if self.keeps_content(name, &entry) {
            let (dir, last) = self.parent(name)?;
            set(&dir, last, &entry)?;
            return Ok(entry);
        }
        let aside = store.aside();
        match entry.what.clone() {
            EntryKind::Dir => {}
            EntryKind::Link { target } => rustix::fs::symlink(target.as_path(), &aside)?,
            EntryKind::Closed => make_closed(&aside)?,
            EntryKind::File { digest, .. } => {
                if let Some(other) = self.twin(name, &entry) {
                    rustix::fs::linkat(
                        CWD,
                        self.path.join(other.as_path()),
                        CWD,
                        &aside,
                        AtFlags::empty(),
                    )?;
                } else if !self.fetch(digest, store, &aside)? {
                    if !gone.contains(&digest) {
                        return Err(io::Error::other("its content is not here"));
                    }
                    make_closed(&aside)?;
                    entry.what = EntryKind::Closed;
                }
            }
        }
        if entry.what != EntryKind::Closed {
            set(CWD, &aside, &entry)?;
        }
        let (dir, last) = self.parent(name)?;
        rustix::fs::renameat(CWD, &aside, &dir, last)?;
        if was_dir.is_some() {
            // Renamed over another name of the same file, it is still there (rename(2)).
            let _ = fs::remove_file(&aside);
        }
        Ok(entry)
    }

    fn put_dir(&self, name: &Bytes, entry: &Entry, is_there: bool) -> io::Result<()> {
        let (dir, last) = self.parent(name)?;
        let mode = match entry.mode & 0o700 {
            // One that nobody may look into, and that holds nothing here.
            0 => Mode::empty(),
            _ => Mode::from_raw_mode(entry.mode & 0o777 | 0o700),
        };
        if !is_there && !raw(name).is_empty() {
            rustix::fs::mkdirat(&dir, last, mode)?;
        }
        rustix::fs::chmodat(&dir, last, mode, AtFlags::empty())?;
        Ok(())
    }

    /// Brings content to `aside`; false if there is none.
    fn fetch(&self, digest: Digest, store: &Store, aside: &Path) -> io::Result<bool> {
        if store.take(digest, aside)? {
            return Ok(true);
        }
        let Some(name) = self.content.get(&digest).and_then(BTreeSet::first) else {
            return Ok(false);
        };
        fs::copy(self.path.join(name.as_path()), aside)?;
        Ok(true)
    }

    /// Another name of the same file, already in place.
    fn twin(&self, name: &Bytes, entry: &Entry) -> Option<&Bytes> {
        let group = entry.group?;
        let same = self.content.get(&content(entry)?)?;
        same.iter().find(|other| {
            let there = self.names.get(*other);
            *other != name && there.is_some_and(|there| there.group == Some(group))
        })
    }

    fn remove(&mut self, name: &Bytes) -> io::Result<()> {
        let Some(entry) = self.names.get(name) else {
            return Ok(());
        };
        if entry.what != EntryKind::Dir {
            self.unlink_as(name, false)?;
            self.forget(name);
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
            self.unlink_as(other, is_dir)?;
            self.forget(other);
        }
        self.unlink_as(name, true)?;
        self.forget(name);
        Ok(())
    }

    fn unlink_as(&self, name: &Bytes, is_dir: bool) -> io::Result<()> {
        let (dir, last) = self.parent(name)?;
        let flags = match is_dir {
            true => AtFlags::REMOVEDIR,
            false => AtFlags::empty(),
        };
        match rustix::fs::unlinkat(&dir, last, flags) {
            // It may never have been put there.
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(told(name, &errno.into())),
        }
    }

    fn note(&mut self, name: Bytes, entry: Entry) {
        self.forget(&name);
        if let Some(digest) = content(&entry) {
            self.content.entry(digest).or_default().insert(name.clone());
        }
        self.names.insert(name, entry);
    }

    fn forget(&mut self, name: &Bytes) {
        self.holes.remove(name);
        let Some(digest) = self.names.remove(name).as_ref().and_then(content) else {
            return;
        };
        if let Some(names) = self.content.get_mut(&digest) {
            names.remove(name);
            if names.is_empty() {
                self.content.remove(&digest);
            }
        }
    }

    /// The directory that a name stands in, and its last part.
    fn parent<'n>(&self, name: &'n Bytes) -> io::Result<(OwnedFd, &'n OsStr)> {
        let path = name.as_path();
        // The root itself is in itself.
        let last = path.file_name().unwrap_or(OsStr::new("."));
        Ok((self.open_dir(&above(name))?, last))
    }

    fn open_dir(&self, name: &Bytes) -> io::Result<OwnedFd> {
        let path = match raw(name).is_empty() {
            true => Path::new("."),
            false => name.as_path(),
        };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(rustix::fs::openat2(
            &self.dir,
            path,
            flags,
            Mode::empty(),
            resolve,
        )?)
    }
}
