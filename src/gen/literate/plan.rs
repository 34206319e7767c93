//! From what a document declares to the edges of a graph: what each reads, and who makes it.
//!
//! Reads no file; what there is on the disk comes as [`Known`]. Knows no Ninja syntax.

use super::planner::Planner;
use super::steps::{Action, Lists, Step};
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
    /// Outputs of steps that another document reads, by its name.
    pub(super) shown: BTreeMap<String, BTreeSet<String>>,
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

    /// Whether the headers that are read get listed.
    pub(super) fn lists_reads(&self) -> bool {
        is_check(self.step.action) || self.step.action == Action::Compile
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

impl Plan<'_> {
    /// Has checks made only where they are asked for by name; returns their steps' names.
    pub(super) fn leave_out(&mut self, is_out: impl Fn(&Edge<'_>) -> bool) -> Vec<String> {
        let out: Vec<_> = self
            .edges
            .iter()
            .filter(|it| is_check(it.step.action) && is_out(it))
            .map(|it| (it.step.name.clone(), it.outputs.clone()))
            .collect();
        for report in out.iter().flat_map(|(_, outputs)| outputs) {
            self.unattached.remove(report);
            for edge in &mut self.edges {
                edge.validations.remove(report);
            }
        }
        out.into_iter().map(|(name, _)| name).collect()
    }
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
    let has_outside = planner.has_outside();
    planner.done()?;
    let unattached = attach(&mut edges);
    Ok(Plan {
        code: lists.code.iter().map(|it| &*it.file).collect(),
        shown,
        edges,
        unattached,
        has_outside,
    })
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
pub(super) mod tests;
