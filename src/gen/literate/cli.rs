//! `cpods-gen context`: reads a document and writes its graph.

use super::document::Document;
use super::graph::{self, Options};
use super::{MODULES, commands, depfile, includes, late};
use crate::r#gen::put::{check, put};
use crate::r#gen::{context, rules};
use anyhow::{Context, bail};
use clap::Args;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is wrong with a document is told with this exit code.
const WRONG: u8 = 2;
const OUT_OF_DATE: u8 = 1;

/// Write the whole graph of a ConTeXt document: its PDF, the code in it, and what is built of that.
///
/// The files that a document consists of and the steps that it declares come from its text; after
/// the first run, from what ConTeXt itself lists (MAIN.dep, MAIN.steps, MAIN.written), which is
/// exact. Ninja runs in the document's folder and writes the graph again when the document changes.
/// Outputs of steps that are gone are removed by `ninja -t cleandead`.
///
/// The ConTeXt modules that this needs are put into a folder beside the document.
///
/// Exits 2 if something is wrong with the document, and 1 with `--check` if the graph is out of
/// date.
#[derive(Debug, Args)]
pub(in crate::r#gen) struct ContextArgs {
    /// The main document: a product, a component, or a single file.
    #[arg(value_name = "MAIN.tex")]
    main: PathBuf,
    /// The file to write, if it changes; it lies in the document's folder or below [default:
    /// build.ninja in the document's folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Further flags of ConTeXt for the main document, in the shell's syntax: `--mode=draft`.
    #[arg(
        long,
        value_name = "FLAGS",
        default_value = "",
        allow_hyphen_values = true
    )]
    flags: String,
    /// How many commands that stay on this machine, such as links, may run at a time.
    #[arg(long, value_name = "N", default_value_t = rules::Options::default().local_depth,
          value_parser = clap::value_parser!(u32).range(1..))]
    local_depth: u32,
    /// Where the ConTeXt modules go, below the document's folder.
    #[arg(long, value_name = "DIR", default_value = MODULES)]
    modules: String,
    /// Make checks (prove, analyse, verify) by this program only where they are asked for by name:
    /// for what no pod offers. May be given several times.
    #[arg(long, value_name = "TOOL")]
    without: Vec<String>,
    /// Write nothing; fail if the graph is out of date.
    #[arg(long)]
    check: bool,
    /// Write what Ninja learns when the document has run.
    #[arg(long, value_name = "FILE", hide = true, conflicts_with_all = ["check", "made"])]
    dyndep: Option<PathBuf>,
    /// Make sure that the files are there that the document wrote when it ran.
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "check")]
    made: Option<PathBuf>,
}

pub(in crate::r#gen) fn run(args: &ContextArgs) -> anyhow::Result<ExitCode> {
    let (folder, options) = options(args)?;
    if shell_words::split(&options.flags).is_err() {
        bail!("`{}` is no line of the shell", options.flags);
    }
    let document = Document::read(&folder, &options)?;
    let mut plan = match document.plan(&options) {
        Ok(plan) => plan,
        Err(problems) => {
            for problem in problems {
                eprintln!("cpods-gen: error: {problem}");
            }
            return Ok(ExitCode::from(WRONG));
        }
    };
    let left_out = plan.leave_out(|edge| options.without.contains(&commands::program(edge)));
    let nothing = Default::default();
    let written = document.written().unwrap_or(&nothing);
    if let Some(file) = &args.dyndep {
        let text = late::dyndep(&plan, &options, written)?;
        put(file, &text, false)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(stamp) = &args.made {
        return made(
            &folder,
            &late::outputs(&plan, &options, written),
            &options,
            stamp,
        );
    }
    let text = graph::write(&plan, &options)?;
    let sources = depfile::write(&options.output, document.sources());
    let file = folder.join(&options.output);
    let mut list = file.clone().into_os_string();
    list.push(".d");
    let list = PathBuf::from(list);
    if args.check {
        if let Err(old) = check([(&*file, &*text), (&*list, sources.as_bytes())]) {
            eprintln!("cpods-gen: {old:#}");
            return Ok(ExitCode::from(OUT_OF_DATE));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.output.is_none() && is_anothers(&file, &options.main) {
        bail!(
            "`{}` was not written for `{}`; name another file with -o, or this one to overwrite it",
            file.display(),
            options.main
        );
    }
    for note in document.notes() {
        eprintln!("cpods-gen: note: {note}");
    }
    for name in left_out {
        eprintln!("cpods-gen: note: step `{name}` is left out of `all`; `ninja {name}` makes it");
    }
    context::install(&folder.join(&options.modules))?;
    put(&list, sources.as_bytes(), false)?;
    put(&file, &text, false)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a file is there that is not this document's graph.
fn is_anothers(file: &Path, main: &str) -> bool {
    let begins = format!("# The graph of {main}. Written by `cpods-gen context");
    std::fs::read(file).is_ok_and(|text| {
        // The comment is broken into lines where it is long.
        let head: Vec<u8> = text.iter().take(begins.len() + 200).copied().collect();
        let head = String::from_utf8_lossy(&head).replace("\n# ", " ");
        !text.is_empty() && !head.starts_with(&begins)
    })
}

/// Write a depfile of what C sources include.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(in crate::r#gen) struct ReadsArgs {
    /// Where others' headers lie.
    #[arg(short = 'I', value_name = "DIR")]
    folders: Vec<String>,
    /// What is made of them; the depfile is OUT.d.
    #[arg(value_name = "OUT")]
    output: String,
    /// The sources.
    #[arg(value_name = "FILE", required = true)]
    sources: Vec<String>,
}

pub(in crate::r#gen) fn reads(args: &ReadsArgs) -> anyhow::Result<()> {
    let read = |name: &str| {
        let bytes = fs::read(name).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let names = includes::closure(&args.sources, &args.folders, &read);
    let text = depfile::write(&args.output, &names);
    let path = format!("{}.d", args.output);
    fs::write(&path, text).with_context(|| format!("cannot write `{path}`"))
}

/// The document's folder, and everything else relative to it.
fn options(args: &ContextArgs) -> anyhow::Result<(PathBuf, Options)> {
    let shown = args.main.display();
    if !args.main.is_file() {
        bail!("cannot find `{shown}`");
    }
    let text = |path: &Path| {
        let text = path.to_str().map(ToOwned::to_owned);
        text.with_context(|| format!("the name of `{}` is no UTF-8", path.display()))
    };
    let main = args.main.file_name().unwrap_or_default();
    let absolute = std::path::absolute(&args.main).context("cannot find this folder")?;
    let folder = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    let output = match &args.output {
        None => PathBuf::from("build.ninja"),
        Some(output) => {
            let output = std::path::absolute(output).context("cannot find this folder")?;
            let output = crate::paths::normalise(&output);
            match output.strip_prefix(crate::paths::normalise(&folder)) {
                Ok(below) => below.to_owned(),
                Err(_) => bail!(
                    "`{}` does not lie in the document's folder, where Ninja has to run",
                    output.display()
                ),
            }
        }
    };
    let options = Options {
        main: text(Path::new(main))?,
        output: text(&output)?,
        modules: args.modules.clone(),
        flags: args.flags.clone(),
        local_depth: args.local_depth,
        without: args.without.clone(),
    };
    Ok((folder, options))
}

/// A file that is gone would be missed by nobody before the step that reads it, and the document
/// would not run again for it.
fn made(
    folder: &Path,
    outputs: &[&str],
    options: &Options,
    stamp: &Path,
) -> anyhow::Result<ExitCode> {
    let gone: Vec<_> = outputs
        .iter()
        .filter(|it| !folder.join(it).exists())
        .collect();
    if let Some(gone) = gone.first() {
        let [_, _, written] = options.own();
        fs::remove_file(folder.join(&written))
            .with_context(|| format!("cannot remove `{written}`"))?;
        eprintln!(
            "cpods-gen: error: `{gone}` is gone; the next build has the document write it again"
        );
        return Ok(ExitCode::from(WRONG));
    }
    let done = File::create(stamp);
    done.with_context(|| format!("cannot write `{}`", stamp.display()))?;
    Ok(ExitCode::SUCCESS)
}
