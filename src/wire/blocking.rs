//! Frames over a blocking socket, for the wrapper: no runtime, one reused buffer.

use super::codec;
use super::frame::{self, FrameError, HEAD_BYTES, HELLO_BYTES, Hello, Kind, Peer};
use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// A frame as it came, borrowed from the connection's buffer.
#[derive(Debug)]
pub enum Frame<'a> {
    /// An encoded message.
    Message(&'a [u8]),
    /// Job, channel and bytes of a data frame.
    Data(u64, u32, &'a [u8]),
}

/// A connection to a hub.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    buffer: Vec<u8>,
    /// What of `buffer` was read from the stream and not yet handed out.
    start: usize,
    end: usize,
}

fn broken(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: Read + Write> Connection<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: vec![0; 64 << 10],
            start: 0,
            end: 0,
        }
    }

    /// The stream itself.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Reads the peer's hello.
    ///
    /// # Errors
    /// The stream's, or `InvalidData` holding a [`FrameError`].
    pub fn hello(&mut self, expected: Peer) -> io::Result<()> {
        self.fill(HELLO_BYTES)?;
        let mut bytes = [0; HELLO_BYTES];
        bytes.copy_from_slice(&self.buffer[self.start..self.start + HELLO_BYTES]);
        self.start += HELLO_BYTES;
        let hello = Hello::from_bytes(bytes).map_err(broken)?;
        if hello.peer == expected {
            Ok(())
        } else {
            Err(broken(FrameError::Peer(bytes[8])))
        }
    }

    /// Sends this side's hello and the given messages in one write.
    ///
    /// # Errors
    /// The stream's, or a message over the cap.
    pub fn send<T: Serialize>(&mut self, hello: Option<Peer>, message: &T) -> io::Result<()> {
        let payload = codec::encode(message).map_err(broken)?;
        let mut bytes = Vec::with_capacity(HELLO_BYTES + HEAD_BYTES + payload.len());
        if let Some(us) = hello {
            bytes.extend(Hello::ours(us).to_bytes());
        }
        bytes.extend(frame::head(Kind::Message, payload.len()));
        bytes.extend(payload);
        self.stream.write_all(&bytes)
    }

    /// Reads the next frame.
    ///
    /// # Errors
    /// The stream's (`UnexpectedEof` when the peer closed), or `InvalidData` for a broken frame.
    pub fn frame(&mut self) -> io::Result<Frame<'_>> {
        self.fill(HEAD_BYTES)?;
        let mut head = [0; HEAD_BYTES];
        head.copy_from_slice(&self.buffer[self.start..self.start + HEAD_BYTES]);
        let (kind, length) = frame::parse_head(head).map_err(broken)?;
        self.fill(HEAD_BYTES + length)?;
        let payload = self.start + HEAD_BYTES..self.start + HEAD_BYTES + length;
        self.start = payload.end;
        let payload = &self.buffer[payload];
        match kind {
            Kind::Message => Ok(Frame::Message(payload)),
            Kind::Data => {
                let (job, channel, bytes) = frame::split_data(payload).map_err(broken)?;
                Ok(Frame::Data(job, channel, bytes))
            }
        }
    }

    /// Makes at least `wanted` bytes stand at `start`.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        while self.end - self.start < wanted {
            if self.start > 0 && self.start + wanted > self.buffer.len() {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if wanted > self.buffer.len() {
                self.buffer.resize(wanted, 0);
            }
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Frame<'_> {
    /// Decodes a message frame.
    ///
    /// # Errors
    /// `InvalidData` for a data frame or an undecodable payload.
    pub fn message<T: DeserializeOwned>(&self) -> io::Result<T> {
        match self {
            Self::Message(payload) => codec::decode(payload).map_err(broken),
            Self::Data(..) => Err(broken(FrameError::Payload(
                "data where a message belongs".into(),
            ))),
        }
    }
}
