//! `cpods-cc`, the argv wrapper.
//!
//! Put before a command (`cpods-cc gcc -c a.c`) or called by a tool's name through a symlink, it
//! classifies the command line, has it run on a pod, passes on what the tool says, puts what it
//! wrote in place and exits with its code. Whatever cannot or need not be remote runs here.
//!
//! No async runtime, no argument parser, no logger: it is started once per job.

mod away;
mod commit;
mod depfile;
mod gnu;
mod hub;
mod judge;
mod listener;
mod local;
mod look;
mod output;
mod session;
mod spelling;
mod surroundings;

pub use commit::{Commit, CommitError, temporary_of};
pub use hub::{Hub, HubError, socket_path};
pub use local::LAUNCHER_FAILED;
pub use look::Disk;

use crate::job::{Arg, Ending, Job, Role};
use crate::rules::{self, Decision, Reason, RuleSet};
use crate::wire::codec;
use crate::wire::messages::{FromClient, Submit, Task};
use depfile::Known;
use listener::Listener;
use session::{End, Session};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The wrapper's own name.
pub const NAME: &str = "cpods-cc";

const USAGE: &str = "\
usage: cpods-cc COMMAND [ARG...]

Runs COMMAND on a pod as if it had run here, or here if it cannot run there.
As a compiler:       CC=\"cpods-cc gcc\"
As CMake's launcher: cmake -DCMAKE_C_COMPILER_LAUNCHER=cpods-cc ...
Behind ccache:       CCACHE_PREFIX=cpods-cc
By masquerade:       ln -s $(command -v cpods-cc) ~/bin/gcc   (and ~/bin first in PATH)

Environment:
  CPODS_DISABLE=1   run COMMAND here, as if cpods were not there
  CPODS_FALLBACK=0  fail (exit code 125) where a job meant for a pod would run here
  CPODS_HUB=SOCKET  the hub's socket (default: cpods/hub.sock in $XDG_RUNTIME_DIR)
  CPODS_PATIENCE=N  seconds to wait for a hub that is away, with a tool that only pods have
                    (default: 30)
  CPODS_STRICT=1    fail (exit code 1) where the tool's rule sees a failure behind its exit code 0
  CPODS_DIAGNOSTICS=gnu  put what a tool says of a place in a file as compilers do:
                    FILE:LINE:COLUMN: error: MESSAGE
  CPODS_SECONDS=N   end a job on a pod after N seconds (0: never; default: as its rule says)
  CPODS_MEMORY=MIB  address space of each of its processes there (0: no limit)
  CPODS_RULES=DIR   folder of your own rule files
  CPODS_VERBOSE=1   say on stderr what was done with each command, and why
  CPODS_LOG=FILE    append the same to FILE

`cpods explain -- COMMAND` shows what would be done, and why.
";

/// One command to be run.
struct Call {
    argv: Vec<OsString>,
    cwd: PathBuf,
    /// The whole environment.
    env: Vec<(OsString, OsString)>,
    /// The program on this machine; none where it lacks it.
    program: Option<PathBuf>,
    /// Whether this user has a hub, also where it is away.
    has_hub: bool,
}

/// The command line, for the man page only: the wrapper itself parses nothing but its first word.
pub fn command_page() -> clap::Command {
    clap::Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs a command on a pod as if it had run here")
        .override_usage("cpods-cc COMMAND [ARG...]")
        .after_help(USAGE)
        .disable_help_flag(true)
        .disable_version_flag(true)
}

/// Runs the wrapper with this process's arguments.
pub fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let own = args.next().unwrap_or_default();
    let called = Path::new(&own).file_name().unwrap_or_default();
    let argv: Vec<OsString> = if called == NAME {
        args.collect()
    } else {
        std::iter::once(called.to_owned()).chain(args).collect()
    };
    match argv.first().map(|first| first.as_encoded_bytes()) {
        None => {
            complain("no command given (see `cpods-cc --help`)");
            return ExitCode::from(LAUNCHER_FAILED);
        }
        Some(b"--help") => return print(USAGE),
        Some(b"--version") => return print(concat!("cpods-cc ", env!("CARGO_PKG_VERSION"), "\n")),
        Some(_) => {}
    }
    let cwd = std::env::current_dir().unwrap_or_default();
    let program = local::find(&argv[0]);
    Call {
        argv,
        cwd,
        env: std::env::vars_os().collect(),
        program,
        has_hub: false,
    }
    .run()
}

/// What is said for people to read, when asked for by `CPODS_VERBOSE` or `CPODS_LOG`.
fn note(text: &str) {
    let is_set = |name| std::env::var_os(name).filter(|value| !value.is_empty() && value != "0");
    if is_set("CPODS_VERBOSE").is_some() {
        complain(text);
    }
    if let Some(path) = is_set("CPODS_LOG") {
        let line = format!("{NAME}[{}]: {text}\n", std::process::id());
        let _ = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// A line on stderr.
fn complain(text: &str) {
    let _ = std::io::stderr().write_all(format!("{NAME}: {text}\n").as_bytes());
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(LAUNCHER_FAILED),
    }
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Call {
    fn run(mut self) -> ExitCode {
        if std::env::var_os("CPODS_DISABLE").is_some_and(|value| value == "1") {
            return self.here();
        }
        let rules = match crate::rulefiles::load_own() {
            Ok(rules) => rules,
            Err(error) => return fail(&chain(&error)),
        };
        self.argv = match judge::with_args(&rules, self.argv) {
            Ok(argv) => argv,
            Err(why) => return fail(&why),
        };
        let parsed = match rules::parse(&rules, &self.command(), &Disk) {
            Ok(parsed) => parsed,
            Err(reason) => return self.local_by_rule(&rules, &reason),
        };
        let mut hub = match self.connect() {
            Ok(hub) => hub,
            Err(error @ HubError::Misconfigured { .. }) => return fail(&chain(&error)),
            Err(error) => return self.fall_back(&chain(&error), &rules),
        };
        let job = match rules::resolve(&parsed, &hub.roots, &Disk) {
            Decision::Remote(job) => job,
            Decision::Local(reason) => return self.local_by_rule(&rules, &reason),
        };
        match self.submit(*job, &hub, &rules) {
            Ok((job, submit)) => self.remote(&job, submit, &mut hub, &rules),
            Err(why) => {
                tell(parsed.tool(), &why);
                self.fall_back(&why, &rules)
            }
        }
    }

    /// The first file that the command line names.
    fn first_input(&self, rules: &RuleSet) -> Option<OsString> {
        rules::first_input_of(rules, &self.command(), &Disk)
    }

    fn command(&self) -> rules::Command<'_> {
        rules::Command {
            argv: &self.argv,
            cwd: &self.cwd,
            env: &self.env,
        }
    }

    /// Makes the message for the hub; or says why no pod could be told what this process is.
    fn submit(&self, mut job: Job, hub: &Hub, rules: &RuleSet) -> Result<(Job, Submit), String> {
        if may_fall_back()
            && self.program.is_some()
            && let Some(rule) = rules.rule(&job.need.tool)
        {
            let missing = judge::missing(&rule.pod.args, &self.argv);
            job.args.splice(..0, missing.map(Arg::text));
        }
        let surroundings = surroundings::surroundings(&self.cwd, &hub.roots)?;
        if surroundings.pwd.is_some() {
            // Compilers write that spelling down, and only there does it lead to the same place.
            let why = || "PWD spells the working directory in its own way".into();
            job.need.overlay_only.get_or_insert_with(why);
            job.rewrite_args.clear();
        }
        job.limits = surroundings::limits(job.limits);
        let need = job.need.clone();
        let task = Task { job, surroundings };
        let bytes = codec::encode(&task).map_err(|error| error.to_string())?;
        let program_path = self.program.as_deref().map(|path| {
            let whole = if path.is_absolute() {
                path.into()
            } else {
                self.cwd.join(path)
            };
            whole.as_path().into()
        });
        let client = surroundings::client();
        Ok((
            task.job,
            Submit {
                client,
                need,
                program_path,
                tries: 0,
                task: bytes,
            },
        ))
    }

    fn remote(&self, job: &Job, mut submit: Submit, hub: &mut Hub, rules: &RuleSet) -> ExitCode {
        let rule = rules.rule(&job.need.tool);
        let mut session = Session {
            outputs: &job.outputs,
            spool: output::Spool::new(),
            not_found: rule
                .filter(|_| may_fall_back() && self.program.is_some())
                .map_or(&[][..], |rule| &rule.not_found),
            known: Known {
                cwd: &self.cwd,
                system: rule.map_or(&[][..], |rule| &rule.system),
            },
            misses_softly: rule.is_some_and(|rule| rule.misses_softly),
            listener: Listener::new(rule, || self.first_input(rules)),
        };
        let why = loop {
            match session.run(hub, &submit) {
                Ok(End::Ran(ending)) => {
                    note(&format!("remote: {}: {ending:?}", self.argv[0].display()));
                    if !ending.is_success() {
                        self.discard_failed(rule, &primary(job, hub));
                    }
                    return exit_code(ending);
                }
                Ok(End::Judged(why)) => {
                    return self.judged(&why, &primary(job, hub));
                }
                Ok(End::Local(why)) => break why,
                Ok(End::Missing) => {
                    let why = "a file was not found on the pod";
                    tell(&job.need.tool, why);
                    break why.into();
                }
                Ok(End::Foreign(path)) => {
                    tell(&job.need.tool, "it read a file outside the roots");
                    break format!("it read `{}` on the pod", path.display());
                }
                Ok(End::Refused(why)) => return fail(&why),
                Ok(End::Lost(error)) => {
                    submit.tries += 1;
                    match self.find_again(submit.tries) {
                        Some(again) => *hub = again,
                        None => break format!("the hub was lost ({error})"),
                    }
                }
                // The disk here is full, a directory is read-only: the tool itself would say so
                // in its own words, and a bad transfer is made good.
                Err(error) => {
                    tell(&job.need.tool, "what came back cannot be put in place");
                    break chain(&error);
                }
            }
        };
        self.fall_back(&why, rules)
    }

    /// A command that is not for pods. A known tool takes one of the machine's slots.
    fn local_by_rule(&self, rules: &RuleSet, reason: &Reason) -> ExitCode {
        note(&format!("local: {}: {reason}", self.argv[0].display()));
        let rule = rules.rule_for(&self.argv[0]);
        let tool = rule.map_or_else(
            || self.argv[0].to_string_lossy().into(),
            |rule| rule.tool.to_string(),
        );
        tell(&tool, &reason.why);
        match (&self.program, rule) {
            (Some(program), Some(_)) => self.in_slot(program, rules),
            _ => self.here(),
        }
    }

    /// A job for pods that runs here after all.
    fn fall_back(&self, why: &str, rules: &RuleSet) -> ExitCode {
        if !may_fall_back() {
            return fail(&format!("not run here, since CPODS_FALLBACK=0: {why}"));
        }
        note(&format!("local: {}: {why}", self.argv[0].display()));
        match &self.program {
            Some(program) => self.in_slot(program, rules),
            None => self.nowhere(why),
        }
    }

    fn here(&self) -> ExitCode {
        local::run(&self.argv)
    }
}

/// The files that a job is for.
fn primary(job: &Job, hub: &Hub) -> Vec<PathBuf> {
    let outputs = job.outputs.iter().filter(|it| it.role == Role::Output);
    let paths = outputs.filter_map(|it| hub.roots.absolute(&it.at));
    paths.collect()
}

/// Whether a job meant for pods may run here after all.
fn may_fall_back() -> bool {
    std::env::var_os("CPODS_FALLBACK").is_none_or(|value| value != "0")
}

/// Tells the hub, for its counters, that a command runs here.
fn tell(tool: &str, why: &str) {
    hub::tell(&FromClient::RanLocally {
        tool: tool.into(),
        why: why.into(),
    });
}

fn fail(why: &str) -> ExitCode {
    complain(why);
    ExitCode::from(LAUNCHER_FAILED)
}

/// The tool's own code; a signal as shells have it. Never 130: Ninja 1.13 takes that for Ctrl-C
/// and ends the whole build, even with -k0.
fn exit_code(ending: Ending) -> ExitCode {
    const INTERRUPTED: u8 = 130;
    let code = match ending {
        Ending::Exited(code) => code,
        Ending::Signalled(signal) => 128_u8.saturating_add(signal),
    };
    ExitCode::from(if code == INTERRUPTED { 1 } else { code })
}
