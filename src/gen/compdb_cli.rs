//! `cpods-gen compdb`: reads a compilation database and writes a Ninja file.

use super::compdb::{Options, read, write};
use super::compdb_tools::{TOOLS, Tool};
use super::put::{check, put};
use anyhow::{Context, bail};
use clap::Args;
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Run another tool on the sources of a C project, with the project's own flags.
///
/// Writes a Ninja file with an edge for each source of a compilation database. What the tool prints
/// is kept in DIR/SOURCE.log, named below the folder that all sources have in common; a source that
/// is compiled in several ways has SOURCE.2.log, and so on. Where the tool's preprocessor can list
/// what it read, Ninja knows the headers, too.
///
/// Exits 1 with `--check` if the file is out of date.
#[derive(Debug, Args)]
pub(super) struct CompdbArgs {
    /// The database: `compile_commands.json`, as CMake and Meson write it.
    #[arg(value_name = "FILE", default_value = "compile_commands.json")]
    file: PathBuf,
    /// The tool: framac (parse only), framac-eva, framac-wp, verifast, gcc or clang (-fsyntax-only).
    #[arg(long, value_name = "NAME")]
    tool: String,
    /// Further flags for each command, in the shell's syntax: `-wp-timeout 5`, `-fanalyzer`.
    #[arg(
        long,
        value_name = "FLAGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    flags: String,
    /// Only sources whose path fits, such as `**/util/*.c`; may be given again.
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Where the logs go; a folder of the tool's name beside the database if not given.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Write to a file, if it changes, instead of to standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write nothing; fail if the file is out of date.
    #[arg(long, requires = "output")]
    check: bool,
}

fn tool(name: &str) -> anyhow::Result<Tool> {
    let found = TOOLS.iter().find(|tool| tool.name == name);
    found.copied().with_context(|| {
        let names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        format!("there is no tool `{name}`; there are {}", names.join(", "))
    })
}

fn globs(all: &[String]) -> anyhow::Result<Option<GlobSet>> {
    if all.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for one in all {
        set.add(Glob::new(one).with_context(|| format!("`{one}` is no glob"))?);
    }
    Ok(Some(set.build()?))
}

pub(super) fn run(args: &CompdbArgs) -> anyhow::Result<ExitCode> {
    let tool = tool(&args.tool)?;
    let shown = args.file.display();
    let file = args.file.canonicalize();
    let file = file.with_context(|| format!("cannot find `{shown}`"))?;
    let json = fs::read(&file).with_context(|| format!("cannot read `{shown}`"))?;
    let beside = file.parent().unwrap_or(Path::new("/"));
    let mut units = read(&json, beside).with_context(|| format!("cannot use `{shown}`"))?;
    if let Some(globs) = globs(&args.only)? {
        units.retain(|unit| globs.is_match(&unit.source));
    }
    if units.is_empty() {
        bail!("`{shown}` has no such sources");
    }
    let dir = match &args.logs {
        Some(dir) => std::path::absolute(dir).context("cannot find the folder of the logs")?,
        None => beside.join(tool.name),
    };
    let options = Options {
        tool,
        flags: args.flags.clone(),
        dir,
        by: format!("cpods-gen compdb --tool {}", tool.name),
    };
    let (text, notes) = write(&units, &options)?;
    let Some(output) = &args.output else {
        let written = io::stdout().write_all(&text);
        written.context("cannot write to standard output")?;
        return Ok(ExitCode::SUCCESS);
    };
    if args.check {
        if let Err(old) = check([(&**output, &*text)]) {
            eprintln!("cpods-gen: {old:#}");
            return Ok(ExitCode::from(1));
        }
        return Ok(ExitCode::SUCCESS);
    }
    put(output, &text, false)?;
    for note in notes {
        eprintln!("cpods-gen: note: {note}");
    }
    Ok(ExitCode::SUCCESS)
}
