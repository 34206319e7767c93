//! Edges for other tools over the sources of a compilation database
//! (<https://clang.llvm.org/docs/JSONCompilationDatabase.html>).
//!
//! Looks at no file but the database: what is written depends on it alone.

use super::compdb_tools::{FLAGS, Form, Kind, Spelled, Tool, WITH_VALUE};
use super::ninja_value::quoted;
use super::ninja_writer::{Build, Escaped, NinjaError, Writer};
use crate::paths::normalise;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A database that cannot be used.
#[derive(Debug, Error)]
pub enum CompdbError {
    /// No such JSON.
    #[error("it is no compilation database")]
    Json(#[from] serde_json::Error),
    /// An entry that cannot be split into words.
    #[error("the command of `{0}` is no line of the shell")]
    Command(String),
    /// An entry that says nothing.
    #[error("the entry of `{0}` has neither `command` nor `arguments`")]
    NoCommand(String),
    /// What Ninja cannot hold.
    #[error(transparent)]
    Ninja(#[from] NinjaError),
}

#[derive(Debug, Deserialize)]
struct Entry {
    directory: String,
    file: String,
    command: Option<String>,
    arguments: Option<Vec<String>>,
}

/// A source with what a compiler's command line says of how to read it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit {
    /// Absolute if the database's own path is.
    pub source: PathBuf,
    /// The flags, in their order, with paths as absolute as the source's.
    pub flags: Vec<(Kind, String)>,
}

/// Reads a database that lies in the folder `dir`: its sources in order, each way of compiling one
/// once.
///
/// # Errors
/// If it is none.
pub fn read(json: &[u8], dir: &Path) -> Result<Vec<Unit>, CompdbError> {
    let entries: Vec<Entry> = serde_json::from_slice(json)?;
    let mut units = BTreeSet::new();
    for entry in entries {
        let words = match (entry.arguments, entry.command) {
            (Some(words), _) => words,
            (None, Some(line)) => {
                shell_words::split(&line).map_err(|_| CompdbError::Command(entry.file.clone()))?
            }
            (None, None) => return Err(CompdbError::NoCommand(entry.file)),
        };
        let cwd = dir.join(&entry.directory);
        units.insert(Unit {
            source: normalise(&cwd.join(&entry.file)),
            flags: flags(&words, &cwd),
        });
    }
    Ok(units.into_iter().collect())
}

fn flags(words: &[String], cwd: &Path) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let flag = FLAGS.iter().find(|(name, _, spelled)| match spelled {
            Spelled::Either => word.starts_with(name),
            Spelled::Separate => word == name,
            Spelled::Alone if name.ends_with('=') => word.starts_with(name),
            Spelled::Alone => word == name,
        });
        let Some((name, kind, spelled)) = flag else {
            if WITH_VALUE.contains(&word.as_str()) {
                words.next();
            }
            continue;
        };
        let value = match spelled {
            Spelled::Alone => Some(word.clone()),
            _ if word.len() > name.len() => Some(word[name.len()..].to_owned()),
            _ => words.next().cloned(),
        };
        let Some(value) = value else { break };
        let is_path = !matches!(kind, Kind::Define | Kind::Undefine | Kind::Word);
        let value = match is_path {
            // A file that is included may lie anywhere on the search path.
            true if *kind != Kind::File && *kind != Kind::Macros || value.contains('/') => {
                normalise(&cwd.join(value)).display().to_string()
            }
            _ => value,
        };
        found.push((*kind, value));
    }
    found
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Options {
    /// With which tool.
    pub tool: Tool,
    /// Flags that it gets besides, in the shell's syntax.
    pub flags: String,
    /// The folder of what it says.
    pub dir: PathBuf,
    /// How the file can be written again, for people.
    pub by: String,
}

/// The file, and what was left out of it, for people.
///
/// # Errors
/// If Ninja cannot hold a name.
pub fn write(units: &[Unit], options: &Options) -> Result<(Vec<u8>, Vec<String>), CompdbError> {
    let tool = &options.tool;
    let mut writer = Writer::new();
    writer.comment(&format!(
        "Written by `{}`; change what it is written from instead.\n\n  cpods  what commands are run \
         through; empty: none runs on a pod\n  flags  flags of every command",
        options.by
    ));
    writer.blank();
    writer.variable("ninja_required_version", &Escaped::value(b"1.5")?)?;
    writer.variable("cpods", &Escaped::value(b"cpods-cc")?)?;
    let flags = [tool.flags, &options.flags].join(" ");
    writer.variable("flags", &Escaped::value(flags.trim().as_bytes())?)?;
    writer.blank();
    let program = tool.program;
    // What it says is kept, and shown if it fails.
    let command = format!(
        "$cpods {program} $flags $reads $in > $out.tmp || \
         {{ code=$$?; cat $out.tmp; rm -f $out $out.tmp; exit $$code; }} && mv -f $out.tmp $out"
    );
    let mut rule = vec![("command", Escaped::syntax(&command)?)];
    if tool.lists_reads {
        rule.push(("depfile", Escaped::syntax("$out.d")?));
        rule.push(("deps", Escaped::syntax("gcc")?));
    }
    let description = format!("{} $in", tool.name.to_uppercase());
    rule.push(("description", Escaped::syntax(&description)?));
    writer.rule(tool.name, &rule)?;
    writer.blank();

    let fits = |unit: &&Unit| {
        let extension = unit.source.extension().and_then(|it| it.to_str());
        extension.is_some_and(|it| tool.extensions.contains(&it))
    };
    let (ours, others): (Vec<&Unit>, Vec<&Unit>) = units.iter().partition(fits);
    let mut notes = Vec::new();
    if !others.is_empty() {
        let n = others.len();
        notes.push(format!(
            "{} does not read the languages of {n} of the sources",
            tool.name
        ));
    }
    let base = common(ours.iter().map(|unit| &*unit.source));
    let mut names = BTreeSet::new();
    let mut left_out = BTreeSet::new();
    for unit in &ours {
        let output = output(unit, &base, &options.dir, &mut names);
        let output = output.as_os_str().as_encoded_bytes();
        let (words, lost) = words(unit, tool, output);
        left_out.extend(lost);
        let source = unit.source.as_os_str().as_encoded_bytes();
        writer.build(&Build {
            outputs: &[output],
            rule: tool.name,
            inputs: &[source],
            variables: &[("reads", Escaped::value(&words)?)],
            ..Build::default()
        })?;
    }
    if !left_out.is_empty() {
        let all: Vec<_> = left_out.into_iter().collect();
        notes.push(format!("{} cannot be told of {}", tool.name, all.join(" ")));
    }
    Ok((writer.into_bytes(), notes))
}

/// The innermost folder of all.
fn common<'a>(mut all: impl Iterator<Item = &'a Path>) -> PathBuf {
    let mut base = all
        .next()
        .and_then(Path::parent)
        .unwrap_or(Path::new(""))
        .to_owned();
    for path in all {
        while !path.starts_with(&base) && base.pop() {}
    }
    base
}

/// A name that no other unit has.
fn output(unit: &Unit, base: &Path, dir: &Path, names: &mut BTreeSet<PathBuf>) -> PathBuf {
    let below = unit.source.strip_prefix(base).unwrap_or(&unit.source);
    let name = |ending: String| {
        let mut name = dir.join(below).into_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let mut path = name(".log".to_owned());
    let mut number = 2;
    while !names.insert(path.clone()) {
        path = name(format!(".{number}.log"));
        number += 1;
    }
    path
}

/// The words for the shell, and those that the tool cannot take.
fn words(unit: &Unit, tool: &Tool, output: &[u8]) -> (Vec<u8>, Vec<String>) {
    let spelled = |(kind, value): &(Kind, String)| {
        let spell = |it: &&(&str, Kind, Spelled)| it.1 == *kind && it.1 != Kind::Word;
        let flag = FLAGS.iter().find(spell);
        match flag {
            // The form that compilers have for all of them.
            Some((flag, _, _)) if flag.len() > 2 => vec![(*flag).to_owned(), value.clone()],
            Some((flag, _, _)) => vec![format!("{flag}{value}")],
            None => vec![value.clone()],
        }
    };
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut lost = Vec::new();
    for flag in &unit.flags {
        if tool.without.contains(&&*flag.1) {
            lost.push(flag.1.clone());
            continue;
        }
        let Form::Names(taken) = tool.form else {
            words.extend(spelled(flag).into_iter().map(String::into_bytes));
            continue;
        };
        let name = taken.iter().find(|(kind, _)| *kind == flag.0);
        let value = match flag.0 {
            Kind::Define => flag.1.strip_suffix("=1").unwrap_or(&flag.1),
            _ => &flag.1,
        };
        match name {
            Some((kind, name)) if *kind != Kind::Define || !value.contains('=') => {
                words.extend([name.as_bytes().to_vec(), value.as_bytes().to_vec()]);
            }
            _ => lost.push(spelled(flag).join(" ")),
        }
    }
    if tool.lists_reads {
        let depfile = [output, b".d"].concat();
        words.extend([b"-MD".to_vec(), b"-MF".to_vec(), depfile]);
        words.extend([b"-MQ".to_vec(), output.to_vec()]);
    }
    let line = |words: &[Vec<u8>]| {
        let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        words.join(&b" "[..])
    };
    let line = match tool.form {
        Form::OneWord(begin) => quoted(&[begin.as_bytes(), &line(&words)].concat()),
        _ => line(&words),
    };
    (line, lost)
}

#[cfg(test)]
#[path = "compdb_tests.rs"]
mod tests;
