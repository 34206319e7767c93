//! Asks many tools at once, and no question twice.
//!
//! A machine has each compiler under several names. Every name introduces itself; the rest is asked
//! once for all names of one program that say the same.

use super::ProbeError;
use super::elf;
use super::evidence::{self, Answer, Asking, Evidence, Introduction, Question};
use super::parallel;
use super::path::own_first;
use crate::rules::Rule;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One tool to be probed.
#[derive(Debug)]
pub(super) struct Ask<'r> {
    pub(super) rule: &'r Rule,
    /// Its name.
    pub(super) program: String,
    /// Where it was found.
    pub(super) found: PathBuf,
    /// Its path, which may be where that leads; empty for what executables in roots find.
    pub(super) path: PathBuf,
}

impl Ask<'_> {
    fn is_machine(&self) -> bool {
        self.rule.covers_roots && self.path.as_os_str().is_empty()
    }
}

/// A program that introduced itself.
#[derive(PartialEq, Eq)]
struct Met {
    tool: String,
    /// Where its path leads; empty for a machine.
    resolved: PathBuf,
    introduction: Introduction,
}

/// Asks all: the resolved program, and what is known of it, in the order of `asks`.
pub(super) fn gather_all(
    asks: &[Ask<'_>],
    asking: Asking<'_>,
) -> Vec<Result<(PathBuf, Evidence), ProbeError>> {
    let met = parallel::map(asks, 1, |ask| meet(ask, asking));
    // The first name of the same tool speaks for all.
    let speaker = |index: usize| {
        let same = |other: &usize| matches!((&met[*other], &met[index]), (Ok(one), Ok(other)) if one == other);
        (0..index).find(same).unwrap_or(index)
    };
    let speakers: Vec<usize> = (0..asks.len()).map(speaker).collect();
    let questions: Vec<(usize, Question<'_>)> = (0..asks.len())
        .filter(|index| speakers[*index] == *index && met[*index].is_ok())
        .flat_map(|index| {
            let questions = evidence::questions(&asks[index].rule.probe);
            questions.map(move |question| (index, question))
        })
        .collect();
    let answers = parallel::map(&questions, 1, |(index, question)| {
        let Ask { rule, path, .. } = &asks[*index];
        // As its jobs will have it.
        let own = own_first(path, asking.path);
        let asking = Asking {
            path: &own,
            ..asking
        };
        evidence::answer(*question, &rule.probe, path, asking)
    });
    let mut spoken: BTreeMap<usize, Result<Vec<Answer>, ProbeError>> = BTreeMap::new();
    for ((index, _), answer) in questions.iter().zip(answers) {
        let so_far = spoken.entry(*index).or_insert_with(|| Ok(Vec::new()));
        match (so_far.as_mut(), answer) {
            (Ok(answers), Ok(answer)) => answers.push(answer),
            (Ok(_), Err(error)) => *so_far = Err(error),
            (Err(_), _) => {}
        }
    }
    let tools = asks.iter().zip(met).zip(speakers);
    tools
        .map(|((ask, met), speaker)| {
            let Met {
                resolved,
                introduction,
                ..
            } = met?;
            // A rule without questions has no entry.
            let answers = spoken
                .get(&speaker)
                .cloned()
                .unwrap_or_else(|| Ok(Vec::new()))?;
            let mut evidence =
                evidence::assemble(&ask.rule.probe, &resolved, introduction, answers);
            if ask.is_machine() {
                evidence.programs = elf::base_libraries(asking.path, asking.limit);
            }
            Ok((resolved, evidence))
        })
        .collect()
}

fn meet(ask: &Ask<'_>, asking: Asking<'_>) -> Result<Met, ProbeError> {
    let tool = ask.rule.tool.to_string();
    if ask.is_machine() {
        let introduction = Introduction {
            version: ask.program.clone(),
            texts: vec![ask.program.clone().into_bytes()],
        };
        let resolved = PathBuf::new();
        return Ok(Met {
            tool,
            resolved,
            introduction,
        });
    }
    let resolved = ask.path.canonicalize().ok();
    let resolved = resolved.filter(|path| Path::is_file(path));
    let resolved = resolved.ok_or_else(|| ProbeError::Absent(ask.path.clone()))?;
    let own = own_first(&ask.path, asking.path);
    let asking = Asking {
        path: &own,
        ..asking
    };
    let introduction = evidence::introduce(&ask.rule.probe, &ask.path, asking)?;
    Ok(Met {
        tool,
        resolved,
        introduction,
    })
}
