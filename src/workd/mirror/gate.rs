//! Which jobs of a session run, as far as the mirror must know: a job that may have seen a file
//! without its content is ended and run again, and what a job may still open is not given up.

use super::Command;
use super::news::{Changed, News};
use crate::job::Digest;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;
use tokio::sync::{oneshot, watch};

/// Through which every job goes. See the module's text.
#[derive(Debug)]
pub(crate) struct Gate {
    state: watch::Sender<State>,
    commands: mpsc::Sender<Command>,
    /// Times that somebody opened a file without content, or that such a file got its content.
    opened: AtomicU64,
    /// What lists change while jobs are here.
    pub(super) changed: Arc<Changed>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: BTreeSet<u64>,
    /// How many have come, and which of these are not over.
    came: u64,
    here: BTreeSet<u64>,
    shut: bool,
    /// All jobs below this number are to end.
    spoiled: u64,
    /// And wait for this content before they are run again.
    late: Vec<Digest>,
    /// What a job did that ended before this counts, if it is not to end anyway: the kernel has let
    /// nobody go on who opened a file without content. None where there are no such files.
    sound_until: Option<Instant>,
}

/// A job that has come and is not over.
#[derive(Debug)]
pub(crate) struct Guest {
    gate: Arc<Gate>,
    number: u64,
}

/// A job's leave to run.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    number: u64,
    /// What [`Gate::opened`] was before it ran.
    pub(crate) opened: u64,
    /// What lists change from here on.
    pub(crate) news: News,
}

impl Gate {
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Arc<Self> {
        Arc::new(Self {
            state: watch::Sender::default(),
            commands,
            opened: AtomicU64::new(0),
            changed: Arc::default(),
        })
    }

    /// A job has come: what is used from now on, it may use until it is over.
    pub(super) fn come(self: &Arc<Self>) -> Guest {
        let mut number = 0;
        self.state.send_if_modified(|state| {
            number = state.came;
            state.here.insert(number);
            state.came += 1;
            false
        });
        Guest {
            gate: Arc::clone(self),
            number,
        }
    }

    /// How many jobs have come.
    pub(super) fn came(&self) -> u64 {
        self.state.borrow().came
    }

    /// Whether a job is here of those that came before this many had.
    pub(super) fn is_one_here(&self, number: u64) -> bool {
        let state = self.state.borrow();
        state.here.first().is_some_and(|first| *first < number)
    }

    /// Lets a job run, once none is to be ended any more.
    pub(super) async fn enter(self: &Arc<Self>) -> Pass {
        let mut states = self.state.subscribe();
        loop {
            // The sender lives in this very gate.
            let _ = states.wait_for(|state| !state.shut).await;
            let mut number = None;
            self.state.send_if_modified(|state| {
                if !state.shut {
                    number = Some(state.next);
                    state.running.insert(state.next);
                    state.next += 1;
                }
                false
            });
            if let Some(number) = number {
                return Pass {
                    gate: Arc::clone(self),
                    number,
                    opened: self.opened.load(Ordering::Relaxed),
                    news: self.changed.from_now_on(),
                };
            }
        }
    }

    /// Ends all jobs that run, and lets none in; they are to wait for this content.
    pub(super) fn spoil(&self, late: Vec<Digest>) {
        self.state.send_modify(|state| {
            state.shut = true;
            state.spoiled = state.next;
            state.late = late;
        });
    }

    /// Whoever opened a file until now without its content is not let go on before that time.
    pub(super) fn vouch(&self, until: Instant) {
        self.state.send_if_modified(|state| {
            state.sound_until = Some(until);
            false
        });
    }

    /// Lets jobs in again.
    pub(super) fn open(&self) {
        self.state.send_modify(|state| state.shut = false);
    }

    /// Whether a job runs of those that began before this many had.
    pub(super) fn any_before(&self, number: u64) -> bool {
        let state = self.state.borrow();
        state.running.first().is_some_and(|first| *first < number)
    }

    /// Whether any job is here.
    pub(super) fn has_guests(&self) -> bool {
        !self.state.borrow().here.is_empty()
    }

    /// Whether any job runs.
    pub(super) fn is_quiet(&self) -> bool {
        self.state.borrow().running.is_empty()
    }

    /// How many jobs have begun.
    pub(super) fn begun(&self) -> u64 {
        self.state.borrow().next
    }

    /// Somebody opened a file without content, or it got its content after that.
    pub(super) fn note_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Pass {
    /// Until the job must end; says for which content it is to wait.
    pub(crate) async fn spoiled(&self) -> Vec<Digest> {
        let mut states = self.gate.state.subscribe();
        match states.wait_for(|state| state.spoiled > self.number).await {
            Ok(state) => state.late.clone(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Nothing of the job runs any more: if its result does not count, gives the content for which
    /// it is to wait. Mostly that is known; where the mirror's thread was busy for so long that the
    /// kernel may have lost its patience, it is asked first.
    ///
    /// # Errors
    /// The thread has given up.
    pub(crate) async fn end(&self) -> Result<Option<Vec<Digest>>, String> {
        let now = Instant::now();
        let sound_until = self.gate.state.borrow().sound_until;
        if sound_until.is_some_and(|until| until <= now) {
            let (tell, told) = oneshot::channel();
            let _ = self.gate.commands.send(Command::Ended(tell));
            told.await.map_err(|_| "the mirror's thread has ended")?;
        }
        // After that: jobs are told to end before it is vouched for more time.
        let state = self.gate.state.borrow();
        Ok((state.spoiled > self.number).then(|| state.late.clone()))
    }
}

/// Until a job with this pass must end; never without one.
pub(crate) async fn spoiled(pass: Option<&Pass>) -> Vec<Digest> {
    match pass {
        Some(pass) => pass.spoiled().await,
        None => std::future::pending().await,
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.gate.state.send_if_modified(|state| {
            state.here.remove(&self.number);
            false
        });
        // A thread that has given up has said why.
        let _ = self.gate.commands.send(Command::Left);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.state.send_if_modified(|state| {
            state.running.remove(&self.number);
            false
        });
        // A thread that has given up has said why.
        let _ = self.gate.commands.send(Command::Left);
    }
}
