//! Bringing the index up to date: hear, look, hash, and hear again until all is quiet.

use super::doubt::{Scope, Sure};
use super::hash::{self, Outcome};
use super::node::Node;
use super::reading::{Names, first};
use super::stat::{Inode, Stat, is_settled};
use super::table::Name;
use super::watch::Watch;
use super::{
    Content, Ground, How, Index, IndexError, Kind, Mounts, ROUNDS, Time, cache, failed, links,
    mounts,
};
use crate::job::Digest;
use std::collections::BTreeMap;

/// So many files are worth a cache of their own accord.
const WORTH_SAVING: usize = 4096;

impl Index {
    /// Begins anew with the root as it was just opened.
    pub(super) fn begin(&mut self) {
        self.ears.doubt.everything();
        self.watch = None;
        if let Some(why) = mounts::why_silent(self.ground.fd()) {
            return self.scan(why);
        }
        match Watch::new() {
            Ok(watch) => {
                self.watch = Some(watch);
                self.how = How::Watching;
            }
            Err(error) => self.scan(format!(
                "there is no inotify (fs.inotify.max_user_instances): {error}"
            )),
        }
    }

    /// Does without events from now on.
    pub(super) fn scan(&mut self, why: String) {
        self.watch = None;
        self.ears.doubt.everything();
        let how = How::Scanning { why };
        if self.how != how {
            if let How::Scanning { why } = &how {
                let root = self.ground.root().display();
                tracing::warn!("root `{root}` is walked before each job: {why}");
            }
            self.how = how;
        }
    }

    /// [`Index::settle`] at a time that is given.
    pub(super) fn settle_at(&mut self, now: Time) -> Result<u64, IndexError> {
        self.now = now;
        self.check_ground()?;
        self.drain()?;
        if self.watch.is_none() {
            self.ears.doubt.everything();
        } else {
            self.doubt_linked();
        }
        for _ in 0..ROUNDS {
            if self.ears.doubt.is_empty() && self.pending.is_empty() {
                break;
            }
            self.resolve();
            self.hash_pending();
            self.drain()?;
        }
        self.give_up();
        self.follow_links();
        self.table.remember();
        self.known = cache::Known::new();
        self.void.clear();
        self.restless.clear();
        if self.ears.doubt.is_empty() {
            self.ears.rest();
        }
        if !self.is_walked || self.hashed >= WORTH_SAVING {
            self.is_walked = true;
            if let Err(error) = self.write_cache() {
                tracing::debug!("{error}: {}", error.source);
            }
        }
        Ok(self.generation())
    }

    /// Sees to it that the root is still what was opened, and mounts what they were.
    pub(super) fn check_ground(&mut self) -> Result<(), IndexError> {
        let root = self.ground.root().to_owned();
        if !self.ground.is_there() {
            self.ground = Ground::open(root.clone()).map_err(failed("open root", &root))?;
            self.mounts = Mounts::open(&root);
            self.begin();
        }
        for point in self.mounts.changed(&root) {
            self.ears
                .doubt
                .list(super::path::parent(&point), Scope::Stats);
            self.ears.doubt.look(&point, Sure::ByStat);
        }
        Ok(())
    }

    /// Takes in what happened so far.
    pub(super) fn drain(&mut self) -> Result<(), IndexError> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let heard = watch.drain();
        let heard = heard.map_err(failed("hear of changes in", self.ground.root()))?;
        let (table, pending) = (&self.table, &self.pending);
        for heard in heard {
            self.ears.hear(&heard, &self.options.leave_out, |path| {
                table.get(path).is_some() || pending.contains_key(path)
            });
        }
        Ok(())
    }

    /// Looks at files with several links: one of them may be outside, and is not heard of.
    fn doubt_linked(&mut self) {
        let mut seen = std::collections::BTreeSet::new();
        for name in &self.table.linked {
            let Some(node) = self.table.get(name) else {
                continue;
            };
            if !seen.insert(node.inode) {
                continue;
            }
            let found = self.ground.glance(name);
            if !found.is_ok_and(|stat| node.is_same(&stat) && node.is_settled()) {
                self.ears.doubt.look(name, Sure::Void);
            }
        }
    }

    /// Whether something that was just heard concerns a file.
    pub(super) fn is_in_doubt(&self, path: &[u8], inode: Inode) -> bool {
        let doubt = &self.ears.doubt;
        let mut names = self.table.names_of(inode);
        doubt.dirs.values().any(|scope| *scope == Scope::Tree)
            || doubt.numbers.contains(&inode.ino)
            || doubt.looks.contains_key(path)
            || names.any(|name| doubt.looks.contains_key(name.as_ref()))
    }

    /// Looks at everything that is in doubt now.
    pub(super) fn resolve(&mut self) {
        let mut doubt = self.ears.take();
        for number in &doubt.numbers {
            for name in self.table.names_of_number(*number) {
                doubt.looks.insert(name.to_vec(), Sure::Void);
            }
        }
        // All names of a file that is void are.
        let void = doubt.looks.iter().filter(|(_, sure)| **sure == Sure::Void);
        let inodes = void.filter_map(|(path, _)| {
            let waits = self.pending.get(path.as_slice()).map(Stat::inode);
            waits.or_else(|| Some(self.table.get(path)?.inode))
        });
        let void: Vec<Inode> = inodes.collect();
        for inode in void {
            for name in self.table.names_of(inode) {
                doubt.looks.insert(name.to_vec(), Sure::Void);
            }
            self.void.insert(inode);
        }
        let has_tree = doubt.dirs.get(&b""[..]) == Some(&Scope::Tree);
        for (dir, scope) in doubt.dirs {
            let is_dir = self.table.get(&dir).is_some_and(Node::is_dir);
            if dir.is_empty() || (is_dir && !has_tree) {
                self.list(&dir, scope);
            }
        }
        for (path, sure) in doubt.looks {
            self.look(&path, sure);
        }
    }

    /// Finds out the content of all files that wait for it.
    pub(super) fn hash_pending(&mut self) {
        let restless = self.spare_restless();
        let files = self.unread();
        let firsts: Vec<_> = files.iter().filter_map(first).collect();
        let outcomes = hash::all(&self.ground, &firsts, self.options.hash_up_to);
        for (names, outcome) in files.into_iter().zip(outcomes) {
            self.hashed += 1;
            for (name, stat) in names {
                self.put_outcome(name, stat, &outcome);
            }
        }
        self.pending.extend(restless);
    }

    /// The files that wait and must be read, each once for all its names: of the others the content is
    /// known.
    pub(super) fn unread(&mut self) -> Vec<Names> {
        let pending = std::mem::take(&mut self.pending);
        let mut linked: BTreeMap<Inode, Names> = BTreeMap::new();
        let mut files = Vec::new();
        for (name, stat) in pending {
            if let Some(digest) = self.recall(&stat) {
                self.put_file(&name, &stat, Content::Digest(digest));
            } else if stat.links > 1 {
                let names = linked.entry(stat.inode()).or_default();
                names.push((name, stat));
            } else {
                files.push(vec![(name, stat)]);
            }
        }
        files.extend(linked.into_values());
        files
    }

    pub(super) fn put_outcome(&mut self, name: Name, seen: Stat, outcome: &Outcome) {
        match outcome {
            Outcome::Hashed(stat, digest) if stat.inode() == seen.inode() => {
                self.put_file(&name, stat, Content::Digest(*digest));
            }
            Outcome::TooLarge(stat) if stat.inode() == seen.inode() => {
                self.put_file(&name, stat, Content::Unhashed);
            }
            Outcome::Unreadable => {
                let kind = Kind::Unreadable { is_dir: false };
                let node = Node::new(&seen, kind, self.now);
                self.table.put(&name, node, false);
            }
            Outcome::Changed => {
                self.ears.doubt.look(&name, Sure::Void);
                self.pending.insert(name, seen);
            }
            // Gone or another one: what is there now is looked at.
            _ => {
                self.ears.doubt.look(&name, Sure::Void);
            }
        }
    }

    fn put_file(&mut self, name: &[u8], stat: &Stat, content: Content) {
        // A file that waits may have changed: without a digest it counts as changed.
        let touched = content == Content::Unhashed;
        let kind = Kind::File {
            size_bytes: stat.size_bytes,
            content,
        };
        let old = self.table.get(name).map(|old| &old.entry.kind);
        self.links_changed |= matches!(old, Some(Kind::Link { .. }));
        self.table
            .put(name, Node::new(stat, kind, self.now), touched);
    }

    /// The digest of a file that was known under another name, or in another process.
    fn recall(&self, stat: &Stat) -> Option<Digest> {
        if self.void.contains(&stat.inode()) || stat.ctime > self.now {
            return None;
        }
        if let Some((known, digest)) = self.known.get(&stat.inode())
            && known.is_same(stat)
        {
            return Some(*digest);
        }
        let mut nodes = self.table.names_of(stat.inode());
        nodes.find_map(|name| {
            let node = self.table.get(name)?;
            let holds = node.is_same(stat) && node.is_settled();
            node.entry.digest().filter(|_| holds)
        })
    }

    /// What did not come to rest is entered as such, and looked at next time.
    fn give_up(&mut self) {
        for (name, stat) in std::mem::take(&mut self.pending) {
            self.put_file(&name, &stat, Content::Unstable);
            self.ears.doubt.look(&name, Sure::Void);
        }
        let looks = self.ears.doubt.looks.iter();
        let void = looks.filter(|(_, sure)| **sure == Sure::Void);
        let nodes = void.filter_map(|(path, _)| self.table.get(path));
        let inodes: Vec<Inode> = nodes.map(|node| node.inode).collect();
        for inode in inodes {
            let names: Vec<Name> = self.table.names_of(inode).cloned().collect();
            for name in names {
                let stat = self.table.get(&name).and_then(Node::stat);
                if let Some(stat) = stat {
                    self.put_file(&name, &stat, Content::Unstable);
                }
            }
        }
    }

    /// Finds out which links lead outside, if that may have changed.
    fn follow_links(&mut self) {
        if !std::mem::take(&mut self.links_changed) {
            return;
        }
        let target = |path: &[u8]| match &self.table.get(path)?.entry.kind {
            Kind::Link { target, .. } => Some(target.as_ref()),
            _ => None,
        };
        let mut changed = Vec::new();
        for name in &self.table.links {
            let Some(node) = self.table.get(name) else {
                continue;
            };
            if let Kind::Link {
                target: own,
                outside,
            } = &node.entry.kind
            {
                let now = links::lead_outside(self.ground.root(), name, own, target);
                if now != *outside {
                    let (mut node, target) = (node.clone(), own.clone());
                    node.entry.kind = Kind::Link {
                        target,
                        outside: now,
                    };
                    changed.push((name.clone(), node));
                }
            }
        }
        for (name, node) in changed {
            self.table.put(&name, node, false);
        }
    }

    /// [`Index::save`] at a time that is given.
    pub(super) fn save_at(&mut self, now: Time) -> Result<(), IndexError> {
        if self.options.cache_file.is_none() {
            return Ok(());
        }
        self.now = now;
        let young = self.table.iter().filter_map(|(name, node)| {
            let stat = node.stat().filter(|_| !node.is_settled())?;
            node.entry.digest()?;
            let is_hashed = stat.size_bytes <= self.options.hash_up_to;
            (is_hashed && is_settled(stat.ctime, now)).then(|| (name.clone(), stat))
        });
        let young: Vec<_> = young.collect();
        self.pending.extend(young);
        self.hash_pending();
        self.write_cache()
    }

    fn write_cache(&mut self) -> Result<(), IndexError> {
        let Some(path) = &self.options.cache_file else {
            return Ok(());
        };
        if std::mem::take(&mut self.hashed) == 0 {
            return Ok(());
        }
        let settled = self.table.iter().filter(|(_, node)| node.is_settled());
        let known = settled.filter_map(|(_, node)| Some((node.stat()?, node.entry.digest()?)));
        cache::save(path, known, self.now).map_err(failed("write", path))
    }
}
