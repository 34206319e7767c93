//! Writes the graph of a document.
//!
//! Names in it are relative to the main document's folder, in which Ninja runs as ConTeXt does.

use super::commands::{self, Rule, variables};
use super::plan::{Edge, Plan};
use crate::r#gen::ninja_value::quoted;
use crate::r#gen::ninja_writer::{Build, Escaped, NinjaError, Writer};
use std::collections::BTreeSet;

/// How a graph may differ.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// The main document.
    pub(super) main: String,
    /// The file that is written.
    pub(super) output: String,
    /// Where cpods' own modules lie.
    pub(super) modules: String,
    /// Further flags of ConTeXt, in the shell's syntax.
    pub(super) flags: String,
    /// How many commands that stay on this machine may run at a time.
    pub(super) local_depth: u32,
    /// Programs of checks that are made only where they are asked for.
    pub(super) without: Vec<String>,
}

impl Options {
    /// The name of a file that belongs to the main document's run.
    pub(super) fn of_job(&self, suffix: &str) -> String {
        format!("{}.{suffix}", commands::job(&self.main))
    }

    /// Files that the document's run makes, whatever it declares.
    pub(super) fn own(&self) -> [String; 3] {
        ["pdf", "steps", "written"].map(|it| self.of_job(it))
    }

    /// The arguments of `cpods-gen context` that write this graph, for the shell.
    fn arguments(&self) -> Vec<u8> {
        let main = match self.main.starts_with('-') {
            true => format!("./{}", self.main),
            false => self.main.clone(),
        };
        let mut words = vec![main, "-o".to_owned(), self.output.clone()];
        let default = crate::r#gen::rules::Options::default().local_depth;
        if self.local_depth != default {
            words.push(format!("--local-depth={}", self.local_depth));
        }
        if self.modules != super::MODULES {
            words.push(format!("--modules={}", self.modules));
        }
        if !self.flags.is_empty() {
            words.push(format!("--flags={}", self.flags));
        }
        words.extend(self.without.iter().map(|it| format!("--without={it}")));
        let words: Vec<_> = words.iter().map(|it| quoted(it.as_bytes())).collect();
        words.join(&b' ')
    }

    /// The list of files that are written otherwise, for Ninja.
    pub(super) fn dyndep(&self) -> String {
        format!(".cpods/{}", self.of_job("dd"))
    }

    /// What has those files as its outputs.
    pub(super) fn made(&self) -> String {
        format!(".cpods/{}", self.of_job("made"))
    }
}

/// The whole file.
///
/// # Errors
/// If Ninja cannot hold a name.
pub(super) fn write(plan: &Plan<'_>, options: &Options) -> Result<Vec<u8>, NinjaError> {
    let mut graph = Graph {
        writer: Writer::new(),
        plan,
        options,
    };
    graph.head()?;
    graph.rules()?;
    graph.document()?;
    for edge in &plan.edges {
        graph.step(edge)?;
    }
    graph.targets()?;
    Ok(graph.writer.into_bytes())
}

struct Graph<'p> {
    writer: Writer,
    plan: &'p Plan<'p>,
    options: &'p Options,
}

impl Graph<'_> {
    fn head(&mut self) -> Result<(), NinjaError> {
        let writer = &mut self.writer;
        writer.comment(&format!(
            "The graph of {main}. Written by `cpods-gen context {main}`, which Ninja runs again when\n\
             the document changes; change that instead. Ninja runs in the document's folder.\n\n  \
             cpods          what commands are run through; empty: none runs on a pod\n  \
             context_flags  further flags of ConTeXt",
            main = self.options.main
        ));
        writer.blank();
        writer.variable("ninja_required_version", &Escaped::value(b"1.11")?)?;
        writer.variable("cpods", &Escaped::value(b"cpods-cc")?)?;
        let flags = self.options.flags.as_bytes();
        writer.variable("context_flags", &Escaped::value(flags)?)?;
        let modules = quoted(self.options.modules.as_bytes());
        writer.variable("modules", &Escaped::value(&modules)?)?;
        let arguments = [b"cpods-gen context ", &self.options.arguments()[..]].concat();
        writer.variable("generate", &Escaped::value(&arguments)?)
    }

    fn has_late(&self) -> bool {
        self.plan.edges.iter().any(|it| !it.found.is_empty())
    }

    fn rules(&mut self) -> Result<(), NinjaError> {
        let rules: BTreeSet<Rule> = self.plan.edges.iter().map(Rule::of).collect();
        self.writer.blank();
        if rules.iter().any(Rule::is_local) {
            let depth = self.options.local_depth.to_string();
            let depth = Escaped::value(depth.as_bytes())?;
            self.writer.comment("For what stays on this machine.");
            self.writer.pool("cpods_local", &depth)?;
            self.writer.blank();
        }
        let yes = Escaped::syntax("1")?;
        let generate = [
            ("command", Escaped::syntax("$generate")?),
            ("depfile", Escaped::syntax("$out.d")?),
            ("generator", yes.clone()),
            ("restat", yes.clone()),
            ("description", Escaped::syntax("GRAPH $out")?),
        ];
        self.writer.rule("generate", &generate)?;
        self.writer.blank();
        let document = commands::context("cpods-code", "$context_flags $in");
        let document = [
            ("command", Escaped::syntax(&document)?),
            ("depfile", Escaped::syntax("$dep")?),
            ("restat", yes.clone()),
            ("description", Escaped::syntax("CONTEXT $out")?),
        ];
        self.writer.rule("document", &document)?;
        if self.has_late() {
            self.writer.blank();
            for (name, flag) in [("late", "--dyndep"), ("made", "--made")] {
                let command = format!("$generate {flag} $out");
                let rule = [
                    ("command", Escaped::syntax(&command)?),
                    ("restat", yes.clone()),
                    ("description", Escaped::syntax("FILES $out")?),
                ];
                self.writer.rule(name, &rule)?;
            }
        }
        for rule in &rules {
            self.writer.blank();
            rule.write(&mut self.writer)?;
        }
        Ok(())
    }

    fn document(&mut self) -> Result<(), NinjaError> {
        let options = self.options;
        let [pdf, steps, written] = options.own();
        let code = self.plan.code.iter().map(|it| it.as_bytes());
        let implicit: Vec<_> = code.chain([steps.as_bytes(), written.as_bytes()]).collect();
        self.writer.blank();
        self.writer.build(&Build {
            outputs: &[pdf.as_bytes()],
            implicit_outputs: &implicit,
            rule: "document",
            inputs: &[options.main.as_bytes()],
            implicit: &bytes(&self.plan.shown),
            variables: &[("dep", Escaped::value(options.of_job("dep").as_bytes())?)],
            ..Build::default()
        })?;
        if self.has_late() {
            let (late, made) = (options.dyndep(), options.made());
            self.writer.build(&Build {
                outputs: &[late.as_bytes()],
                rule: "late",
                implicit: &[steps.as_bytes(), written.as_bytes()],
                ..Build::default()
            })?;
            self.writer.build(&Build {
                outputs: &[made.as_bytes()],
                rule: "made",
                implicit: &[written.as_bytes()],
                order_only: &[late.as_bytes()],
                variables: &[("dyndep", Escaped::value(late.as_bytes())?)],
                ..Build::default()
            })?;
        }
        // Where a step requires what nothing here makes, it depends on the run whether that is found.
        let implicit: &[&[u8]] = &[steps.as_bytes(), written.as_bytes()];
        let length = if self.plan.has_outside { 2 } else { 1 };
        self.writer.build(&Build {
            outputs: &[options.output.as_bytes()],
            rule: "generate",
            implicit: &implicit[..length],
            ..Build::default()
        })
    }

    fn step(&mut self, edge: &Edge<'_>) -> Result<(), NinjaError> {
        let rule = Rule::of(edge);
        let late = self.options.dyndep();
        let is_late = !edge.found.is_empty();
        let mut implicit: BTreeSet<&[u8]> = edge.implicit.iter().map(|it| it.as_bytes()).collect();
        let mut order_only = bytes(&edge.order_only);
        let mut inputs = bytes(&edge.inputs);
        if rule.is_late() {
            implicit.extend(inputs.drain(..));
            implicit.retain(|file| !edge.found.iter().any(|it| it.as_bytes() == *file));
        }
        let mut all = Vec::new();
        for (key, value) in variables(edge) {
            all.push((key, Escaped::value(&value)?));
        }
        if is_late {
            order_only.push(late.as_bytes());
            all.push(("dyndep", Escaped::value(late.as_bytes())?));
        }
        let outputs = bytes(&edge.outputs);
        self.writer.blank();
        self.writer.build(&Build {
            outputs: &outputs[..1],
            implicit_outputs: &outputs[1..],
            rule: &rule.name(),
            inputs: &inputs,
            implicit: &implicit.into_iter().collect::<Vec<_>>(),
            order_only: &order_only,
            validations: &bytes(&edge.validations),
            variables: &all,
        })
    }

    fn targets(&mut self) -> Result<(), NinjaError> {
        let plan = self.plan;
        let own = self.options.own();
        let mut files: BTreeSet<&str> = plan.code.iter().copied().collect();
        files.extend(own.iter().map(|it| &**it));
        for edge in &plan.edges {
            files.extend(edge.outputs.iter().map(|it| &**it));
            files.extend(edge.inputs.iter().chain(&edge.implicit).map(|it| &**it));
        }
        let is_attached = |edge: &&Edge<'_>| {
            super::plan::is_check(edge.step.action) && !plan.unattached.contains(edge.primary())
        };
        self.writer.blank();
        // Who asks for a step by name gets all of it; a file of that name is its own target.
        for edge in &plan.edges {
            let name = &*edge.step.name;
            if name == "all" || files.contains(&*super::find::tidy(name)) {
                continue;
            }
            self.writer.build(&Build {
                outputs: &[name.as_bytes()],
                rule: "phony",
                inputs: &bytes(&edge.outputs),
                ..Build::default()
            })?;
        }
        let made = plan.edges.iter().filter(|it| !is_attached(it));
        let made = made.filter(|it| !super::plan::is_check(it.step.action));
        let made = made.flat_map(|it| it.outputs.iter().map(|it| it.as_bytes()));
        let inputs: Vec<&[u8]> = [own[0].as_bytes()].into_iter().chain(made).collect();
        if files.contains("all") {
            let checks = plan.unattached.iter().map(|it| it.as_bytes());
            let all: Vec<_> = inputs.into_iter().chain(checks).collect();
            return self.writer.default_targets(&all);
        }
        self.writer.build(&Build {
            outputs: &[b"all"],
            rule: "phony",
            inputs: &inputs,
            validations: &bytes(&plan.unattached),
            ..Build::default()
        })?;
        self.writer.blank();
        self.writer.default_targets(&[b"all"])
    }
}

fn bytes<'a>(all: impl IntoIterator<Item = &'a String>) -> Vec<&'a [u8]> {
    all.into_iter().map(|it| it.as_bytes()).collect()
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
