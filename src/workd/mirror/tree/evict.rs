//! Content that is here and may go again: its files become what they were before it came.

use super::{Tree, With};
use crate::job::Digest;
use crate::paths::Bytes;
use crate::wire::files::Change;
use crate::workd::mirror::on_disk::{above, content_of, set, told};
use rustix::fd::RawFd;
use rustix::fs::{AtFlags, CWD};
use std::collections::HashMap;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// Names of files whose content may come later. (Name and length decide that: of a file that stays
/// what it is it does not change.)
pub(super) fn later_of(changes: &[Change]) -> Vec<Bytes> {
    let later = changes.iter().filter(|it| it.later && it.entry.is_some());
    later.map(|it| it.name.clone()).collect()
}

impl Tree {
    /// What all whole files take on the disk.
    pub(in super::super) fn bytes(&self) -> u64 {
        self.content.bytes()
    }

    /// How many files' content may come later.
    pub(in super::super) fn later(&self) -> usize {
        self.later.len()
    }

    pub(super) fn note_later(&mut self, names: Vec<Bytes>) {
        let there = names.into_iter().filter(|it| self.names.contains_key(it));
        self.later.extend(there);
    }

    /// What a name holds.
    pub(in super::super) fn digest_at(&self, name: &Bytes) -> Option<Digest> {
        self.names.get(name).and_then(content_of).map(|what| what.0)
    }

    /// When somebody has read this, as far as the disk knows.
    pub(in super::super) fn read_at(&self, digest: Digest) -> Option<SystemTime> {
        let name = self.content.names(digest).next()?;
        let found = self.path.join(name.as_path()).symlink_metadata().ok()?;
        let seconds = u64::try_from(found.atime()).unwrap_or(0);
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Whether all of its files could do without it.
    pub(in super::super) fn may_evict(&self, digest: Digest) -> bool {
        let mut names = self.content.names(digest);
        names.all(|name| self.later.contains(name))
    }

    /// Replaces all files that hold this by such without it; whoever has one of them open keeps it.
    ///
    /// # Errors
    /// The disk's; the tree must not be used any more.
    pub(in super::super) fn evict(&mut self, digest: Digest, with: With<'_>) -> io::Result<()> {
        let names = self.content.names(digest).cloned().collect();
        self.empty(names, with)
    }

    /// Holds up anew whoever opens a file without content, once no job runs. One that somebody else
    /// keeps open is left to him, and another stands in its place.
    ///
    /// # Errors
    /// The disk's; the tree must not be used any more.
    pub(in super::super) fn renew(&mut self, with: With<'_>) -> io::Result<()> {
        let Some(leases) = with.leases else {
            return Ok(());
        };
        for names in self.holds.renew(leases)? {
            self.empty(names, with)?;
        }
        Ok(())
    }

    /// Puts files without content at these names of equal files.
    fn empty(&mut self, names: Vec<Bytes>, with: With<'_>) -> io::Result<()> {
        let Some(leases) = with.leases else {
            return Ok(());
        };
        let mut twins: HashMap<NonZeroU64, (RawFd, Bytes)> = HashMap::new();
        for name in names {
            let Some(entry) = self.names.get(&name).cloned() else {
                continue;
            };
            let Some(what) = content_of(&entry) else {
                continue;
            };
            let aside = with.store.aside();
            let twin = entry.group.and_then(|group| twins.get(&group));
            let fd = match twin {
                Some((fd, other)) => {
                    let other = self.path.join(other.as_path());
                    rustix::fs::linkat(CWD, other, CWD, &aside, AtFlags::empty())?;
                    *fd
                }
                None => {
                    let made = self.holds.make(&aside, what, entry.mtime, leases);
                    made.map_err(|error| told(&name, &error))?
                }
            };
            set(CWD, &aside, &entry)?;
            self.dir.rename(&aside, &name)?;
            if let Some(group) = entry.group {
                twins.entry(group).or_insert_with(|| (fd, name.clone()));
            }
            self.note(&name, entry, Some(fd), with.gate);
            let above = above(&name);
            self.later.insert(name);
            if let Some(entry) = self.names.get(&above) {
                self.dir.set_time(&above, entry.mtime)?;
            }
        }
        Ok(())
    }
}
