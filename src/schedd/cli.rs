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

    /// How long a job whose tool this machine lacks waits for a pod that offers it [default: 30]
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
    let given = if args.roots.is_empty() {
        &file.roots
    } else {
        &args.roots
    };
    anyhow::ensure!(
        !given.is_empty(),
        "no root: give `--root DIR`, or `roots` in the configuration file"
    );
    let pods = file.pods(&args.pods);
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let config = Config::new(canonical_roots(given)?, pods, file, args.log)?
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
    let mut roots = Vec::new();
    for root in given {
        let real = root
            .canonicalize()
            .with_context(|| format!("root `{}`", root.display()))?;
        anyhow::ensure!(
            real.is_dir(),
            "root `{}` is not a directory",
            root.display()
        );
        roots.push(real);
    }
    Roots::new(roots.iter().map(|root| root as &Path)).context("cannot serve these roots")
}
