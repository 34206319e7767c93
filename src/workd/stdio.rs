//! Standard input and output as asynchronous streams.
//!
//! A remote shell gives its command pipes or a socket. Either is driven by readiness; tokio's own
//! standard streams would pass every frame through another thread.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::FileType;
use std::io;
use std::os::unix::net;
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
