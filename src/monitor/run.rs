//! `cpods run`: a build with a hub.

use super::bar::Bar;
use super::cli::Run;
use super::show;
use super::transfers::Transfers;
use crate::cc::{Hub, socket_path};
use crate::schedd::{self, Config, PodConfig, Schedd, View};
use crate::slots;
use crate::wire::messages::Status;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the first pod may take to prove itself.
const PODS_WITHIN: Duration = Duration::from_secs(60);

/// How much longer the build waits for others.
const LATECOMERS_WITHIN: Duration = Duration::from_secs(3);
/// A wait as long as this is told.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// Between two pictures of the progress line.
const REDRAW: Duration = Duration::from_millis(250);

pub(super) fn run(args: Run) -> anyhow::Result<ExitCode> {
    super::log_to_stderr(&args.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        if args.pods.is_empty()
            && args.roots.is_empty()
            && args.jobs.is_none()
            && Hub::connect().is_ok()
        {
            with_running_hub(&args).await
        } else {
            with_own_hub(&args).await
        }
    })
}

/// Where the summary's figures come from.
enum Source<'a> {
    Running,
    Own(&'a Schedd),
}

impl Source<'_> {
    fn status(&self) -> Status {
        match self {
            Self::Running => show::ask().unwrap_or_default(),
            Self::Own(schedd) => schedd.status(),
        }
    }
}

async fn with_running_hub(args: &Run) -> anyhow::Result<ExitCode> {
    build(args, &socket_path(), &Source::Running).await
}

async fn with_own_hub(args: &Run) -> anyhow::Result<ExitCode> {
    let dir = PrivateDir::make()?;
    let socket = dir.0.join("hub.sock");
    let listener = crate::wire::socket::listen(&socket)?;
    let file = schedd::load_own()?;
    let cwd = std::env::current_dir()?;
    let roots = match file.roots_around(&cwd) {
        Some(configured) if args.roots.is_empty() => schedd::roots_there(configured)?.0,
        _ => schedd::canonical_roots(&super::roots::given_or_default(&args.roots)?)?,
    };
    let mut pods = file.pods(&args.pods);
    if pods.is_empty() {
        pods.push(PodConfig::own(args.jobs, args.view));
    }
    for pod in &mut pods {
        as_told(pod, args);
    }
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let config = Config::new(roots, pods, file, args.log.clone())?.with_own_worker(own);
    let schedd = Schedd::start(config, listener);
    wait_for_pods(&schedd, args.quiet).await;
    let end = build(args, &socket, &Source::Own(&schedd)).await;
    schedd.stop().await;
    end
}

/// What else stands on the command line holds for its pods.
fn as_told(pod: &mut PodConfig, args: &Run) {
    if pod.is_own() {
        pod.slots = args.jobs.or(pod.slots);
    }
    if args.view != View::Auto {
        pod.view = args.view;
    }
}

/// Until every pod joined or said why it cannot; a build begun before would run locally. Once one
/// is there, the others may join while the build runs.
async fn wait_for_pods(schedd: &Schedd, quiet: bool) {
    let begun = Instant::now();
    let mut first_up = None;
    let mut told = quiet;
    let mut transfers = Transfers::default();
    while begun.elapsed() < PODS_WITHIN {
        let pods = schedd.status().pods;
        let waiting: Vec<_> = pods
            .iter()
            .filter(|pod| !pod.up && pod.why == schedd::NOT_YET)
            .map(|pod| format!("`{}`", pod.name))
            .collect();
        if pods.iter().any(|pod| pod.up) {
            let first: &mut Instant = first_up.get_or_insert_with(Instant::now);
            if first.elapsed() > LATECOMERS_WITHIN {
                return;
            }
        }
        if waiting.is_empty() {
            return;
        }
        if !told && begun.elapsed() > TELL_AFTER {
            eprintln!("cpods: waiting for {}", waiting.join(", "));
            told = true;
        }
        if !quiet {
            transfers.show(&pods);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn build(args: &Run, socket: &Path, source: &Source<'_>) -> anyhow::Result<ExitCode> {
    let before = source.status();
    let begun = Instant::now();
    let name = &args.command[0];
    let mut command = Command::new(name);
    command
        .args(&args.command[1..])
        .env("CPODS_HUB", socket)
        .env("PATH", path_with_wrapper()?);
    // Before there is anything that they could not reach.
    let signals = Signals::open()?;
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let code = if error.kind() == std::io::ErrorKind::NotFound {
                127
            } else {
                126
            };
            eprintln!("cpods: cannot run `{}`: {error}", name.display());
            return Ok(ExitCode::from(code));
        }
    };
    let status = wait(child, signals, source, (args.quiet, begun)).await?;
    if !args.quiet {
        eprint!(
            "{}",
            show::summary(&before, &source.status(), begun.elapsed())
        );
    }
    Ok(exit_code(status))
}

/// Waits for the build. A signal to us is a signal to it; the terminal's own reach it anyway.
async fn wait(
    mut child: Child,
    mut signals: Signals,
    source: &Source<'_>,
    (quiet, begun): (bool, Instant),
) -> anyhow::Result<ExitStatus> {
    let mut bar = if quiet { None } else { Bar::new() };
    let pid = child
        .id()
        .and_then(|pid| rustix::process::Pid::from_raw(i32::try_from(pid).ok()?));
    loop {
        let forward = tokio::select! {
            status = child.wait() => return status.context("cannot wait for the build"),
            () = tokio::time::sleep(REDRAW), if bar.is_some() => None,
            () = caught(&mut signals.interrupt) => None,
            () = caught(&mut signals.terminate) => Some(rustix::process::Signal::TERM),
            () = caught(&mut signals.hangup) => Some(rustix::process::Signal::HUP),
        };
        if let (Some(signal), Some(pid)) = (forward, pid) {
            let _ = rustix::process::kill_process(pid, signal);
        }
        if let Some(bar) = &mut bar {
            bar.draw(&source.status(), begun.elapsed());
        }
    }
}

/// Signals that are the build's.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// They do nothing to this process from now on.
    fn open() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

async fn caught(signal: &mut Signal) {
    signal.recv().await;
}

/// The build's own code; a signal as shells have it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// PATH, with the folder of this program at its end unless `cpods-cc` is found already.
fn path_with_wrapper() -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if !dirs.iter().any(|dir| dir.join(crate::cc::NAME).exists()) {
        let own = std::env::current_exe()?;
        dirs.push(own.parent().unwrap_or(Path::new("/")).into());
    }
    match std::env::join_paths(dirs) {
        Ok(path) => Ok(path),
        Err(_) => bail!("PATH cannot be extended by this program's own folder"),
    }
}

/// A folder for the private socket, removed at the end.
struct PrivateDir(PathBuf);

impl PrivateDir {
    fn make() -> anyhow::Result<Self> {
        let parent = slots::make_runtime_dir().context("cannot make the runtime folder")?;
        let dir = parent.join(format!("run-{}", std::process::id()));
        // Left by a killed run that had our process id.
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
