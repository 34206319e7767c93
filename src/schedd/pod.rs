//! One pod's channel: opened, kept alive, opened again.

use super::config::{Address, PodConfig};
use super::outbox::Outbox;
use super::state::Hub;
use crate::wire::frame::Peer;
use crate::wire::messages::{FromPod, ToPod};
use crate::wire::stream::{Frame, Receiver, WireError};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Between two tries to reach a pod: the first, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A pod is asked for a sign of life this often ...
const PING_EVERY: Duration = Duration::from_secs(4);
/// ... and is lost after this long without any.
const SILENCE: Duration = Duration::from_secs(12);

/// Keeps one pod for as long as the hub lives.
pub(super) async fn keep(hub: Rc<Hub>, index: u32, config: PodConfig) {
    let mut pause = FIRST_PAUSE;
    while !hub.is_stopping() {
        let begun = Instant::now();
        let why = match connect(&config.address).await {
            Err(error) => format!("cannot connect: {error}"),
            Ok((stream, worker)) => {
                let end = session(&hub, index, config.own, stream).await;
                end_worker(worker).await;
                describe(&end)
            }
        };
        if hub.is_stopping() {
            return;
        }
        // A pod that served for a while and was cut off is tried again at once.
        if begun.elapsed() > SILENCE {
            pause = FIRST_PAUSE;
        }
        hub.pod_lost(index, &why);
        tokio::select! {
            () = sleep(pause) => {}
            () = hub.stopped() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn describe(end: &WireError) -> String {
    match end {
        WireError::Io(error) => format!("connection lost: {error}"),
        other => other.to_string(),
    }
}

async fn connect(address: &Address) -> io::Result<(UnixStream, Option<Child>)> {
    match address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            if crate::wire::socket::is_friend(&stream) {
                return Ok((stream, None));
            }
            Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it belongs to another user",
            ))
        }
        Address::Spawn { program, argv } => {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let theirs = OwnedFd::from(theirs);
            let mut command = Command::new(program);
            command
                .arg0(&argv[0])
                .args(&argv[1..])
                .stdin(theirs.try_clone()?)
                .stdout(theirs);
            // Its own group: a Ctrl-C at the terminal is for the build, not for the worker.
            let worker = command.process_group(0).kill_on_drop(true).spawn()?;
            Ok((UnixStream::from_std(ours)?, Some(worker)))
        }
    }
}

/// A worker that lost its channel ends by itself, having killed its jobs; one that hangs is ended.
async fn end_worker(worker: Option<Child>) {
    if let Some(mut worker) = worker
        && timeout(Duration::from_secs(5), worker.wait())
            .await
            .is_err()
    {
        let _ = worker.kill().await;
    }
}

async fn session(hub: &Rc<Hub>, index: u32, own: bool, stream: UnixStream) -> WireError {
    let (read, write) = stream.into_split();
    let outbox = Rc::new(Outbox::default());
    let sending = outbox.send_all(write);
    let speaking = async {
        outbox.hello(Peer::Hub);
        if let Err(error) = outbox.message(&ToPod::Configure {
            roots: hub.roots().clone(),
            own,
        }) {
            return WireError::Frame(error);
        }
        match listen(hub, index, &outbox, Receiver::new(read)).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    };
    let end = tokio::select! {
        end = speaking => end,
        sent = sending => sent.err().map_or(WireError::Closed, WireError::Io),
        () = hub.stopped() => WireError::Closed,
        () = keep_alive(&outbox) => WireError::Closed,
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
    outbox: &Rc<Outbox>,
    mut receiver: Receiver<R>,
) -> Result<std::convert::Infallible, WireError> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "no sign of life");
    timeout(SILENCE, receiver.hello(Peer::Pod))
        .await
        .map_err(|_| silent())??;
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
                FromPod::Offer(offer) => hub.pod_offers(index, offer, outbox),
                FromPod::Pong => {}
                other => hub.pod_says(index, other)?,
            },
        }
    }
}
