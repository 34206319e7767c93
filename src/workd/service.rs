//! The worker that runs on this machine as a service: whether a hub can be bridged to it, and how a
//! worker that a hub has sent gives way to it. What the service offers is not known here.

use super::drain;
use super::worker::Worker;
use crate::wire::frame::{FrameError, HELLO_BYTES, Hello};
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a service may take to say its version.
const SPEAKS_WITHIN: Duration = Duration::from_secs(5);
/// Between two tries to reach a service that is being started.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Between two looks of a sent worker for the service.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What was found where the service listens; as a word of the bootstrap script's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A worker that hubs of this version can speak with.
    Service,
    /// One that speaks another version of the protocol.
    Version(u16),
    /// None that answers.
    Nobody,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("service"),
            Self::Version(theirs) => write!(f, "version {theirs}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// Looks once.
fn look(socket: &Path) -> Found {
    let Ok(mut worker) = UnixStream::connect(socket) else {
        return Found::Nobody;
    };
    // A worker says who it is before anything else.
    let mut hello = [0; HELLO_BYTES];
    let heard = worker
        .set_read_timeout(Some(SPEAKS_WITHIN))
        .and_then(|()| worker.read_exact(&mut hello));
    match heard.map(|()| Hello::from_bytes(hello)) {
        Ok(Ok(_)) => Found::Service,
        Ok(Err(FrameError::Version { theirs })) => Found::Version(theirs),
        _ => Found::Nobody,
    }
}

/// Looks until somebody answers, but no longer than this: a service that was killed, ended after
/// its jobs or begins with the machine is back within seconds.
pub(super) fn wait(socket: &Path, patience: Duration) -> Found {
    let end = Instant::now() + patience;
    loop {
        match look(socket) {
            Found::Nobody if Instant::now() < end => std::thread::sleep(TRY_AGAIN),
            found => return found,
        }
    }
}

/// Until the service can serve the hub, and the jobs that this worker has are done. No more are
/// taken meanwhile, so that the service, which may have tools that this one lacks, is not kept
/// waiting by a long build.
pub(super) async fn gives_way(worker: Rc<Worker>, socket: PathBuf) {
    until_back(socket).await;
    tracing::info!("the service of this machine is there: over to it");
    drain::drain(&worker).await;
}

async fn until_back(socket: PathBuf) {
    let mut refused = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // One of another version is asked once, since it logs who turns away from it.
        let Some(now) = which(&socket).filter(|now| refused != Some(*now)) else {
            continue;
        };
        let socket = socket.clone();
        match tokio::task::spawn_blocking(move || look(&socket)).await {
            Ok(Found::Service) => return,
            Ok(Found::Version(_)) => refused = Some(now),
            Ok(Found::Nobody) | Err(_) => {}
        }
    }
}

/// Tells one socket from another that has taken its place.
fn which(socket: &Path) -> Option<(u64, i64, i64)> {
    let found = std::fs::symlink_metadata(socket).ok()?;
    Some((found.ino(), found.ctime(), found.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{PROTOCOL, Peer};
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    fn serve(socket: &Path, version: u16) {
        let listener = UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut hello = Hello::ours(Peer::Pod);
                hello.version = version;
                let _ = stream.unwrap().write_all(&hello.to_bytes());
            }
        });
    }

    #[test]
    fn a_service_is_waited_for_and_one_of_another_version_told() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("workd.sock");
        assert_eq!(wait(&socket, Duration::ZERO), Found::Nobody);
        // Left by one that was killed.
        drop(UnixListener::bind(&socket).unwrap());
        assert_eq!(wait(&socket, Duration::ZERO), Found::Nobody);
        std::fs::remove_file(&socket).unwrap();
        let later = socket.clone();
        let begin = std::thread::spawn(move || {
            std::thread::sleep(3 * TRY_AGAIN);
            serve(&later, PROTOCOL);
        });
        assert_eq!(wait(&socket, Duration::from_secs(60)), Found::Service);
        begin.join().unwrap();
        std::fs::remove_file(&socket).unwrap();
        serve(&socket, PROTOCOL + 1);
        let other = Found::Version(PROTOCOL + 1);
        assert_eq!(wait(&socket, Duration::from_secs(60)), other);
        assert_eq!(other.to_string(), format!("version {}", PROTOCOL + 1));
    }
}
