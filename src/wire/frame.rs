//! Frames: how bytes are cut into messages on every connection.
//!
//! A connection begins with each side's fixed [`Hello`], which no later version may change. After
//! it come frames: a `u32` length (little endian, of what follows), a kind byte, and the payload.
//! Knows nothing of what messages mean, nor of sockets.

use thiserror::Error;

/// Version of everything after the hello. Raise it with every change of a wire type.
///
/// | version | what came with it |
/// | --- | --- |
/// | 1 | jobs, tools, outputs, status |
/// | 2 | how a pod comes to the files: mounts; pods taken out of use |
/// | 3 | limits of a job |
/// | 4 | mirrors: lists of changes, their content, what a pod lacks; the hub's name; packed outputs; system directories that a job searches, and those that a tool's identity covers |
/// | 5 | mirrors unasked: what a pod proved before it has files, a mirror's trouble; the last jobs, indexes and transfers in what is told to people |
/// | 6 | content by need (opened, without, again); the hub's headers and compilers on pods, bare identities; the identity that a job was placed by; jobs taken back before they begin; why content was sent |
/// | 7 | which worker serves a pod, in the status; whether an output was there before; the size of a file that is closed |
pub const PROTOCOL: u16 = 7;

/// The first bytes of a [`Hello`].
pub const MAGIC: [u8; 6] = *b"cpods\n";

/// A [`Hello`] in bytes: magic, version (little endian), role, 7 zeroes.
pub const HELLO_BYTES: usize = 16;

/// Longest payload of a message frame. A job's arguments and environment fit: the kernel itself
/// allows 2 MiB for both by default (execve(2), ARG_MAX).
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Longest payload of a data frame, its head included.
pub const MAX_DATA_BYTES: usize = (256 << 10) + DATA_HEAD_BYTES;

/// Job (u64) and channel (u32) at the start of a data frame's payload.
pub const DATA_HEAD_BYTES: usize = 12;

/// Length and kind before each payload.
pub const HEAD_BYTES: usize = 5;

/// Channel of a job's standard output in data frames.
pub const STDOUT: u32 = 0;
/// Channel of a job's standard error in data frames.
pub const STDERR: u32 = 1;
/// Channel of the content of output 0; output `n` has `OUTPUTS + n`.
pub const OUTPUTS: u32 = 2;

/// Who speaks on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A wrapper or the operator's tool.
    Client,
    /// The scheduler daemon.
    Hub,
    /// A worker daemon.
    Pod,
}

/// What each side sends first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The sender's [`PROTOCOL`].
    pub version: u16,
    /// What the sender is.
    pub peer: Peer,
}

/// A peer that breaks the protocol. Whoever sees this drops the connection.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// Something else than cpods is at the other end.
    #[error("the peer does not speak the cpods protocol (its first bytes are {0:02x?})")]
    Magic([u8; 6]),
    /// Another version of cpods is at the other end.
    #[error(
        "the peer speaks version {theirs} of the cpods protocol, this is version {PROTOCOL}: upgrade the older of the two"
    )]
    Version {
        /// What the peer said.
        theirs: u16,
    },
    /// A role that does not belong here.
    #[error("unexpected peer role {0}")]
    Peer(u8),
    /// Longer than the cap of its kind.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// What the head said.
        length: usize,
        /// The cap.
        limit: usize,
    },
    /// A kind byte that means nothing.
    #[error("unknown frame kind {0}")]
    Kind(u8),
    /// Shorter than its kind needs.
    #[error("a frame of {0} bytes is too short")]
    TooShort(usize),
    /// A payload that does not decode.
    #[error("undecodable message: {0}")]
    Payload(String),
}

impl Hello {
    /// This side's hello.
    pub fn ours(peer: Peer) -> Self {
        Self {
            version: PROTOCOL,
            peer,
        }
    }

    /// The bytes to send.
    pub fn to_bytes(self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[..6].copy_from_slice(&MAGIC);
        bytes[6..8].copy_from_slice(&self.version.to_le_bytes());
        bytes[8] = match self.peer {
            Peer::Client => 1,
            Peer::Hub => 2,
            Peer::Pod => 3,
        };
        bytes
    }

    /// Reads a peer's hello.
    ///
    /// # Errors
    /// Wrong magic, another version, or an unknown role.
    pub fn from_bytes(bytes: [u8; HELLO_BYTES]) -> Result<Self, FrameError> {
        let mut magic = [0; 6];
        magic.copy_from_slice(&bytes[..6]);
        if magic != MAGIC {
            return Err(FrameError::Magic(magic));
        }
        let version = u16::from_le_bytes([bytes[6], bytes[7]]);
        if version != PROTOCOL {
            return Err(FrameError::Version { theirs: version });
        }
        let peer = match bytes[8] {
            1 => Peer::Client,
            2 => Peer::Hub,
            3 => Peer::Pod,
            other => return Err(FrameError::Peer(other)),
        };
        Ok(Self { version, peer })
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of `wire::messages`, encoded by `wire::codec`.
    Message,
    /// A piece of a stream: job, channel, bytes.
    Data,
}

/// Builds the head of a frame.
pub fn head(kind: Kind, payload_bytes: usize) -> [u8; HEAD_BYTES] {
    let length = u32::try_from(payload_bytes + 1).unwrap_or(u32::MAX);
    let mut bytes = [0; HEAD_BYTES];
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4] = match kind {
        Kind::Message => 0,
        Kind::Data => 1,
    };
    bytes
}

/// Reads a head; returns the kind and the payload's length, already checked against its cap, so
/// that nothing is allocated for a length that a broken peer made up.
pub fn parse_head(bytes: [u8; HEAD_BYTES]) -> Result<(Kind, usize), FrameError> {
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    let (kind, limit) = match bytes[4] {
        0 => (Kind::Message, MAX_MESSAGE_BYTES),
        1 => (Kind::Data, MAX_DATA_BYTES),
        other => return Err(FrameError::Kind(other)),
    };
    let payload = length.checked_sub(1).ok_or(FrameError::TooShort(length))?;
    if payload > limit {
        return Err(FrameError::TooLong {
            length: payload,
            limit,
        });
    }
    if kind == Kind::Data && payload < DATA_HEAD_BYTES {
        return Err(FrameError::TooShort(payload));
    }
    Ok((kind, payload))
}

/// The head of a data frame together with its job and channel; the bytes follow.
pub fn data_head(job: u64, channel: u32, data_bytes: usize) -> [u8; HEAD_BYTES + DATA_HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES + DATA_HEAD_BYTES];
    bytes[..HEAD_BYTES].copy_from_slice(&head(Kind::Data, data_bytes + DATA_HEAD_BYTES));
    bytes[HEAD_BYTES..HEAD_BYTES + 8].copy_from_slice(&job.to_le_bytes());
    bytes[HEAD_BYTES + 8..].copy_from_slice(&channel.to_le_bytes());
    bytes
}

/// Splits a data frame's payload, at least [`DATA_HEAD_BYTES`] long, into job, channel and bytes.
pub fn split_data(payload: &[u8]) -> Result<(u64, u32, &[u8]), FrameError> {
    let (head, data) = payload
        .split_at_checked(DATA_HEAD_BYTES)
        .ok_or(FrameError::TooShort(payload.len()))?;
    let mut job = [0; 8];
    job.copy_from_slice(&head[..8]);
    let mut channel = [0; 4];
    channel.copy_from_slice(&head[8..]);
    Ok((u64::from_le_bytes(job), u32::from_le_bytes(channel), data))
}
