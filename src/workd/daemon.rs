//! `cpods-workd`: its command line, its sockets, its signals.

use super::file::{self, Hours, MOST_SLOTS, PodFile};
use super::tools::Tools;
use super::warden::system;
use super::worker::{Config, FindTools, ScratchChoice, ViewChoice, Worker};
use super::{drain, hours, limits, report, service, session, stdio, tools};
use crate::job::Digest;
use crate::rules::RuleSet;
use crate::slots::Slots;
use crate::wire::messages::OfferedTool;
use crate::wire::socket::{is_friend, listen};
use crate::wire::stream::WireError;
use anyhow::Context;
use clap::{ArgGroup, CommandFactory, Parser};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

/// Runs jobs of a hub on this machine, in a sandbox.
#[derive(Clone, Debug, Parser)]
#[command(name = "cpods-workd", version)]
#[command(group = ArgGroup::new("where").required(true))]
pub struct Args {
    /// Listen on this unix socket for hubs of the same user
    #[arg(long, value_name = "PATH", group = "where")]
    pub socket: Option<PathBuf>,
    /// Serve one hub on standard input and output
    #[arg(long, group = "where")]
    pub stdio: bool,
    /// Join standard input and output to the worker that listens on this unix socket
    #[arg(long, value_name = "PATH", group = "where")]
    pub bridge: Option<PathBuf>,
    /// Tell whether a worker that this hub can use listens on this unix socket (for the hub)
    #[arg(long, value_name = "PATH", group = "where", hide = true)]
    pub meet: Option<PathBuf>,
    /// With `--meet`: wait so many seconds for one (for the hub)
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide = true)]
    pub wait: u64,
    /// With `--stdio`: end after a job once a worker that this hub can use listens on this unix
    /// socket (for the hub)
    #[arg(long, value_name = "PATH", hide = true)]
    pub service: Option<PathBuf>,
    /// Mount the hub's files here by sshfs over standard input and output (for the hub)
    #[arg(long, value_name = "DIR", group = "where", hide = true)]
    pub sshfs: Option<PathBuf>,
    /// Tell what this machine has and lacks, as JSON, at the end of standard input (for the hub)
    #[arg(long, group = "where", hide = true)]
    pub report: bool,
    /// The configuration file [default: cpods/pod.toml in the configuration folder]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Jobs at a time [default: as configured, else the number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SLOTS)))]
    pub slots: Option<u32>,
    /// The pod's name [default: the host's]
    #[arg(long)]
    pub name: Option<String>,
    /// Folder for what is needed on disk [default: $XDG_CACHE_HOME/cpods]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// What jobs see [default: as configured, else auto]
    #[arg(long, value_enum)]
    pub view: Option<ViewChoice>,
    /// Where jobs' own files lie while they run
    #[arg(long, value_enum, default_value_t)]
    pub scratch: ScratchChoice,
    /// Run jobs without any sandbox: whoever may use the hub may do anything as this user
    #[arg(long, conflicts_with = "view")]
    pub unsandboxed: bool,
    /// Show this directory to jobs too, read-only; may be given several times [default: as
    /// configured]
    #[arg(long, value_name = "DIR")]
    pub system: Vec<PathBuf>,
    /// What to log: off, error, warn, info, debug, trace, or tracing-subscriber's filter syntax
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// Offer this program instead of looking for tools, by its rule's name (for tests)
    #[arg(long, value_name = "RULE=PATH", hide = true)]
    pub tool: Vec<String>,
    /// Whoever opens a file whose content is not here waits no longer than this (for tests)
    #[arg(long, value_name = "MS", hide = true)]
    pub late_ms: Option<u64>,
    /// The directory of terminals that tell whether a person uses the machine (for tests)
    #[arg(long, value_name = "DIR", default_value = "/dev", hide = true)]
    pub terminals: PathBuf,
}

/// The command line, for manual pages.
pub fn command() -> clap::Command {
    Args::command()
}

impl Args {
    /// Fills in what was left out, from the file and by default.
    ///
    /// # Errors
    /// There is no folder for the cache.
    pub fn config(
        &self,
        file: PodFile,
        (tools, rules): (FindTools, Arc<RuleSet>),
        machine_slots: Option<&'static Slots>,
    ) -> anyhow::Result<Config> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mirror_bytes = file.mirror_bytes();
        let system = rustix::system::uname();
        Ok(Config {
            name: self
                .name
                .clone()
                .unwrap_or_else(|| system.nodename().to_string_lossy().into_owned()),
            slots: self
                .slots
                .or(file.slots)
                .unwrap_or(u32::try_from(cores).unwrap_or(1)),
            cache: match &self.cache {
                Some(cache) => std::path::absolute(cache)?,
                None => default_cache().context("neither XDG_CACHE_HOME nor HOME is set")?,
            },
            view: self.view.or(file.view).unwrap_or_default(),
            scratch: self.scratch,
            unsandboxed: self.unsandboxed || (file.unsandboxed && self.view.is_none()),
            system: match self.system.is_empty() {
                true => file.system,
                false => self.system.clone(),
            },
            warden: "/proc/self/exe".into(),
            tools,
            rules,
            machine_slots,
            mirror_bytes,
            late_after: self.late_ms.map(Duration::from_millis),
            in_use: (file.hours == Hours::Idle).then(|| hours::watched(self.terminals.clone())),
        })
    }
}

fn default_cache() -> Option<PathBuf> {
    let named = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let parent = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    Some(parent.join("cpods"))
}

/// The whole program. What a sandbox needs of this program is done before anything else.
pub fn main() -> ExitCode {
    super::take_over();
    let args = Args::parse();
    crate::monitor::exit_code("cpods-workd", start(&args))
}

fn start(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(at) = &args.sshfs {
        super::sshfs::become_sshfs(at)?;
    }
    crate::monitor::log_to_stderr(&args.log)?;
    if let Some(socket) = &args.meet {
        println!("{}", service::wait(socket, Duration::from_secs(args.wait)));
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(socket) = &args.bridge {
        stdio::bridge(socket)?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = match &args.config {
        Some(path) => file::load(path)?,
        None => file::load_own()?,
    };
    if let Some(nice) = file.nice {
        stand_back(nice);
    }
    if args.report {
        report::tell_time()?;
        let rules = Arc::new(file.load_rules()?);
        let mut found = report::find_tools(&rules);
        found.retain(|tool| file.allows(&tool.offered.tool));
        let config = args.config(file, (FindTools::fixed(Vec::new()), rules), None)?;
        report::tell(config, found)?;
        return Ok(ExitCode::SUCCESS);
    }
    limits::raise_files();
    let rules = Arc::new(file.load_rules()?);
    let tools = if args.tool.is_empty() {
        Tools::new(Arc::clone(&rules)).find()
    } else {
        given_tools(&args.tool)?
    };
    let allowed = file.clone();
    let tools = tools.only(move |found| allowed.allows(&found.tool));
    // Without a lock file jobs still run: a limit lost is better than a build lost.
    let mut config = args.config(file, (tools, rules), Slots::open().ok())?;
    if args.tool.is_empty() && !config.unsandboxed {
        let given = config.system.clone();
        let shown = move |found: &OfferedTool| is_shown(found, &given);
        config.tools = config.tools.only(shown);
    }
    run(args, config)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether jobs can start this tool: what lies outside of all that they see is not offered.
fn is_shown(found: &OfferedTool, given: &[PathBuf]) -> bool {
    let path = found.path.as_path();
    // What programs in roots find has no path.
    let shown = path.as_os_str().is_empty() || system::shows(given, path);
    if !shown {
        let (tool, path) = (&found.tool, path.display());
        tracing::info!(
            "`{tool}` at `{path}` is not offered: jobs do not see it without `system` in pod.toml"
        );
    }
    shown
}

/// Gives this process, and all that it starts from now on, at least this niceness. Linux keeps it
/// by thread, so this comes before there is a second one.
fn stand_back(nice: i32) {
    let set = rustix::process::getpriority_process(None).and_then(|now| {
        // Who started us may have asked for more; only root could take that back.
        rustix::process::setpriority_process(None, nice.max(now))
    });
    if let Err(error) = set {
        tracing::warn!("cannot be nice: {error}");
    }
}

/// The table of `--tool`: identities are the digests of the programs alone.
fn given_tools(tools: &[String]) -> anyhow::Result<FindTools> {
    let mut table = Vec::new();
    for given in tools {
        let (rule, path) = given.split_once('=').context("`--tool` wants RULE=PATH")?;
        let path = Path::new(path);
        let content = std::fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
        let program = path.file_name().unwrap_or_default().to_string_lossy();
        table.push(OfferedTool {
            tool: rule.into(),
            program: program.into_owned(),
            path: path.into(),
            identity: Digest::of(&content),
            bare: None,
            searched: Vec::new(),
            version: "as given".into(),
        });
    }
    Ok(FindTools::fixed(table))
}

/// Runs the daemon until it is told to stop, or, with `--stdio`, until its hub is gone.
///
/// # Errors
/// The socket or the cache folder cannot be used.
pub fn run(args: &Args, config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let local = LocalSet::new();
    let ended = local.block_on(&runtime, async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            ended = work(args, config) => ended,
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    });
    // Dropping the sessions ends their wardens, and these their jobs; then the folders go.
    drop(local);
    runtime.shutdown_background();
    if let Some(socket) = &args.socket {
        // Gone already if another worker has taken the place.
        let _ = std::fs::remove_file(socket);
    }
    ended
}

async fn work(args: &Args, config: Config) -> anyhow::Result<()> {
    // Before anyone can know of this worker: a signal that is not waited for yet would end it.
    let hangups = signal(SignalKind::hangup())?;
    let end_when_idle = signal(SignalKind::user_defined1())?;
    // Bound before the tools are looked for, so that a hub that comes early waits.
    let listener = match &args.socket {
        Some(socket) => Some(listen(socket)?),
        None => None,
    };
    let worker = Worker::open(config).context("start the worker")?;
    // That may take long; hubs hear meanwhile that this worker lives.
    let looking = Rc::clone(&worker);
    tokio::task::spawn_local(async move {
        looking.refresh().await;
        tokio::task::spawn_local(refresh_on_hangup(Rc::clone(&looking), hangups));
        tools::refresh_on_change(looking).await;
    });
    tokio::task::spawn_local(hours::keep(Rc::clone(&worker)));
    match listener {
        None => {
            let (read, write) = stdio::open()?;
            let served = log_end(session::serve(read, write, Rc::clone(&worker)));
            let Some(service) = args.service.clone() else {
                served.await;
                return Ok(());
            };
            tokio::select! {
                () = served => Ok(()),
                () = service::gives_way(worker, service) => Ok(()),
            }
        }
        Some(listener) => {
            let drained = drain::when_asked(Rc::clone(&worker), end_when_idle);
            tokio::select! {
                () = accept(listener, worker) => Ok(()),
                () = drained => Ok(()),
            }
        }
    }
}

async fn accept(listener: tokio::net::UnixListener, worker: Rc<Worker>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_friend(&stream) => {
                let worker = Rc::clone(&worker);
                tokio::task::spawn_local(async move {
                    let (read, write) = stream.into_split();
                    log_end(session::serve(read, write, worker)).await;
                });
            }
            Ok(_) => tracing::warn!("a hub of another user was turned away"),
            Err(error) => {
                // Out of descriptors, most likely: what is open must end first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn log_end(session: impl Future<Output = Result<(), WireError>>) {
    match session.await {
        Ok(()) => tracing::info!("the hub closed its connection"),
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, source, "a hub was dropped");
        }
    }
}

async fn refresh_on_hangup(worker: Rc<Worker>, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::info!("looking for tools again");
        worker.refresh().await;
    }
}
