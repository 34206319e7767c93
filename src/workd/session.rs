//! One hub's connection: reads its messages, keeps its jobs, writes their answers.

mod start;

use super::answers;
use super::files::{self, Place};
use super::globs::Globs;
use super::mirror::{Mirror, SIGN_EVERY};
use super::sent::Shown;
use super::turns::Share;
use super::view::{self, View};
use super::worker::Worker;
use crate::paths::{Bytes, Roots};
use crate::wire::frame::Peer;
use crate::wire::messages::{Files, FromPod, JobNumber, Offer, ToPod, ViewKind};
use crate::wire::stream::{Receiver, Sender, WireError};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Answers that may wait to be written; a hub that reads slowly slows its jobs' output.
const WAITING: usize = 64;

/// A hub that lives sends a ping every few seconds; one that does not may never say.
const SILENCE: Duration = Duration::from_secs(14);

/// Something for the hub.
#[derive(Debug)]
pub(crate) enum Out {
    Message(FromPod),
    /// Job, channel, bytes.
    Data(u64, u32, Vec<u8>),
}

type Built = Option<Result<Rc<View>, String>>;

/// What a session's jobs share.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    /// Of the worker's slots.
    pub(crate) share: Share,
    out: mpsc::Sender<Out>,
    jobs: RefCell<HashMap<JobNumber, Running>>,
    own: Cell<bool>,
    configured: watch::Sender<Option<(Roots, Files)>>,
    /// Where the roots' files are, once they are in reach, or why they are not.
    place: RefCell<Option<Result<Rc<Place>, String>>>,
    /// The copies of the roots, where the hub keeps such.
    mirror: RefCell<Option<Rc<Mirror>>>,
    /// What of this pod's system jobs see otherwise.
    shown: RefCell<Rc<Shown>>,
    /// Where the hub could not mount, and why; told each time.
    refused: watch::Sender<(Bytes, String)>,
    view: watch::Sender<Built>,
    /// What the session's view is, if it differs from what the worker proved at its start.
    view_kind: RefCell<Option<(ViewKind, String)>>,
    offer_again: Cell<bool>,
    /// Views that were begun to be built: of several at a time the last counts.
    builds: Cell<u64>,
    pub(crate) globs: Globs,
}

struct Running {
    cancel: Rc<Notify>,
    /// Before that it can be taken back.
    has_slot: bool,
    task: Option<AbortHandle>,
}

/// Serves one hub until its connection ends; then everything of its jobs is gone or about to be.
///
/// # Errors
/// Why the connection ended, if not by the hub's closing it.
pub async fn serve<R, W>(read: R, write: W, worker: Rc<Worker>) -> Result<(), WireError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + 'static,
{
    let mut receiver = Receiver::new(read);
    let mut sender = Sender::new(write);
    sender.hello(Peer::Pod).await?;
    sender.flush().await?;
    receiver.hello(Peer::Hub).await?;
    let (out, answers) = mpsc::channel(WAITING);
    let session = Rc::new(Session {
        share: worker.turns.share(),
        worker,
        out,
        jobs: RefCell::default(),
        own: Cell::new(false),
        configured: watch::Sender::default(),
        place: RefCell::default(),
        mirror: RefCell::default(),
        shown: RefCell::default(),
        refused: watch::Sender::default(),
        view: watch::Sender::default(),
        view_kind: RefCell::default(),
        offer_again: Cell::new(false),
        builds: Cell::new(0),
        globs: Globs::default(),
    });
    let ended = tokio::select! {
        ended = hear(&mut receiver, &session) => ended,
        ended = answers::write(&mut sender, answers) => ended,
        ended = offer(&session) => ended,
        why = files::keep(&session) => Err(std::io::Error::other(why).into()),
    };
    session.end();
    match ended {
        Err(WireError::Closed) => Ok(()),
        other => other,
    }
}

async fn hear<R: AsyncRead + Unpin>(
    receiver: &mut Receiver<R>,
    session: &Rc<Session>,
) -> Result<(), WireError> {
    let sign = async || {
        let _ = session.send(Out::Message(FromPod::Pong)).await;
    };
    let mut signed = Instant::now();
    loop {
        let Ok(frame) = timeout(SILENCE, receiver.frame()).await else {
            return Err(std::io::Error::other("no sign of life from the hub").into());
        };
        let frame = frame?;
        if signed.elapsed() > SIGN_EVERY {
            // Its pings may stand in a long line behind its files.
            signed = Instant::now();
            sign().await;
        }
        match frame.message()? {
            ToPod::Configure {
                roots,
                own,
                files,
                hub,
            } => {
                session.own.set(own);
                if files == Files::Mirror {
                    let room = session.worker.room();
                    let cache = (session.worker.config.cache.as_path(), room);
                    let late_after = session.worker.config.late_after;
                    let out = session.out.clone();
                    let mirror = Mirror::start(cache, &hub, &roots, late_after, out)?;
                    session.mirror.replace(Some(Rc::new(mirror)));
                }
                if session
                    .configured
                    .send_replace(Some((roots, files)))
                    .is_some()
                {
                    return Err(broken("a second configuration"));
                }
            }
            ToPod::NotMounted { at, why } => drop(session.refused.send_replace((at, why))),
            ToPod::System {
                trees,
                absent,
                sent,
            } => {
                let shown = session.known_mirror()?.system(&trees, absent)?;
                session.shown.replace(Rc::new(Shown::new(shown, sent)));
                // Jobs from here on wait for another view.
                session.view.send_replace(None);
                session.renew_view();
            }
            ToPod::Changes {
                root,
                changes,
                more,
            } => session.known_mirror()?.changes(root, changes, more),
            ToPod::Content {
                digest,
                packed,
                last,
            } => {
                let piece = (digest, packed, last);
                session.known_mirror()?.content(piece, &sign).await;
            }
            ToPod::Gone { digest } => session.known_mirror()?.gone(digest),
            ToPod::Start {
                job,
                tool,
                chosen,
                task,
                inputs,
            } => session.start(job, (tool, chosen), &task, inputs)?,
            ToPod::Cancel { job } => {
                if let Some(running) = session.jobs.borrow().get(&job) {
                    running.cancel.notify_one();
                }
            }
            ToPod::Recall { job } => {
                let jobs = session.jobs.borrow();
                if let Some(waiting) = jobs.get(&job).filter(|job| !job.has_slot) {
                    waiting.cancel.notify_one();
                }
            }
            ToPod::Ping => {
                if session.send(Out::Message(FromPod::Pong)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn broken(what: &str) -> WireError {
    crate::wire::frame::FrameError::Payload(what.into()).into()
}

/// Sends the offer, and again whenever it changes.
async fn offer(session: &Rc<Session>) -> Result<(), WireError> {
    session.worker.looked().await;
    let (_, files) = session.configured().await;
    if files != Files::Shared {
        // Whether there will be a view is known only with the files.
        let _ = session.view().await;
    }
    let mut offers = session.worker.offer.subscribe();
    let mut views = session.view.subscribe();
    loop {
        let offer = session.offer_now(&offers.borrow_and_update());
        if session
            .send(Out::Message(FromPod::Offer(offer)))
            .await
            .is_err()
        {
            return Ok(());
        }
        loop {
            tokio::select! {
                changed = offers.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                    // With tools, what they find in the system directories may have changed.
                    session.renew_view();
                    break;
                }
                Ok(()) = views.changed() => {
                    if session.offer_again.take() {
                        break;
                    }
                }
            }
        }
    }
}

impl Session {
    /// Queues an answer.
    pub(crate) async fn send(&self, out: Out) -> Result<(), ()> {
        self.out.send(out).await.map_err(|_| ())
    }

    /// Whether the hub runs on this machine.
    pub(crate) fn is_own(&self) -> bool {
        self.own.get()
    }

    /// The copies of the roots, if there are any.
    pub(crate) fn mirror(&self) -> Option<Rc<Mirror>> {
        self.mirror.borrow().clone()
    }

    /// What the hub has them shown of its system.
    pub(crate) fn shown(&self) -> Rc<Shown> {
        Rc::clone(&self.shown.borrow())
    }

    /// Where the files are, if they are in reach.
    pub(crate) fn place(&self) -> Option<Rc<Place>> {
        self.place.borrow().clone()?.ok()
    }

    fn known_mirror(&self) -> Result<Rc<Mirror>, WireError> {
        self.mirror()
            .ok_or_else(|| broken("a change to what is not mirrored"))
    }

    /// What the hub configured, once it did.
    pub(crate) async fn configured(&self) -> (Roots, Files) {
        let mut configured = self.configured.subscribe();
        let known = configured.wait_for(Option::is_some).await;
        // The sender lives in this very session.
        known
            .ok()
            .and_then(|known| known.clone())
            .unwrap_or_default()
    }

    /// To hear of mounts that the hub refuses from now on.
    pub(crate) fn refused_mounts(&self) -> watch::Receiver<(Bytes, String)> {
        self.refused.subscribe()
    }

    /// The files are in reach, or not any more.
    pub(crate) fn set_place(self: &Rc<Self>, place: Result<Rc<Place>, String>) {
        self.place.replace(Some(place));
        self.renew_view();
    }

    /// The session's view, once it is built.
    pub(crate) async fn view(&self) -> Result<Rc<View>, String> {
        let mut views = self.view.subscribe();
        let built = views.wait_for(Option::is_some).await;
        let built = built.map_err(|_| "the session has ended".to_owned())?;
        built.clone().unwrap_or_else(|| Err("no view".into()))
    }

    /// A job has its slot.
    pub(crate) fn begins(&self, job: JobNumber) {
        if let Some(running) = self.jobs.borrow_mut().get_mut(&job) {
            running.has_slot = true;
        }
    }

    /// A job has ended.
    pub(crate) fn forget(&self, job: JobNumber) {
        self.jobs.borrow_mut().remove(&job);
    }

    /// Builds the view, if the files are in reach. Jobs that run go on in the one they have.
    fn renew_view(self: &Rc<Self>) {
        let known = self.configured.borrow().clone();
        let (Some((roots, _)), Some(place)) = (known, self.place.borrow().clone()) else {
            return;
        };
        let session = Rc::clone(self);
        let number = self.builds.get() + 1;
        self.builds.set(number);
        tokio::task::spawn_local(async move {
            // Which views there can be is found out first.
            session.worker.looked().await;
            let built = match &place {
                Ok(place) => {
                    let shown = session.shown();
                    view::build(&session.worker, &roots, place, &shown.replaced).await
                }
                Err(why) => Err(why.clone()),
            };
            // The files may have gone, or come back, or the tools changed, while it was built.
            if session.builds.get() == number {
                session.take_view(built);
            }
        });
    }

    fn take_view(&self, built: Result<(Rc<View>, String), String>) {
        let proven = self.worker.offer.borrow().view;
        let (kind, why) = match &built {
            Ok((view, why)) => (view.kind, why.clone()),
            Err(why) => (ViewKind::None, why.clone()),
        };
        if kind != proven {
            tracing::warn!(?kind, why, "another view for these roots");
        }
        let differs = (kind != proven).then_some((kind, why));
        let is_new = self.view_kind.replace(differs.clone()) != differs;
        // Two changes before the offer is sent are one.
        self.offer_again.set(self.offer_again.get() || is_new);
        self.view.send_replace(Some(built.map(|(view, _)| view)));
    }

    fn offer_now(&self, offer: &Offer) -> Offer {
        let mut offer = offer.clone();
        if let Some((kind, why)) = &*self.view_kind.borrow() {
            offer.view = *kind;
            // Without slots, why there are none is what is told.
            if offer.slots > 0 || *kind == ViewKind::None {
                offer.view_why.clone_from(why);
            }
        }
        offer
    }

    /// The hub is gone: so are its jobs, by the end of the warden.
    fn end(&self) {
        for (_, running) in self.jobs.borrow_mut().drain() {
            if let Some(task) = running.task {
                task.abort();
            }
        }
        if let Some(mirror) = self.mirror() {
            mirror.stop();
        }
        self.view
            .send_replace(Some(Err("the session has ended".into())));
    }
}
