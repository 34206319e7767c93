//! Whether the tools are still those that are offered: that something changed where they lie is told
//! without waiting. What the tools are then it does not know.

use crate::probe::Watch;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, watch};

/// Whether the tools' files are as they were, for sure.
pub(super) type IsUnchanged = Box<dyn Fn() -> bool>;

/// Counts what is heard of changes.
#[derive(Default)]
pub(crate) struct Heard {
    watch: RefCell<Option<(Watch, IsUnchanged)>>,
    /// Whether anything happened at all, that nobody has looked into yet.
    happened: Cell<bool>,
    /// Changes of the tools so far: those heard at one time are one.
    changes: Cell<u64>,
    /// How many of these what is offered takes into account.
    offered: watch::Sender<u64>,
    news: Notify,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = self.changes.get();
        f.debug_struct("Heard")
            .field("changes", &changes)
            .finish_non_exhaustive()
    }
}

impl Heard {
    /// Begins to listen; what it gives is readable when there may be something.
    ///
    /// # Errors
    /// No more inotify instances for this user.
    pub(super) fn listen(&self, unchanged: IsUnchanged) -> io::Result<AsyncFd<OwnedFd>> {
        let watch = Watch::new()?;
        let readable = watch.as_fd().try_clone_to_owned()?;
        self.watch.replace(Some((watch, unchanged)));
        // SAFETY: an `OwnedFd` is the same open descriptor for as long as it is registered.
        unsafe { AsyncFd::register(readable) }.map_err(Into::into)
    }

    /// See [`Watch::follow`].
    ///
    /// # Errors
    /// The user's watches are used up.
    pub(super) fn follow(&self, directories: &[PathBuf]) -> io::Result<bool> {
        let mut watch = self.watch.borrow_mut();
        watch
            .as_mut()
            .map_or(Ok(false), |(watch, _)| watch.follow(directories))
    }

    /// Hears no more: nobody would look into it.
    pub(super) fn stop(&self) {
        self.watch.replace(None);
    }

    /// How many changes there were up to now. The kernel tells of each before whoever makes it goes
    /// on, so that none is missed that a program could have met that has ended. What else happens
    /// in folders of tools, as in one on `PATH` into which a build writes, counts not.
    pub(crate) fn changes(&self) -> u64 {
        if let Some((watch, unchanged)) = &mut *self.watch.borrow_mut() {
            // What cannot be heard may have been a change.
            if watch.take().unwrap_or(true) {
                self.happened.set(true);
                self.news.notify_one();
                if !unchanged() {
                    self.doubt();
                }
            }
        }
        self.changes.get()
    }

    /// Something may have changed.
    pub(super) fn doubt(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    /// Until anything happened.
    ///
    /// # Errors
    /// The descriptor's.
    pub(super) async fn change(&self, readable: &AsyncFd<OwnedFd>) -> io::Result<()> {
        loop {
            self.changes();
            if self.happened.take() {
                return Ok(());
            }
            tokio::select! {
                ready = readable.readable() => ready?.clear_ready(),
                () = self.news.notified() => {}
            }
        }
    }

    /// Whether there is something that what is offered does not take into account.
    pub(super) fn is_in_doubt(&self) -> bool {
        let changes = self.changes();
        *self.offered.borrow() < changes
    }

    /// What is offered takes so many changes into account.
    pub(super) fn is_offered(&self, changes: u64) {
        self.offered.send_replace(changes);
    }

    /// How many changes there were, once what is offered takes all into account.
    pub(crate) async fn settled(&self) -> u64 {
        let mut offered = self.offered.subscribe();
        loop {
            let changes = self.changes();
            let known = *offered.borrow_and_update();
            // (The sender is ours, and does not go.)
            if known >= changes || offered.changed().await.is_err() {
                return changes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_change_is_counted_at_once_and_doubted_until_it_is_offered() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let heard = Heard::default();
            assert_eq!((heard.settled().await, heard.is_in_doubt()), (0, false));
            let tool = dir.path().join("tool");
            let unchanged = {
                let tool = tool.clone();
                move || !tool.exists()
            };
            let readable = heard.listen(Box::new(unchanged)).unwrap();
            assert!(heard.follow(&[dir.path().into()]).unwrap());
            assert_eq!(heard.settled().await, 0);
            fs::write(dir.path().join("product"), "").unwrap();
            assert_eq!(heard.changes(), 0, "no tool's");
            // It is looked into, but nobody waits for that.
            heard.change(&readable).await.unwrap();
            assert!(!heard.is_in_doubt());
            fs::write(&tool, "new").unwrap();
            assert_eq!(heard.changes(), 1);
            assert_eq!(heard.changes(), 1, "one change is one");
            assert!(heard.is_in_doubt());
            // Taken in by a job, it is news to whoever waits all the same.
            heard.change(&readable).await.unwrap();
            let mut settled = std::pin::pin!(heard.settled());
            tokio::select! {
                biased;
                _ = &mut settled => panic!("it is not offered yet"),
                () = tokio::task::yield_now() => {}
            }
            heard.is_offered(1);
            assert_eq!(settled.await, 1);
            assert!(!heard.is_in_doubt());
            // Where nobody looks any more, no job waits.
            heard.stop();
            fs::write(&tool, "newer").unwrap();
            assert_eq!(heard.settled().await, 1);
        });
    }
}
