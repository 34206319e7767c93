//! The mirror: copies of a hub's roots on this pod's disk, which the hub keeps up to date.
//!
//! A thread makes the changes, in the order in which the hub sent them; a job waits until those are
//! made that came before it. Content that is not here is asked for, and everything behind it waits.

mod contents;
mod dir;
mod gate;
mod holds;
mod keeper;
mod lease;
mod news;
mod on_disk;
mod own;
mod room;
mod spares;
mod store;
mod tree;
mod uses;

#[cfg(test)]
mod tests;

pub(crate) use gate::{Guest, Pass, spoiled};
pub(crate) use news::News;
pub(crate) use room::{Room, make_room};
pub(crate) use store::Made;

use super::session::Out;
use super::warden::proto::Replaced;
use crate::job::Digest;
use crate::paths::{Bytes, RootId, RootPath, Roots};
use crate::wire::files::{Change, More};
use gate::Gate;
use keeper::Keeper;
use rustix::fd::RawFd;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::sleep;

/// Bytes of content that may wait for the disk; more are not read from the hub.
const WAITING_BYTES: usize = 32 << 20;

/// While that is so, the hub hears that this pod lives.
pub(crate) const SIGN_EVERY: Duration = Duration::from_secs(3);

/// What a session's thread is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// One more copy: where, and where this pod may have the same.
    Tree(PathBuf, PathBuf),
    Changes(RootId, Vec<Change>, More),
    Content(Digest, Vec<u8>, bool),
    Gone(Digest),
    Made(Digest, fs::File),
    /// Somebody opened a file that is held, after this time, before which all was told.
    Opened(RawFd, Instant),
    /// Perhaps somebody did.
    Look(Instant),
    /// Nothing of a job runs any more: told once it is known whether its result counts.
    Ended(oneshot::Sender<()>),
    /// A job has ended.
    Left,
    /// A job is to read these.
    Used(Vec<RootPath>),
    /// A job waits for these, which the hub sends.
    Inputs(Vec<Digest>, oneshot::Sender<()>),
    /// A job may have been refused a file: true once it is worth another try, since one was open
    /// without its content after this count.
    Refused(u64, oneshot::Sender<bool>),
}

impl Command {
    /// How much it counts while it waits.
    fn bytes(&self) -> usize {
        match self {
            Self::Content(_, packed, _) => packed.len().min(WAITING_BYTES),
            _ => 0,
        }
    }
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
    base: PathBuf,
    /// Copies beside the roots'.
    system: Cell<usize>,
    made: Made,
    gate: Arc<Gate>,
    taken: Arc<Semaphore>,
    stop: Arc<AtomicBool>,
}

impl Mirror {
    /// Begins to keep copies below `cache` for this hub, with those of others no more than there is
    /// `room` for; what is to be asked of it goes to `out`.
    ///
    /// # Errors
    /// The cache folder cannot be used.
    pub(crate) fn start(
        (cache, room): (&Path, Room),
        hub: &str,
        roots: &Roots,
        late_after: Option<Duration>,
        out: tokio::sync::mpsc::Sender<Out>,
    ) -> io::Result<Self> {
        let (base, lock) = room::own_folder(&cache.join("mirror"), hub)?;
        let places = roots.iter().map(|(_, path)| base.join(key(path)));
        let places: Vec<PathBuf> = places.collect();
        let (commands, told) = mpsc::channel();
        let (told_progress, progress) = watch::channel(Progress::default());
        let content = base.join("content");
        let share = room.own(&base);
        let mirror = Self {
            base: base.clone(),
            system: Cell::new(0),
            made: Made(commands.clone()),
            gate: Gate::new(commands.clone()),
            commands: commands.clone(),
            come: Cell::new(0),
            progress,
            dirs: places.iter().map(|place| place.join("files")).collect(),
            taken: Arc::new(Semaphore::new(WAITING_BYTES)),
            stop: Arc::default(),
        };
        let (waiting, stop) = (Arc::clone(&mirror.taken), Arc::clone(&mirror.stop));
        let gate = Arc::clone(&mirror.gate);
        std::thread::Builder::new()
            .name("mirror".into())
            .spawn(move || {
                // Until nothing is changed any more.
                let lock = lock;
                let taken = |bytes| waiting.add_permits(bytes);
                let leases = leases(&base, late_after, commands);
                let mut keeper = Keeper::open(&content, &places, out, (gate, leases));
                let end = match &mut keeper {
                    Ok(keeper) => {
                        keeper.keep_to(share);
                        let end = keeper.run(&told, &told_progress, &stop, taken);
                        keeper.note_end();
                        end
                    }
                    Err(error) => Err(std::mem::replace(error, io::ErrorKind::Other.into())),
                };
                if let Err(error) = end {
                    told_progress.send_modify(|it| it.trouble = Some(error.to_string()));
                }
                // Not before that is told: no result of a job that goes on by this counts.
                drop(keeper);
                waiting.close();
                drop(lock);
                room.tidy_aside();
            })?;
        Ok(mirror)
    }

    /// The session is over: what is not done yet is left undone, for the next one.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tell(Command::Left);
    }

    /// A job has come that is to read these: until it is over, content that is used from now on
    /// stays here.
    pub(crate) fn guest(&self, reads: impl Iterator<Item = RootPath>) -> Guest {
        let guest = self.gate.come();
        self.tell(Command::Used(reads.collect()));
        guest
    }

    /// Leave for a job to run, once it may.
    pub(crate) async fn enter(&self) -> Pass {
        self.gate.enter().await
    }

    /// Until these contents are here that the hub is sending, or it is known that they do not come.
    pub(crate) async fn inputs(&self, digests: Vec<Digest>) {
        if !digests.is_empty() {
            let (tell, told) = oneshot::channel();
            self.tell(Command::Inputs(digests, tell));
            // If nobody answers the session is at its end.
            let _ = told.await;
        }
    }

    /// Whether a file was open to somebody without its content since this count; the content is
    /// here by then.
    pub(crate) async fn was_opened(&self, since: u64) -> bool {
        let (tell, told) = oneshot::channel();
        self.tell(Command::Refused(since, tell));
        told.await.unwrap_or(false)
    }

    /// Where the copies are, root by root.
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        self.dirs.clone()
    }

    /// Keeps copies of these directories of the hub's system, too: those that it keeps already come
    /// first. Says what jobs are to see: them, and nothing where there is `absent`; and where the tree `/`
    /// is, if it is among them.
    ///
    /// # Errors
    /// The cache folder cannot be used.
    pub(crate) fn system(
        &self,
        trees: &[Bytes],
        absent: Vec<Bytes>,
    ) -> io::Result<(Vec<Replaced>, Option<PathBuf>)> {
        let (mut replaced, mut whole) = (Vec::new(), None);
        for (number, path) in trees.iter().enumerate() {
            let place = self.base.join(format!("system-{}", key(path.as_path())));
            let files = place.join("files");
            fs::create_dir_all(&files)?;
            if number >= self.system.get() {
                self.tell(Command::Tree(place, path.as_path().into()));
            }
            if path.as_path() == Path::new("/") {
                whole = Some(files);
                continue;
            }
            replaced.push(Replaced {
                path: path.clone(),
                files: Some(files.as_path().into()),
            });
        }
        self.system.set(trees.len());
        let absent = absent
            .into_iter()
            .map(|path| Replaced { path, files: None });
        replaced.extend(absent);
        Ok((replaced, whole))
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

    /// A piece of content came. Waits until the disk keeps up; `sign` is called now and then, so
    /// that the hub, whose pings are not read meanwhile, hears of this pod.
    pub(crate) async fn content(
        &self,
        (digest, packed, last): (Digest, Vec<u8>, bool),
        sign: impl AsyncFn(),
    ) {
        let command = Command::Content(digest, packed, last);
        let bytes = u32::try_from(command.bytes()).unwrap_or(u32::MAX);
        let room = self.taken.acquire_many(bytes);
        tokio::pin!(room);
        loop {
            tokio::select! {
                biased;
                room = &mut room => {
                    // Given back by the thread, which closes the room when it ends.
                    room.into_iter().for_each(tokio::sync::SemaphorePermit::forget);
                    break;
                }
                () = sleep(SIGN_EVERY) => sign().await,
            }
        }
        self.tell(command);
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

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What files without content need; none, and all content is brought at once, where it does not
/// work.
fn leases(
    base: &Path,
    late_after: Option<Duration>,
    commands: mpsc::Sender<Command>,
) -> Option<holds::Leases> {
    match holds::leases(base, late_after, commands) {
        Ok(leases) => Some(leases),
        Err(error) => {
            tracing::info!("all content is brought at once, for want of leases: {error}");
            None
        }
    }
}

/// Names the copy of a directory.
fn key(path: &Path) -> String {
    Digest::of(path.as_os_str().as_encoded_bytes()).to_string()[..16].to_owned()
}
