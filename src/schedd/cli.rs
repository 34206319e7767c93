//! The command line of `cpods-schedd`.

use super::{Config, PodConfig, Schedd};
use crate::paths::Roots;
use crate::slots;
use crate::wire::socket::listen;
use anyhow::Context;
use clap::{CommandFactory, Parser};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// The scheduler daemon of cpods: takes jobs from wrappers on this machine, gives them to pods.
#[derive(Debug, Parser)]
#[command(name = "cpods-schedd", version)]
struct Args {
    /// Unix socket to listen on [default: cpods/hub.sock in $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "PATH", env = "CPODS_HUB")]
    socket: Option<PathBuf>,

    /// The configuration file [default: cpods/hub.toml in the configuration folder]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Directory that pods may see; may be given several times [default: as configured]
    #[arg(long = "root", value_name = "DIR")]
    roots: Vec<PathBuf>,

    /// A pod and how to reach it: a host for ssh, NAME=ssh:HOST, NAME=unix:PATH, or `local` for
    /// this machine; may be given several times [default: as configured]
    #[arg(long = "pod", value_name = "POD")]
    pods: Vec<PodConfig>,

    /// How long a job waits for pods that are about to come, and for one that offers a tool which
    /// this machine lacks [default: 30]
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,

    /// What to log: off, error, warn, info, debug, trace, or tracing-subscriber's filter syntax
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

/// The command line, for man pages.
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the daemon.
pub fn main() -> ExitCode {
    crate::monitor::exit_code("cpods-schedd", run(Args::parse()))
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    crate::monitor::log_to_stderr(&args.log)?;
    let socket = match args.socket {
        Some(socket) => socket,
        None => slots::make_runtime_dir()
            .context("cannot make the runtime folder")?
            .join("hub.sock"),
    };
    let file = match &args.config {
        Some(path) => super::load_file(path)?,
        None => super::load_own()?,
    };
    let roots = if args.roots.is_empty() {
        anyhow::ensure!(
            !file.roots.is_empty(),
            "no root: give `--root DIR`, or `roots` in the configuration file"
        );
        let (roots, missing) = roots_there(&file.roots)?;
        for why in missing {
            tracing::warn!("{why}: not served until the hub is started anew");
        }
        roots
    } else {
        canonical_roots(&args.roots)?
    };
    let pods = file.pods(&args.pods);
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let config = Config::new(roots, pods, file, args.log)?
        .with_patience(args.patience)
        .with_own_worker(own.with_file_name("cpods-workd"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = listen(&socket)?;
        tracing::info!("listening on `{}`", socket.display());
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let schedd = Schedd::start(config, listener);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        let _ = std::fs::remove_file(&socket);
        schedd.stop().await;
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The roots as the kernel names them, which is how working directories come.
///
/// # Errors
/// A root that is missing, no directory, or no root at all.
pub(crate) fn canonical_roots(given: &[PathBuf]) -> anyhow::Result<Roots> {
    let roots = given.iter().map(|root| canonical_root(root));
    to_roots(&roots.collect::<anyhow::Result<Vec<_>>>()?)
}

/// Those of the configured roots that are there, and why each other is not: one on a disk that is
/// not mounted shall not keep the rest from being served.
///
/// # Errors
/// None is left, or they cannot be roots.
pub(crate) fn roots_there(configured: &[PathBuf]) -> anyhow::Result<(Roots, Vec<String>)> {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for root in configured {
        match canonical_root(root) {
            Ok(root) => there.push(root),
            Err(error) => missing.push(format!("{error:#}")),
        }
    }
    anyhow::ensure!(!there.is_empty(), "{}", missing.join("; "));
    Ok((to_roots(&there)?, missing))
}

fn canonical_root(given: &Path) -> anyhow::Result<PathBuf> {
    let root = given
        .canonicalize()
        .with_context(|| format!("root `{}`", given.display()))?;
    anyhow::ensure!(
        root.is_dir(),
        "root `{}` is not a directory",
        given.display()
    );
    Ok(root)
}

fn to_roots(roots: &[PathBuf]) -> anyhow::Result<Roots> {
    Roots::new(roots).context("cannot serve these roots")
}
