//! Looking at directories and names, and entering what is found there.

use super::doubt::{Scope, Sure};
use super::ground::read_link;
use super::node::Node;
use super::stat::Stat;
use super::{Index, Kind, is_temporary, path};
use rustix::fs::{AtFlags, FileType, RawDir};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Files that wait to be hashed before a walk goes on.
const BATCH: usize = 4096;

/// Bytes of names read at once.
const BUFFER_BYTES: usize = 64 * 1024;

/// Whether trying again is of no use.
fn is_refused(error: Errno) -> bool {
    matches!(
        error,
        Errno::ACCESS | Errno::PERM | Errno::IO | Errno::NAMETOOLONG
    )
}

/// A name in a directory, with the inode's number as the directory has it.
type Listed = BTreeMap<Vec<u8>, (u64, FileType)>;

impl Index {
    /// Lists a directory, and those below it that are new or in the scope.
    pub(super) fn list(&mut self, dir: &[u8], scope: Scope) {
        let mut stack = vec![dir.to_vec()];
        while let Some(dir) = stack.pop() {
            self.list_one(&dir, scope, &mut stack);
            if self.pending.len() >= BATCH && !self.reads_elsewhere {
                self.hash_pending();
            }
        }
    }

    fn list_one(&mut self, dir: &[u8], scope: Scope, stack: &mut Vec<Vec<u8>>) {
        let opened = self.ground.open_dir(dir).and_then(|fd| {
            let stat = Stat::from(rustix::fs::fstat(&fd)?);
            Ok((fd, stat))
        });
        let (fd, stat) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.unlistable(dir, error),
        };
        let old = self.table.get(dir);
        if !old.is_some_and(|old| old.is_dir() && old.inode == stat.inode()) {
            self.remove_below(dir);
        }
        self.put(dir, Node::new(&stat, Kind::Dir, self.now));
        // Before it is listed: what comes after the list is heard of.
        self.watch_dir(&fd, dir);
        self.look_again_at(dir, &fd, &stat);
        let listed = match names(&fd) {
            Ok(listed) => listed,
            Err(error) => return self.unlistable(dir, error),
        };
        for name in self.table.children(dir) {
            if !listed.contains_key(path::name(&name)) {
                self.remove(&name);
            }
        }
        for (name, (ino, file_type)) in listed {
            let path = path::join(dir, &name);
            if scope == Scope::Names && self.is_as_listed(&path, ino, file_type) {
                continue;
            }
            self.look_in(&fd, path, &name, scope, stack);
        }
    }

    /// What has changed a directory itself, its time above all, just before it was watched is not
    /// heard of.
    fn look_again_at(&mut self, dir: &[u8], fd: &OwnedFd, before: &Stat) {
        if let Ok(stat) = rustix::fs::fstat(fd) {
            let stat = Stat::from(stat);
            if stat != *before && stat.inode() == before.inode() {
                self.put(dir, Node::new(&stat, Kind::Dir, self.now));
            }
        }
    }

    /// Whether a name is known as the kind and the inode that its directory tells.
    fn is_as_listed(&self, path: &[u8], ino: u64, file_type: FileType) -> bool {
        if let Some(pending) = self.pending.get(path) {
            return pending.ino == ino && file_type == FileType::RegularFile;
        }
        self.table.get(path).is_some_and(|node| {
            let kind = match node.entry.kind {
                Kind::File { .. } => FileType::RegularFile,
                Kind::Dir => FileType::Directory,
                Kind::Link { .. } => FileType::Symlink,
                Kind::Unreadable { .. } | Kind::Other => return false,
            };
            node.inode.ino == ino && kind == file_type
        })
    }

    /// Looks at one name of an open directory.
    fn look_in(
        &mut self,
        fd: &OwnedFd,
        path: Vec<u8>,
        name: &[u8],
        scope: Scope,
        stack: &mut Vec<Vec<u8>>,
    ) {
        if self.mounts.has(&path) {
            // Not even asked: a dead one would not answer.
            return self.unseen(&path, Errno::XDEV);
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match rustix::fs::statat(fd, OsStr::from_bytes(name), flags) {
            Ok(stat) => {
                let stat = Stat::from(stat);
                let link = || read_link(fd.as_fd(), name);
                let is_new = self.seen(&path, &stat, Sure::ByStat, link);
                // One that nobody is to look into is none.
                let is_dir = self.table.get(&path).is_some_and(Node::is_dir);
                if is_new || (scope == Scope::Tree && is_dir) {
                    stack.push(path);
                }
            }
            Err(error) => self.unseen(&path, error),
        }
    }

    /// Looks at one name.
    pub(super) fn look(&mut self, path: &[u8], sure: Sure) {
        let parent = path::parent(path);
        let has_parent = self.table.get(parent).is_some_and(Node::is_dir);
        if !path.is_empty() && !has_parent {
            // It went with its directory, or comes with it.
            return;
        }
        match self.ground.look(path) {
            Ok((fd, stat)) => {
                let link = || read_link(fd.as_fd(), b"");
                if self.seen(path, &stat, sure, link) {
                    self.list(path, Scope::Stats);
                }
            }
            Err(error) => self.unseen(path, error),
        }
    }

    /// A directory cannot be opened or read as one.
    fn unlistable(&mut self, dir: &[u8], error: Errno) {
        let found = self.ground.glance(dir);
        match found {
            Ok(stat) if is_refused(error) && stat.file_type() == FileType::Directory => {
                let kind = Kind::Unreadable { is_dir: true };
                self.put(dir, Node::new(&stat, kind, self.now));
            }
            _ if dir.is_empty() => self.unseen(dir, error),
            _ => self.look_again(dir, error),
        }
    }

    /// It was a directory a moment ago: whatever it is now, it is not listed.
    fn look_again(&mut self, dir: &[u8], error: Errno) {
        match self.ground.look(dir) {
            Ok((fd, stat)) if stat.file_type() != FileType::Directory => {
                self.seen(dir, &stat, Sure::ByStat, || read_link(fd.as_fd(), b""));
            }
            // Once more a directory: looked at in the next round, in the next settling at worst.
            Ok(_) => self.ears.doubt.list(dir, Scope::Stats),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {
                self.unseen(dir, error);
            }
            Err(error) => self.unseen(dir, error),
        }
    }

    /// A name that not even stat tells of.
    fn unseen(&mut self, path: &[u8], error: Errno) {
        match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => self.remove(path),
            Errno::XDEV => {
                // The mount's own root is of no interest; that there is one is.
                let mut node = Node::unknown();
                node.entry.kind = Kind::Other;
                self.put(path, node);
            }
            error => {
                self.put(path, Node::unknown());
                if !is_refused(error) {
                    // Out of descriptors or memory: next time it may be seen.
                    self.ears.doubt.look(path, Sure::ByStat);
                }
            }
        }
    }

    /// Enters what stat tells of a name; true if it is a directory that must be listed.
    fn seen(
        &mut self,
        path: &[u8],
        stat: &Stat,
        sure: Sure,
        link: impl FnOnce() -> Result<Box<[u8]>, Errno>,
    ) -> bool {
        let is_dir = stat.file_type() == FileType::Directory;
        if self.mounts.has(path) || (is_dir && stat.dev != self.ground.dev()) {
            self.unseen(path, Errno::XDEV);
            return false;
        }
        if stat.file_type() != FileType::Symlink && self.options.leave_out.has(path) {
            self.put(path, Node::closed(stat));
            return false;
        }
        let old = self.table.get(path);
        match stat.file_type() {
            FileType::Directory => {
                let is_old = old.is_some_and(|old| old.is_dir() && old.inode == stat.inode());
                // A new one is entered when it turns out that it can be listed.
                if is_old {
                    self.put(path, Node::new(stat, Kind::Dir, self.now));
                }
                !is_old
            }
            FileType::RegularFile => {
                self.seen_file(path, stat, sure);
                false
            }
            FileType::Symlink => {
                self.seen_link(path, stat, link());
                false
            }
            _ => {
                self.put(path, Node::new(stat, Kind::Other, self.now));
                false
            }
        }
    }

    fn seen_file(&mut self, path: &[u8], stat: &Stat, sure: Sure) {
        let old = self.table.get(path);
        let is_same = old.is_some_and(|old| old.is_same(stat) && old.is_settled());
        if is_same && sure == Sure::ByStat && !self.pending.contains_key(path) {
            return;
        }
        if old.is_some_and(Node::is_dir) {
            self.remove_below(path);
        }
        self.tell_other_names(path, stat);
        self.pending.insert(path.into(), *stat);
    }

    /// The other names of a file may not know yet that they share it.
    fn tell_other_names(&mut self, path: &[u8], stat: &Stat) {
        if stat.links < 2 {
            return;
        }
        for name in self.table.names_of(stat.inode()) {
            if name.as_ref() != path && !self.table.linked.contains(name) {
                self.ears.doubt.look(name, Sure::ByStat);
            }
        }
    }

    fn seen_link(&mut self, path: &[u8], stat: &Stat, target: Result<Box<[u8]>, Errno>) {
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                // It became something else meanwhile.
                tracing::debug!("cannot read a link: {error}");
                return self.ears.doubt.look(path, Sure::ByStat);
            }
        };
        // Where it leads is found out when all links are known.
        let outside = match self.table.get(path).map(|old| &old.entry.kind) {
            Some(Kind::Link {
                target: old,
                outside,
            }) if *old == target => *outside,
            _ => {
                self.links_changed = true;
                false
            }
        };
        self.tell_other_names(path, stat);
        let kind = Kind::Link { target, outside };
        self.put(path, Node::new(stat, kind, self.now));
    }

    /// Enters a name that needs no hashing.
    fn put(&mut self, path: &[u8], node: Node) {
        let old = self.table.get(path).map(|old| &old.entry.kind);
        if matches!(old, Some(Kind::Dir)) && !node.is_dir() {
            self.remove_below(path);
            self.unwatch(path);
        } else if matches!(old, Some(Kind::Link { .. }))
            && !matches!(node.entry.kind, Kind::Link { .. })
        {
            self.links_changed = true;
        }
        self.pending.remove(path);
        self.table.put(path, node, false);
    }

    /// Removes a name and everything below it.
    pub(super) fn remove(&mut self, path: &[u8]) {
        if self.table.get(path).is_some_and(Node::is_dir) {
            self.remove_below(path);
            self.unwatch(path);
        }
        self.pending.remove(path);
        self.remove_one(path);
    }

    fn remove_below(&mut self, dir: &[u8]) {
        let names: Vec<_> = self.table.below(dir).cloned().collect();
        for name in names {
            self.remove_one(&name);
        }
        let range = path::below(dir);
        let pending = self.pending.range::<[u8], _>(range.as_bounds());
        let pending: Vec<_> = pending.map(|(name, _)| name.clone()).collect();
        for name in pending {
            self.pending.remove(&name);
        }
        if let Some(watch) = &mut self.watch {
            watch.remove_below(dir);
        }
    }

    fn remove_one(&mut self, name: &[u8]) {
        let Some(node) = self.table.remove(name) else {
            return;
        };
        self.links_changed |= matches!(node.entry.kind, Kind::Link { .. });
        // It may only have been moved.
        if let (Some(stat), Some(digest), true) =
            (node.stat(), node.entry.digest(), node.is_settled())
        {
            self.known.insert(node.inode, (stat, digest));
        }
    }

    fn unwatch(&mut self, dir: &[u8]) {
        if let Some(watch) = &mut self.watch {
            watch.remove(dir);
        }
    }

    fn watch_dir(&mut self, fd: &OwnedFd, dir: &[u8]) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        match watch.add(fd.as_fd(), dir) {
            // It is gone from there, or will be watched there again, with what is below it.
            Ok(Some(other)) => self.ears.doubt.list(&other, Scope::Tree),
            // Gone, or not ours to read: its list tells.
            Ok(None) | Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => {}
            Err(Errno::NOSPC) => self.scan(
                "the user's inotify watches are used up (fs.inotify.max_user_watches)".into(),
            ),
            Err(error) => self.scan(format!("inotify failed: {error}")),
        }
    }
}

/// What a directory holds, without temporaries of cpods' own.
fn names(fd: &OwnedFd) -> Result<Listed, Errno> {
    let mut listed = Listed::new();
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
    let mut reader = RawDir::new(fd, &mut buffer);
    while let Some(found) = reader.next() {
        let found = found?;
        let name = found.file_name().to_bytes();
        if name == b"." || name == b".." || is_temporary(name) {
            continue;
        }
        listed.insert(name.to_vec(), (found.ino(), found.file_type()));
    }
    Ok(listed)
}
