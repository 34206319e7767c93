//! One pod's channel: opened, kept alive, opened again.

use super::bootstrap::Served;
use super::choice;
use super::config::PodConfig;
use super::mirrors;
use super::mounts::Mount;
use super::outbox::Outbox;
use super::reach;
use super::state::Hub;
use crate::wire::frame::{FrameError, Peer};
use crate::wire::messages::{Files, FromPod, ToPod};
use crate::wire::stream::{Frame, Receiver, WireError};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// Between two tries to reach a pod: the first, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A pod that has served for so long is well.
pub(super) const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// A pod is asked for a sign of life this often ...
const PING_EVERY: Duration = Duration::from_secs(4);
/// ... and is lost after this long without any.
const SILENCE: Duration = Duration::from_secs(12);

/// How a connection ended.
enum End {
    /// By some fault.
    Lost(WireError),
    /// The pod's mirror failed; it says why.
    Trouble(String),
    /// It is to be connected anew, with the files another way.
    Anew,
}

impl<E: Into<WireError>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Lost(error.into())
    }
}

/// Keeps one pod for as long as the hub lives.
pub(super) async fn keep(hub: Rc<Hub>, index: u32, pod: PodConfig) {
    let mut pause = FIRST_PAUSE;
    while hub.wait_until_wanted(index).await {
        let begun = Instant::now();
        let is_anew = serve(&hub, index, &pod).await;
        if hub.is_stopping() {
            return;
        }
        // (Or it was, for a moment only.)
        if !hub.is_wanted(index) || hub.look(|state| state.pods[index as usize].outbox.is_some()) {
            hub.pod_lost(index, "taken out of use", false);
        }
        // A pod that served for a while and was cut off is tried again at once; one that is lost
        // soon after each beginning is not, since every beginning costs something.
        let served = hub.look(|state| state.pods[index as usize].up_since);
        if is_anew || served.is_some_and(|since| since >= begun && since.elapsed() > LONG_ENOUGH) {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = hub.stopped() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection, from its beginning to the end of all its processes; true if another one, which
/// this one has shown to be needed, shall follow.
async fn serve(hub: &Rc<Hub>, index: u32, pod: &PodConfig) -> bool {
    let config = hub.config();
    let args = pod.worker_args(&config.log);
    let opening = async {
        tokio::join!(
            reach::open(&config.ssh, &config.own_worker, pod, &args),
            choice::choose(hub, index, pod)
        )
    };
    let (opened, choice) = tokio::select! {
        opened = opening => opened,
        () = hub.until_unneeded(index) => return false,
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(why) => {
            hub.pod_lost(index, &format!("cannot connect: {why}"), false);
            return false;
        }
    };
    hub.pod_is_served(index, opened.served());
    let end = session(hub, index, pod, choice.files, opened.stream).await;
    hub.pod_is_served(index, &Served::default());
    let lost = |why: &str, is_anew| {
        if !hub.is_stopping() && hub.is_wanted(index) {
            hub.pod_lost(index, why, is_anew);
        }
    };
    let end = match end {
        End::Lost(error) => error,
        End::Anew => {
            // Whoever waits for the pod to join goes on waiting; jobs that it has would do so, too.
            if hub.look(|state| state.pods[index as usize].outbox.is_some()) {
                lost("it comes to its files another way from now on", true);
            }
            if let Some(process) = opened.process {
                process.end().await;
            }
            return true;
        }
        End::Trouble(why) => {
            let is_anew = hub.copy_failed(index, &why);
            lost(&format!("its mirror failed: {why}"), is_anew);
            if let Some(process) = opened.process {
                process.end().await;
            }
            return is_anew;
        }
    };
    // Its jobs move at once; why it went is known for sure only when its process has ended.
    lost(&describe(&end, None), false);
    if let Some(process) = opened.process
        && let Some(said) = process.end().await
    {
        let why = describe(&end, Some(said));
        if !hub.is_stopping() && hub.is_wanted(index) {
            hub.pod_is_away(index, &why);
        }
    }
    false
}

/// Why a connection ended; what ssh or the worker said last is more to the point than ours.
fn describe(end: &WireError, said: Option<String>) -> String {
    match (end, said) {
        (WireError::Io(_) | WireError::Closed, Some(said)) => format!("connection lost: {said}"),
        (WireError::Io(error), None) => format!("connection lost: {error}"),
        (other, _) => other.to_string(),
    }
}

async fn session(
    hub: &Rc<Hub>,
    index: u32,
    pod: &PodConfig,
    files: Files,
    stream: UnixStream,
) -> End {
    let (read, write) = stream.into_split();
    let outbox = Rc::new(Outbox::default());
    let sending = outbox.send_all(write);
    let speaking = async {
        outbox.hello(Peer::Hub);
        if let Err(error) = outbox.message(&ToPod::Configure {
            roots: hub.roots().clone(),
            own: pod.is_own(),
            files,
            hub: mirrors::hub_name(),
        }) {
            return WireError::Frame(error).into();
        }
        if files != Files::Mirror {
            // It may have had one.
            mirrors::none(hub, index);
        } else if let Err(error) = mirrors::begin(hub, index, &outbox).await {
            return io::Error::other(format!("{error:#}")).into();
        }
        match listen(hub, index, (pod, files), &outbox, Receiver::new(read)).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    };
    let end = tokio::select! {
        end = speaking => end,
        sent = sending => sent.err().map_or(WireError::Closed, WireError::Io).into(),
        () = hub.until_unneeded(index) => WireError::Closed.into(),
        () = keep_alive(&outbox) => WireError::Closed.into(),
        () = mirrors::send_when_due(hub, index, &outbox) => WireError::Closed.into(),
    };
    outbox.close();
    end
}

/// Never ends: what ends a silent pod is the reader's time limit.
async fn keep_alive(outbox: &Outbox) {
    loop {
        sleep(PING_EVERY).await;
        let _ = outbox.message(&ToPod::Ping);
    }
}

async fn listen<R: tokio::io::AsyncRead + Unpin>(
    hub: &Rc<Hub>,
    index: u32,
    (pod, files): (&PodConfig, Files),
    outbox: &Rc<Outbox>,
    mut receiver: Receiver<R>,
) -> Result<std::convert::Infallible, End> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "no sign of life");
    timeout(SILENCE, receiver.hello(Peer::Pod))
        .await
        .map_err(|_| silent())??;
    let mount = Mount::default();
    loop {
        let frame = timeout(SILENCE, receiver.frame())
            .await
            .map_err(|_| silent())??;
        match frame {
            Frame::Data(payload) => {
                if let Some(full) = hub.pod_data(index, payload)? {
                    hub.wait_for(&full).await;
                }
            }
            Frame::Message(_) => match frame.message()? {
                FromPod::Offer(offer) => {
                    if hub.is_not_for_copies(index, offer.view, &offer.view_why) {
                        return Err(End::Anew);
                    }
                    hub.pod_offers(index, offer, outbox);
                }
                FromPod::Proved { view, why } => {
                    if hub.is_not_for_copies(index, view, &why) {
                        return Err(End::Anew);
                    }
                }
                FromPod::Trouble { why } => return Err(End::Trouble(why)),
                FromPod::Pong => {}
                FromPod::Lacks { root, digests } => {
                    mirrors::send(hub, index, root, digests, outbox);
                }
                FromPod::Opened { root, name, digest } => {
                    mirrors::opened(hub, index, root, (&name, digest), outbox);
                }
                FromPod::Without {
                    root,
                    digests,
                    first,
                } => mirrors::without(hub, index, root, (&digests, first), outbox),
                FromPod::Mount { .. } if files != Files::Sshfs => {
                    let why = "a mount that was not offered";
                    return Err(FrameError::Payload(why.into()).into());
                }
                FromPod::Mount { program, at } => {
                    mount.renew(hub.config(), &pod.address, &program, &at, outbox);
                }
                other => hub.pod_says(index, other)?,
            },
        }
    }
}
