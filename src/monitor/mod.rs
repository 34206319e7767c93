//! `cpods`, the operator's tool, and what all daemons' command lines share.

mod bar;
mod cli;
mod doctor;
mod explain;
mod figures;
mod last;
mod limiter;
mod man;
mod roots;
mod run;
mod show;
mod transfers;

pub use cli::{command, main};

use anyhow::Context;
use std::process::ExitCode;

/// Prints an error with its causes in one line, and turns a result into an exit code. Faults of
/// cpods itself are 125, as those of env(1) and timeout(1) are.
pub(crate) fn exit_code(program: &str, result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("{program}: {error:#}");
        ExitCode::from(crate::cc::LAUNCHER_FAILED)
    })
}

/// Sends the log to stderr: with the time and without colours unless that is a terminal, and no more
/// than some of what comes again and again.
pub(crate) fn log_to_stderr(filter: &str) -> anyhow::Result<()> {
    use std::io::IsTerminal;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .with_context(|| format!("log filter `{filter}`"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .finish()
        .with(limiter::Limiter::default())
        .init();
    Ok(())
}
