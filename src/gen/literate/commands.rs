//! What the steps of a document run: one Ninja rule for each action.
//!
//! `$tool`, `$flags` and the like are variables of each edge. A file whose name Ninja does not know
//! before the document has run cannot be in `$in`: for edges that read such files there is a second
//! rule, with the names in `$files`.

use super::plan::Edge;
use super::planner::is_joylol;
use super::steps::Action;
use crate::r#gen::ninja_value::quoted;
use crate::r#gen::ninja_writer::{Escaped, NinjaError, Writer};

/// As in ConTeXt's own rule: without them it exits 0 where a file is missing.
const ERRORS: &str = "--errors='missing files,missing modules,missing figures'";

/// A rule of the graph.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    name: &'static str,
    /// Whether its inputs stand in `$files`.
    is_late: bool,
}

impl Rule {
    /// The rule of an edge.
    pub(super) fn of(edge: &Edge<'_>) -> Self {
        let name = match edge.step.action {
            Action::Compile => "compile",
            Action::Archive => "archive",
            Action::Link => "link",
            Action::Prove | Action::Analyse if edge.inputs.len() == 1 => "check_c",
            Action::Prove | Action::Analyse | Action::Verify => "check",
            Action::Solve => "solve",
            Action::Run if is_joylol(edge.step) => "run_to",
            Action::Run => "run",
            Action::Typeset => "typeset",
        };
        let is_late = edge.inputs.iter().any(|file| edge.found.contains(file));
        Self { name, is_late }
    }

    /// Its name in Ninja.
    pub(super) fn name(&self) -> String {
        let ending = if self.is_late { "_late" } else { "" };
        format!("{}{ending}", self.name)
    }

    /// Whether its inputs stand in `$files`.
    pub(super) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Whether it stays on this machine.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.name, "archive" | "link")
    }

    /// Writes the rule.
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), NinjaError> {
        let files = if self.is_late { "$files" } else { "$in" };
        let (command, shown, more): (_, _, &[(&'static str, &str)]) = match self.name {
            "compile" => (
                format!("$cpods $tool $flags -MD -MF $out.d -c {files} -o $out"),
                "COMPILE",
                &[("depfile", "$out.d"), ("deps", "gcc")],
            ),
            "archive" => (
                format!("rm -f $out && $cpods $tool rcs $flags $out {files}"),
                "ARCHIVE",
                &[("pool", "cpods_local")],
            ),
            "link" => (
                format!("$cpods $tool -o $out {files} $flags"),
                "LINK",
                &[("pool", "cpods_local")],
            ),
            "check_c" => (
                kept(&format!(
                    "CPODS_STRICT=1 $cpods $tool $reads $check $flags {files}"
                )),
                "CHECK",
                &[("depfile", "$out.d"), ("deps", "gcc")],
            ),
            "check" => (
                kept(&format!(
                    "{{ cpods-gen reads $reads $out {files} && \
                     CPODS_STRICT=1 $cpods $tool $check $flags {files}; }}"
                )),
                "CHECK",
                &[("depfile", "$out.d"), ("deps", "gcc")],
            ),
            "solve" => (kept(&format!("$cpods $tool $flags {files}")), "SOLVE", &[]),
            "run_to" => (format!("$cpods $tool $flags {files} -o $out"), "RUN", &[]),
            "run" => (kept(&format!("$cpods $tool $flags {files}")), "RUN", &[]),
            _ => (
                context("cpods-deps", &format!("$flags {files}")),
                "CONTEXT",
                &[("depfile", "$dep")],
            ),
        };
        let mut all = vec![("command", Escaped::syntax(&command)?)];
        for (key, value) in more {
            all.push((*key, Escaped::syntax(value)?));
        }
        all.push(("description", Escaped::syntax(&format!("{shown} $out"))?));
        writer.rule(&self.name(), &all)
    }
}

/// Typesets; `$modules` is where cpods' own modules lie. What ConTeXt says is shown if it fails, or
/// makes no PDF; it stands in its log besides.
pub(super) fn context(module: &str, rest: &str) -> String {
    let run =
        format!("$cpods context --batchmode {ERRORS} --path=$modules --usemodule={module} {rest}");
    format!(
        "rm -f $out && {{ {run} && test -f $out; }} > $out.tmp || {{ {SHOW} }} && rm -f $out.tmp"
    )
}

/// What was kept is shown.
const SHOW: &str = "code=$$?; cat $out.tmp; rm -f $out.tmp $out; exit $$code;";

/// The primary output gets what the command says; if it fails, that is shown.
fn kept(command: &str) -> String {
    format!("{command} > $out.tmp || {{ {SHOW} }} && mv -f $out.tmp $out")
}

/// The variables of an edge, in the shell's syntax.
pub(super) fn variables(edge: &Edge<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let step = edge.step;
    let mut all = Vec::new();
    if step.action != Action::Typeset {
        all.push(("tool", tool(edge)));
    }
    let check = match step.action {
        // Debian has no other prover; who names one means it.
        Action::Prove if !step.flags.contains("-wp-prover") => Some("-wp -wp-prover z3"),
        Action::Prove => Some("-wp"),
        Action::Analyse => Some("-eva"),
        Action::Verify if edge.inputs.len() == 1 => Some("-c"),
        _ => None,
    };
    if let Some(check) = check {
        all.push(("check", check.into()));
    }
    if matches!(Rule::of(edge).name, "check" | "check_c") {
        let reads = match Rule::of(edge).name {
            "check_c" => reads(edge.primary()),
            _ => folders(&step.flags),
        };
        all.push(("reads", reads));
    }
    let mut flags = step.flags.clone().into_bytes();
    if step.action == Action::Typeset {
        flags = typeset_flags(edge);
        all.push(("dep", format!("{}.dep", job(&edge.inputs[0])).into()));
    }
    all.push(("flags", flags));
    if Rule::of(edge).is_late() {
        let files: Vec<_> = edge.inputs.iter().map(|it| quoted(it.as_bytes())).collect();
        all.push(("files", files.join(&b' ')));
    }
    all.retain(|(_, value)| !value.is_empty());
    all
}

/// What ConTeXt calls the run of a document.
pub(super) fn job(document: &str) -> &str {
    let name = document.rsplit('/').next().unwrap_or(document);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

fn typeset_flags(edge: &Edge<'_>) -> Vec<u8> {
    let mut words = Vec::new();
    if !edge.step.flags.is_empty() {
        words.push(edge.step.flags.clone().into_bytes());
    }
    let result = edge.primary();
    if result != format!("{}.pdf", job(&edge.inputs[0])) {
        words.push(quoted(format!("--result={result}").as_bytes()));
    }
    words.join(&b' ')
}

/// What runs, quoted; a program in the working directory by its path.
fn tool(edge: &Edge<'_>) -> Vec<u8> {
    let step = edge.step;
    let mut words = match &step.tool {
        // They were split before.
        Some(tool) => shell_words::split(tool).unwrap_or_default(),
        None => vec![default_tool(edge).to_owned()],
    };
    if let (Some(program), Some(first)) = (&edge.program, words.first_mut()) {
        *first = match program.contains('/') {
            true => program.clone(),
            false => format!("./{program}"),
        };
    }
    let words: Vec<_> = words.iter().map(|it| quoted(it.as_bytes())).collect();
    words.join(&b' ')
}

/// The name of the program that a step runs.
pub(super) fn program(edge: &Edge<'_>) -> String {
    let words = shell_words::split(edge.step.tool.as_deref().unwrap_or_default());
    let first = words.ok().and_then(|words| words.into_iter().next());
    first.unwrap_or_else(|| default_tool(edge).to_owned())
}

fn default_tool(edge: &Edge<'_>) -> &'static str {
    match edge.step.action {
        Action::Compile => {
            let is_cpp = |it: &&str| edge.inputs.iter().any(|file| file.ends_with(*it));
            match [".cpp", ".cc", ".cxx", ".C"].iter().find(|it| is_cpp(it)) {
                Some(_) => "g++",
                None => "gcc",
            }
        }
        Action::Link => "gcc",
        Action::Archive => "ar",
        Action::Prove | Action::Analyse => "frama-c",
        Action::Verify => "verifast",
        Action::Solve => "z3",
        // It is the program that is required.
        Action::Run | Action::Typeset => "",
    }
}

/// Has Frama-C's preprocessor list what it reads: words of a shell within a word of the shell.
fn reads(output: &str) -> Vec<u8> {
    let depfile = quoted(format!("{output}.d").as_bytes());
    let target = quoted(output.as_bytes());
    let flags = [&b"-MD -MF "[..], &depfile, b" -MQ ", &target].concat();
    quoted(&[b"-cpp-extra-args=", &flags[..]].concat())
}

/// Where others' headers lie, for `cpods-gen reads`.
fn folders(flags: &str) -> Vec<u8> {
    let folders = super::includes::folders(flags).into_iter();
    let words: Vec<_> = folders
        .map(|it| quoted(format!("-I{it}").as_bytes()))
        .collect();
    words.join(&b' ')
}
