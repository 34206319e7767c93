//! Content of files on its way to a mirror, in packed pieces.
//!
//! A file is known here by its digest: what was read is sent only if it is that, and the last piece
//! not before that is known.

use super::mirror::Tell;
use crate::job::Digest;
use crate::paths::Bytes;
use crate::wire::frame::FrameError;
use crate::wire::messages::{SentWhy, ToPod};
use crate::wire::packed;
use rustix::fs::OFlags;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Bytes of content in one message, unpacked.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes to read before others have their turn.
const TURN_BYTES: usize = 1 << 20;

/// A file that is being read.
#[derive(Debug)]
struct Reading {
    source: Source,
    file: File,
    hasher: Box<blake3::Hasher>,
    left_bytes: u64,
}

/// Where content is to be found, if it is still there.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) digest: Digest,
    /// Below its root.
    pub(crate) name: Bytes,
    pub(crate) path: PathBuf,
    pub(crate) size_bytes: u64,
    /// Why it is sent.
    pub(crate) why: SentWhy,
}

impl Reading {
    fn open(source: &Source) -> Option<Self> {
        // What stands there by now may be a pipe that nobody writes to.
        let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let flags = i32::try_from(flags.bits()).ok()?;
        let mut file = File::options();
        let file = file.read(true).custom_flags(flags);
        let file = file.open(&source.path).ok()?;
        let found = file.metadata().ok()?;
        let is_it = found.is_file() && found.len() == source.size_bytes;
        is_it.then(|| Self {
            source: source.clone(),
            file,
            hasher: Box::default(),
            left_bytes: source.size_bytes,
        })
    }

    /// The next piece; none if the file cannot be read or is another one.
    fn piece(&mut self) -> Option<Piece> {
        let mut bytes = Vec::new();
        let mut part = (&mut self.file).take(PIECE_BYTES as u64);
        part.read_to_end(&mut bytes).ok()?;
        // One that grows as fast as it is read is not read for ever.
        self.left_bytes = self.left_bytes.checked_sub(bytes.len() as u64)?;
        self.hasher.update(&bytes);
        let last = bytes.len() < PIECE_BYTES;
        if last && *self.hasher.finalize().as_bytes() != self.source.digest.0 {
            return None;
        }
        Some(Piece {
            digest: self.source.digest,
            packed: packed::pack(&bytes).ok()?,
            last: last.then(|| self.source.clone()),
        })
    }
}

/// Part of a file's content.
#[derive(Debug)]
pub(crate) struct Piece {
    digest: Digest,
    packed: Vec<u8>,
    /// All of it has come.
    last: Option<Source>,
}

impl Piece {
    /// How much of it travels.
    pub(crate) fn bytes(&self) -> u64 {
        self.packed.len() as u64
    }

    /// Of which content it is.
    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether no more come.
    pub(crate) fn is_last(&self) -> bool {
        self.last.is_some()
    }

    /// What has been sent with it, if no more come.
    pub(crate) fn ends(&self) -> Option<&Source> {
        self.last.as_ref()
    }

    /// For the pod.
    pub(crate) fn into_message(self) -> ToPod {
        ToPod::Content {
            digest: self.digest,
            packed: self.packed,
            last: self.last.is_some(),
        }
    }
}

/// Sends content at once; none, and nothing is sent, if the file holds another one now. Gives the
/// bytes that travel.
///
/// # Errors
/// A message cannot be made.
pub(super) fn send(source: &Source, tell: Tell<'_>) -> Result<Option<u64>, FrameError> {
    let (mut pieces, mut is_whole) = (Vec::new(), false);
    let mut reading = Reading::open(source);
    while let Some(piece) = reading.as_mut().and_then(Reading::piece) {
        is_whole = piece.is_last();
        pieces.push(piece);
        if is_whole {
            break;
        }
    }
    if !is_whole {
        return Ok(None);
    }
    let mut sent = 0;
    for piece in pieces {
        sent += piece.bytes();
        tell(&piece.into_message())?;
    }
    Ok(Some(sent))
}

/// What a pod asked for, read turn by turn.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    files: VecDeque<Result<Source, Digest>>,
    open: Option<Reading>,
}

/// What there is to tell of a file that was asked for.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The next of its content.
    Piece(Piece),
    /// It has other content by now, or cannot be read; also if pieces of it were sent.
    Gone(Digest),
}

impl Asked {
    /// Contents, and where each may be read, if anywhere.
    pub(crate) fn new(files: Vec<Result<Source, Digest>>) -> Self {
        Self {
            files: files.into(),
            open: None,
        }
    }

    /// Reads on for a while. Nothing is left to be read when there are no answers.
    pub(crate) fn turn(&mut self) -> Vec<Answer> {
        let (mut answers, mut bytes) = (Vec::new(), 0);
        while bytes < TURN_BYTES {
            let Some(mut reading) = self.open.take() else {
                let Some(next) = self.files.pop_front() else {
                    break;
                };
                match next.and_then(|it| Reading::open(&it).ok_or(it.digest)) {
                    Ok(reading) => self.open = Some(reading),
                    Err(digest) => answers.push(Answer::Gone(digest)),
                }
                continue;
            };
            // A file costs something even if it is empty.
            bytes += 4096;
            match reading.piece() {
                None => answers.push(Answer::Gone(reading.source.digest)),
                Some(piece) => {
                    bytes += PIECE_BYTES.min(piece.packed.len() * 4);
                    let last = piece.is_last();
                    answers.push(Answer::Piece(piece));
                    self.open = (!last).then_some(reading);
                }
            }
        }
        answers
    }
}
