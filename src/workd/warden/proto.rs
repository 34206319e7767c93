//! What the worker, a session's warden and its inits say to each other, and how it travels.
//!
//! All three are one build of one program, so that nothing here is versioned. Each message is one
//! packet of a `SOCK_SEQPACKET` pair, with descriptors beside it; a payload too long for a packet
//! travels in a memory file.

use crate::job::{Ending, Usage};
use crate::paths::Bytes;
use crate::wire::codec;
use crate::wire::messages::ViewKind;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::MemfdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;

/// The longest payload that travels in the packet itself.
const INLINE_BYTES: usize = 32 << 10;
/// Most descriptors beside one packet.
const MAX_FDS: usize = 4;

/// Where a job's own files lie while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scratch {
    /// In a tmpfs of the job's own, gone with it.
    Memory,
    /// In this directory of the pod, one sub-directory for each init, named by its number.
    Disk(Bytes),
}

/// What keeps a job from the rest of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sandbox {
    /// A new root in namespaces of its own.
    Namespaces,
    /// Landlock, around a [bare](Self::is_bare) job.
    Landlock,
    /// Nothing.
    Nothing,
}

impl Sandbox {
    /// Whether jobs run in the pod's own namespaces: only with [`ViewKind::Rewrite`] and
    /// [`Scratch::Disk`].
    pub(crate) fn is_bare(self) -> bool {
        self != Self::Namespaces
    }
}

/// A root as the warden needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootDir {
    /// Its path on the hub.
    pub(crate) path: Bytes,
    /// Where this pod has its files.
    pub(crate) files: Bytes,
}

/// A root as a job gets it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRoot {
    pub(crate) index: u16,
    /// In the overlay view, the directory below it that can be written, with all that it holds: the
    /// rest is shown without an overlay, through which every file costs more. Empty is all of it.
    pub(crate) writable: Bytes,
}

impl From<u16> for JobRoot {
    /// All of it can be written.
    fn from(index: u16) -> Self {
        Self {
            index,
            writable: Bytes::default(),
        }
    }
}

/// A directory of the system's that jobs see otherwise than the pod has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replaced {
    /// Where they see it.
    pub(crate) path: Bytes,
    /// What they see there; none is nothing.
    pub(crate) files: Option<Bytes>,
}

/// The first packet to a warden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) view: ViewKind,
    pub(crate) sandbox: Sandbox,
    pub(crate) scratch: Scratch,
    pub(crate) roots: Vec<RootDir>,
    /// Read-only directories beside the usual ones.
    pub(crate) system: Vec<Bytes>,
    /// A directory that is shown in place of the pod's system.
    pub(crate) image: Option<Bytes>,
    /// What of all these is shown otherwise (overlay view).
    pub(crate) replaced: Vec<Replaced>,
    /// The pod's folder of warm directories.
    pub(crate) warm: Bytes,
    /// An empty directory of the pod on which the new root is mounted while it is built.
    pub(crate) stage: Bytes,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ToWarden {
    /// Make an init that takes one [`Run`] from the socket beside this packet.
    Make {
        init: u32,
    },
    Kill {
        init: u32,
    },
    /// Put these symlinks (path, target) into the root that all jobs share, where they are missing.
    Link {
        request: u32,
        links: Vec<(Bytes, Bytes)>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromWarden {
    Ready,
    /// The view cannot be built.
    Failed {
        why: String,
    },
    /// Answers a `Link`; `why` if it failed.
    Linked {
        request: u32,
        why: Option<String>,
    },
    /// This init and all below it are gone, its mounts too. `why` says what kept it from starting.
    Gone {
        init: u32,
        why: Option<String>,
    },
}

/// What an init runs. Beside it travel the write ends for stdout and stderr.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) exe: Bytes,
    pub(crate) argv: Vec<Bytes>,
    /// `NAME=value`.
    pub(crate) env: Vec<Bytes>,
    pub(crate) cwd: Bytes,
    pub(crate) umask: u32,
    pub(crate) limits: Vec<(u32, u64)>,
    /// Roots that the job gets: an overlay each, or a directory for outputs each.
    pub(crate) roots: Vec<JobRoot>,
    /// Directories to make below the outputs' directory first, parents before children.
    pub(crate) out_dirs: Vec<Bytes>,
    /// Files to write before the tool starts (response files).
    pub(crate) files: Vec<(Bytes, Bytes)>,
    /// The name of the warm directory that the job gets.
    pub(crate) warm: Option<Bytes>,
}

/// Room left where the job's files lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    pub(crate) free_bytes: u64,
    /// None where the file system does not count them.
    pub(crate) free_inodes: Option<u64>,
}

/// The one answer of an init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromInit {
    /// The tool ended and nothing of the job runs any more. Beside it travels the job's scratch
    /// directory, with what was written to root N in `up/N`.
    Ended {
        ending: Ending,
        usage: Usage,
        /// In the scratch directory, then in /tmp.
        room: [Room; 2],
    },
    /// The view could not be built for this job.
    NotSetUp { what: String, errno: i32 },
    /// The tool could not be executed.
    NotStarted { errno: i32 },
}

/// Sends one message. Blocks while the peer does not read.
pub(crate) fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let payload = codec::encode(message).map_err(io::Error::other)?;
    let memory;
    let mut fds = fds.to_vec();
    let (tag, inline): (_, &[u8]) = if payload.len() <= INLINE_BYTES {
        ([0], &payload)
    } else {
        let file = rustix::fs::memfd_create("cpods-message", MemfdFlags::CLOEXEC)?;
        memory = File::from(file);
        (&memory).write_all(&payload)?;
        fds.push(memory.as_fd());
        ([1], &[])
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("too many descriptors for one packet"));
    }
    let parts = [IoSlice::new(&tag), IoSlice::new(inline)];
    loop {
        match rustix::net::sendmsg(&socket, &parts, &mut control, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives one message; none once the peer has closed.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    flags: RecvFlags,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut buffer = vec![0; INLINE_BYTES + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let message = loop {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        match rustix::net::recvmsg(&socket, &mut parts, &mut control, flags) {
            Ok(message) => break message,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut fds = Vec::new();
    for ancillary in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = ancillary {
            fds.extend(rights);
        }
    }
    let payload = match buffer[..message.bytes].split_first() {
        None => return Ok(None),
        Some((0, payload)) => payload.to_vec(),
        Some(_) => {
            let memory = fds.pop().ok_or(io::ErrorKind::InvalidData)?;
            let mut memory = File::from(memory);
            memory.rewind()?;
            let mut payload = Vec::new();
            memory.read_to_end(&mut payload)?;
            payload
        }
    };
    let message = codec::decode(&payload).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn long_and_short_messages_arrive_with_their_descriptors() {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        for length in [0, 1, INLINE_BYTES, 1 << 20] {
            let run = Run {
                exe: vec![b'x'; length].as_slice().into(),
                ..Run::default()
            };
            let null = File::open("/dev/null").unwrap();
            send(&ours, &run, &[null.as_fd(), null.as_fd()]).unwrap();
            let (got, fds) = receive::<Run>(&theirs, RecvFlags::empty())
                .unwrap()
                .unwrap();
            assert_eq!((got, fds.len()), (run, 2));
        }
        drop(ours);
        assert!(
            receive::<Run>(&theirs, RecvFlags::empty())
                .unwrap()
                .is_none()
        );
    }
}
