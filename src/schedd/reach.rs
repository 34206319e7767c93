//! Ways to a pod: whatever its address, a stream whose other end is a worker. The hub's own channel
//! is one; the others are tried, used once and given up, for `cpods doctor`.

use super::bootstrap::{self, Arrival, BootstrapError, Served};
use super::config::{Address, PodConfig};
use super::jail;
use super::left_out::LeftOut;
use super::ssh::{self, Process};
use crate::paths::Roots;
use crate::wire::frame::Peer;
use crate::wire::messages::{Files, FromPod, Offer, ToPod};
use crate::wire::status::ServedBy;
use crate::wire::stream::{Frame, Receiver, Sender, WireError};
use crate::workd::report::Time;
use anyhow::Context;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::timeout;

/// How long a worker may take to look at its tools, and to prove a view.
const ANSWERS_WITHIN: Duration = Duration::from_secs(180);
/// How long an SFTP server may take to start.
const SERVES_WITHIN: Duration = Duration::from_secs(10);
/// Longest report; each tool takes some KiB.
const MOST_REPORT_BYTES: u64 = 32 << 20;

/// A stream with a worker at its other end.
pub(super) struct Opened {
    pub(super) stream: UnixStream,
    pub(super) process: Option<Process>,
    arrival: Arrival,
}

impl Opened {
    /// Which worker it is.
    pub(super) fn served(&self) -> &Served {
        &self.arrival.served
    }
}

/// Opens one. `args` are for the worker, where this starts it.
///
/// # Errors
/// Why not, in words.
pub(super) async fn open(
    ssh: &[OsString],
    own_worker: &Path,
    pod: &PodConfig,
    args: &[OsString],
) -> Result<Opened, String> {
    let said = |error: io::Error| error.to_string();
    let here = |by| Arrival {
        served: Served::by(by),
        ..Arrival::default()
    };
    match &pod.address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(said)?;
            if !crate::wire::socket::is_friend(&stream) {
                return Err("it belongs to another user".into());
            }
            Ok(Opened {
                stream,
                process: None,
                arrival: here(ServedBy::Listener),
            })
        }
        Address::Own => {
            let mut command = Command::new(own_worker);
            command.arg0("cpods-workd").args(args);
            let (stream, process) = start(command, &pod.name).map_err(said)?;
            Ok(Opened {
                stream,
                process: Some(process),
                arrival: here(ServedBy::Own),
            })
        }
        Address::Ssh(host) => {
            let remote = bootstrap::remote_command(args);
            let command = ssh::command(ssh, host, &remote);
            let (mut stream, process) = start(command, &pod.name).map_err(said)?;
            match bootstrap::prepare(&mut stream).await {
                Ok(arrival) => Ok(Opened {
                    stream,
                    process: Some(process),
                    arrival,
                }),
                Err(error) => {
                    drop(stream);
                    let said = process.end().await;
                    Err(match (&error, said) {
                        (BootstrapError::Io(_), Some(said)) => said,
                        _ => error.to_string(),
                    })
                }
            }
        }
    }
}

/// Starts a command whose standard input and output are one socket.
fn start(command: Command, name: &str) -> io::Result<(UnixStream, Process)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let theirs = OwnedFd::from(theirs);
    let process = Process::start(command, name, theirs.try_clone()?, theirs)?;
    Ok((UnixStream::from_std(ours)?, process))
}

/// What it takes to reach pods without a hub.
#[derive(Clone, Debug)]
pub struct Reach {
    /// How to begin an ssh command line.
    pub ssh: Vec<OsString>,
    /// The program to start as this machine's own worker.
    pub own_worker: PathBuf,
}

/// A pod that was reached.
#[derive(Clone, Debug)]
pub struct Reached {
    /// What its login shell said before anything of ours.
    pub greeting: String,
    /// The size of the worker, if it was not there before.
    pub sent_bytes: Option<usize>,
    /// Its clock.
    pub clock: Clock,
    /// Its worker's report, in JSON.
    pub report: String,
}

/// A pod's clock against this machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// How far it is ahead, in microseconds, taken to be read half-way.
    pub ahead_us: i64,
    /// How long question and answer took.
    pub trip: Duration,
}

impl Reach {
    /// Lets the pod's worker look at its machine. For pods where this starts the worker.
    ///
    /// # Errors
    /// Why it cannot be reached, or what ssh or the worker complained of.
    pub async fn report(&self, pod: &PodConfig) -> Result<Reached, String> {
        let mut args: Vec<OsString> = vec!["--report".into()];
        args.extend(pod.worker_args("error").into_iter().skip(1));
        let opened = open(&self.ssh, &self.own_worker, pod, &args).await?;
        let asked = timeout(ANSWERS_WITHIN, ask(opened.stream)).await;
        let said = match opened.process {
            Some(process) => process.end().await,
            None => None,
        };
        let slow = || format!("no report within {ANSWERS_WITHIN:?}");
        let (clock, report) = match asked.map_err(|_| slow())? {
            Ok(answer) => answer,
            Err(error) => return Err(said.unwrap_or_else(|| format!("{error:#}"))),
        };
        Ok(Reached {
            greeting: opened.arrival.greeting,
            sent_bytes: opened.arrival.sent_bytes,
            clock,
            report,
        })
    }

    /// Meets the worker as a hub does; tells which it is.
    ///
    /// # Errors
    /// Why not.
    pub async fn greet(&self, pod: &PodConfig) -> Result<Served, String> {
        self.meet(pod, None).await.map(|(served, _)| served)
    }

    /// The worker's offer to a hub with these roots, which it has in place.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn offer(&self, pod: &PodConfig, roots: &Roots) -> Result<Offer, String> {
        let (_, offer) = self.meet(pod, Some(roots)).await?;
        offer.ok_or_else(|| "no offer".to_owned())
    }

    async fn meet(
        &self,
        pod: &PodConfig,
        roots: Option<&Roots>,
    ) -> Result<(Served, Option<Offer>), String> {
        let args = pod.worker_args("error");
        let opened = open(&self.ssh, &self.own_worker, pod, &args).await?;
        let served = opened.served().clone();
        let met = timeout(ANSWERS_WITHIN, meet(opened.stream, roots)).await;
        let said = match opened.process {
            Some(process) => process.end().await,
            None => None,
        };
        match met {
            Err(_) => Err(format!("no answer within {ANSWERS_WITHIN:?}")),
            Ok(Ok(offer)) => Ok((served, offer)),
            Ok(Err(error @ (WireError::Io(_) | WireError::Closed))) => {
                Err(said.unwrap_or_else(|| error.to_string()))
            }
            Ok(Err(error)) => Err(error.to_string()),
        }
    }
}

async fn ask(stream: UnixStream) -> anyhow::Result<(Clock, String)> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).take(MOST_REPORT_BYTES);
    // The first answer takes as long as the worker's start.
    read_clock(&mut lines, &mut write).await?;
    let clock = read_clock(&mut lines, &mut write).await?;
    write.shutdown().await?;
    let mut report = String::new();
    lines.read_line(&mut report).await?;
    anyhow::ensure!(report.ends_with('\n'), "the report was cut off");
    Ok((clock, report))
}

async fn read_clock(
    lines: &mut (impl AsyncBufReadExt + Unpin),
    write: &mut (impl AsyncWriteExt + Unpin),
) -> anyhow::Result<Clock> {
    let (ours, asked) = (Time::now(), Instant::now());
    write.write_all(b"\n").await?;
    let mut line = String::new();
    lines.read_line(&mut line).await?;
    let trip = asked.elapsed();
    let theirs: Time =
        serde_json::from_str(&line).context("the worker answered something else than the time")?;
    let middle = i128::from(ours.now_us) + i128::try_from(trip.as_micros() / 2)?;
    let ahead_us = i64::try_from(i128::from(theirs.now_us) - middle)?;
    Ok(Clock { ahead_us, trip })
}

async fn meet(stream: UnixStream, roots: Option<&Roots>) -> Result<Option<Offer>, WireError> {
    let (read, write) = stream.into_split();
    let (mut receiver, mut sender) = (Receiver::new(read), Sender::new(write));
    sender.hello(Peer::Hub).await?;
    sender.flush().await?;
    receiver.hello(Peer::Pod).await?;
    let Some(roots) = roots else {
        return Ok(None);
    };
    let configure = ToPod::Configure {
        roots: roots.clone(),
        own: false,
        files: Files::Shared,
        hub: String::new(),
    };
    sender.message(&configure).await?;
    sender.flush().await?;
    loop {
        if let Frame::Message(payload) = receiver.frame().await?
            && let FromPod::Offer(offer) = Frame::Message(payload).message()?
        {
            return Ok(Some(offer));
        }
    }
}

/// Whether this machine has a worker to send to such a machine, or why not.
///
/// # Errors
/// Why not, and where to get one.
pub fn has_worker(machine: &str) -> Result<(), String> {
    bootstrap::has_worker(machine).map_err(|error| error.to_string())
}

/// Starts the jailed SFTP server for these roots and has it say its version.
///
/// # Errors
/// What is missing on this machine.
pub async fn try_jail(roots: &Roots, left_out: &LeftOut) -> anyhow::Result<()> {
    /// SSH_FXP_INIT, and what an SSH_FXP_VERSION begins with (draft-ietf-secsh-filexfer-02).
    const INIT: [u8; 9] = [0, 0, 0, 5, 1, 0, 0, 0, 3];
    const VERSION: u8 = 2;
    let jailed = jail::command(roots, left_out)?;
    let (mut stream, process) = start(jailed, "sftp-server")
        .context("cannot run `bwrap`; install bubblewrap on this machine")?;
    let mut head = [0; 5];
    let answer = timeout(SERVES_WITHIN, async {
        stream.write_all(&INIT).await?;
        stream.read_exact(&mut head).await
    })
    .await;
    drop(stream);
    let said = process.end().await;
    match answer {
        Ok(Ok(_)) if head[4] == VERSION => Ok(()),
        Ok(Ok(_)) => anyhow::bail!("it answers something else than SFTP"),
        Ok(Err(error)) => Err(match said {
            Some(said) => anyhow::anyhow!(said),
            None => error.into(),
        }),
        Err(_) => anyhow::bail!("it says nothing within {SERVES_WITHIN:?}"),
    }
}
