//! Reads a document's text, and that of the files it names, without running it.
//!
//! Sees what is written, not what macros and Lua code make: the lists that ConTeXt writes are exact,
//! this one is what there is before the first run. Knows no Ninja.

use super::declared::Declared;
use super::find::{Folders, Wanted, candidates, tidy};
use super::steps::Lists;
use super::tex::{Command, Reader, Verbatim};
use std::collections::{BTreeMap, BTreeSet};

/// The files that a scan reads: a folder, or a table in a test.
pub(super) trait Files {
    /// The text of a file; none if there is no such file.
    fn read(&self, name: &str) -> Option<String>;
    /// Whether there is such a file.
    fn exists(&self, name: &str) -> bool;
}

/// A file that the document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sought {
    /// Why.
    pub(super) wanted: Wanted,
    /// Its name, as it stands there.
    pub(super) name: String,
    /// Where: `FILE:LINE`.
    pub(super) at: String,
    /// The names under which it may be found, the first one first.
    pub(super) candidates: Vec<String>,
    /// The one that there is.
    pub(super) found: Option<String>,
}

/// What a scan finds.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    /// What is declared.
    pub(super) lists: Lists,
    /// Files that hold commands and were read.
    pub(super) sources: BTreeSet<String>,
    /// Files that are named, in the document's order.
    pub(super) sought: Vec<Sought>,
    /// What is wrong, with its place.
    pub(super) problems: Vec<String>,
}

/// What ConTeXt takes a file for; it decides what the file may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Text,
    Project,
    Environment,
    Product,
    Component,
}

impl Level {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "project" => Self::Project,
            "environment" => Self::Environment,
            "product" => Self::Product,
            "component" => Self::Component,
            _ => return None,
        })
    }

    /// How often a file of that level is read from this one (`file-job.lua`, `processors`).
    fn reads(self, other: Self) -> Often {
        match (self, other) {
            (_, Self::Environment) => Often::Once,
            (Self::Project | Self::Environment, _) => Often::Never,
            (_, Self::Project) => Often::Once,
            (Self::Component, Self::Product) => Often::Never,
            _ => Often::Always,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Often {
    Never,
    Once,
    Always,
}

/// Deeper than any document; one that reads itself goes deeper.
const DEEPEST: usize = 64;

struct Scanner<'f> {
    files: &'f dyn Files,
    scan: Scan,
    declared: Declared,
    verbatim: Verbatim,
    folders: Folders,
    labels: BTreeMap<String, String>,
    once: BTreeSet<String>,
    depth: usize,
    has_ended: bool,
}

/// Reads a document; `job` is what ConTeXt calls it.
pub(super) fn scan(files: &dyn Files, main: &str, job: &str) -> Scan {
    let mut scanner = Scanner {
        files,
        scan: Scan::default(),
        declared: Declared::new(job),
        verbatim: Verbatim::default(),
        folders: Folders::default(),
        labels: BTreeMap::new(),
        once: BTreeSet::new(),
        depth: 0,
        has_ended: false,
    };
    if !files.exists(main) {
        scanner.scan.problems.push(format!("cannot find `{main}`"));
    }
    scanner.file(main, Level::Text);
    let mut scan = scanner.scan;
    scan.lists = scanner.declared.lists;
    scan.problems.extend(scanner.declared.problems);
    scan
}

impl Scanner<'_> {
    fn file(&mut self, name: &str, level: Level) {
        if self.depth == DEEPEST {
            let problem = format!("{name}: is read from within itself");
            if !self.scan.problems.contains(&problem) {
                self.scan.problems.push(problem);
            }
            return;
        }
        let Some(text) = self.files.read(name) else {
            return;
        };
        self.scan.sources.insert(name.to_owned());
        self.depth += 1;
        let mut reader = Reader::new(&text);
        let mut level = level;
        while let Some(command) = reader.command(&self.verbatim) {
            if self.ends(command.name) {
                break;
            }
            self.command(command, &mut reader, name, &mut level);
            if self.has_ended {
                break;
            }
        }
        self.depth -= 1;
    }

    /// Whether the rest of a file is not read.
    fn ends(&mut self, command: &str) -> bool {
        self.has_ended |= command == "stoptext" && self.depth == 1;
        matches!(
            command,
            "stoptext"
                | "stopproject"
                | "stopproduct"
                | "stopcomponent"
                | "stopenvironment"
                | "stopmodule"
                | "endinput"
        )
    }

    fn command(
        &mut self,
        command: Command<'_>,
        reader: &mut Reader<'_>,
        file: &str,
        level: &mut Level,
    ) {
        let at = format!("{file}:{}", command.line);
        if let Some(of) = command.name.strip_prefix("start") {
            if let Some(of) = Level::of(of) {
                *level = of;
            } else {
                self.declared
                    .start(of, reader, file, command.line, &self.verbatim);
            }
            return;
        }
        match command.name {
            "project" | "product" | "component" | "environment" => {
                let Some((of, name)) = Level::of(command.name).zip(reader.name()) else {
                    return;
                };
                let often = level.reads(of);
                if often == Often::Never {
                    return;
                }
                let is_new = self.once.insert(name.to_owned());
                if is_new || often == Often::Always {
                    self.read(Wanted::Structure, name, at, *level);
                }
            }
            "input" | "ReadFile" | "readfile" | "readjobfile" | "readlocfile" | "readsysfile" => {
                if let Some(name) = reader.name() {
                    self.read(Wanted::Text, name, at, *level);
                }
            }
            "usemodule" | "usemodules" => {
                let first = reader.brackets();
                let names = reader.brackets().or(first).unwrap_or_default();
                for name in names.split(',') {
                    self.read(Wanted::Module, name, at.clone(), Level::Text);
                }
            }
            "registerctxluafile" | "ctxloadluafile" => {
                if let Some(name) = reader.name() {
                    self.read(Wanted::Lua, name, at, *level);
                }
            }
            _ => self.shows(command.name, reader, at),
        }
    }

    /// Figures and text as it is, and where they lie.
    fn shows(&mut self, command: &str, reader: &mut Reader<'_>, at: String) {
        match command {
            "externalfigure" => {
                if let Some(name) = reader.brackets() {
                    let name = self.labels.get(name).cloned().unwrap_or(name.to_owned());
                    self.read(Wanted::Figure, &name, at, Level::Text);
                }
            }
            "useexternalfigure" => {
                if let (Some(label), Some(name)) = (reader.brackets(), reader.brackets()) {
                    self.labels.insert(label.to_owned(), name.to_owned());
                }
            }
            "typefile" => {
                while reader.brackets().is_some() {}
                if let Some(name) = reader.braces() {
                    self.read(Wanted::Verbatim, name, at, Level::Text);
                }
            }
            "setupexternalfigures" => {
                let settings = reader.brackets().unwrap_or_default();
                self.folders.figures.extend(list(settings, "directory"));
            }
            "usepath" => {
                let folders = reader.brackets().unwrap_or_default();
                let folders = folders.split(',').map(|it| it.trim().to_owned());
                self.folders.extra.extend(folders);
            }
            "definetyping" => {
                if let Some(name) = reader.brackets() {
                    self.verbatim.add(name);
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, wanted: Wanted, name: &str, at: String, level: Level) {
        let name = name.trim();
        // Not known before the macro is.
        if name.is_empty() || name.contains(['\\', '#', '\n']) || name.contains("://") {
            return;
        }
        let candidates = candidates(wanted, name, &self.folders);
        let found = candidates.iter().find(|it| self.files.exists(it)).cloned();
        self.scan.sought.push(Sought {
            wanted,
            name: name.to_owned(),
            at,
            candidates,
            found: found.clone(),
        });
        let Some(found) = found else { return };
        // A module is loaded once, and so is an environment.
        let is_known = self.scan.sources.contains(&found);
        if wanted.is_tex() && !(is_known && wanted == Wanted::Module) {
            self.file(&found, level);
        }
    }
}

/// The values of one key: `key=a`, `key={a,b}`.
fn list(settings: &str, key: &str) -> Vec<String> {
    let Some(at) = settings.find(key) else {
        return Vec::new();
    };
    let rest = settings[at + key.len()..].trim_start();
    let Some(value) = rest.strip_prefix('=') else {
        return Vec::new();
    };
    let value = value.trim_start();
    let value = match value.strip_prefix('{') {
        Some(value) => value.split('}').next(),
        None => value.split(',').next(),
    };
    let values = value.unwrap_or_default().split(',');
    let values = values.map(str::trim).filter(|it| !it.is_empty());
    values.map(tidy).collect()
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
