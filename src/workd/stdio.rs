//! Standard input and output as asynchronous streams.
//!
//! A remote shell gives its command pipes or a socket. Either is driven by readiness; tokio's own
//! standard streams would pass every frame through another thread.

use crate::wire::socket::is_friend;
use anyhow::Context;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::FileType;
use std::io;
use std::os::unix::net;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

pub(crate) type Read = Box<dyn AsyncRead + Unpin>;
pub(crate) type Write = Box<dyn AsyncWrite + Unpin>;

/// Takes both streams. Nothing else may use them after this.
///
/// # Errors
/// One of them is neither a pipe nor a socket.
pub(crate) fn open() -> io::Result<(Read, Write)> {
    let (stdin, kind) = take(rustix::stdio::stdin())?;
    let read: Read = match kind {
        FileType::Fifo => Box::new(pipe::Receiver::from_owned_fd(stdin)?),
        FileType::Socket => Box::new(socket(stdin)?),
        _ => return Err(unusable("input")),
    };
    let (stdout, kind) = take(rustix::stdio::stdout())?;
    let write: Write = match kind {
        FileType::Fifo => Box::new(pipe::Sender::from_owned_fd(stdout)?),
        FileType::Socket => Box::new(socket(stdout)?),
        _ => return Err(unusable("output")),
    };
    Ok((read, write))
}

/// Joins standard input and output to a worker's socket until either side closes.
///
/// # Errors
/// Nobody of this user listens there.
pub(crate) fn bridge(path: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut stdin, mut stdout) = open()?;
        let worker = UnixStream::connect(path)
            .await
            .with_context(|| format!("cannot reach the worker at `{}`", path.display()))?;
        anyhow::ensure!(
            is_friend(&worker),
            "`{}` belongs to another user",
            path.display()
        );
        let (mut from, mut to) = worker.into_split();
        // A hub that is gone ends the session, and so does a worker that is.
        tokio::select! {
            _ = tokio::io::copy(&mut stdin, &mut to) => {}
            _ = tokio::io::copy(&mut from, &mut stdout) => {}
        }
        Ok(())
    })
}

fn take(stream: impl AsFd) -> io::Result<(OwnedFd, FileType)> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&stream)?.st_mode);
    let copy = rustix::io::fcntl_dupfd_cloexec(&stream, 3)?;
    Ok((copy, kind))
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = net::UnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn unusable(which: &str) -> io::Error {
    let text = format!("standard {which} is neither a pipe nor a socket; is a hub at its end?");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
