//! Files without content that somebody opened: their content is asked for, and if it does not come
//! in time, or never will, every job that may wait for it is ended before the kernel lets it go on.

use super::{Keeper, Waiter, root_id};
use crate::job::Digest;
use crate::wire::messages::FromPod;
use rustix::fd::RawFd;
use std::collections::HashSet;
use std::io;
use std::time::Instant;

impl Keeper {
    /// Whether files wait for this content.
    pub(super) fn lacks(&self, digest: Digest) -> bool {
        self.trees.iter().any(|tree| tree.holds.lacks(digest))
    }

    /// Content for which somebody waits, and since when.
    pub(super) fn opened(&self) -> impl Iterator<Item = (Digest, Instant)> {
        self.trees.iter().flat_map(|tree| tree.holds.opened())
    }

    /// Looks who has opened one file, or any, and asks for what they want.
    pub(super) fn look(&mut self, at: Option<RawFd>) -> io::Result<()> {
        for root in 0..self.trees.len() {
            for (name, digest) in self.trees[root].holds.look(at) {
                self.gate.note_opened();
                if self.asked.insert(digest) {
                    let root = root_id(root);
                    self.tell(FromPod::Opened { root, name, digest })?;
                }
            }
        }
        Ok(())
    }

    /// A job is to have these, which its hub has sent: what has come before the job did, and had to
    /// go, comes once more.
    pub(super) fn ask_again(&mut self, wanted: &HashSet<Digest>) -> io::Result<()> {
        for digest in wanted.intersection(&self.let_go).copied() {
            let names = (0..).zip(&self.trees);
            let mut names =
                names.flat_map(|(root, tree)| tree.holds.names(digest).map(move |it| (root, it)));
            let first = names
                .next()
                .map(|(root, name)| (root_id(root), name.clone()));
            if let Some((root, name)) = first
                && self.asked.insert(digest)
            {
                self.tell(FromPod::Opened { root, name, digest })?;
            }
        }
        Ok(())
    }

    /// Content came in.
    pub(super) fn came(&mut self, digest: Digest) -> io::Result<()> {
        for tree in &mut self.trees {
            tree.fill(digest, &self.store)?;
        }
        if self.trees.iter().any(|tree| tree.has(digest)) {
            self.came_later(digest);
        }
        self.asked.remove(&digest);
        self.let_go.remove(&digest);
        let is_wanted = self.lacking.remove(&digest);
        if !is_wanted && self.trees.iter().any(|tree| tree.has(digest)) {
            self.store.remove(digest)?;
        } else if !is_wanted {
            self.store.remember(digest);
        }
        self.serve(digest);
        Ok(())
    }

    /// The hub has it no more.
    pub(super) fn is_gone(&mut self, digest: Digest) -> io::Result<()> {
        self.store.give_up(digest)?;
        if self.lacking.remove(&digest) {
            self.gone.insert(digest);
        }
        self.asked.remove(&digest);
        self.serve(digest);
        let opened = self.trees.iter();
        let opened: Vec<bool> = opened.flat_map(|it| it.holds.opened_as(digest)).collect();
        if opened.is_empty() {
            return Ok(());
        }
        if opened.contains(&true) {
            // What stands there now is told in the list that comes next.
            self.not_before = self.made + self.waiting.len() as u64 + 1;
        }
        self.spoil(Vec::new())
    }

    /// When somebody will have waited for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let late_after = self.leases.as_ref()?.late_after;
        let since = self.opened().map(|(_, since)| since).min()?;
        (!self.spoiled).then(|| since + late_after)
    }

    /// Somebody has waited for too long.
    pub(super) fn end_what_is_late(&mut self) -> io::Result<()> {
        let late: Vec<Digest> = self.opened().map(|(digest, _)| digest).collect();
        tracing::info!(
            "content of {} files is late: jobs are run again",
            late.len()
        );
        self.spoil(late)
    }

    fn spoil(&mut self, late: Vec<Digest>) -> io::Result<()> {
        self.spoiled = true;
        self.gate.spoil(late);
        self.left()
    }

    /// A job has ended, or files were replaced.
    pub(super) fn left(&mut self) -> io::Result<()> {
        if self.spoiled && self.gate.is_quiet() {
            if let Some(leases) = &self.leases {
                for tree in &mut self.trees {
                    tree.holds.renew(leases)?;
                }
            }
            if self.made >= self.not_before {
                self.spoiled = false;
                self.gate.open();
            }
        }
        for tree in &mut self.trees {
            tree.holds.reap(|number| self.gate.any_before(number));
        }
        Ok(())
    }

    pub(super) fn wait_for(&mut self, digests: HashSet<Digest>, waiter: Waiter) {
        match digests.is_empty() {
            true => waiter.tell(),
            false => self.waiters.push((digests, waiter)),
        }
    }

    /// This content is here, or will not come: those who wait for nothing else go on.
    fn serve(&mut self, digest: Digest) {
        for (digests, _) in &mut self.waiters {
            digests.remove(&digest);
        }
        let served = self
            .waiters
            .extract_if(.., |(digests, _)| digests.is_empty());
        served.for_each(|(_, waiter)| waiter.tell());
    }
}
