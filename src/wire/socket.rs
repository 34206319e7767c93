//! Unix sockets of the daemons: for the owner alone, and never in the place of a living one.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use tokio::net::UnixListener;

/// Longest path that sockaddr_un takes (unix(7)).
const MOST_PATH_BYTES: usize = 107;

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The kernel's limit.
    #[error("socket path `{0}` is too long ({MOST_PATH_BYTES} bytes at most)")]
    TooLong(String),
    /// A living daemon has it.
    #[error("`{0}` is in use by a running daemon")]
    InUse(String),
    /// Somebody else's socket, or no socket at all.
    #[error("`{0}` exists and is not a socket of this user")]
    Foreign(String),
    /// The rest.
    #[error("cannot listen on `{path}`")]
    Io {
        /// The socket.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Listens at `path`, mode 0600. A socket that nobody listens on is replaced.
///
/// # Errors
/// See [`ListenError`].
pub fn listen(path: &Path) -> Result<UnixListener, ListenError> {
    let name = path.display().to_string();
    if path.as_os_str().len() > MOST_PATH_BYTES {
        return Err(ListenError::TooLong(name));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !is_own_socket(&found) => return Err(ListenError::Foreign(name)),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(ListenError::InUse(name)),
        Ok(_) => drop(std::fs::remove_file(path)),
        Err(_) => {}
    }
    // bind(2) makes the socket with the umask's mode; there must be no moment when others may
    // connect. Other threads see this umask for a moment: it only makes their files stricter.
    let before = rustix::process::umask(rustix::fs::Mode::from(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    listener.map_err(|source| ListenError::Io { path: name, source })
}

fn is_own_socket(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    found.file_type().is_socket() && found.uid() == rustix::process::geteuid().as_raw()
}

/// Whether the process at the other end is this user's (or root's).
pub fn is_friend(stream: &tokio::net::UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}
