//! Decides where in Ninja files the wrapper is put in, and which commands go into a local pool.
//!
//! Reads and writes no files. A place is changed only if at each use of it the wrapper would stand
//! before a tool's program: a variable that also goes elsewhere is left alone.

use super::judge::{Candidate, Start, Verdict, judge};
use super::ninja_eval::{Edge, EvalError, Manifest};
use super::ninja_value::{Place, flat};
use super::ninja_writer::Escaped;
use super::patch::Insertion;
use crate::rules::RuleSet;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The pool of what stays on this machine.
const POOL: &str = "cpods_local";

/// How files may be wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// So many commands of tools that stay on this machine, such as links, at a time.
    pub local_depth: u32,
    /// A command that wraps again, to be run when the build writes its own files anew.
    pub again: Option<String>,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrapping {
    /// For each file of the build, sorted.
    pub insertions: Vec<Vec<Insertion>>,
    /// Commands that go to pods, by rule.
    pub routed: BTreeMap<String, usize>,
    /// Commands that are in the pool.
    pub pooled: usize,
    /// Commands that stay, by reason and rule.
    pub staying: BTreeMap<String, BTreeMap<String, usize>>,
}

/// Decides; `dir` is where Ninja runs, and `may_change` says it of a file of the build.
///
/// # Errors
/// If a command cannot be made out.
pub fn wrap(
    manifest: &Manifest,
    set: &RuleSet,
    options: &Options,
    dir: &Path,
    may_change: &dyn Fn(usize) -> bool,
) -> Result<Wrapping, EvalError> {
    let mut uses = manifest.in_paths.clone();
    // How often a pod's program, and any tool's, begins at a place.
    let mut starting: BTreeMap<Place, (u32, u32)> = BTreeMap::new();
    let mut judged = Vec::with_capacity(manifest.edges.len());
    for edge in &manifest.edges {
        let command = manifest.of_edge(edge, "command")?;
        let mut values = vec![command.clone()];
        for name in ["description", "depfile", "rspfile", "rspfile_content"] {
            values.push(manifest.of_edge(edge, name)?);
        }
        for place in values.iter().flatten().flat_map(|span| &span.places) {
            *uses.entry(*place).or_default() += 1;
        }
        let starts = judge(manifest, edge, &command, set, dir)?;
        for start in &starts {
            for candidate in &start.candidates {
                let (pods, tools) = starting.entry(candidate.place).or_default();
                *pods += u32::from(start.verdict == Verdict::Pod);
                *tools += u32::from(!matches!(start.verdict, Verdict::Not(_)));
            }
        }
        judged.push(starts);
    }
    let chosen = |start: &Start| {
        let free = start.candidates.iter();
        let free = free.filter(|it| may_change(it.place.file));
        let all = |it: &&Candidate| (starting[&it.place], uses[&it.piece]);
        // Where nothing that stays would be changed too, if there is such a place.
        let best = free
            .clone()
            .find(|it| matches!(all(it), ((pods, _), n) if pods == n));
        let any = || {
            free.clone()
                .find(|it| matches!(all(it), ((_, tools), n) if tools == n))
        };
        best.or_else(any).map(|it| it.place)
    };
    let mut work = Work {
        manifest,
        options,
        may_change,
        insertions: BTreeMap::new(),
        done: Wrapping::default(),
    };
    let pod = |start: &&Start| start.verdict == Verdict::Pod;
    let changed: BTreeSet<Place> = judged
        .iter()
        .flatten()
        .filter(pod)
        .filter_map(&chosen)
        .collect();
    let mut local = Vec::new();
    for (edge, starts) in manifest.edges.iter().zip(&judged) {
        let is_changed = |start: &Start| {
            start
                .candidates
                .iter()
                .any(|it| changed.contains(&it.place))
        };
        if work.is_generator(edge)? {
            work.stays(edge, "writes the build's own files");
        } else if starts.iter().any(|start| is_changed(start) && pod(&start)) {
            let name = &manifest.rules[edge.rule].name;
            *work.done.routed.entry(name.clone()).or_default() += 1;
        } else if let Some(start) = starts.first() {
            let covered = starts
                .iter()
                .find(|it| matches!(it.verdict, Verdict::Here(_)));
            match &covered.unwrap_or(start).verdict {
                Verdict::Here(why) | Verdict::Not(why) => work.stays(edge, why),
                Verdict::Pod => work.stays(edge, "what names its program is used for more"),
            }
            if covered.is_some_and(|start| !is_changed(start)) {
                local.push(edge);
            }
        }
    }
    for place in &changed {
        work.insert(*place, b"cpods-cc ");
    }
    work.pool(&local)?;
    Ok(work.finish())
}

struct Work<'a> {
    manifest: &'a Manifest,
    options: &'a Options,
    may_change: &'a dyn Fn(usize) -> bool,
    insertions: BTreeMap<Place, Vec<u8>>,
    done: Wrapping,
}

impl<'a> Work<'a> {
    fn insert(&mut self, place: Place, text: &[u8]) {
        self.insertions.entry(place).or_default().extend(text);
    }

    fn stays(&mut self, edge: &Edge, why: &str) {
        let name = self.manifest.rules[edge.rule].name.clone();
        let rules = self.done.staying.entry(why.to_owned()).or_default();
        *rules.entry(name).or_default() += 1;
    }

    /// Whether it writes the main file itself; then it is made to wrap it again, if wanted.
    fn is_generator(&mut self, edge: &Edge) -> Result<bool, EvalError> {
        let manifest = self.manifest;
        if manifest.of_edge(edge, "generator")?.is_empty() {
            return Ok(false);
        }
        let end = manifest.command_end(edge);
        if let (Some(again), Some(end)) = (&self.options.again, end) {
            let fits = (self.may_change)(end.file) && manifest.writes_main(edge);
            if let Ok(again) = Escaped::value(format!(" && {again}").as_bytes())
                && fits
            {
                // A value's leading space needs its escape only at the value's beginning.
                let text = again.as_bytes();
                let text = text.strip_prefix(b"$").unwrap_or(text).to_vec();
                self.insertions.insert(end, text);
            }
        }
        Ok(true)
    }

    /// Puts edges into the pool that are in none: whole rules where all edges are, so that few
    /// lines change.
    fn pool(&mut self, local: &[&'a Edge]) -> Result<(), EvalError> {
        let manifest = self.manifest;
        let mut free = Vec::new();
        for edge in local {
            if flat(&manifest.of_edge(edge, "pool")?).is_empty() {
                free.push(*edge);
            }
        }
        let by_rule = |edges: &mut dyn Iterator<Item = &'a Edge>| {
            let mut counts: BTreeMap<Place, usize> = BTreeMap::new();
            for edge in edges {
                *counts.entry(manifest.rules[edge.rule].below).or_default() += 1;
            }
            counts
        };
        let all = by_rule(&mut manifest.edges.iter());
        let ours = by_rule(&mut free.iter().copied());
        let mut places = BTreeSet::new();
        for edge in free {
            let rule = manifest.rules[edge.rule].below;
            if all.get(&rule) == ours.get(&rule) && (self.may_change)(rule.file) {
                places.insert(rule);
            } else if manifest.may_add_to(edge) && (self.may_change)(edge.below.file) {
                places.insert(edge.below);
            } else {
                continue;
            }
            self.done.pooled += 1;
        }
        for place in &places {
            self.insert(*place, format!("  pool = {POOL}\n").as_bytes());
        }
        self.declare(&places);
        Ok(())
    }

    /// Declares the pool in the file that uses it, if there is only one: a generator that writes
    /// only some of its files anew must not leave a pool behind that nobody declares.
    fn declare(&mut self, places: &BTreeSet<Place>) {
        let manifest = self.manifest;
        let files: BTreeSet<usize> = places.iter().map(|place| place.file).collect();
        let once = |file: &usize| manifest.includes.iter().filter(|it| it.1 == *file).count() < 2;
        let file = match files.first() {
            None => return,
            Some(file) if files.len() == 1 && once(file) => *file,
            Some(_) => 0,
        };
        if manifest.pools.iter().any(|pool| pool == POOL) {
            return;
        }
        let depth = self.options.local_depth;
        let first = manifest.files[file].statements.first();
        let at = first.map_or(0, |statement| statement.start);
        let text = format!("pool {POOL}\n  depth = {depth}\n");
        self.insert(Place { file, at }, text.as_bytes());
    }

    fn finish(mut self) -> Wrapping {
        self.done.insertions = vec![Vec::new(); self.manifest.files.len()];
        for (place, text) in self.insertions {
            self.done.insertions[place.file].push((place.at, text));
        }
        self.done
    }
}

#[cfg(test)]
#[path = "wrap_tests.rs"]
mod tests;
