//! Less content where there is more than may be: what was used least recently goes, as far as its
//! files can do without it and no job here may be using it.

use super::Keeper;
use crate::job::Digest;
use crate::paths::RootPath;
use crate::wire::files::Change;
use crate::workd::mirror::on_disk::content;
use crate::workd::mirror::room::Share;
use crate::workd::mirror::tree::{Tree, With};
use std::io;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

/// So much of what is allowed may be what jobs wrote and no root is known to hold.
const MADE_PART: u64 = 4;

/// Contents that a list names and that may come later.
pub(super) fn later_of(list: &[Change]) -> Vec<Digest> {
    let later = list.iter().filter(|change| change.later);
    later
        .filter_map(|change| content(change.entry.as_ref()?))
        .collect()
}

impl Keeper {
    /// Keeps to this from now on.
    pub(in super::super) fn keep_to(&mut self, share: Share) {
        self.store.keep_at_most(share.most_bytes() / MADE_PART);
        self.share = Some(share);
    }

    /// Keeps no more than that of what comes ahead of its list.
    #[cfg(test)]
    pub(in super::super) fn keep_ahead_at_most(&mut self, bytes: u64) {
        self.store.keep_ahead_at_most(bytes);
    }

    /// Notes what there is, for others and for the next session.
    pub(in super::super) fn note_end(&mut self) {
        let bytes = self.bytes();
        if let Some(share) = &mut self.share {
            share.end(bytes);
        }
    }

    /// What all this takes on the disk, but for what is just coming in.
    fn bytes(&self) -> u64 {
        let trees: u64 = self.trees.iter().map(Tree::bytes).sum();
        trees + self.store.spare_bytes()
    }

    /// A list was made that names these contents, which may come later.
    pub(super) fn came_with_list(&mut self, root: usize, later: Vec<Digest>, everything: bool) {
        self.crowded = false;
        let now = SystemTime::now();
        let came = self.gate.came();
        let most: usize = self.trees.iter().map(Tree::later).sum();
        let trees = &self.trees;
        let is_there = |digest| trees.iter().any(|tree| tree.has(digest));
        self.uses.tidy(2 * most + 1000, is_there);
        // As long as a list waits it may name more of it.
        if self.let_go.len() > 2 * most + 1000 && self.waiting.is_empty() {
            self.let_go
                .retain(|it| trees.iter().any(|tree| tree.holds.lacks(*it)));
        }
        for digest in later {
            if !self.trees[root].has(digest) {
                continue;
            }
            // What a first list finds here was here before.
            let (at, until) = match everything {
                true => (self.trees[root].read_at(digest), 0),
                false => (None, came),
            };
            self.uses.touch(digest, at.unwrap_or(now).min(now), until);
        }
    }

    /// Content came that files waited for.
    pub(super) fn came_later(&mut self, digest: Digest) {
        self.crowded = false;
        let (now, came) = (SystemTime::now(), self.gate.came());
        self.uses.touch(digest, now, came);
    }

    /// A job is to read these.
    pub(super) fn used(&mut self, names: &[RootPath]) {
        let (now, came) = (SystemTime::now(), self.gate.came());
        for RootPath { root, below } in names {
            let tree = self.trees.get(usize::from(root.0));
            let digest = tree.and_then(|tree| tree.digest_at(below));
            if let Some(digest) = digest.filter(|digest| self.uses.knows(*digest)) {
                self.uses.touch(digest, now, came);
            }
        }
    }

    /// Lets content go until there is not too much of it, or nothing more may go.
    pub(super) fn fit(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let mut bytes = self.bytes();
        if let Some(share) = &mut self.share {
            // Also while nothing may go: others count what is in use by that.
            share.note(bytes);
        }
        // What a list that waits will need is counted as here.
        let is_whole = self.whole.len() >= self.roots && self.waiting.is_empty();
        if !is_whole || self.crowded || self.leases.is_none() {
            return Ok(());
        }
        let Some(share) = &mut self.share else {
            return Ok(());
        };
        if share.over(bytes) == 0 {
            return Ok(());
        }
        self.store.count_spare();
        let mut gone = Vec::new();
        loop {
            bytes = self.bytes();
            let over = self.share.as_mut().map_or(0, |share| share.over(bytes));
            if over == 0 {
                break;
            }
            let Some(digest) = self.first_to_go() else {
                self.crowd(over);
                break;
            };
            self.evict(digest, stop)?;
            self.let_go.insert(digest);
            gone.push(digest);
        }
        self.tell_without(0, &gone, false)
    }

    /// What was used least recently of what may go.
    fn first_to_go(&mut self) -> Option<Digest> {
        let held: usize = self.trees.iter().map(|tree| tree.holds.len()).sum();
        let most = self.leases.as_ref().map_or(0, |leases| leases.most);
        loop {
            let (digest, until) = self.uses.oldest()?;
            if held >= most || self.gate.is_one_here(until) {
                return None;
            }
            self.uses.remove(digest);
            let is_here = self.trees.iter().any(|tree| tree.has(digest));
            if is_here && self.trees.iter().all(|tree| tree.may_evict(digest)) {
                return Some(digest);
            }
        }
    }

    fn evict(&mut self, digest: Digest, stop: &AtomicBool) -> io::Result<()> {
        let with = With {
            store: &self.store,
            gone: &self.gone,
            stop,
            leases: self.leases.as_ref(),
            gate: &self.gate,
        };
        for tree in &mut self.trees {
            tree.evict(digest, with)?;
        }
        Ok(())
    }

    /// It is still too much.
    fn crowd(&mut self, over: u64) {
        self.crowded = true;
        if !std::mem::replace(&mut self.said_crowded, true) {
            let mib = over.div_ceil(1 << 20);
            tracing::info!(
                "the mirror is {mib} MiB larger than it may be: jobs and small files need it"
            );
        }
    }
}
