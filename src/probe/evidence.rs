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
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// For people.
    pub(super) version: String,
    /// What it printed, in the order asked.
    pub(super) texts: Vec<Vec<u8>>,
    /// Itself, and programs that it calls.
    pub(super) programs: Vec<Named>,
    /// Whether what the programs load counts too.
    pub(super) libraries: bool,
    /// Other files and directories.
    pub(super) files: Vec<Named>,
    /// Directories that it searches, in order, as it names them.
    pub(super) searched: Vec<Named>,
    /// Where it finds the programs and files, links on the way not followed.
    pub(super) named: Vec<PathBuf>,
    /// Where directories that it would search, too, could appear.
    pub(super) around: Vec<PathBuf>,
}

/// A program's name for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Introduction {
    /// For people.
    pub(super) version: String,
    /// Version and target in full, the program's name left out: GNU tools print the name they were
    /// called by. Two names of one program that say the same here are the same tool: a driver that
    /// acts by its name says so, by its target or by the configuration files it lists.
    pub(super) texts: Vec<Vec<u8>>,
}

/// Lets the program introduce itself.
pub(super) fn introduce(
    probe: &Probe,
    program: &Path,
    asking: Asking<'_>,
) -> Result<Introduction, ProbeError> {
    let name = program.file_name().unwrap_or_default().as_bytes();
    let mut introduction = Introduction {
        version: String::new(),
        texts: Vec::new(),
    };
    if !probe.version.is_empty() {
        let said = ask_well(program, &probe.version, asking)?;
        introduction.version = line_with(&said, &probe.version_line);
        if probe.version_line.is_empty() {
            let streams = [said.stdout, said.stderr];
            let anonymous = streams.map(|text| text.strip_prefix(name).unwrap_or(&text).to_vec());
            introduction.texts.extend(anonymous);
        }
    }
    if !probe.target.is_empty() {
        let said = ask_well(program, &probe.target, asking)?;
        introduction.texts.push(said.stdout);
    }
    Ok(introduction)
}

/// One of the things that a rule wants to know, each by a process of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question<'r> {
    Output(&'r [Text]),
    Program(&'r str),
    File(&'r str),
    Search(&'r Search),
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Text(Vec<Vec<u8>>),
    Program(Named, Option<PathBuf>),
    File(Named, Option<PathBuf>),
    Searched(Vec<Named>, Vec<PathBuf>),
}

/// All that a rule wants to know, in order.
pub(super) fn questions(probe: &Probe) -> impl Iterator<Item = Question<'_>> {
    let outputs = probe.outputs.iter().map(|args| Question::Output(args));
    let programs = probe.programs.iter().map(|name| Question::Program(name));
    let files = probe.found_files.iter().map(|name| Question::File(name));
    outputs
        .chain(programs)
        .chain(files)
        .chain(probe.search.iter().map(Question::Search))
}

/// Asks one question.
pub(super) fn answer(
    question: Question<'_>,
    probe: &Probe,
    program: &Path,
    asking: Asking<'_>,
) -> Result<Answer, ProbeError> {
    Ok(match question {
        Question::Output(args) => {
            let said = ask(program, args, asking)?;
            // That it cannot answer is an answer too.
            let code = said.code.to_string().into_bytes();
            Answer::Text(vec![code, said.stdout])
        }
        Question::Program(name) => {
            let found = find_program(probe, program, name, asking)?;
            Answer::Program((name.into(), resolve(found.clone())), found)
        }
        Question::File(name) => {
            let printed = ask_name(&probe.print_file, program, name, asking)?;
            let found = PathBuf::from(OsStr::from_bytes(&printed));
            let found = Some(found).filter(|_| printed.contains(&b'/'));
            Answer::File((name.into(), resolve(found.clone())), found)
        }
        Question::Search(search) => {
            let said = ask(program, &search.args, asking)?;
            Answer::Searched(listed(search, &said), around_absent(search, &said))
        }
    })
}

/// Puts together what a program said, and what its rule says without asking.
pub(super) fn assemble(
    probe: &Probe,
    resolved: &Path,
    introduction: Introduction,
    answers: Vec<Answer>,
) -> Evidence {
    let mut evidence = Evidence {
        version: introduction.version,
        texts: introduction.texts,
        libraries: probe.libraries,
        ..Evidence::default()
    };
    if probe.program {
        let itself = (String::new(), Some(resolved.into()));
        evidence.programs.push(itself);
    }
    for answer in answers {
        match answer {
            Answer::Text(texts) => evidence.texts.extend(texts),
            Answer::Program(program, path) => {
                evidence.programs.push(program);
                evidence.named.extend(path);
            }
            Answer::File(file, path) => {
                evidence.files.push(file);
                evidence.named.extend(path);
            }
            Answer::Searched(directories, around) => {
                evidence.searched.extend(directories);
                evidence.around.extend(around);
            }
        }
    }
    let bin = resolved.parent().unwrap_or(Path::new("/"));
    let named = probe.files.iter().map(|file| named(file, bin));
    evidence.files.extend(named);
    evidence
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

/// The first line with this text, if any; of no text, the first that is not blank.
fn line_with(said: &Said, wanted: &str) -> String {
    let text = match said.stdout.is_empty() {
        true => &said.stderr,
        false => &said.stdout,
    };
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let line = lines.find(|line| line.contains(wanted));
    line.unwrap_or_default().trim().into()
}

/// What the tool prints when asked with a name in the place of `{name}`.
fn ask_name(
    print: &[Text],
    program: &Path,
    name: &str,
    asking: Asking<'_>,
) -> Result<Vec<u8>, ProbeError> {
    let args = print.iter().map(|word| word.replace("{name}", name).into());
    let args: Vec<OsString> = args.collect();
    let said = ask_words(program, args.iter().map(OsString::as_os_str), asking)?;
    Ok(said.stdout.trim_ascii().to_vec())
}

/// The path of a program that the tool calls.
fn find_program(
    probe: &Probe,
    program: &Path,
    name: &str,
    asking: Asking<'_>,
) -> Result<Option<PathBuf>, ProbeError> {
    let called = match probe.print_program.is_empty() {
        true => name.as_bytes().to_vec(),
        false => ask_name(&probe.print_program, program, name, asking)?,
    };
    let called = OsStr::from_bytes(&called);
    Ok(find_on_path(called, asking.path))
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

/// For each directory that the tool did not find, the nearest above it that is there.
fn around_absent(search: &Search, said: &Said) -> Vec<PathBuf> {
    let Some(begin) = &search.absent else {
        return Vec::new();
    };
    let lines = [&said.stdout, &said.stderr];
    let lines = lines
        .into_iter()
        .flat_map(|it| it.split(|byte| *byte == b'\n'));
    let absent = lines.filter_map(|line| {
        let rest = line.strip_prefix(begin.as_bytes())?;
        let name = rest
            .split(|byte| *byte == b'"')
            .find(|part| !part.is_empty())?;
        let above = Path::new(OsStr::from_bytes(name)).ancestors();
        above.skip(1).find_map(|dir| dir.canonicalize().ok())
    });
    absent.collect()
}

/// A file that the rule names itself.
fn named(file: &str, bin: &Path) -> Named {
    let path = match file.strip_prefix("{bin}/") {
        Some(below) => bin.join(below),
        None => PathBuf::from(file.replace("{bin}", &bin.to_string_lossy())),
    };
    (file.into(), path.canonicalize().ok())
}
