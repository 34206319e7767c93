//! The tool's stdout and stderr on their way to ours.
//!
//! Held back until the job has ended, so that what a failing pod said is never shown beside what
//! the next pod says; shown at once on a terminal, where a person waits, and when there is much.
//! After that a job that moves to another pod is not shown again what was shown before.

use crate::wire::frame::{STDERR, STDOUT};
use std::io::{self, IsTerminal};

/// More than this is not held back.
const MOST_HELD_BYTES: usize = 256 << 10;

/// Both streams, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    live: bool,
    held: Vec<(u32, Vec<u8>)>,
    held_bytes: usize,
    /// Bytes of stdout and stderr already shown.
    shown: [u64; 2],
    /// Bytes of the present try still to be passed over, since an earlier try showed them.
    skip: [u64; 2],
}

impl Spool {
    /// For this process's own streams.
    pub(crate) fn new() -> Self {
        let live = io::stdout().is_terminal() || io::stderr().is_terminal();
        Self {
            live,
            ..Self::default()
        }
    }

    /// The job starts again elsewhere: what was held is void.
    pub(crate) fn restart(&mut self) {
        self.held.clear();
        self.held_bytes = 0;
        self.skip = self.shown;
    }

    /// A piece of a stream.
    ///
    /// # Errors
    /// The stream's, such as `BrokenPipe`.
    pub(crate) fn push(&mut self, channel: u32, bytes: &[u8]) -> io::Result<()> {
        let stream = usize::from(channel == STDERR);
        let passed = usize::try_from(self.skip[stream])
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        self.skip[stream] -= passed as u64;
        self.held.push((channel, bytes[passed..].to_vec()));
        self.held_bytes += bytes.len() - passed;
        if self.live || self.held_bytes > MOST_HELD_BYTES {
            self.show()
        } else {
            Ok(())
        }
    }

    /// Shows what is held.
    ///
    /// # Errors
    /// The stream's.
    pub(crate) fn show(&mut self) -> io::Result<()> {
        self.held_bytes = 0;
        for (channel, bytes) in self.held.drain(..) {
            if channel == STDOUT {
                self.shown[0] += bytes.len() as u64;
                write_all(&io::stdout(), &bytes)?;
            } else {
                self.shown[1] += bytes.len() as u64;
                write_all(&io::stderr(), &bytes)?;
            }
        }
        Ok(())
    }
}

/// Straight to the descriptor: the standard library's stdout would buffer lines and need a flush.
fn write_all(stream: &impl std::os::fd::AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(stream, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => wait_writable(stream)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Our stdout may be somebody's non-blocking pipe.
fn wait_writable(stream: &impl std::os::fd::AsFd) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    poll(&mut [PollFd::new(stream, PollFlags::OUT)], None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(spool: &Spool) -> Vec<u8> {
        spool
            .held
            .iter()
            .flat_map(|(_, bytes)| bytes.clone())
            .collect()
    }

    #[test]
    fn a_second_try_does_not_show_twice() {
        let mut spool = Spool {
            shown: [4, 0],
            ..Spool::default()
        };
        spool.restart();
        spool.push(STDOUT, b"abc").unwrap();
        spool.push(STDERR, b"E").unwrap();
        spool.push(STDOUT, b"defg").unwrap();
        assert_eq!(held(&spool), b"Eefg");
    }

    #[test]
    fn what_a_lost_pod_said_is_void() {
        let mut spool = Spool::default();
        spool.push(STDOUT, b"nonsense").unwrap();
        spool.restart();
        spool.push(STDOUT, b"sense").unwrap();
        assert_eq!(held(&spool), b"sense");
    }
}
