//! Gets a worker running at the other end of an ssh connection that has nothing of cpods yet.
//!
//! The login shell there may be of any family and may greet; so the command line is one plain word
//! list for `/bin/sh`, which reads the script from its standard input, and what the script says is
//! found by its mark. Nothing is sent ahead that the script did not ask for.

use super::ssh;
use crate::wire::frame::PROTOCOL;
use crate::wire::status::ServedBy;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

const SCRIPT: &str = include_str!("bootstrap.sh");

/// Reads the script without reading further: `head` may take what comes behind it, so nothing
/// comes before the script has spoken.
const SHELL: &str = r#"exec /bin/sh -c 'read -r n && eval "$(head -c "$n")"' cpods"#;

/// How long a connection may take until the script speaks; ssh itself gives up after 10 s.
const SPEAKS_WITHIN: Duration = Duration::from_secs(30);
/// How long the worker may take to arrive and start, over a thin line.
const ARRIVES_WITHIN: Duration = Duration::from_secs(600);
/// What a login shell may say before the script.
const MOST_GREETING_BYTES: usize = 64 << 10;

/// What to run on the pod, by ssh, with these arguments for the worker.
pub(super) fn remote_command(args: &[OsString]) -> String {
    let mut words = vec![SHELL.to_owned()];
    words.extend(args.iter().map(|arg| ssh::quote(&arg.to_string_lossy())));
    words.join(" ")
}

/// What stops a pod from being used.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootstrapError {
    #[error("connection lost")]
    Io(#[from] std::io::Error),
    #[error("nothing was heard within {0:?}")]
    Slow(Duration),
    #[error("its login shell prints more than {MOST_GREETING_BYTES} bytes")]
    Greeting,
    #[error("it runs {0}; workers are for Linux")]
    System(String),
    #[error(
        "there is no worker for {machine} on this machine; build one with `scripts/build {machine}` \
         and put `cpods-workd-{machine}` beside `cpods`, or into $CPODS_WORKERS"
    )]
    NoWorker { machine: String },
    #[error("cannot read `{path}`: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
}

/// How it went.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrival {
    /// What the login shell said before the script.
    pub(super) greeting: String,
    /// The size of the worker, if it was not there before.
    pub(super) sent_bytes: Option<usize>,
    /// Which worker it is.
    pub(super) served: Served,
}

/// Which worker serves a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Which.
    pub by: ServedBy,
    /// Why not the pod's service, where there is one.
    pub why: String,
}

impl Served {
    /// By a worker of this kind, which is as it should be.
    pub(super) fn by(by: ServedBy) -> Self {
        let why = String::new();
        Self { by, why }
    }

    /// What the script found, in its words.
    fn parse(found: &str) -> Self {
        let words: Vec<_> = found.split_whitespace().skip(1).collect();
        let until = "served by the hub's own worker until then";
        let why = match words[..] {
            ["service", ..] => return Self::by(ServedBy::Service),
            ["version", theirs, ..] => format!(
                "its service speaks version {theirs} of the protocol, this hub version {PROTOCOL}: \
                 run `upgrade.yml`; {until}"
            ),
            ["nobody", "enabled"] => format!(
                "its service is enabled and does not answer: see `systemctl --user status \
                 cpods-workd` there; {until}"
            ),
            _ => String::new(),
        };
        let by = ServedBy::Sent;
        Self { by, why }
    }
}

/// Speaks with the script until the worker runs: what comes on `stream` from then on is its own.
pub(super) async fn prepare(stream: &mut UnixStream) -> Result<Arrival, BootstrapError> {
    let script: String = SCRIPT
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let sent = format!("{}\n{script}", script.len());
    stream.write_all(sent.as_bytes()).await?;
    let mut before = String::new();
    let Ok(pod) = timeout(SPEAKS_WITHIN, marked(stream, &mut before)).await else {
        return Err(BootstrapError::Slow(SPEAKS_WITHIN));
    };
    let pod = pod?;
    // The script begins with an empty line of its own.
    let greeting = before.strip_suffix('\n').unwrap_or(&before).to_owned();
    let mut words = pod.split(' ').skip(1);
    let (system, machine) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    if system != "Linux" {
        return Err(BootstrapError::System(system.into()));
    }
    let worker = find_worker(machine)?;
    let name = format!("cpods-workd-{}", ssh::short_name(&worker));
    let named = format!("{name} {}\n", worker.len());
    stream.write_all(named.as_bytes()).await?;
    let arrive = async {
        let is_sent = marked(stream, &mut before).await? == "cpods-send";
        if is_sent {
            tracing::info!("sending the {machine} worker, {} KiB", worker.len() >> 10);
            stream.write_all(&worker).await?;
            marked(stream, &mut before).await?;
        }
        let sent_bytes = is_sent.then_some(worker.len());
        let served = Served::parse(&marked(stream, &mut before).await?);
        Ok(Arrival {
            greeting,
            sent_bytes,
            served,
        })
    };
    timeout(ARRIVES_WITHIN, arrive)
        .await
        .map_err(|_| BootstrapError::Slow(ARRIVES_WITHIN))?
}

/// The next line of the script's own; other lines go to `before`. Read byte by byte, since the
/// worker's first word may follow.
async fn marked(stream: &mut UnixStream, before: &mut String) -> Result<String, BootstrapError> {
    let (mut line, mut count) = (Vec::new(), 0);
    loop {
        let byte = stream.read_u8().await?;
        count += 1;
        if count > MOST_GREETING_BYTES {
            return Err(BootstrapError::Greeting);
        }
        if byte != b'\n' {
            line.push(byte);
            continue;
        }
        if line.starts_with(b"cpods-") {
            return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        before.push_str(&String::from_utf8_lossy(&line));
        before.push('\n');
        line.clear();
    }
}

/// Whether there is a worker for such a machine.
pub(super) fn has_worker(machine: &str) -> Result<(), BootstrapError> {
    find_worker(machine).map(drop)
}

/// The worker for a machine, as uname(1) names it: `cpods-workd-MACHINE` in one of the folders, or
/// this build's own `cpods-workd` for this machine.
fn find_worker(machine: &str) -> Result<Vec<u8>, BootstrapError> {
    let machine = if machine == "arm64" {
        "aarch64"
    } else {
        machine
    };
    let mut names = vec![format!("cpods-workd-{machine}")];
    if machine == std::env::consts::ARCH {
        names.push("cpods-workd".into());
    }
    for path in worker_folders()
        .iter()
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
    {
        match std::fs::read(&path) {
            Ok(content) => return Ok(content),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                let path = path.display().to_string();
                return Err(BootstrapError::Read { path, source });
            }
        }
    }
    let machine = machine.into();
    Err(BootstrapError::NoWorker { machine })
}

fn worker_folders() -> Vec<PathBuf> {
    let own = std::env::current_exe().ok();
    let own = own.as_deref().and_then(Path::parent);
    let named = std::env::var_os("CPODS_WORKERS").map(PathBuf::from);
    let installed = own
        .and_then(Path::parent)
        .map(|top| top.join("lib").join("cpods"));
    named
        .into_iter()
        .chain(own.map(Path::to_path_buf))
        .chain(installed)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_plain_for_any_shell() {
        let command = remote_command(&["--name".into(), "a b".into()]);
        assert!(command.ends_with("cpods --name 'a b'"), "{command}");
        assert!(!command.contains(['\n', '!']), "{command}");
        // In a pair of single quotes nothing else may be one.
        assert_eq!(SHELL.matches('\'').count(), 2);
    }

    #[test]
    fn what_the_script_found_is_told() {
        let parse = |found: &str| Served::parse(&format!("cpods-by {found}"));
        assert_eq!(parse("service enabled"), Served::by(ServedBy::Service));
        for found in ["nobody unknown", "report"] {
            assert_eq!(parse(found), Served::by(ServedBy::Sent), "{found}");
        }
        let old = parse("version 5 enabled");
        assert_eq!(old.by, ServedBy::Sent);
        let versions = format!("version 5 of the protocol, this hub version {PROTOCOL}");
        assert!(old.why.contains(&versions), "{}", old.why);
        let dead = parse("nobody enabled");
        assert!(dead.by == ServedBy::Sent && dead.why.contains("does not answer"));
    }

    #[tokio::test]
    async fn greetings_are_passed_over() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs
            .write_all(b"Welcome!\n\nno cpods-pod\ncpods-pod Linux x86_64\nrest")
            .await
            .unwrap();
        let mut before = String::new();
        let first = marked(&mut ours, &mut before).await.unwrap();
        assert_eq!(first, "cpods-pod Linux x86_64");
        assert_eq!(before, "Welcome!\n\nno cpods-pod\n");
        let mut rest = [0; 4];
        ours.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"rest");
        drop(theirs);
        assert!(matches!(
            marked(&mut ours, &mut before).await,
            Err(BootstrapError::Io(_))
        ));
    }
}
