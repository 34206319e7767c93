//! Files that the document writes by other means than its code environments: Lua, buffers.
//!
//! Their names are known when it has run. Steps that require such files name a dyndep file (Ninja
//! manual, "Dynamic Dependencies"), from which Ninja learns that they are made, and by what.

use super::graph::Options;
use super::plan::Plan;
use crate::r#gen::ninja_writer::{Build, Escaped, Writer};
use anyhow::bail;
use std::collections::BTreeSet;

/// Those of the files that the document wrote which nothing else in the graph makes.
pub(super) fn outputs<'w>(
    plan: &Plan<'_>,
    options: &Options,
    written: &'w BTreeSet<String>,
) -> Vec<&'w str> {
    let own = options.own();
    let mut others: BTreeSet<&str> = plan.code.iter().copied().collect();
    others.extend(own.iter().map(|it| &**it));
    others.extend(
        plan.edges
            .iter()
            .flat_map(|it| it.outputs.iter().map(|it| &**it)),
    );
    let written = written.iter().map(|it| &**it);
    written.filter(|it| !others.contains(it)).collect()
}

/// The dyndep file.
///
/// # Errors
/// If Ninja cannot hold a name.
pub(super) fn dyndep(
    plan: &Plan<'_>,
    options: &Options,
    written: &BTreeSet<String>,
) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer::new();
    writer.variable("ninja_dyndep_version", &Escaped::value(b"1")?)?;
    let made = options.made();
    let outputs = outputs(plan, options, written);
    let edges = plan.edges.iter().filter(|it| !it.found.is_empty());
    let found = edges
        .clone()
        .flat_map(|it| it.found.iter().chain([&it.outputs[0]]));
    // In other files of Ninja it stands in a variable.
    if let Some(name) = found
        .map(|it| &**it)
        .chain(outputs.iter().copied())
        .find(|it| it.contains('|'))
    {
        bail!("a dyndep file cannot hold the `|` in `{name}`");
    }
    let outputs: Vec<_> = outputs.iter().map(|it| it.as_bytes()).collect();
    writer.build(&Build {
        outputs: &[made.as_bytes()],
        implicit_outputs: &outputs,
        rule: "dyndep",
        // One that is written as it was leaves alone what reads it.
        variables: &[("restat", Escaped::value(b"1")?)],
        ..Build::default()
    })?;
    for edge in edges {
        let found: Vec<_> = edge.found.iter().map(|it| it.as_bytes()).collect();
        writer.build(&Build {
            outputs: &[edge.primary().as_bytes()],
            rule: "dyndep",
            implicit: &found,
            ..Build::default()
        })?;
    }
    Ok(writer.into_bytes())
}
