//! The command line of `cpods`.

use super::{doctor, explain, man, run, show};
use crate::schedd::{PodConfig, View};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs build commands on your other machines: distcc for any tool.
#[derive(Debug, Parser)]
#[command(name = "cpods", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a build with a hub: the running one, else one of its own with this machine as its pod
    Run(Run),
    /// Show the hub, its pods, slots, tools and queue
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Print the number to give to `ninja -j`
    Slots,
    /// Take a pod into use: connect to it and mount the roots' files there
    Mount {
        /// The pod's name
        pod: String,
    },
    /// Take a pod out of use: its jobs move, its mount and connection end
    Unmount {
        /// The pod's name
        pod: String,
    },
    /// Show what would be done with a command, and why
    Explain(Explain),
    /// Look at this machine and its pods, and say what is wrong and what to do
    Doctor(Doctor),
    /// Write the man pages of all programs into a directory
    #[command(hide = true)]
    Man {
        /// The directory
        dir: PathBuf,
    },
}

/// `cpods run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Slots of this machine's own pod [default: its cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) jobs: Option<u32>,

    /// Directory that pods may see; may be given several times [default: the configured roots if
    /// the working directory lies in one, else the top of the git checkout, else that directory]
    #[arg(long = "root", value_name = "DIR")]
    pub(super) roots: Vec<PathBuf>,

    /// A pod and how to reach it: a host for ssh, NAME=ssh:HOST, NAME=unix:PATH, or `local` for
    /// this machine; may be given several times [default: as configured, else this machine]
    #[arg(long = "pod", value_name = "POD")]
    pub(super) pods: Vec<PodConfig>,

    /// What jobs see on pods named here
    #[arg(long, value_enum, default_value_t = View::Auto)]
    pub(super) view: View,

    /// What to log: off, error, warn, info, debug, trace, or tracing-subscriber's filter syntax
    #[arg(long, value_name = "FILTER", default_value = "error")]
    pub(super) log: String,

    /// No summary at the end, no progress line
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// The build
    #[arg(required = true, trailing_var_arg = true)]
    pub(super) command: Vec<OsString>,
}

/// `cpods explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// For programs
    #[arg(long)]
    pub(super) json: bool,

    /// As for `run`; the running hub's roots if there is one
    #[arg(long = "root", value_name = "DIR")]
    pub(super) roots: Vec<PathBuf>,

    /// Instead of a command: tell of the last N jobs of the running hub which pod each had, what it
    /// waited for, and what was sent for it and why [default: 10]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "command")]
    pub(super) last: Option<u32>,

    /// The command
    #[arg(required_unless_present = "last", trailing_var_arg = true)]
    pub(super) command: Vec<OsString>,
}

/// `cpods doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The hub's configuration file [default: cpods/hub.toml in the configuration folder]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// A pod by its name, or how to reach it, as for `run --pod` [default: all of the running hub,
    /// else all that are configured]
    pub(super) pod: Option<String>,
}

/// The command line, for man pages.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the operator's tool.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    if !matches!(command, Command::Run(_)) {
        end_with_the_reader();
    }
    let result = match command {
        Command::Run(args) => run::run(args),
        Command::Status { json } => show::status(json),
        Command::Slots => show::slots(),
        Command::Mount { pod } => show::use_pod(&pod, true),
        Command::Unmount { pod } => show::use_pod(&pod, false),
        Command::Explain(args) => explain::explain(args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Man { dir } => man::write(&dir),
    };
    super::exit_code("cpods", result)
}

/// Like other tools, one that only shows something ends silently when nobody reads it any more
/// (`cpods status | head -n 1`).
fn end_with_the_reader() {
    // SAFETY: no handler of anybody's is replaced; Rust ignores this signal from the start.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> (Option<u32>, Vec<OsString>) {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Run(run) => (run.jobs, run.command),
            Command::Explain(explain) => (None, explain.command),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_last_jobs_are_asked_for_without_a_command() {
        for (line, last) in [
            ("cpods explain --last", Some(10)),
            ("cpods explain --json --last 3", Some(3)),
            ("cpods explain --last=3", Some(3)),
            ("cpods explain gcc --last 3", None),
        ] {
            match Cli::try_parse_from(line.split(' ')).unwrap().command {
                Command::Explain(explain) => assert_eq!(explain.last, last, "{line}"),
                other => panic!("{other:?}"),
            }
        }
        for bad in [
            "cpods explain",
            "cpods explain --last 0",
            "cpods explain --last 3 gcc",
        ] {
            assert!(Cli::try_parse_from(bad.split(' ')).is_err(), "{bad}");
        }
    }

    #[test]
    fn own_flags_end_where_the_command_begins() {
        for (line, jobs, command) in [
            (
                "cpods run -j8 -- ninja -j4 --quiet",
                Some(8),
                "ninja -j4 --quiet",
            ),
            ("cpods run -j 8 ninja -j4 -- x", Some(8), "ninja -j4 -- x"),
            ("cpods run ninja -j4", None, "ninja -j4"),
            (
                "cpods explain -- gcc -c --json a.c",
                None,
                "gcc -c --json a.c",
            ),
            ("cpods explain gcc -c a.c", None, "gcc -c a.c"),
        ] {
            let words: Vec<OsString> = command.split(' ').map(Into::into).collect();
            assert_eq!(parsed(line), (jobs, words), "{line}");
        }
        assert!(Cli::try_parse_from(["cpods", "run", "-j", "0", "--", "ninja"]).is_err());
        assert!(Cli::try_parse_from(["cpods", "run", "-j8"]).is_err());
    }
}
