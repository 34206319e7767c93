//! The mirror: copies of a hub's roots on this pod's disk, which the hub keeps up to date.
//!
//! A thread makes the changes, in the order in which the hub sent them; a job waits until those are
//! made that came before it. Content that is not here is asked for, and everything behind it waits.

mod on_disk;
mod store;
mod tree;

#[cfg(test)]
mod tests;

pub(crate) use store::Made;

use super::session::Out;
use crate::job::Digest;
use crate::paths::{RootId, Roots};
use crate::wire::files::{Change, More};
use crate::wire::messages::FromPod;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::cell::Cell;
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use store::Store;
use tokio::sync::watch;
use tree::Tree;

/// What a session's thread is told.
#[derive(Debug)]
enum Command {
    Changes(RootId, Vec<Change>, More),
    Content(Digest, Vec<u8>, bool),
    Gone(Digest),
}

/// How far the thread has come.
#[derive(Debug, Default)]
struct Progress {
    /// Lists of changes made so far.
    made: u64,
    /// Roots that are whole.
    whole: BTreeSet<usize>,
    /// It has given up.
    trouble: Option<String>,
}

/// A session's mirror.
#[derive(Debug)]
pub(crate) struct Mirror {
    commands: mpsc::Sender<Command>,
    /// Lists of changes that came.
    come: Cell<u64>,
    progress: watch::Receiver<Progress>,
    dirs: Vec<PathBuf>,
    made: Made,
}

impl Mirror {
    /// Begins to keep copies below `cache` for this hub; what is to be asked of it goes to `out`.
    ///
    /// # Errors
    /// The cache folder cannot be used.
    pub(crate) fn start(
        cache: &Path,
        hub: &str,
        roots: &Roots,
        out: tokio::sync::mpsc::Sender<Out>,
    ) -> io::Result<Self> {
        let (base, lock) = own_folder(&cache.join("mirror"), hub)?;
        let places = roots.iter().map(|(_, path)| {
            let key = Digest::of(path.as_os_str().as_encoded_bytes()).to_string();
            base.join(&key[..16])
        });
        let places: Vec<PathBuf> = places.collect();
        let (commands, told) = mpsc::channel();
        let (told_progress, progress) = watch::channel(Progress::default());
        let content = base.join("content");
        let mirror = Self {
            commands,
            come: Cell::new(0),
            progress,
            dirs: places.iter().map(|place| place.join("files")).collect(),
            made: Made(content.clone()),
        };
        std::thread::Builder::new()
            .name("mirror".into())
            .spawn(move || {
                // Until nothing is changed any more.
                let _lock = lock;
                let end = Keeper::open(&content, &places, out)
                    .and_then(|keeper| keeper.run(&told, &told_progress));
                if let Err(error) = end {
                    told_progress.send_modify(|it| it.trouble = Some(error.to_string()));
                }
            })?;
        Ok(mirror)
    }

    /// Where the copies are, root by root.
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        self.dirs.clone()
    }

    /// Where what jobs wrote is kept.
    pub(crate) fn made(&self) -> &Made {
        &self.made
    }

    /// A list of changes came.
    pub(crate) fn changes(&self, root: RootId, changes: Vec<Change>, more: More) {
        if more != More::Part {
            self.come.set(self.come.get() + 1);
        }
        self.tell(Command::Changes(root, changes, more));
    }

    /// A piece of content came.
    pub(crate) fn content(&self, digest: Digest, packed: Vec<u8>, last: bool) {
        self.tell(Command::Content(digest, packed, last));
    }

    /// The hub has not what it was asked for.
    pub(crate) fn gone(&self, digest: Digest) {
        self.tell(Command::Gone(digest));
    }

    fn tell(&self, command: Command) {
        // A thread that has given up has said why.
        let _ = self.commands.send(command);
    }

    /// Lists of changes that came so far: for a job that comes now to wait for.
    pub(crate) fn come(&self) -> u64 {
        self.come.get()
    }

    /// Until so many lists of changes are made.
    ///
    /// # Errors
    /// Why they never will be.
    pub(crate) async fn until(&self, made: u64) -> Result<(), String> {
        self.wait(|progress| progress.made >= made).await
    }

    /// Until all roots are there.
    ///
    /// # Errors
    /// Why they never will be.
    pub(crate) async fn whole(&self) -> Result<(), String> {
        let wanted = self.dirs.len();
        self.wait(|progress| progress.whole.len() >= wanted).await
    }

    /// Until it can go on no longer; says why.
    pub(crate) async fn trouble(&self) -> String {
        match self.wait(|_| false).await {
            Err(why) => why,
            Ok(()) => "the mirror's thread has ended".into(),
        }
    }

    /// Why it cannot go on, if so.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.progress.borrow().trouble {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    async fn wait(&self, done: impl Fn(&Progress) -> bool) -> Result<(), String> {
        let mut progress = self.progress.clone();
        let seen = progress
            .wait_for(|it| it.trouble.is_some() || done(it))
            .await;
        let seen = seen.map_err(|_| "the mirror's thread has ended".to_owned())?;
        seen.trouble.clone().map_or(Ok(()), Err)
    }
}

/// A folder that no other session uses: two builds of one hub may be here at a time.
fn own_folder(parent: &Path, hub: &str) -> io::Result<(PathBuf, OwnedFd)> {
    if hub.is_empty() || !hub.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(io::Error::other("the hub has no name"));
    }
    for number in 1..1000 {
        let path = parent.join(format!("{hub}.{number}"));
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).recursive(true).create(&path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(&path, flags, Mode::empty())?;
        match rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok((path, dir)),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::Error::other("too many mirrors of one hub"))
}

/// The thread's own.
struct Keeper {
    trees: Vec<Tree>,
    store: Store,
    out: tokio::sync::mpsc::Sender<Out>,
    /// Parts of a list whose end has not come.
    parts: Vec<Vec<Change>>,
    /// Lists whose turn has not come, since content of the first is not here.
    waiting: VecDeque<(usize, Vec<Change>, bool)>,
    lacking: HashSet<Digest>,
    gone: HashSet<Digest>,
}

impl Keeper {
    fn open(
        content: &Path,
        places: &[PathBuf],
        out: tokio::sync::mpsc::Sender<Out>,
    ) -> io::Result<Self> {
        let trees = places.iter().map(|place| {
            fs::create_dir_all(place)?;
            Tree::open(&place.join("files"), &place.join("index"))
        });
        Ok(Self {
            trees: trees.collect::<io::Result<_>>()?,
            store: Store::open(content)?,
            out,
            parts: vec![Vec::new(); places.len()],
            waiting: VecDeque::new(),
            lacking: HashSet::new(),
            gone: HashSet::new(),
        })
    }

    /// Until the session ends.
    fn run(
        mut self,
        told: &mpsc::Receiver<Command>,
        progress: &watch::Sender<Progress>,
    ) -> io::Result<()> {
        while let Ok(command) = told.recv() {
            match command {
                Command::Changes(root, changes, more) => {
                    let root = usize::from(root.0);
                    let parts = self.parts.get_mut(root);
                    let parts = parts.ok_or_else(|| io::Error::other("no such root"))?;
                    parts.extend(changes);
                    if more == More::Part {
                        continue;
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
                Command::Gone(digest) => {
                    self.lacking.remove(&digest);
                    self.gone.insert(digest);
                }
            }
            while self.lacking.is_empty()
                && let Some((root, list, everything)) = self.waiting.pop_front()
            {
                self.trees[root].apply(list, everything, &self.store, &self.gone)?;
                self.gone.clear();
                progress.send_modify(|it| {
                    it.made += 1;
                    if everything {
                        it.whole.insert(root);
                    }
                });
                self.ask()?;
            }
        }
        Ok(())
    }

    /// Asks for what the next list needs and is not here.
    fn ask(&mut self) -> io::Result<()> {
        let Some((root, list, _)) = self.waiting.front() else {
            return Ok(());
        };
        let digests = self.trees[*root].lacks(list, &self.store);
        if digests.is_empty() {
            return Ok(());
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

/// Digests in one message.
const MOST_ASKED: usize = 16 << 10;
