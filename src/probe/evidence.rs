//! Asks a tool, as its rule says, and gathers what identifies it. Nothing is digested yet.

use super::ProbeError;
use super::command::{self, Said};
use super::path::find_on_path;
use crate::rules::{Probe, Search, Text};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How programs are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    /// The search path they see.
    pub(super) path: &'a OsStr,
    /// How long each may take.
    pub(super) limit: Duration,
}

/// A file or directory under the name that the rule has for it; none where there is no such thing.
pub(super) type Named = (String, Option<PathBuf>);

/// What is known of one tool. Paths are canonical.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// For people.
    pub(super) version: String,
    /// What it printed, in the order asked.
    pub(super) texts: Vec<Vec<u8>>,
    /// Itself, and programs that it calls.
    pub(super) programs: Vec<Named>,
    /// Other files and directories.
    pub(super) files: Vec<Named>,
    /// Directories that it searches, in order, as it names them.
    pub(super) searched: Vec<Named>,
}

/// Asks the program what its rule wants to know.
pub(super) fn gather(
    probe: &Probe,
    program: &Path,
    resolved: &Path,
    asking: Asking<'_>,
) -> Result<Evidence, ProbeError> {
    let mut evidence = Evidence::default();
    if !probe.version.is_empty() {
        let said = ask_well(program, &probe.version, asking)?;
        evidence.version = first_line(&said);
        evidence.texts.extend([said.stdout, said.stderr]);
    }
    if !probe.target.is_empty() {
        let said = ask_well(program, &probe.target, asking)?;
        evidence.texts.push(said.stdout);
    }
    for args in probe.outputs.iter() {
        let said = ask(program, args, asking)?;
        // That it cannot answer is an answer too.
        let code = said.code.to_string().into_bytes();
        evidence.texts.extend([code, said.stdout]);
    }
    if probe.program {
        evidence.programs.push(("".into(), Some(resolved.into())));
    }
    for name in probe.programs.iter() {
        let found = find_program(probe, program, name, asking)?;
        evidence.programs.push((name.to_string(), found));
    }
    for search in probe.search.iter() {
        let said = ask(program, &search.args, asking)?;
        evidence.searched.extend(listed(search, &said));
    }
    let bin = resolved.parent().unwrap_or(Path::new("/"));
    evidence.files = probe.files.iter().map(|file| named(file, bin)).collect();
    Ok(evidence)
}

fn ask(program: &Path, args: &[Text], asking: Asking<'_>) -> Result<Said, ProbeError> {
    let args = args.iter().map(AsRef::<str>::as_ref);
    ask_words(program, args.map(OsStr::new), asking)
}

fn ask_words<'a>(
    program: &Path,
    args: impl Iterator<Item = &'a OsStr> + Clone,
    asking: Asking<'_>,
) -> Result<Said, ProbeError> {
    command::run(program, args.clone(), asking.path, asking.limit).map_err(|source| {
        ProbeError::Command {
            program: program.into(),
            args: args.collect::<Vec<_>>().join(OsStr::new(" ")),
            source,
        }
    })
}

/// The same for a question that every tool of this rule can answer.
fn ask_well(program: &Path, args: &[Text], asking: Asking<'_>) -> Result<Said, ProbeError> {
    let said = ask(program, args, asking)?;
    if said.code == 0 {
        return Ok(said);
    }
    Err(ProbeError::Refused {
        program: program.into(),
        args: args.join(" "),
        code: said.code,
    })
}

fn first_line(said: &Said) -> String {
    let text = match said.stdout.is_empty() {
        true => &said.stderr,
        false => &said.stdout,
    };
    let text = String::from_utf8_lossy(text);
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or_default().trim().into()
}

/// The path of a program that the tool calls.
fn find_program(
    probe: &Probe,
    program: &Path,
    name: &str,
    asking: Asking<'_>,
) -> Result<Option<PathBuf>, ProbeError> {
    if probe.print_program.is_empty() {
        return Ok(resolve(find_on_path(OsStr::new(name), asking.path)));
    }
    let args: Vec<OsString> = probe
        .print_program
        .iter()
        .map(|word| word.replace("{name}", name).into())
        .collect();
    let said = ask_words(program, args.iter().map(OsString::as_os_str), asking)?;
    let printed = OsStr::from_bytes(said.stdout.trim_ascii());
    Ok(resolve(find_on_path(printed, asking.path)))
}

fn resolve(found: Option<PathBuf>) -> Option<PathBuf> {
    found.and_then(|found| found.canonicalize().ok())
}

/// The directories that the tool listed.
fn listed(search: &Search, said: &Said) -> Vec<Named> {
    let mut directories = Vec::new();
    for stream in [&said.stdout, &said.stderr] {
        let lines = stream.split(|byte| *byte == b'\n');
        let after = lines.skip_while(|line| !line.starts_with(search.after.as_bytes()));
        let list = after
            .skip(1)
            .take_while(|line| !line.starts_with(search.before.as_bytes()));
        for line in list.map(<[u8]>::trim_ascii) {
            let path = Path::new(OsStr::from_bytes(line));
            if let Ok(real) = path.canonicalize() {
                let printed = String::from_utf8_lossy(line).into_owned();
                directories.push((printed, Some(real)));
            }
        }
    }
    directories
}

/// A file that the rule names itself.
fn named(file: &str, bin: &Path) -> Named {
    let path = match file.strip_prefix("{bin}/") {
        Some(below) => bin.join(below),
        None => PathBuf::from(file.replace("{bin}", &bin.to_string_lossy())),
    };
    (file.into(), path.canonicalize().ok())
}
