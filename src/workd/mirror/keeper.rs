//! The thread's own: what it was told, in order, and how far it has come.

mod fit;
mod opened;

use super::gate::Gate;
use super::holds::Leases;
use super::own;
use super::room::Share;
use super::store::Store;
use super::tree::{Tree, With};
use super::uses::Uses;
use super::{Command, Progress};
use crate::job::Digest;
use crate::paths::RootId;
use crate::wire::files::{Change, More};
use crate::wire::messages::FromPod;
use crate::workd::session::Out;
use fit::later_of;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// With nothing to do for so long, what will be needed is made ahead.
const IDLE_AFTER: Duration = Duration::from_millis(20);

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
    gate: Arc<Gate>,
    /// None where every file must be there whole.
    leases: Option<Leases>,
    /// Parts of a list whose end has not come.
    parts: Vec<Vec<Change>>,
    /// Lists whose turn has not come, since content of the first is not here.
    waiting: VecDeque<(usize, Vec<Change>, bool)>,
    lacking: HashSet<Digest>,
    /// What was asked for because somebody opened a file.
    asked: HashSet<Digest>,
    gone: HashSet<Digest>,
    /// Jobs that wait for content.
    waiters: Vec<(HashSet<Digest>, Waiter)>,
    /// Jobs are being ended.
    spoiled: bool,
    /// And none is let in before so many lists are made.
    not_before: u64,
    /// All that was told of opened files before this time has been heard.
    heard: Instant,
    /// Content that may go again.
    uses: Uses,
    /// And that has gone since it came last.
    let_go: HashSet<Digest>,
    /// How much there may be; none for as much as there is.
    share: Option<Share>,
    /// It is too much, and nothing may go as long as no job ends and nothing comes.
    crowded: bool,
    /// That was said.
    said_crowded: bool,
    /// Lists.
    pub(super) made: u64,
    whole: BTreeSet<usize>,
}

/// A job that waits for content.
#[derive(Debug)]
enum Waiter {
    Inputs(oneshot::Sender<()>),
    Refused(oneshot::Sender<bool>),
}

impl Waiter {
    fn tell(self) {
        // A job that was cancelled does not listen.
        match self {
            Self::Inputs(told) => drop(told.send(())),
            Self::Refused(told) => drop(told.send(true)),
        }
    }
}

impl Keeper {
    /// Opens what there is from earlier, which takes as long as reading it does.
    pub(super) fn open(
        content: &Path,
        places: &[PathBuf],
        out: tokio::sync::mpsc::Sender<Out>,
        (gate, leases): (Arc<Gate>, Option<Leases>),
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
        let keeper = Self {
            trees: trees.collect::<io::Result<_>>()?,
            roots: places.len(),
            own: Vec::new(),
            store,
            out,
            gate,
            leases,
            parts: vec![Vec::new(); places.len()],
            waiting: VecDeque::new(),
            lacking: HashSet::new(),
            asked: HashSet::new(),
            gone: HashSet::new(),
            waiters: Vec::new(),
            spoiled: false,
            not_before: 0,
            heard: Instant::now(),
            uses: Uses::default(),
            let_go: HashSet::new(),
            share: None,
            crowded: false,
            said_crowded: false,
            made: 0,
            whole: BTreeSet::new(),
        };
        keeper.vouch();
        Ok(keeper)
    }

    /// Until the session ends. `taken` is told how much of what waited is done.
    pub(super) fn run(
        &mut self,
        told: &mpsc::Receiver<Command>,
        progress: &watch::Sender<Progress>,
        stop: &AtomicBool,
        taken: impl Fn(usize),
    ) -> io::Result<()> {
        loop {
            let all_provided = self.leases.as_ref().is_none_or(Leases::is_provided);
            // Whatever else there is to do.
            self.end_what_is_late()?;
            let deadline = self.deadline();
            let next = match deadline {
                None if all_provided => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
                None => told.recv_timeout(IDLE_AFTER),
                Some(at) => told.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let command = match next {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => {
                    if deadline.is_none() {
                        self.provide();
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
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
    }

    /// Makes ahead what will be needed.
    pub(super) fn provide(&self) {
        self.leases.iter().for_each(Leases::provide);
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
                    self.came(digest)?;
                    self.note_dropped()?;
                }
            }
            Command::Made(digest, file) => {
                if !self.trees.iter().any(|tree| tree.has(digest)) {
                    self.store.keep(digest, &file);
                    self.note_dropped()?;
                }
            }
            Command::Gone(digest) => self.is_gone(digest)?,
            Command::Opened(fd, since) => self.hear(Some(fd), since)?,
            Command::Look(since) => self.hear(None, since)?,
            Command::Ended(told) => {
                self.look()?;
                self.end_what_is_late()?;
                let _ = told.send(());
            }
            Command::Left => {
                self.crowded = false;
                self.left()?;
            }
            Command::Used(names) => self.used(&names),
            Command::Inputs(digests, told) => {
                let wanted = digests.into_iter().filter(|it| self.lacks(*it));
                let wanted: HashSet<Digest> = wanted.collect();
                self.ask_again(&wanted)?;
                self.wait_for(wanted, Waiter::Inputs(told));
            }
            Command::Refused(since, told) => {
                self.look()?;
                let opened = self.opened().map(|(digest, _)| digest);
                let opened: HashSet<Digest> = opened.collect();
                if opened.is_empty() && self.gate.opened() == since {
                    let _ = told.send(false);
                } else {
                    self.wait_for(opened, Waiter::Refused(told));
                }
            }
        }
        let has_news = self.make_lists(stop)?;
        self.fit(stop)?;
        self.vouch();
        Ok(has_news)
    }

    /// Makes all changes whose turn it is; true if there is progress to tell of.
    fn make_lists(&mut self, stop: &AtomicBool) -> io::Result<bool> {
        let before = self.made;
        while self.lacking.is_empty()
            && let Some((root, list, everything)) = self.waiting.pop_front()
        {
            let with = With {
                store: &self.store,
                gone: &self.gone,
                stop,
                leases: self.leases.as_ref(),
                gate: &self.gate,
            };
            let later = later_of(&list);
            // No job runs before the first list of a root is made.
            let heard = (!everything && root < self.roots).then_some(&self.gate.changed);
            if let Some(changed) = heard {
                changed.begin(root_id(root).0, &list, self.gate.has_guests());
            }
            self.trees[root].apply(list, everything, with)?;
            if let Some(changed) = heard {
                changed.end();
            }
            self.came_with_list(root, later, everything);
            self.gone.clear();
            self.made += 1;
            if everything {
                self.tell_without(root, &self.trees[root].without(), true)?;
                if self.whole.insert(root) && self.whole.len() == self.roots {
                    self.store.sweep()?;
                }
            }
            self.ask()?;
        }
        if self.made == before {
            return Ok(false);
        }
        // What was replaced may be given up, and whoever waited for that may go on.
        self.left()?;
        // What was gone is told anew at once, and no job is to see it in between.
        Ok(self.trees.iter().all(Tree::is_whole))
    }

    /// Asks for what the next list needs and is not here.
    fn ask(&mut self) -> io::Result<()> {
        let Some((root, list, _)) = self.waiting.front() else {
            return Ok(());
        };
        let held: usize = self.trees.iter().map(|tree| tree.holds.len()).sum();
        let most = self.leases.as_ref().map_or(0, |leases| leases.most);
        let mut digests = self.trees[*root].lacks(list, &self.store, most.saturating_sub(held));
        let own = root.checked_sub(self.roots);
        if let Some(own) = own.and_then(|number| self.own.get(number)) {
            own::take(own, list, &mut digests, &self.store)?;
        }
        // Where it is asked once more, some is on its way, or will not come.
        digests.retain(|it| !self.lacking.contains(it) && !self.gone.contains(it));
        self.lacking.extend(&digests);
        let root = root_id(*root);
        for digests in digests.chunks(MOST_ASKED) {
            let digests = digests.to_vec();
            self.tell(FromPod::Lacks { root, digests })?;
        }
        Ok(())
    }

    fn tell(&self, message: FromPod) -> io::Result<()> {
        let told = self.out.blocking_send(Out::Message(message));
        told.map_err(|_| io::Error::other("the session has ended"))
    }

    fn tell_without(&self, root: usize, digests: &[Digest], first: bool) -> io::Result<()> {
        let root = root_id(root);
        for digests in digests.chunks(MOST_ASKED) {
            let digests = digests.to_vec();
            self.tell(FromPod::Without {
                root,
                digests,
                first,
            })?;
        }
        Ok(())
    }
}

fn root_id(root: usize) -> RootId {
    RootId(u16::try_from(root).unwrap_or(u16::MAX))
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
