//! Which programs of an edge's command a pod may run, and why others stay.
//!
//! Asks the tools' rules alone; the disk is not looked at, since a build's files come and go.

use super::ninja_eval::{Edge, EvalError, Manifest};
use super::ninja_value::{Place, Value, flat};
use super::shell::{self, Simple};
use crate::paths::normalise;
use crate::rules::{Command, FileKind, Look, RuleSet, parse};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What is to become of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A pod may run it.
    Pod,
    /// A tool's, but this command line always runs here.
    Here(String),
    /// No tool's, or none that may be called otherwise.
    Not(String),
}

/// A place where the wrapper could be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The place itself.
    pub(super) place: Place,
    /// The beginning of the piece of text that it is in.
    pub(super) piece: Place,
}

/// The beginning of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Places that it can be changed from, the outermost first.
    pub(super) candidates: Vec<Candidate>,
    pub(super) verdict: Verdict,
}

/// Shell builtins and the like that say nothing about what an edge does.
const FILLERS: [&[u8]; 5] = [b":", b"true", b"test", b"mkdir", b"rm"];

/// An edge's response file, which is not there yet.
struct Response {
    path: PathBuf,
    content: Vec<u8>,
}

impl Look for Response {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        (normalise(path) == self.path).then(|| self.content.clone())
    }

    fn kind(&self, path: &Path) -> FileKind {
        match normalise(path) == self.path {
            true => FileKind::Regular,
            false => FileKind::Missing,
        }
    }

    fn machine(&self, _: &Path) -> Option<String> {
        None
    }
}

/// Judges the programs of an edge's command; `dir` is the directory in which Ninja runs.
pub(super) fn judge(
    manifest: &Manifest,
    edge: &Edge,
    command: &Value,
    set: &RuleSet,
    dir: &Path,
) -> Result<Vec<Start>, EvalError> {
    let line = flat(command);
    let Some(found) = shell::commands(&line) else {
        let verdict = Verdict::Not("its shell syntax is not understood".into());
        let candidates = Vec::new();
        return Ok(vec![Start {
            candidates,
            verdict,
        }]);
    };
    let text = |name| manifest.of_edge(edge, name).map(|value| flat(&value));
    let path = text("rspfile")?;
    let response = Response {
        path: normalise(&dir.join(OsStr::from_bytes(&path))),
        content: text("rspfile_content")?,
    };
    let mut cwd = dir.to_owned();
    let mut starts = Vec::new();
    for simple in &found {
        if simple.words[0].text == b"cd" {
            if let Some(to) = simple.words.get(1).filter(|word| !word.expands) {
                cwd = cwd.join(OsStr::from_bytes(&to.text));
            }
            continue;
        }
        if FILLERS.contains(&&*simple.words[0].text) {
            continue;
        }
        starts.push(Start {
            candidates: candidates(command, simple.words[0].at),
            verdict: verdict(simple, set, &cwd, &response),
        });
    }
    Ok(starts)
}

fn verdict(simple: &Simple, set: &RuleSet, cwd: &Path, look: &dyn Look) -> Verdict {
    let program = &simple.words[0];
    let name = program.text.rsplit(|byte| *byte == b'/').next();
    let name = name.unwrap_or_default();
    let shown = String::from_utf8_lossy(name);
    if program.expands {
        return Verdict::Not("the shell decides which program it runs".into());
    }
    if set.rules().any(|rule| rule.is_masquerade(name)) {
        return Verdict::Not(format!("already run through `{shown}`"));
    }
    if set.rule_for(OsStr::from_bytes(&program.text)).is_none() {
        return Verdict::Not(format!("no rule for `{shown}`"));
    }
    if simple.has_input {
        return Verdict::Not("reads standard input".into());
    }
    // What the shell makes of such words is known only when it runs.
    if simple.words.iter().any(|word| word.expands) {
        return Verdict::Pod;
    }
    let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let argv: Vec<OsString> = simple.words.iter().map(|word| os(&word.text)).collect();
    let env = simple.env.iter();
    let env: Vec<_> = env.map(|(name, value)| (os(name), os(value))).collect();
    let command = Command {
        argv: &argv,
        cwd,
        env: &env,
    };
    match parse(set, &command, look) {
        Ok(_) => Verdict::Pod,
        Err(reason) => Verdict::Here(reason.why),
    }
}

/// The places of the byte at this offset of a value.
fn candidates(value: &Value, offset: usize) -> Vec<Candidate> {
    let mut begin = 0;
    for span in value.iter().filter(|span| !span.text.is_empty()) {
        let end = begin + span.text.len();
        if offset == begin {
            let same = |place: &Place| Candidate {
                place: *place,
                piece: *place,
            };
            return span.places.iter().map(same).collect();
        }
        if offset < end {
            let inside = |piece: &Place| {
                let at = piece.at + offset - begin;
                let file = piece.file;
                Candidate {
                    place: Place { file, at },
                    piece: *piece,
                }
            };
            return span.places.last().map(inside).into_iter().collect();
        }
        begin = end;
    }
    Vec::new()
}
