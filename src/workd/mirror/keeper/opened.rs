//! Files without content that somebody opened: their content is asked for, and if it does not come
//! in time, or never will, every job that may wait for it is ended before the kernel lets it go on.

use super::{Keeper, Waiter, root_id};
use crate::job::Digest;
use crate::wire::messages::FromPod;
use crate::workd::mirror::tree::With;
use rustix::fd::RawFd;
use std::collections::HashSet;
use std::io;
use std::sync::atomic::AtomicBool;
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

    /// One file was opened, or any may have been; all that was told before `since` has been heard.
    pub(super) fn hear(&mut self, at: Option<RawFd>, since: Instant) -> io::Result<()> {
        self.heard = self.heard.max(since);
        self.look_at(at, since)
    }

    /// Looks who has opened any file, and asks for what they want.
    pub(super) fn look(&mut self) -> io::Result<()> {
        self.look_at(None, self.heard)
    }

    fn look_at(&mut self, at: Option<RawFd>, since: Instant) -> io::Result<()> {
        for root in 0..self.trees.len() {
            for (name, digest) in self.trees[root].holds.look(at, since) {
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

    /// Content that came ahead of the list that names it, or that a job wrote, had to go: the hub
    /// is to know, and a list whose turn it is may have counted on it.
    pub(super) fn note_dropped(&mut self) -> io::Result<()> {
        let dropped = self.store.take_dropped().into_iter();
        let dropped = dropped.filter(|it| !self.trees.iter().any(|tree| tree.has(*it)));
        let dropped: Vec<Digest> = dropped.collect();
        if dropped.is_empty() {
            return Ok(());
        }
        self.let_go.extend(&dropped);
        self.tell_without(0, &dropped, false)?;
        self.ask()
    }

    /// Content came in.
    pub(super) fn came(&mut self, digest: Digest) -> io::Result<()> {
        let mut waited = None;
        for tree in &mut self.trees {
            waited = waited.max(tree.fill(digest, &self.store, self.heard)?);
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
        if let Some(waited) = waited {
            self.gate.note_opened();
            let is_lost = self
                .leases
                .as_ref()
                .is_some_and(|it| waited >= it.lost_after);
            if is_lost && !self.spoiled {
                tracing::info!("content came too late: jobs are run again");
                self.spoil(Vec::new())?;
            }
        }
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

    /// Ends all jobs if somebody has waited for too long.
    pub(super) fn end_what_is_late(&mut self) -> io::Result<()> {
        if self.deadline().is_none_or(|at| Instant::now() < at) {
            return Ok(());
        }
        let late: Vec<Digest> = self.opened().map(|(digest, _)| digest).collect();
        tracing::info!(
            "content of {} files is late: jobs are run again",
            late.len()
        );
        self.spoil(late)
    }

    /// Says until when what jobs do counts, whatever this thread is about to do.
    pub(super) fn vouch(&self) {
        if let Some(leases) = &self.leases {
            let oldest = self.opened().map(|(_, since)| since).min();
            let since = oldest.map_or(self.heard, |it| it.min(self.heard));
            self.gate.vouch(since + leases.lost_after);
        }
    }

    fn spoil(&mut self, late: Vec<Digest>) -> io::Result<()> {
        self.spoiled = true;
        self.gate.spoil(late);
        self.left()
    }

    /// A job has ended, or files were replaced.
    pub(super) fn left(&mut self) -> io::Result<()> {
        if self.spoiled && self.gate.is_quiet() {
            let with = With {
                store: &self.store,
                gone: &self.gone,
                stop: &AtomicBool::new(false),
                leases: self.leases.as_ref(),
                gate: &self.gate,
            };
            for tree in &mut self.trees {
                tree.renew(with)?;
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
