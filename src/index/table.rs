//! The names of a root with what is known of them, and the order in which they changed.
//!
//! Knows nothing of disks or events. Each change raises the generation by one and is logged under
//! it, each name once, so that what changed since some generation is found without looking at what
//! did not.

use super::entry::{Content, Entry, Kind, Time};
use super::node::Node;
use super::path;
use super::stat::{Inode, Stat};
use crate::job::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;
use std::sync::Arc;

/// A path below the root, shared by all who know it.
pub(super) type Name = Arc<[u8]>;

/// Removed names that are remembered at least, so that whoever asks for changes hears of them.
const REMEMBERED: usize = 65_536;

/// See the file's text.
#[derive(Debug, Default)]
pub(super) struct Table {
    nodes: BTreeMap<Name, Box<Node>>,
    /// Every name of every file and link, by what it names.
    inodes: BTreeSet<(u64, Name)>,
    /// Files and symbolic links with several hard links.
    pub(super) linked: BTreeSet<Name>,
    /// Symbolic links.
    pub(super) links: BTreeSet<Name>,
    log: BTreeMap<u64, Name>,
    removed: BTreeMap<Name, u64>,
    generation: u64,
    /// No change before this generation is remembered; none at all until there is one.
    floor: Option<u64>,
    names_bytes: usize,
}

impl Table {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path).map(Box::as_ref)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Name, &Node)> {
        self.nodes.iter().map(|(name, node)| (name, node.as_ref()))
    }

    /// Enters a name or what is new of it. With `touched`, it counts as changed even if the entry
    /// is the same.
    pub(super) fn put(&mut self, path: &[u8], mut node: Node, touched: bool) {
        let name = match self.nodes.get_key_value(path) {
            Some((name, old)) => {
                let (name, changed) = (name.clone(), touched || old.entry != node.entry);
                let (seq, inode) = (old.seq, old.inode);
                if inode.ino != node.inode.ino || !has_names(&node.entry.kind) {
                    self.inodes.remove(&(inode.ino, name.clone()));
                }
                if !changed {
                    node.seq = seq;
                    self.file(&name, &node);
                    self.nodes.insert(name, Box::new(node));
                    return;
                }
                self.log.remove(&seq);
                name
            }
            None => {
                self.names_bytes += path.len();
                if let Some((name, seq)) = self.removed.remove_entry(path) {
                    self.log.remove(&seq);
                    name
                } else {
                    Name::from(path)
                }
            }
        };
        node.seq = self.log(&name);
        self.file(&name, &node);
        self.nodes.insert(name, Box::new(node));
    }

    /// Enters the digest of a file that is otherwise as it was: not a change.
    pub(super) fn set_digest(&mut self, path: &[u8], stat: &Stat, digest: Digest, hashed: Time) {
        if let Some(node) = self.nodes.get_mut(path)
            && node.is_same(stat)
        {
            let kind = Kind::File {
                size_bytes: stat.size_bytes,
                content: Content::Digest(digest),
            };
            let seq = node.seq;
            **node = Node::new(stat, kind, hashed);
            node.seq = seq;
        }
    }

    /// Remembers changes from now on: before the first reader, there is nobody to ask for them.
    pub(super) fn remember(&mut self) {
        self.floor = self.floor.or(Some(self.generation));
    }

    /// The generation of a change that is made to this name now.
    fn log(&mut self, name: &Name) -> u64 {
        self.generation += 1;
        if self.floor.is_some() {
            self.log.insert(self.generation, name.clone());
        }
        self.generation
    }

    /// Enters a name into the lists of its kind.
    fn file(&mut self, name: &Name, node: &Node) {
        fn set(list: &mut BTreeSet<Name>, name: &Name, is_in: bool) {
            if !is_in {
                list.remove(name);
            } else if !list.contains(name) {
                list.insert(name.clone());
            }
        }
        let kind = &node.entry.kind;
        if has_names(kind) {
            self.inodes.insert((node.inode.ino, name.clone()));
        }
        set(&mut self.linked, name, node.entry.group.is_some());
        set(&mut self.links, name, matches!(kind, Kind::Link { .. }));
    }

    /// Removes one name; what is below it is the caller's care.
    pub(super) fn remove(&mut self, path: &[u8]) -> Option<Node> {
        let (name, node) = self.nodes.remove_entry(path)?;
        self.names_bytes -= name.len();
        self.inodes.remove(&(node.inode.ino, name.clone()));
        self.linked.remove(&name);
        self.links.remove(&name);
        self.log.remove(&node.seq);
        let seq = self.log(&name);
        if self.floor.is_some() {
            self.removed.insert(name, seq);
        }
        self.forget();
        Some(*node)
    }

    /// Keeps the memory of what was removed within bounds.
    fn forget(&mut self) {
        if self.removed.len() <= REMEMBERED.max(self.nodes.len()) {
            return;
        }
        let mut all: Vec<u64> = self.removed.values().copied().collect();
        all.sort_unstable();
        let floor = all[all.len() / 2];
        self.floor = Some(floor);
        let log = &mut self.log;
        self.removed.retain(|_, seq| {
            let keep = *seq > floor;
            if !keep {
                log.remove(seq);
            }
            keep
        });
    }

    /// Everything below a directory, in order.
    pub(super) fn below(&self, dir: &[u8]) -> impl Iterator<Item = &Name> + use<'_> {
        self.nodes
            .range::<[u8], _>(path::below(dir).as_bounds())
            .map(|(name, _)| name)
    }

    /// What a directory itself holds.
    pub(super) fn children(&self, dir: &[u8]) -> Vec<Name> {
        let whole = path::below(dir);
        let prefix = path::join(dir, b"").len();
        let (mut from, mut found) = (whole.clone(), Vec::new());
        while let Some((name, _)) = self.nodes.range::<[u8], _>(from.as_bounds()).next() {
            let rest = &name[prefix..];
            match rest.iter().position(|byte| *byte == b'/') {
                None => {
                    found.push(name.clone());
                    from.after(name);
                }
                // Past all that is in there, at once.
                Some(end) => from.after_below(&name[..prefix + end]),
            }
        }
        found
    }

    /// All names of a file.
    pub(super) fn names_of(&self, inode: Inode) -> impl Iterator<Item = &Name> {
        let names = self.names_of_number(inode.ino);
        names.filter(move |name| self.get(name).is_some_and(|node| node.inode == inode))
    }

    /// All names of the files of this number.
    pub(super) fn names_of_number(&self, ino: u64) -> impl Iterator<Item = &Name> {
        let names = self.inodes.range((ino, Name::from(&b""[..]))..);
        names
            .take_while(move |(other, _)| *other == ino)
            .map(|(_, name)| name)
    }

    /// What a reader of `generation` does not know, see [`super::Index::changes_since`].
    pub(super) fn changes_since(&self, generation: u64) -> Option<Vec<(&Name, Option<&Entry>)>> {
        let mut changes: Vec<_> = if generation == 0 {
            let all = self.nodes.iter();
            all.map(|(name, node)| (name, Some(&node.entry))).collect()
        } else if self.floor.is_some_and(|floor| generation >= floor)
            && generation <= self.generation
        {
            let log = self.log.range(generation + 1..);
            log.map(|(_, name)| (name, self.get(name).map(|node| &node.entry)))
                .collect()
        } else {
            return None;
        };
        changes.sort_unstable_by(|(a, old), (b, new)| {
            let turns = turn(*old).cmp(&turn(*new));
            turns.then_with(|| if old.is_none() { b.cmp(a) } else { a.cmp(b) })
        });
        Some(changes)
    }

    /// About how many bytes all this takes, and how many of them are the names.
    pub(super) fn memory(&self) -> (usize, usize) {
        /// What an allocation costs beside its bytes, and how full a B-tree's nodes are.
        const ALLOCATION: usize = 16;
        let full = |bytes: usize| bytes * 3 / 2;
        let name = size_of::<Name>();
        let node = full(name + size_of::<usize>()) + size_of::<Node>() + ALLOCATION;
        let logged = full(name + size_of::<u64>());
        let short = full(name) * (self.linked.len() + self.links.len());
        let targets = self.links.iter().filter_map(|name| self.get(name));
        let targets: usize = targets.map(|node| target_len(&node.entry.kind)).sum();
        let removed = self.removed.keys().map(|name| name.len()).sum::<usize>();
        let names = self.names_bytes + removed;
        let shared =
            (self.nodes.len() + self.removed.len()) * (ALLOCATION + 2 * size_of::<usize>());
        let total = self.nodes.len() * node
            + self.inodes.len() * full(size_of::<(u64, Name)>())
            + (self.log.len() + self.removed.len()) * logged
            + short
            + targets
            + shared
            + names;
        (total, names)
    }
}

/// Whether it may have several names that matter.
fn has_names(kind: &Kind) -> bool {
    matches!(kind, Kind::File { .. } | Kind::Link { .. })
}

fn target_len(kind: &Kind) -> usize {
    match kind {
        Kind::Link { target, .. } => target.len() + 16,
        _ => 0,
    }
}

/// In what order changes can be made: removals, directories, files, links.
fn turn(entry: Option<&Entry>) -> u8 {
    match entry.map(|entry| &entry.kind) {
        None => 0,
        Some(Kind::Dir) => 1,
        Some(Kind::Link { .. }) => 3,
        Some(_) => 2,
    }
}
