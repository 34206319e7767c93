//! Makes the edges of a plan, and finds what is wrong with them.

use super::circle::circle;
use super::plan::{Edge, Known};
use super::steps::{Action, Item, Kind, Lists, Step};
use std::collections::{BTreeMap, BTreeSet};

/// Who makes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    Document,
    Step(usize),
}

/// What is known while edges are made.
pub(super) struct Planner<'a, 'k> {
    lists: &'a Lists,
    known: &'k Known,
    makers: BTreeMap<String, Maker>,
    has_outside: bool,
    problems: Vec<String>,
}

impl<'a, 'k> Planner<'a, 'k> {
    pub(super) fn new(lists: &'a Lists, own: &[String], known: &'k Known) -> Self {
        let files = lists.code.iter().map(|it| &it.file).chain(own);
        Self {
            lists,
            known,
            makers: files.map(|it| (it.clone(), Maker::Document)).collect(),
            has_outside: false,
            problems: Vec::new(),
        }
    }

    /// Whether a step requires what nothing here makes.
    pub(super) fn has_outside(&self) -> bool {
        self.has_outside
    }

    /// All that is wrong, if anything is.
    pub(super) fn done(self) -> Result<(), Vec<String>> {
        match self.problems.is_empty() {
            true => Ok(()),
            false => Err(self.problems),
        }
    }

    fn problem(&mut self, step: &Step, what: &str) {
        let Step { name, from, .. } = step;
        self.problems.push(format!("{from}: step `{name}` {what}"));
    }

    /// Names are told apart.
    pub(super) fn names(&mut self) {
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

    /// A step as an edge, as far as it is known without the others.
    pub(super) fn edge(&mut self, step: &'a Step) -> Edge<'a> {
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
            let shown = edge.inputs.first().and_then(|it| self.known.shown.get(it));
            edge.implicit.extend(shown.into_iter().flatten().cloned());
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

    /// Who makes what.
    pub(super) fn makers(&mut self, edges: &[Edge<'a>]) {
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
    pub(super) fn look_up(&mut self, edge: &mut Edge<'a>) {
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
    pub(super) fn shown(&self) -> Vec<String> {
        let is_of_step = |it: &&String| matches!(self.makers.get(*it), Some(Maker::Step(_)));
        self.known
            .reads
            .iter()
            .filter(is_of_step)
            .cloned()
            .collect()
    }

    /// Steps that wait for themselves.
    pub(super) fn circles(&mut self, edges: &[Edge<'a>], shown: &[String]) {
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

/// Whether it may be what a step typesets.
pub(super) fn is_document(item: &Item) -> bool {
    matches!(item.kind, Kind::Document | Kind::Source)
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
