//! What is still to be sent to one peer. Filled from anywhere in the daemon, emptied by one task.

use crate::wire::codec;
use crate::wire::frame::{self, FrameError, Hello, Kind, Peer};
use serde::Serialize;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

/// Bytes above which whoever reads for this peer should wait.
const HIGH_WATER_BYTES: usize = 16 << 20;

/// Bytes below which more content is read: enough to keep the kernel busy meanwhile.
const LOW_WATER_BYTES: usize = 256 << 10;

/// Buffers handed to the kernel in one call.
const MOST_SLICES: usize = 16;

/// A queue of encoded frames.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: RefCell<VecDeque<Vec<u8>>>,
    bytes: Cell<usize>,
    closed: Cell<bool>,
    filled: Notify,
    drained: Notify,
}

impl Outbox {
    /// Queues this side's hello.
    pub(crate) fn hello(&self, us: Peer) {
        self.push(Hello::ours(us).to_bytes().to_vec());
    }

    /// Queues a message.
    pub(crate) fn message<T: Serialize>(&self, message: &T) -> Result<(), FrameError> {
        let payload = codec::encode(message)?;
        self.frame(Kind::Message, payload);
        Ok(())
    }

    /// Queues a frame as it came from another peer.
    pub(crate) fn frame(&self, kind: Kind, payload: Vec<u8>) {
        self.push(frame::head(kind, payload.len()).to_vec());
        self.push(payload);
    }

    /// Nothing more will come: the connection ends once the rest is sent.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Whether nothing more will be sent.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether so much waits that the source should pause.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.get() > HIGH_WATER_BYTES && !self.closed.get()
    }

    /// Whether everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.get() == 0
    }

    /// Waits until there is room again.
    pub(crate) async fn room(&self) {
        while self.is_full() {
            self.drained.notified().await;
        }
    }

    /// Waits until so little is left that what comes after a lot of content need not wait long.
    pub(crate) async fn nearly_empty(&self) {
        while self.bytes.get() > LOW_WATER_BYTES && !self.closed.get() {
            self.drained.notified().await;
        }
    }

    /// Sends until closed.
    ///
    /// # Errors
    /// The stream's.
    pub(crate) async fn send_all<W: AsyncWrite + Unpin>(&self, mut stream: W) -> io::Result<()> {
        loop {
            let mut batch = self.queue.take();
            if batch.is_empty() {
                if self.closed.get() {
                    return stream.shutdown().await;
                }
                self.filled.notified().await;
                continue;
            }
            while !batch.is_empty() {
                let written = write_some(&mut stream, &batch).await?;
                self.bytes.set(self.bytes.get() - written);
                advance(&mut batch, written);
            }
            self.drained.notify_waiters();
        }
    }

    fn push(&self, bytes: Vec<u8>) {
        if self.closed.get() || bytes.is_empty() {
            return;
        }
        self.bytes.set(self.bytes.get() + bytes.len());
        self.queue.borrow_mut().push_back(bytes);
        self.filled.notify_one();
    }
}

async fn write_some<W: AsyncWrite + Unpin>(
    stream: &mut W,
    batch: &VecDeque<Vec<u8>>,
) -> io::Result<usize> {
    let slices: Vec<IoSlice<'_>> = batch
        .iter()
        .take(MOST_SLICES)
        .map(|bytes| IoSlice::new(bytes))
        .collect();
    match stream.write_vectored(&slices).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

/// Drops what was written from the front.
fn advance(batch: &mut VecDeque<Vec<u8>>, mut written: usize) {
    while let Some(front) = batch.front_mut() {
        if written < front.len() {
            front.drain(..written);
            return;
        }
        written -= front.len();
        batch.pop_front();
    }
}
