//! The command line of `cpods-gen`.

use super::compdb_cli::{self, CompdbArgs};
use super::context;
use super::literate::cli::{self as literate_cli, ContextArgs, ReadsArgs};
use super::rules::{Options, snippet};
use super::wrap_cli::{self, WrapArgs};
use crate::rulefiles;
use crate::rules::{Rule, RuleSet};
use anyhow::{Context, bail};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// As env(1) and timeout(1) have it, since tools use the lower numbers.
const FAULT: u8 = 125;

/// Write Ninja files that run their commands on pods.
#[derive(Debug, Parser)]
#[command(name = "cpods-gen", version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Rules(RulesArgs),
    Wrap(WrapArgs),
    Compdb(CompdbArgs),
    Context(ContextArgs),
    Reads(ReadsArgs),
    InstallContext(InstallArgs),
}

/// Write the ConTeXt modules of cpods into a folder.
///
/// `context --usemodule=cpods-deps FILE` then writes FILE.dep, a depfile for Ninja, and
/// FILE.written. A folder that ConTeXt does not search is named by `--path=DIR`.
#[derive(Debug, Args)]
struct InstallArgs {
    /// The folder [default: texmf/tex/context/third/cpods in the home]
    dir: Option<PathBuf>,
}

/// Write the Ninja rules of tools.
///
/// A file that says `include gcc.ninja` can then say `build a.o: gcc_cc a.c`.
#[derive(Debug, Args)]
struct RulesArgs {
    /// Tools, by the names of their rule files; all that have Ninja rules if none is named.
    tools: Vec<String>,
    /// Write `TOOL.ninja` into this folder, which is made if need be, instead of to standard
    /// output.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// How many commands that stay on this machine, such as links, may run at a time.
    #[arg(long, value_name = "N", default_value_t = Options::default().local_depth,
          value_parser = clap::value_parser!(u32).range(1..))]
    local_depth: u32,
}

/// The command line, for man pages.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Printing fails where nobody reads it.
            let _ = error.print();
            return if error.use_stderr() {
                FAULT.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let done = match cli.what {
        What::Rules(args) => write_rules(&args).map(|()| ExitCode::SUCCESS),
        What::Wrap(args) => wrap_cli::run(&args),
        What::Compdb(args) => compdb_cli::run(&args),
        What::Context(args) => literate_cli::run(&args),
        What::Reads(args) => literate_cli::reads(&args).map(|()| ExitCode::SUCCESS),
        What::InstallContext(args) => install(args).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cpods-gen: error: {error:#}");
            FAULT.into()
        }
    }
}

fn install(args: InstallArgs) -> anyhow::Result<()> {
    let dir = match args.dir {
        Some(dir) => dir,
        None => context::own_folder()?,
    };
    context::install(&dir)
}

fn write_rules(args: &RulesArgs) -> anyhow::Result<()> {
    let set = rulefiles::load_own()?;
    let options = Options {
        local_depth: args.local_depth,
    };
    for rule in chosen(&set, &args.tools)? {
        let tool = &rule.tool;
        let text = snippet(rule, &options)
            .with_context(|| format!("cannot write the ninja rules of `{tool}`"))?;
        let Some(text) = text else {
            if args.tools.is_empty() {
                continue;
            }
            bail!("the rule file of `{tool}` has no `[[ninja.rules]]`");
        };
        let Some(dir) = &args.output else {
            let written = io::stdout().write_all(&text);
            written.context("cannot write to standard output")?;
            continue;
        };
        fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        let path = dir.join(format!("{tool}.ninja"));
        // Ninja would build again whatever includes a file that is newer.
        if fs::read(&path).is_ok_and(|there| there == text) {
            continue;
        }
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

fn chosen<'a>(set: &'a RuleSet, tools: &[String]) -> anyhow::Result<Vec<&'a Rule>> {
    if tools.is_empty() {
        return Ok(set.rules().collect());
    }
    let found = tools.iter().map(|tool| {
        let known = || {
            let names: Vec<&str> = set.rules().map(|rule| &*rule.tool).collect();
            names.join(", ")
        };
        set.rule(tool)
            .with_context(|| format!("there is no rule file `{tool}`; there are {}", known()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(tools: &[&str], output: Option<PathBuf>) -> RulesArgs {
        RulesArgs {
            tools: tools.iter().map(|it| (*it).to_owned()).collect(),
            output,
            local_depth: 3,
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn writes_a_file_for_each_tool() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        write_rules(&args(&[], Some(below.clone()))).unwrap();
        for tool in ["gcc", "clang", "z3", "context"] {
            assert!(below.join(format!("{tool}.ninja")).exists(), "{tool}");
        }
        assert!(!below.join("exec.ninja").exists());
    }

    #[test]
    fn leaves_alone_what_is_right_already() {
        let dir = tempfile::tempdir().unwrap();
        let some = Some(dir.path().to_owned());
        write_rules(&args(&["gcc"], some.clone())).unwrap();
        let file = dir.path().join("gcc.ninja");
        let mut permissions = fs::metadata(&file).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&file, permissions).unwrap();
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        write_rules(&args(&["gcc"], some)).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn names_what_it_cannot_do() {
        let error = write_rules(&args(&["nonsense"], None)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("there is no rule file `nonsense`; there are "),
            "{text}"
        );
        let error = write_rules(&args(&["exec"], None)).unwrap_err();
        let text = "the rule file of `exec` has no `[[ninja.rules]]`";
        assert_eq!(error.to_string(), text);
    }
}
