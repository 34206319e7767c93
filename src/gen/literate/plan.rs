//! From what a document declares to the edges of a graph: what each reads, and who makes it.
//!
//! Reads no file; what there is on the disk comes as [`Known`]. Knows no Ninja syntax.

use super::circle::circle;
use super::steps::{Action, Item, Kind, Lists, Step};
use std::collections::{BTreeMap, BTreeSet};

/// What there is.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Files that steps require and that are there.
    pub(super) there: BTreeSet<String>,
    /// Files that the document wrote, by whatever means, when it ran; none if it never has.
    pub(super) written: Option<BTreeSet<String>>,
    /// Files that the document reads.
    pub(super) reads: BTreeSet<String>,
}

/// An edge for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edge<'a> {
    pub(super) step: &'a Step,
    /// The program, without which the tool is not run: a file that the build has made or that lies
    /// in the document's folder.
    pub(super) program: Option<String>,
    /// The primary one first.
    pub(super) outputs: Vec<String>,
    /// On the command line, in order.
    pub(super) inputs: Vec<String>,
    pub(super) implicit: BTreeSet<String>,
    pub(super) order_only: BTreeSet<String>,
    /// Those of all inputs that only a run of the document makes: Ninja is told of them later.
    pub(super) found: BTreeSet<String>,
    /// What is checked of the sources besides.
    pub(super) validations: BTreeSet<String>,
}

impl Edge<'_> {
    pub(super) fn primary(&self) -> &str {
        &self.outputs[0]
    }

    /// Whether the tool itself lists the headers that it reads.
    pub(super) fn lists_reads(&self) -> bool {
        match self.step.action {
            Action::Compile => true,
            // There is one list for each source, and Ninja reads one.
            Action::Prove | Action::Analyse => self.inputs.len() == 1,
            _ => false,
        }
    }
}

/// The graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    /// Extracted files.
    pub(super) code: Vec<&'a str>,
    /// Outputs of steps that the document reads.
    pub(super) shown: Vec<String>,
    /// In the document's order.
    pub(super) edges: Vec<Edge<'a>>,
    /// Outputs of checks that are the validations of no edge.
    pub(super) unattached: BTreeSet<String>,
    /// Whether a step requires what nothing here makes.
    pub(super) has_outside: bool,
}

/// Whether a step checks and makes nothing that others need.
pub(super) fn is_check(action: Action) -> bool {
    matches!(action, Action::Prove | Action::Analyse | Action::Verify)
}

/// Plans the graph of a document whose own outputs are `own`.
///
/// # Errors
/// What is wrong with the lists, for people, each with its place.
pub(super) fn plan<'a>(
    lists: &'a Lists,
    own: &[String],
    known: &Known,
) -> Result<Plan<'a>, Vec<String>> {
    let mut planner = Planner::new(lists, own, known);
    planner.names();
    let mut edges: Vec<Edge<'a>> = lists.steps.iter().map(|it| planner.edge(it)).collect();
    planner.makers(&edges);
    for edge in &mut edges {
        planner.look_up(edge);
    }
    let shown = planner.shown();
    planner.circles(&edges, &shown);
    if !planner.problems.is_empty() {
        return Err(planner.problems);
    }
    let unattached = attach(&mut edges);
    let has_outside = planner.has_outside;
    Ok(Plan {
        code: lists.code.iter().map(|it| &*it.file).collect(),
        shown,
        edges,
        unattached,
        has_outside,
    })
}

/// Who makes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    Document,
    Step(usize),
}

struct Planner<'a, 'k> {
    lists: &'a Lists,
    known: &'k Known,
    makers: BTreeMap<String, Maker>,
    headers: Vec<&'a str>,
    has_outside: bool,
    problems: Vec<String>,
}

impl<'a, 'k> Planner<'a, 'k> {
    fn new(lists: &'a Lists, own: &[String], known: &'k Known) -> Self {
        let files = lists.code.iter().map(|it| &it.file).chain(own);
        let is_header = |it: &&str| {
            [".h", ".gh", ".hpp", ".hh"]
                .iter()
                .any(|end| it.ends_with(end))
        };
        Self {
            lists,
            known,
            makers: files.map(|it| (it.clone(), Maker::Document)).collect(),
            headers: lists
                .code
                .iter()
                .map(|it| &*it.file)
                .filter(is_header)
                .collect(),
            has_outside: false,
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, step: &Step, what: &str) {
        let Step { name, from, .. } = step;
        self.problems.push(format!("{from}: step `{name}` {what}"));
    }

    fn names(&mut self) {
        let mut names = BTreeMap::new();
        for step in &self.lists.steps {
            if let Some(first) = names.insert(&step.name, &step.from) {
                self.problem(step, &format!("has the name of one in {first}"));
            }
            if step.name.is_empty() {
                self.problem(step, "has no name");
            }
        }
    }

    fn edge(&mut self, step: &'a Step) -> Edge<'a> {
        let mut outputs: Vec<String> = step.creates.iter().map(|it| it.file.clone()).collect();
        let ending = match step.action {
            Action::Prove => Some("proved"),
            Action::Analyse => Some("analysed"),
            Action::Verify => Some("verified"),
            _ => None,
        };
        if outputs.is_empty() {
            match ending {
                Some(ending) => outputs.push(format!("{}.{ending}", step.name)),
                None => {
                    self.problem(step, "creates nothing");
                    outputs.push(step.name.clone());
                }
            }
        }
        let mut edge = Edge {
            step,
            program: None,
            outputs,
            inputs: Vec::new(),
            implicit: BTreeSet::new(),
            order_only: BTreeSet::new(),
            found: BTreeSet::new(),
            validations: BTreeSet::new(),
        };
        self.requires(&mut edge);
        self.words(step);
        edge
    }

    /// Sorts what a step requires into what stands on the command line, and what does not.
    fn requires(&mut self, edge: &mut Edge<'a>) {
        let step = edge.step;
        let is_own_tool = step.action == Action::Run && step.tool.is_none();
        for Item { kind, file } in &step.requires {
            if is_own_tool && edge.program.is_none() && *kind == Kind::Program {
                edge.program = Some(file.clone());
            } else if is_on_line(step, *kind) {
                edge.inputs.push(file.clone());
            } else if *kind != Kind::Header {
                edge.implicit.insert(file.clone());
            }
        }
        if step.action == Action::Typeset {
            let rest = edge.inputs.split_off(edge.inputs.len().min(1));
            edge.implicit.extend(rest);
        }
        if is_own_tool && edge.program.is_none() {
            self.problem(step, "requires no program, and uses no tool");
        }
        let sources = edge.inputs.len();
        match step.action {
            Action::Run => {}
            _ if sources == 0 => self.problem(step, "requires nothing that it can read"),
            Action::Compile if sources > 1 => {
                self.problem(
                    step,
                    "requires more than one source; each has a step of its own",
                );
            }
            Action::Typeset if edge.primary().contains('/') => {
                self.problem(
                    step,
                    "creates a document in another folder, which ConTeXt does not",
                );
            }
            _ => {}
        }
        let headers = step.requires.iter().filter(|it| it.kind == Kind::Header);
        let headers = headers.map(|it| it.file.clone());
        if edge.lists_reads() {
            edge.order_only.extend(headers);
        } else {
            edge.implicit.extend(headers);
            // Nobody says which of them it includes.
            if is_check(step.action) {
                edge.implicit
                    .extend(self.headers.iter().map(ToString::to_string));
            }
        }
        if let Some(program) = &edge.program {
            edge.implicit.insert(program.clone());
        }
    }

    fn words(&mut self, step: &Step) {
        for text in [Some(&step.flags), step.tool.as_ref()]
            .into_iter()
            .flatten()
        {
            if shell_words::split(text).is_err() {
                self.problem(
                    step,
                    &format!("says `{text}`, which is no line of the shell"),
                );
            }
        }
    }

    fn makers(&mut self, edges: &[Edge<'a>]) {
        for (number, edge) in edges.iter().enumerate() {
            for file in &edge.outputs {
                let before = self.makers.insert(file.clone(), Maker::Step(number));
                let by = match before {
                    None => continue,
                    Some(Maker::Document) => "the document itself".to_owned(),
                    Some(Maker::Step(other)) if other == number => "itself".to_owned(),
                    Some(Maker::Step(other)) => format!("step `{}`", edges[other].step.name),
                };
                let what = format!("creates `{file}`, as does {by}");
                self.problem(edge.step, &what);
            }
        }
    }

    /// Finds who makes what an edge reads.
    fn look_up(&mut self, edge: &mut Edge<'a>) {
        if let Some(tool) = &edge.step.tool
            && let Ok(words) = shell_words::split(tool)
            && let Some(first) = words.first()
        {
            let name = super::find::tidy(first);
            if self.makers.contains_key(&name) || first.contains('/') && !first.starts_with('/') {
                edge.implicit.insert(name.clone());
                edge.program = Some(name);
            }
        }
        let all = edge
            .inputs
            .iter()
            .chain(&edge.implicit)
            .chain(&edge.order_only);
        let all: BTreeSet<String> = all.cloned().collect();
        for file in all {
            if self.makers.contains_key(&file) {
                continue;
            }
            self.has_outside = true;
            let is_there = self.known.there.contains(&file);
            let is_written = self.known.written.as_ref().map(|it| it.contains(&file));
            match (is_written, is_there) {
                (Some(true), _) | (None, false) => {
                    edge.implicit.remove(&file);
                    edge.order_only.remove(&file);
                    edge.found.insert(file);
                }
                (_, true) => {}
                (Some(false), false) => {
                    let what =
                        format!("requires `{file}`, which is not there, and nothing makes it");
                    self.problem(edge.step, &what);
                }
            }
        }
    }

    /// Outputs of steps that the document reads.
    fn shown(&self) -> Vec<String> {
        let is_of_step = |it: &&String| matches!(self.makers.get(*it), Some(Maker::Step(_)));
        self.known
            .reads
            .iter()
            .filter(is_of_step)
            .cloned()
            .collect()
    }

    /// Steps that wait for themselves.
    fn circles(&mut self, edges: &[Edge<'a>], shown: &[String]) {
        // What is waited for, with the document after all the steps.
        let document = edges.len();
        let number = |file: &String| match self.makers.get(file) {
            Some(Maker::Document) => Some(document),
            Some(Maker::Step(number)) => Some(*number),
            None => None,
        };
        let mut needs: Vec<BTreeSet<usize>> = Vec::new();
        for edge in edges {
            let all = edge
                .inputs
                .iter()
                .chain(&edge.implicit)
                .chain(&edge.order_only);
            let all = all.filter_map(number);
            let late = (!edge.found.is_empty()).then_some(document);
            needs.push(all.chain(late).collect());
        }
        needs.push(shown.iter().filter_map(number).collect());
        let name = |it: usize| edges.get(it).map(|it| format!("step `{}`", it.step.name));
        let names: Vec<_> = (0..=document)
            .map(|it| name(it).unwrap_or_else(|| "the document".to_owned()))
            .collect();
        if let Some(circle) = circle(&needs) {
            let all: Vec<_> = circle.iter().map(|it| &*names[*it]).collect();
            let mut text = format!("each of these waits for the next: {}", all.join(", "));
            if circle.contains(&document) {
                text.push_str("; what a document shows of its own code's results belongs into another document");
            }
            self.problems.push(text);
        }
    }
}

fn is_on_line(step: &Step, kind: Kind) -> bool {
    match step.action {
        Action::Compile | Action::Prove | Action::Analyse | Action::Verify => kind == Kind::Source,
        Action::Archive => kind == Kind::Object,
        Action::Link => matches!(kind, Kind::Object | Kind::Library | Kind::Source),
        Action::Solve => matches!(kind, Kind::Problem | Kind::Script),
        Action::Typeset => matches!(kind, Kind::Document | Kind::Source),
        Action::Run if is_joylol(step) => matches!(kind, Kind::Script | Kind::Source),
        Action::Run if step.tool.is_some() => !matches!(kind, Kind::Header | Kind::Program),
        Action::Run => kind != Kind::Header,
    }
}

/// Whether a step runs joyLoL, which names its output itself.
pub(super) fn is_joylol(step: &Step) -> bool {
    let words = step.tool.as_deref().map(shell_words::split);
    let first = words
        .and_then(Result::ok)
        .and_then(|it| it.into_iter().next());
    let name = first.as_deref().and_then(|it| it.rsplit('/').next());
    step.action == Action::Run && name == Some("joylol")
}

/// Gives each compile the checks of its source; returns the others' outputs.
fn attach(edges: &mut [Edge<'_>]) -> BTreeSet<String> {
    let checks = edges.iter().filter(|it| is_check(it.step.action));
    let checks: Vec<(String, Vec<String>)> = checks
        .map(|it| (it.primary().to_owned(), it.inputs.clone()))
        .collect();
    let mut unattached = BTreeSet::new();
    for (report, sources) in checks {
        let mut is_attached = false;
        let compiles = edges
            .iter_mut()
            .filter(|it| it.step.action == Action::Compile);
        for edge in compiles.filter(|it| it.inputs.iter().any(|file| sources.contains(file))) {
            edge.validations.insert(report.clone());
            is_attached = true;
        }
        if !is_attached {
            unattached.insert(report);
        }
    }
    unattached
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
