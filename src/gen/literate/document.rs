//! A document on the disk: its text, and what ConTeXt listed when it ran.

use super::find::Wanted;
use super::graph::Options;
use super::plan::{Known, Plan, plan};
use super::planner::is_document;
use super::scan::{Files, Scan, Sought, scan};
use super::steps::{self, Action, Lists};
use super::{commands, depfile};
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// What a run of the document left, if nothing has changed since.
#[derive(Clone, Debug)]
struct Exact {
    lists: Lists,
    reads: BTreeSet<String>,
    written: BTreeSet<String>,
}

/// A document.
#[derive(Clone, Debug)]
pub(super) struct Document {
    scan: Scan,
    /// Its own, and those of the documents that its steps typeset.
    sources: BTreeSet<String>,
    exact: Option<Exact>,
    known: Known,
}

struct Folder<'a>(&'a Path);

impl Files for Folder<'_> {
    fn read(&self, name: &str) -> Option<String> {
        let bytes = fs::read(self.0.join(name)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn exists(&self, name: &str) -> bool {
        self.0.join(name).is_file()
    }
}

impl Document {
    /// Reads it.
    ///
    /// # Errors
    /// If a list of ConTeXt's is none.
    pub(super) fn read(folder: &Path, options: &Options) -> anyhow::Result<Self> {
        let files = Folder(folder);
        let scan = scan(&files, &options.main, commands::job(&options.main));
        let exact = exact(folder, options)?;
        let lists = exact.as_ref().map_or(&scan.lists, |it| &it.lists);
        let made: BTreeSet<&str> = lists
            .steps
            .iter()
            .flat_map(|it| it.creates.iter().map(|it| &*it.file))
            .collect();
        let required = lists.steps.iter().flat_map(|it| &it.requires);
        let there = required.filter(|it| files.exists(&it.file));
        let there = there.map(|it| it.file.clone()).collect();
        let reads = match &exact {
            Some(exact) => exact.reads.clone(),
            None => scan
                .sought
                .iter()
                .filter_map(|it| name(it, &made))
                .collect(),
        };
        let others = lists.steps.iter().filter(|it| it.action == Action::Typeset);
        let others = others.filter_map(|it| it.requires.iter().find(|it| is_document(it)));
        let others: BTreeMap<&String, Scan> = others
            .map(|it| {
                (
                    &it.file,
                    super::scan::scan(&files, &it.file, commands::job(&it.file)),
                )
            })
            .collect();
        let shown = |scan: &Scan| {
            let names = scan.sought.iter().filter_map(|it| name(it, &made));
            names.filter(|it| made.contains(&**it)).collect()
        };
        let shown = others
            .iter()
            .map(|(file, scan)| ((*file).clone(), shown(scan)));
        let known = Known {
            shown: shown.collect(),
            there,
            written: exact.as_ref().map(|it| it.written.clone()),
            reads,
        };
        let more = others.values().flat_map(|it| it.sources.iter().cloned());
        let sources = scan.sources.iter().cloned().chain(more);
        // The graph would wait for itself.
        let is_code = |name: &str| lists.code.iter().any(|it| it.file == name);
        let sources = sources.filter(|it| !made.contains(&**it) && !is_code(it));
        let sources = sources.collect();
        Ok(Self {
            scan,
            sources,
            exact,
            known,
        })
    }

    fn lists(&self) -> &Lists {
        self.exact.as_ref().map_or(&self.scan.lists, |it| &it.lists)
    }

    /// The graph, or all that is wrong.
    pub(super) fn plan(&self, options: &Options) -> Result<Plan<'_>, Vec<String>> {
        let mut problems = Vec::new();
        // A run without errors has the last word.
        if self.exact.is_none() {
            problems.extend(self.scan.problems.iter().cloned());
        }
        match plan(self.lists(), &options.own(), &self.known) {
            Ok(plan) if problems.is_empty() => Ok(plan),
            Ok(_) => Err(problems),
            Err(more) => Err([problems, more].concat()),
        }
    }

    /// Files that were not found: the document may do without them, they may lie in ConTeXt's own
    /// trees, or stand in a mode that is off, which the text alone does not tell.
    pub(super) fn notes(&self) -> Vec<String> {
        if self.exact.is_some() {
            return Vec::new();
        }
        // Most modules are ConTeXt's, or installed.
        let may_be_missed = [
            Wanted::Structure,
            Wanted::Text,
            Wanted::Figure,
            Wanted::Verbatim,
        ];
        let missing = self.missing();
        let missing = missing.filter(|it| may_be_missed.contains(&it.wanted));
        missing.map(said).collect()
    }

    fn missing(&self) -> impl Iterator<Item = &Sought> {
        let lists = self.lists();
        let made = lists
            .steps
            .iter()
            .flat_map(|it| &it.creates)
            .map(|it| &it.file);
        let made: BTreeSet<&String> = made.chain(lists.code.iter().map(|it| &it.file)).collect();
        let is_made = move |it: &&Sought| it.candidates.iter().any(|it| made.contains(it));
        let sought = self.scan.sought.iter();
        sought.filter(move |it| it.found.is_none() && !is_made(it))
    }

    /// What the graph is written from.
    pub(super) fn sources(&self) -> &BTreeSet<String> {
        &self.sources
    }

    /// What the document's run wrote, if that is known.
    pub(super) fn written(&self) -> Option<&BTreeSet<String>> {
        self.known.written.as_ref()
    }
}

fn said(sought: &Sought) -> String {
    let what = match sought.wanted {
        Wanted::Figure => "figure ",
        _ => "",
    };
    format!("{}: cannot find {what}`{}`", sought.at, sought.name)
}

/// The file that is meant: one that a step makes is, whether it is there already or not.
fn name(sought: &Sought, made: &BTreeSet<&str>) -> Option<String> {
    let is_made = |it: &&String| made.contains(&***it);
    let made = sought.candidates.iter().find(is_made);
    made.or(sought.found.as_ref()).cloned()
}

fn exact(folder: &Path, options: &Options) -> anyhow::Result<Option<Exact>> {
    let at = |suffix| folder.join(options.of_job(suffix));
    let (Ok(json), Ok(dep)) = (fs::read(at("steps")), fs::read(at("dep"))) else {
        return Ok(None);
    };
    let reads = depfile::read(&String::from_utf8_lossy(&dep));
    // The lists are only written when they change, the document after every good run.
    let written = [at("steps"), at("dep"), at("pdf")].map(|it| time(&it));
    let Some(written) = written.into_iter().flatten().max() else {
        return Ok(None);
    };
    // What the text names besides, ConTeXt has not read.
    if reads
        .iter()
        .any(|it| time(&folder.join(it)).is_none_or(|it| it > written))
    {
        return Ok(None);
    }
    let lists = steps::read(&json);
    let lists = lists.with_context(|| format!("cannot use `{}`", options.of_job("steps")))?;
    let written = fs::read_to_string(at("written")).unwrap_or_default();
    let written = written.lines().map(ToOwned::to_owned).collect();
    Ok(Some(Exact {
        lists,
        reads,
        written,
    }))
}

fn time(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|it| it.modified()).ok()
}
