//! From what was gathered of a tool to what is offered of it.

use super::closure::Closure;
use super::elf::{self, Needs};
use super::evidence::{Asking, Evidence};
use super::gather::Ask;
use super::headers::Headers;
use super::identity::{self, Part, Sources};
use super::parallel;
use super::prober::ProbeError;
use crate::wire::messages::OfferedTool;
use std::collections::{BTreeSet, HashMap};
use std::env::consts::ARCH;
use std::path::PathBuf;
use std::sync::Arc;

/// A tool that was probed.
#[derive(Clone, Debug)]
pub struct Found {
    /// As a pod offers it.
    pub offered: OfferedTool,
    /// What it was told apart by, if that was asked for.
    pub parts: Vec<Part>,
    /// Directories and files of the system's that its identity covers, by their real names.
    pub covered: Vec<PathBuf>,
    /// What it finds in the directories that it searches.
    pub headers: Headers,
    /// Its own files, where all are known.
    pub closure: Option<Closure>,
}

/// What each program in the evidence loads, where that counts.
pub(super) fn all_needs(found: &[&Evidence], asking: Asking<'_>) -> HashMap<PathBuf, Needs> {
    let programs: BTreeSet<PathBuf> = found
        .iter()
        .filter(|evidence| evidence.libraries)
        .flat_map(|evidence| &evidence.programs)
        .filter_map(|(_, path)| path.clone())
        .collect();
    let programs: Vec<PathBuf> = programs.into_iter().collect();
    let needs = parallel::map(&programs, 1, |program| {
        elf::needs(program, asking.path, asking.limit)
    });
    programs.into_iter().zip(needs).collect()
}

/// A tool, with what it was told apart by if `in_parts`.
pub(super) fn offer(
    ask: &Ask<'_>,
    evidence: &Evidence,
    sources: &mut Sources<'_, '_>,
    in_parts: bool,
) -> Result<Found, ProbeError> {
    let unreadable = |(path, error)| {
        let source = Arc::new(error);
        ProbeError::Read { path, source }
    };
    let machine = ask.rule.probe.machine.then_some(ARCH);
    let identity =
        identity::identify(&ask.rule.tool, machine, evidence, sources).map_err(unreadable)?;
    let searches = !ask.rule.probe.search.is_empty();
    let bare = match searches {
        true => {
            let bare = identity::identify_bare(&ask.rule.tool, machine, evidence, sources);
            Some(bare.map_err(unreadable)?)
        }
        false => None,
    };
    let headers = Headers::of(evidence, sources).map_err(unreadable)?;
    let parts = match in_parts {
        true => identity::parts(machine, evidence, sources).map_err(unreadable)?,
        false => Vec::new(),
    };
    let offered = OfferedTool {
        tool: ask.rule.tool.to_string(),
        program: ask.program.clone(),
        path: ask.path.as_path().into(),
        identity,
        version: evidence.version.clone(),
        bare,
        searched: headers
            .searched
            .iter()
            .map(|it| it.as_path().into())
            .collect(),
    };
    let named = evidence.searched.iter().chain(&evidence.files);
    let covered = named.filter_map(|(_, path)| path.as_ref()?.canonicalize().ok());
    Ok(Found {
        offered,
        parts,
        covered: covered.collect(),
        headers,
        closure: Closure::of(&ask.path, evidence, sources.needs),
    })
}

/// The tools' own programs and what they load.
pub(super) fn program_files<'e>(
    found: &[&'e Evidence],
    needs: &'e HashMap<PathBuf, Needs>,
) -> Vec<&'e PathBuf> {
    let mut files = BTreeSet::new();
    for evidence in found {
        for program in evidence
            .programs
            .iter()
            .filter_map(|(_, path)| path.as_ref())
        {
            let loaded = needs.get(program).filter(|_| evidence.libraries);
            files.insert(program);
            files.extend(loaded.into_iter().flat_map(|needs| &needs.files));
        }
    }
    files.into_iter().collect()
}
