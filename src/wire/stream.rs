//! Frames over tokio streams, for the daemons.

use super::codec;
use super::frame::{self, FrameError, HEAD_BYTES, HELLO_BYTES, Hello, Kind, Peer};
use serde::{Serialize, de::DeserializeOwned};
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};

/// A connection that cannot go on.
#[derive(Debug, Error)]
pub enum WireError {
    /// The peer broke the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection broke.
    #[error("connection lost")]
    Io(#[from] io::Error),
    /// The peer closed in the middle of a hello or a frame.
    #[error("the peer closed the connection in the middle of a frame")]
    Truncated,
    /// The peer closed in an orderly way, between two frames.
    #[error("the peer closed the connection")]
    Closed,
    /// The peer is not of the kind that belongs here.
    #[error("unexpected peer {0:?}")]
    Peer(Peer),
}

/// One frame as it came, its message not yet decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// An encoded message; see [`Frame::message`].
    Message(Vec<u8>),
    /// A data frame's payload: see [`frame::split_data`].
    Data(Vec<u8>),
}

impl Frame {
    /// Decodes a message frame.
    ///
    /// # Errors
    /// A data frame, or a payload that is no `T`.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        match self {
            Self::Message(payload) => codec::decode(payload),
            Self::Data(_) => Err(FrameError::Payload("data where a message belongs".into())),
        }
    }
}

/// The receiving half.
#[derive(Debug)]
pub struct Receiver<R>(BufReader<R>);

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// Wraps a stream's read half.
    pub fn new(stream: R) -> Self {
        Self(BufReader::with_capacity(64 << 10, stream))
    }

    /// Reads the peer's hello.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn hello(&mut self, expected: Peer) -> Result<(), WireError> {
        let mut bytes = [0; HELLO_BYTES];
        self.whole(&mut bytes).await?;
        match Hello::from_bytes(bytes)?.peer {
            peer if peer == expected => Ok(()),
            peer => Err(WireError::Peer(peer)),
        }
    }

    /// Reads the next frame. Not cancel safe: a dropped call loses its place in the stream.
    ///
    /// # Errors
    /// See [`WireError`]; [`WireError::Closed`] at an orderly end.
    pub async fn frame(&mut self) -> Result<Frame, WireError> {
        let mut head = [0; HEAD_BYTES];
        self.whole(&mut head).await?;
        let (kind, length) = frame::parse_head(head)?;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.map_err(cut_short)?;
        Ok(match kind {
            Kind::Message => Frame::Message(payload),
            Kind::Data => Frame::Data(payload),
        })
    }

    /// Fills `bytes`, or finds the stream at its end before the first of them.
    async fn whole(&mut self, bytes: &mut [u8]) -> Result<(), WireError> {
        match self.0.read(&mut bytes[..1]).await? {
            0 => Err(WireError::Closed),
            _ => self
                .0
                .read_exact(&mut bytes[1..])
                .await
                .map(drop)
                .map_err(cut_short),
        }
    }
}

/// An end in the middle of something is a broken protocol, not a broken connection.
fn cut_short(error: io::Error) -> WireError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => WireError::Truncated,
        _ => error.into(),
    }
}

/// The sending half. Nothing is sent before [`Sender::flush`] or a full buffer.
#[derive(Debug)]
pub struct Sender<W: AsyncWrite>(BufWriter<W>);

impl<W: AsyncWrite + Unpin> Sender<W> {
    /// Wraps a stream's write half.
    pub fn new(stream: W) -> Self {
        Self(BufWriter::with_capacity(64 << 10, stream))
    }

    /// Queues this side's hello.
    ///
    /// # Errors
    /// The stream's.
    pub async fn hello(&mut self, us: Peer) -> Result<(), WireError> {
        Ok(self.0.write_all(&Hello::ours(us).to_bytes()).await?)
    }

    /// Queues a message.
    ///
    /// # Errors
    /// The stream's, or a message over the cap.
    pub async fn message<T: Serialize>(&mut self, message: &T) -> Result<(), WireError> {
        let payload = codec::encode(message)?;
        self.0
            .write_all(&frame::head(Kind::Message, payload.len()))
            .await?;
        Ok(self.0.write_all(&payload).await?)
    }

    /// Queues a piece of a stream, at most [`frame::MAX_DATA_BYTES`] less its head.
    ///
    /// # Errors
    /// The stream's.
    pub async fn data(&mut self, job: u64, channel: u32, bytes: &[u8]) -> Result<(), WireError> {
        self.0
            .write_all(&frame::data_head(job, channel, bytes.len()))
            .await?;
        Ok(self.0.write_all(bytes).await?)
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// The stream's.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        Ok(self.0.flush().await?)
    }
}
