//! `cpods-gen wrap`: reads the files of a build, and writes them with the wrapper put in.

use super::ninja_eval::{self, Manifest};
use super::ninja_value::quoted;
use super::patch::{self, Insertion};
use super::put::{check, put};
use super::wrap::{Options, Wrapping, wrap};
use crate::rulefiles;
use crate::rules::RuleSet;
use anyhow::{Context, bail};
use clap::Args;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Appended to the names of included files that are written beside the original ones.
const SUFFIX: &[u8] = b".cpods";

/// Route an existing build, CMake's or Meson's, through cpods.
///
/// Puts `cpods-cc` before each program that a rule file covers and that a pod may run, in FILE and
/// the files of its folder that it includes. Tools' commands that always run here, such as links,
/// get a pool. The files keep their times, so Ninja does not run their generator again; the first
/// build after it runs every changed command once.
///
/// Exits 1 with `--check` if something is out of date.
#[derive(Debug, Args)]
pub(super) struct WrapArgs {
    /// The Ninja file, or the folder of a `build.ninja`.
    #[arg(value_name = "FILE", default_value = "build.ninja")]
    file: PathBuf,
    /// Give the files back as they were, to the byte.
    #[arg(long, conflicts_with_all = ["check", "output", "keep"])]
    undo: bool,
    /// Write nothing; fail if a file is not wrapped, or is out of date.
    #[arg(long)]
    check: bool,
    /// Write to another file of the same folder, and included files beside the original ones as
    /// `NAME.cpods`.
    #[arg(short, long, value_name = "FILE", conflicts_with = "keep")]
    output: Option<PathBuf>,
    /// Have the build wrap its files again whenever it writes them anew, as when CMake runs again.
    #[arg(long)]
    keep: bool,
    /// How many commands that stay on this machine, such as links, may run at a time; as many as
    /// there are cores if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    local_depth: Option<u32>,
    /// Say nothing of what was done.
    #[arg(short, long)]
    quiet: bool,
}

/// The files of a build, as they are without the wrapper.
struct Build {
    manifest: Manifest,
    /// The main file's folder, where Ninja runs.
    dir: PathBuf,
    /// Which of the files lie in that folder.
    inside: Vec<bool>,
}

impl Build {
    fn load(file: &Path) -> anyhow::Result<Self> {
        let file = match file.is_dir() {
            true => file.join("build.ninja"),
            false => file.to_owned(),
        };
        let dir = match file.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let dir = dir.canonicalize();
        let dir = dir.with_context(|| format!("cannot find the folder of `{}`", file.display()))?;
        let name = file.file_name().context("the file has no name")?;
        let mut load = |path: &Path| {
            let text = fs::read(dir.join(path))?;
            let original = patch::strip(&text).map_err(io::Error::other)?;
            Ok(original.unwrap_or(text))
        };
        let manifest = ninja_eval::load(Path::new(name), &mut load)?;
        let inside = manifest.files.iter().map(|source| {
            let own = dir.join(&source.path).canonicalize();
            own.is_ok_and(|own| own.starts_with(&dir))
        });
        let inside = inside.collect();
        Ok(Self {
            manifest,
            dir,
            inside,
        })
    }

    fn path(&self, file: usize) -> PathBuf {
        self.dir.join(&self.manifest.files[file].path)
    }
}

pub(super) fn run(args: &WrapArgs) -> anyhow::Result<ExitCode> {
    let build = Build::load(&args.file)?;
    let files = build.manifest.files.len();
    if args.undo {
        let mut undone = 0;
        // The main file last: it may declare what the others use.
        for file in (0..files).rev().filter(|file| build.inside[*file]) {
            let original = &build.manifest.files[file].text;
            undone += usize::from(put(&build.path(file), original, true)?);
        }
        if !args.quiet {
            say(&format!("{undone} of {files} files given back\n"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let set = rulefiles::load_own()?;
    let done = decide(&build, &set, args)?;
    let written = match &args.output {
        Some(output) => beside(&build, &done, &place(&build.dir, output)?)?,
        None => (0..files)
            .filter(|file| build.inside[*file])
            .map(|file| {
                let text = &build.manifest.files[file].text;
                (build.path(file), patch::apply(text, &done.insertions[file]))
            })
            .collect(),
    };
    if args.check {
        let all = written.iter().map(|(path, text)| (&**path, &**text));
        if let Err(old) = check(all) {
            eprintln!("cpods-gen: {old:#}");
            return Ok(ExitCode::from(1));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut changed = 0;
    for (path, text) in &written {
        changed += usize::from(put(path, text, true)?);
    }
    if !args.quiet {
        say(&summary(&done, changed));
    }
    Ok(ExitCode::SUCCESS)
}

/// The files are written: that nobody reads this is no error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn decide(build: &Build, set: &RuleSet, args: &WrapArgs) -> anyhow::Result<Wrapping> {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let again = args.keep.then(|| {
        let name = quoted(build.manifest.files[0].path.as_os_str().as_bytes());
        let depth = args.local_depth.map(|n| format!(" --local-depth {n}"));
        let depth = depth.unwrap_or_default();
        let name = String::from_utf8_lossy(&name);
        format!("cpods-gen wrap --quiet --keep{depth} {name}")
    });
    let options = Options {
        local_depth: args.local_depth.unwrap_or_else(cores),
        again,
    };
    let inside = |file: usize| build.inside[file];
    let done = wrap(&build.manifest, set, &options, &build.dir, &inside)?;
    Ok(done)
}

/// Where another main file goes: Ninja looks for what it includes in the folder of the first.
fn place(dir: &Path, output: &Path) -> anyhow::Result<PathBuf> {
    let here = Path::new("");
    let name = output.file_name().unwrap_or_default();
    match output.parent() {
        Some(parent) if parent == here => {}
        Some(parent) if is_same(parent, dir) => {}
        _ => bail!("`{}` does not lie in `{}`", output.display(), dir.display()),
    }
    Ok(dir.join(name))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    let other = match other == Path::new("") {
        true => real(Path::new(".")),
        false => real(other),
    };
    other.is_some() && real(one) == other
}

/// The files under their other names, included ones first.
fn beside(
    build: &Build,
    done: &Wrapping,
    output: &Path,
) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let manifest = &build.manifest;
    let mut insertions = done.insertions.clone();
    let mut moved: BTreeSet<usize> = (1..insertions.len())
        .filter(|file| !insertions[*file].is_empty())
        .collect();
    // Whatever includes a file of another name is another file itself.
    loop {
        let includers = manifest.includes.iter();
        let includers = includers.filter(|(_, file)| moved.contains(file));
        let more: BTreeSet<usize> = includers.map(|(place, _)| place.file).collect();
        let more: Vec<usize> = more
            .difference(&moved)
            .copied()
            .filter(|it| *it > 0)
            .collect();
        if more.is_empty() {
            break;
        }
        moved.extend(more);
    }
    if let Some(outside) = moved.iter().find(|file| !build.inside[**file]) {
        let path = build.path(*outside);
        bail!("`{}` would have to be changed, too", path.display());
    }
    let places: BTreeSet<_> = manifest
        .includes
        .iter()
        .filter(|(_, file)| moved.contains(file))
        .map(|(place, _)| *place)
        .collect();
    for place in places {
        insertions[place.file].push((place.at, SUFFIX.to_vec()));
    }
    insertions
        .iter_mut()
        .for_each(|it| it.sort_by_key(|it: &Insertion| it.0));
    let text = |file: usize| patch::apply(&manifest.files[file].text, &insertions[file]);
    let mut all = Vec::new();
    for file in moved {
        let mut path = build.path(file).into_os_string().into_vec();
        path.extend(SUFFIX);
        all.push((OsString::from_vec(path).into(), text(file)));
    }
    all.push((output.to_owned(), text(0)));
    Ok(all)
}

fn summary(done: &Wrapping, changed: usize) -> String {
    let count = |n: usize, what: &str| match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    let mut text = format!(
        "{} ({}) go to pods, {} in a local pool; {} changed\n",
        count(done.routed.len(), "rule"),
        count(done.routed.values().sum(), "command"),
        count(done.pooled, "command"),
        count(changed, "file"),
    );
    for (why, rules) in &done.staying {
        let names = rules.iter().map(|(name, n)| format!("{name} ({n})"));
        let names: Vec<_> = names.collect();
        text.push_str(&format!("  stays: {why}: {}\n", names.join(", ")));
        if why.contains("`ccache`") {
            text.push_str(
                "         (with CCACHE_PREFIX=cpods-cc set, ccache calls cpods itself)\n",
            );
        }
    }
    text
}
