//! The thread's own: what it was told, in order, and how far it has come.

use super::own;
use super::store::Store;
use super::tree::Tree;
use super::{Command, Progress};
use crate::job::Digest;
use crate::paths::RootId;
use crate::wire::files::{Change, More};
use crate::wire::messages::FromPod;
use crate::workd::session::Out;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use tokio::sync::watch;

/// Digests in one message.
const MOST_ASKED: usize = 16 << 10;

/// Makes the changes of all roots.
pub(super) struct Keeper {
    trees: Vec<Tree>,
    /// How many of them are roots.
    roots: usize,
    /// Where this pod may have the same as the others, in their order.
    own: Vec<PathBuf>,
    store: Store,
    out: tokio::sync::mpsc::Sender<Out>,
    /// Parts of a list whose end has not come.
    parts: Vec<Vec<Change>>,
    /// Lists whose turn has not come, since content of the first is not here.
    waiting: VecDeque<(usize, Vec<Change>, bool)>,
    lacking: HashSet<Digest>,
    gone: HashSet<Digest>,
    /// Lists.
    pub(super) made: u64,
    whole: BTreeSet<usize>,
}

impl Keeper {
    /// Opens what there is from earlier, which takes as long as reading it does.
    pub(super) fn open(
        content: &Path,
        places: &[PathBuf],
        out: tokio::sync::mpsc::Sender<Out>,
    ) -> io::Result<Self> {
        // First, so that no file of the trees has another name there.
        let store = Store::open(content)?;
        let is_same_boot = is_same_boot(&content.with_file_name("boot"))?;
        let trees = places.iter().map(|place| {
            fs::create_dir_all(place)?;
            let cache_file = place.join("index");
            if !is_same_boot {
                // A crash may lose what was written to a file, and leave its times.
                let _ = fs::remove_file(&cache_file);
            }
            Tree::open(&place.join("files"), &cache_file)
        });
        Ok(Self {
            trees: trees.collect::<io::Result<_>>()?,
            roots: places.len(),
            own: Vec::new(),
            store,
            out,
            parts: vec![Vec::new(); places.len()],
            waiting: VecDeque::new(),
            lacking: HashSet::new(),
            gone: HashSet::new(),
            made: 0,
            whole: BTreeSet::new(),
        })
    }

    /// Until the session ends. `taken` is told how much of what waited is done.
    pub(super) fn run(
        mut self,
        told: &mpsc::Receiver<Command>,
        progress: &watch::Sender<Progress>,
        stop: &AtomicBool,
        taken: impl Fn(usize),
    ) -> io::Result<()> {
        while let Ok(command) = told.recv() {
            let bytes = command.bytes();
            if stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.take(command, stop)? {
                progress.send_modify(|it| {
                    it.made = self.made;
                    it.whole.clone_from(&self.whole);
                });
            }
            taken(bytes);
        }
        Ok(())
    }

    /// Does what can be done by now; true if there is progress to tell of.
    ///
    /// # Errors
    /// The disk's, or of a hub that breaks the protocol. Nothing can be done any more.
    pub(super) fn take(&mut self, command: Command, stop: &AtomicBool) -> io::Result<bool> {
        match command {
            Command::Tree(place, own) => {
                let tree = Tree::open(&place.join("files"), &place.join("index"))?;
                self.trees.push(tree);
                self.parts.push(Vec::new());
                self.own.push(own);
            }
            Command::Changes(root, changes, more) => {
                let root = usize::from(root.0);
                let parts = self.parts.get_mut(root);
                let parts = parts.ok_or_else(|| io::Error::other("no such root"))?;
                parts.extend(changes);
                if more == More::Part {
                    return Ok(false);
                }
                let list = std::mem::take(parts);
                let is_first = self.waiting.is_empty();
                self.waiting
                    .push_back((root, list, more == More::Everything));
                if is_first {
                    self.ask()?;
                }
            }
            Command::Content(digest, packed, last) => {
                if self.store.receive(digest, &packed, last)? {
                    self.lacking.remove(&digest);
                }
            }
            Command::Made(digest, file) => {
                if !self.trees.iter().any(|tree| tree.has(digest)) {
                    self.store.keep(digest, &file);
                }
            }
            Command::Gone(digest) => {
                self.store.give_up(digest)?;
                if self.lacking.remove(&digest) {
                    self.gone.insert(digest);
                }
            }
        }
        let before = self.made;
        while self.lacking.is_empty()
            && let Some((root, list, everything)) = self.waiting.pop_front()
        {
            self.trees[root].apply(list, everything, &self.store, &self.gone, stop)?;
            self.gone.clear();
            self.made += 1;
            if everything && self.whole.insert(root) && self.whole.len() == self.roots {
                self.store.sweep()?;
            }
            self.ask()?;
        }
        // What was gone is told anew at once, and no job is to see it in between.
        Ok(self.made > before && self.trees.iter().all(Tree::is_whole))
    }

    /// Asks for what the next list needs and is not here.
    fn ask(&mut self) -> io::Result<()> {
        let Some((root, list, _)) = self.waiting.front() else {
            return Ok(());
        };
        let mut digests = self.trees[*root].lacks(list, &self.store);
        let own = root.checked_sub(self.roots);
        if let Some(own) = own.and_then(|number| self.own.get(number)) {
            own::take(own, list, &mut digests, &self.store)?;
        }
        self.lacking.extend(&digests);
        let root = RootId(u16::try_from(*root).unwrap_or(u16::MAX));
        for digests in digests.chunks(MOST_ASKED) {
            let digests = digests.to_vec();
            let lacks = Out::Message(FromPod::Lacks { root, digests });
            let asked = self.out.blocking_send(lacks);
            asked.map_err(|_| io::Error::other("the session has ended"))?;
        }
        Ok(())
    }
}

/// Whether the machine has not been started anew since this was asked last.
fn is_same_boot(noted: &Path) -> io::Result<bool> {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if !boot.is_empty() && fs::read(noted).is_ok_and(|noted| noted == boot) {
        return Ok(true);
    }
    fs::write(noted, boot)?;
    Ok(false)
}
