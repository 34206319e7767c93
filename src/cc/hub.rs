//! The wrapper's connection to the hub.

use crate::paths::Roots;
use crate::slots::runtime_dir;
use crate::wire::blocking::Connection;
use crate::wire::frame::Peer;
use crate::wire::messages::{FromClient, ToClient};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a hub that accepted a connection may take to say hello. A hub that is alive but stopped
/// must not stop the build.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no hub to talk to.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Nobody listens: the ordinary case of a machine without a hub.
    #[error("no hub is running")]
    Absent,
    /// The user's set-up is wrong, and running locally would only hide it.
    #[error("hub socket `{path}`: {why}", path = path.display())]
    Misconfigured {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A hub is there, but cannot be used.
    #[error("hub at `{path}`", path = path.display())]
    Unusable {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// A hub that said welcome.
#[derive(Debug)]
pub struct Hub {
    connection: Connection<UnixStream>,
    /// The directories that pods may see.
    pub roots: Roots,
}

/// Where the hub listens: `$CPODS_HUB`, else `hub.sock` in the runtime folder.
pub fn socket_path() -> PathBuf {
    std::env::var_os("CPODS_HUB").map_or_else(|| runtime_dir().join("hub.sock"), PathBuf::from)
}

impl Hub {
    /// Connects, and waits for the welcome.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn connect() -> Result<Self, HubError> {
        let path = socket_path();
        let stream = open(&path)?;
        let unusable = |source| HubError::Unusable {
            path: path.clone(),
            source,
        };
        stream.set_read_timeout(Some(PATIENCE)).map_err(unusable)?;
        let mut connection = Connection::new(stream);
        let roots = welcome(&mut connection).map_err(unusable)?;
        connection
            .stream()
            .set_read_timeout(None)
            .map_err(unusable)?;
        Ok(Self { connection, roots })
    }

    /// Sends the first message on this connection.
    ///
    /// # Errors
    /// The socket's.
    pub fn say(&mut self, message: &FromClient) -> io::Result<()> {
        self.connection.send(Some(Peer::Client), message)
    }

    /// The connection, for reading answers.
    pub fn connection(&mut self) -> &mut Connection<UnixStream> {
        &mut self.connection
    }
}

/// Tells a hub, if there is one, and does not wait for anything.
pub(crate) fn tell(message: &FromClient) {
    if let Ok(stream) = open(&socket_path()) {
        let _ = stream.set_write_timeout(Some(PATIENCE));
        let _ = Connection::new(stream).send(Some(Peer::Client), message);
    }
}

fn welcome(connection: &mut Connection<UnixStream>) -> io::Result<Roots> {
    connection.hello(Peer::Hub)?;
    match connection.frame()?.message()? {
        ToClient::Welcome { roots } => Ok(roots),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{other:?} before a welcome"),
        )),
    }
}

fn open(path: &Path) -> Result<UnixStream, HubError> {
    let stream = UnixStream::connect(path).map_err(|source| match source.kind() {
        io::ErrorKind::ConnectionRefused if is_something_else(path) => HubError::Misconfigured {
            path: path.into(),
            why: "it is not a socket".into(),
        },
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => HubError::Absent,
        // The standard library's own word for a path over the limit of unix(7).
        io::ErrorKind::InvalidInput => HubError::Misconfigured {
            path: path.into(),
            why: "the path is too long for a socket (107 bytes at most)".into(),
        },
        io::ErrorKind::PermissionDenied => HubError::Misconfigured {
            path: path.into(),
            why: "it belongs to another user".into(),
        },
        _ => HubError::Unusable {
            path: path.into(),
            source,
        },
    })?;
    owned_by_us(&stream, path)?;
    Ok(stream)
}

/// Whether a file that is no socket stands there (connect(2) refuses as if nobody listened).
fn is_something_else(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|found| !found.file_type().is_socket())
}

/// A hub decides what the build's outputs hold: only our own is believed, at a socket that nobody
/// else could have put there.
fn owned_by_us(stream: &UnixStream, path: &Path) -> Result<(), HubError> {
    use std::os::unix::fs::MetadataExt;
    let unusable = |source: io::Error| HubError::Unusable {
        path: path.into(),
        source,
    };
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|e| unusable(e.into()))?;
    let owner = std::fs::metadata(path).map_err(unusable)?.uid();
    let own = rustix::process::geteuid().as_raw();
    match [peer.uid.as_raw(), owner]
        .into_iter()
        .find(|user| *user != own)
    {
        None => Ok(()),
        Some(user) => Err(HubError::Misconfigured {
            path: path.into(),
            why: format!("it belongs to user {user}, not to you"),
        }),
    }
}
