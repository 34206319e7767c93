//! A tool's standard output and error on their way to the hub.

use super::health::TAIL_BYTES;
use super::mapback::MapBack;
use crate::wire::frame::STDERR;
use rustix::fd::OwnedFd;
use rustix::pipe::PipeFlags;
use std::io;
use tokio::net::unix::pipe;

/// Bytes of a channel.
pub(crate) type Piece = (u32, Vec<u8>);

/// One of the tool's two streams.
pub(crate) struct Stream {
    pub(crate) channel: u32,
    pipe: pipe::Receiver,
    /// Whether more may come.
    pub(crate) open: bool,
    map_back: MapBack,
    /// The end of what went by.
    tail: Vec<u8>,
}

impl Stream {
    /// With the end to write into.
    pub(crate) fn new(channel: u32, map_back: &MapBack) -> io::Result<(Self, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let stream = Self {
            channel,
            pipe: pipe::Receiver::from_owned_fd(read)?,
            open: true,
            map_back: map_back.clone(),
            tail: Vec::new(),
        };
        Ok((stream, write))
    }

    /// The next bytes. Cancel safe.
    pub(crate) async fn read(&mut self) -> io::Result<Piece> {
        self.pipe.readable().await?;
        self.take_if_there()
            .map(|bytes| (self.channel, bytes.unwrap_or_default()))
    }

    /// Whatever is there now; the stream is at its end if nothing is.
    pub(crate) fn take(&mut self) -> io::Result<Piece> {
        let bytes = self.take_if_there()?;
        self.open &= bytes.is_some();
        Ok((self.channel, bytes.unwrap_or_default()))
    }

    /// What was held back to see whether it is a path to be mapped.
    pub(crate) fn rest(&mut self) -> Piece {
        (self.channel, self.map_back.finish())
    }

    /// The end of what went by on stderr.
    pub(crate) fn tail(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail)
    }

    fn take_if_there(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 64 << 10];
        match self.pipe.try_read(&mut buffer) {
            Ok(0) => {
                self.open = false;
                Ok(Some(Vec::new()))
            }
            Ok(read) => {
                let bytes = &buffer[..read];
                if self.channel == STDERR {
                    self.tail.extend_from_slice(bytes);
                    let over = self.tail.len().saturating_sub(TAIL_BYTES);
                    self.tail.drain(..over);
                }
                Ok(Some(if self.map_back.is_idle() {
                    buffer.truncate(read);
                    buffer
                } else {
                    self.map_back.push(bytes)
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
