//! The worker's handle on a session's warden and on single inits.

use super::super::limits;
use super::process::NAME;
use super::proto::{FromInit, FromWarden, Run, Setup, ToWarden, receive, send};
use crate::paths::Bytes;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketFlags, SocketType};
use serde::de::DeserializeOwned;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running warden. Dropping it ends all its jobs; [`Warden::on_end`] gets its process then.
pub(crate) struct Warden {
    control: OwnedFd,
    shared: Rc<Shared>,
    listener: JoinHandle<()>,
    next: Cell<u32>,
    ready: RefCell<VecDeque<Init>>,
    keep_ready: usize,
    child: Option<Child>,
    on_end: Option<Box<dyn FnOnce(Child)>>,
}

type Gone = Option<String>;

#[derive(Default)]
struct Shared {
    waiting: RefCell<HashMap<u32, oneshot::Sender<Gone>>>,
}

/// An init that waits for a job, or has one.
pub(crate) struct Init {
    pub(crate) number: u32,
    socket: AsyncFd<OwnedFd>,
    gone: oneshot::Receiver<Gone>,
}

/// How an init's job ended, or that it did not begin.
pub(crate) enum Ended {
    /// With the init's own report.
    Reported(FromInit, Option<OwnedFd>),
    /// The init died without one.
    Vanished,
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Registers a socket with the runtime.
fn watch(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and the same for as long as it lives, and `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// Receives from a socket registered with the runtime.
async fn receive_from<T: DeserializeOwned>(
    socket: &AsyncFd<OwnedFd>,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    socket
        .async_io(Interest::READABLE, |socket| {
            receive(socket, RecvFlags::DONTWAIT)
        })
        .await
}

impl Warden {
    /// Starts a warden from the program `exe`, which must call
    /// [`take_over`](super::take_over) first of all, and waits until its view is built.
    ///
    /// # Errors
    /// Why the view cannot be built.
    pub(crate) async fn start(
        exe: &Path,
        setup: &Setup,
        keep_ready: usize,
        on_end: impl FnOnce(Child) + 'static,
    ) -> Result<Rc<Self>, String> {
        let failed = |what: &str, error: io::Error| format!("{what}: {error}");
        let (ours, theirs) = pair().map_err(|e| failed("make a socket pair", e))?;
        let mut warden = Command::new(exe);
        limits::restore_files(&mut warden);
        let child = warden
            .arg0(NAME)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|e| failed(&format!("start `{}` as a warden", exe.display()), e))?;
        let shared = Rc::new(Shared::default());
        let control = ours
            .try_clone()
            .and_then(watch)
            .map_err(|e| failed("watch the warden", e))?;
        let sent = send(&ours, setup, &[]);
        let answer = match sent {
            Ok(()) => receive_from::<FromWarden>(&control).await,
            Err(error) => Err(error),
        };
        let listening = Rc::clone(&shared);
        let warden = Self {
            control: ours,
            shared,
            listener: tokio::task::spawn_local(listen(control, listening)),
            next: Cell::new(0),
            ready: RefCell::default(),
            keep_ready,
            child: Some(child),
            on_end: Some(Box::new(on_end)),
        };
        match answer {
            Ok(Some((FromWarden::Ready, _))) => {
                warden.restock();
                Ok(Rc::new(warden))
            }
            Ok(Some((FromWarden::Failed { why }, _))) => Err(why),
            Ok(_) => Err("the warden ended at once".into()),
            Err(error) => Err(failed("talk to the warden", error)),
        }
    }

    /// Asks for inits until enough are ready.
    pub(crate) fn restock(&self) {
        while self.ready.borrow().len() < self.keep_ready {
            match self.make() {
                Ok(init) => self.ready.borrow_mut().push_back(init),
                Err(error) => {
                    tracing::warn!(%error, "cannot ask for another init");
                    return;
                }
            }
        }
    }

    /// Puts symlinks into the root that all jobs share.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub(crate) async fn link(&self, links: Vec<(Bytes, Bytes)>) -> Result<(), String> {
        let (sender, linked) = oneshot::channel();
        let request = self.number();
        self.shared.waiting.borrow_mut().insert(request, sender);
        let message = ToWarden::Link { request, links };
        send(&self.control, &message, &[]).map_err(|error| error.to_string())?;
        match linked.await {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(why),
            Err(_) => Err("the warden is gone".into()),
        }
    }

    /// For an init or a request, none used twice in a session.
    fn number(&self) -> u32 {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        number
    }

    fn make(&self) -> io::Result<Init> {
        let number = self.number();
        let (ours, theirs) = pair()?;
        let socket = watch(ours)?;
        let (sender, gone) = oneshot::channel();
        let init = Init {
            number,
            socket,
            gone,
        };
        self.shared.waiting.borrow_mut().insert(number, sender);
        let message = ToWarden::Make { init: number };
        send(&self.control, &message, &[theirs.as_fd()])?;
        Ok(init)
    }

    /// An init for one job.
    ///
    /// # Errors
    /// No socket could be made, or the warden is gone.
    pub(crate) fn take(&self) -> io::Result<Init> {
        loop {
            let ready = self.ready.borrow_mut().pop_front();
            match ready {
                // One that ended while it waited (killed from outside) is of no use.
                Some(mut init) => {
                    if init.gone.try_recv().is_err() {
                        return Ok(init);
                    }
                }
                None => return self.make(),
            }
        }
    }

    /// Gives back an init that was taken and not used.
    pub(crate) fn put_back(&self, init: Init) {
        self.ready.borrow_mut().push_front(init);
    }

    /// Kills an init and all its job; gives what tells when they are gone.
    pub(crate) fn kill(&self, init: Init) -> oneshot::Receiver<Gone> {
        let Init {
            number,
            socket,
            gone,
        } = init;
        // A bare init ends its job when its socket is closed.
        drop(socket);
        if let Err(error) = send(&self.control, &ToWarden::Kill { init: number }, &[]) {
            tracing::warn!(%error, "the warden is gone");
        }
        gone
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        self.listener.abort();
        // Not left to closing: the listener's copy is closed only when the runtime comes to it.
        let _ = rustix::net::shutdown(&self.control, Shutdown::Both);
        // Bare inits end when their sockets are closed, and the warden after them; `on_end` may
        // wait for it.
        self.ready.borrow_mut().clear();
        if let (Some(child), Some(on_end)) = (self.child.take(), self.on_end.take()) {
            on_end(child);
        }
    }
}

/// Hears which inits are gone, until the warden is.
async fn listen(control: AsyncFd<OwnedFd>, shared: Rc<Shared>) {
    while let Ok(Some((message, _))) = receive_from::<FromWarden>(&control).await {
        let (number, why) = match message {
            FromWarden::Gone { init, why } => (init, why),
            FromWarden::Linked { request, why } => (request, why),
            FromWarden::Ready | FromWarden::Failed { .. } => continue,
        };
        if let Some(waiting) = shared.waiting.borrow_mut().remove(&number) {
            // Nobody waits for an init whose job ended in order.
            let _ = waiting.send(why);
        }
    }
    shared.waiting.borrow_mut().clear();
}

impl Init {
    /// Gives the init its job.
    ///
    /// # Errors
    /// The init is gone.
    pub(crate) fn run(
        &self,
        run: &Run,
        stdout: BorrowedFd<'_>,
        stderr: BorrowedFd<'_>,
    ) -> io::Result<()> {
        send(self.socket.get_ref(), run, &[stdout, stderr])
    }

    /// Waits for the end of the job. Cancel safe.
    pub(crate) async fn ended(&self) -> Ended {
        match receive_from(&self.socket).await {
            Ok(Some((message, mut fds))) => Ended::Reported(message, fds.pop()),
            Ok(None) | Err(_) => Ended::Vanished,
        }
    }

    /// Lets the init go; gives what tells when it is gone, with its mounts.
    pub(crate) fn release(self) -> oneshot::Receiver<Gone> {
        self.gone
    }
}
