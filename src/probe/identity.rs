//! One digest out of all that identifies a tool.

use super::digests::Digests;
use super::elf::Needs;
use super::evidence::{Evidence, Named};
use super::tree::Forest;
use crate::job::Digest;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

/// Changes when the same evidence shall give another identity.
const FORM: &[u8] = b"cpods tool 1";
const BARE_FORM: &[u8] = b"cpods bare tool 1";

/// A file or directory that could not be digested, and why.
pub(super) type Unreadable = (PathBuf, io::Error);

/// One thing that tells tools apart, in words, and what it is here.
pub type Part = (String, Digest);

/// Where contents come from while an identity is made.
pub(super) struct Sources<'a, 'd> {
    pub(super) digests: &'a Digests,
    pub(super) forest: &'a mut Forest<'d>,
    /// What each program needs.
    pub(super) needs: &'a HashMap<PathBuf, Needs>,
}

/// Fields, each told apart from the next by its length.
struct Fields(blake3::Hasher);

impl Fields {
    fn add(&mut self, field: &[u8]) {
        self.0.update(&(field.len() as u64).to_le_bytes());
        self.0.update(field);
    }

    /// The beginning of a list, so that two lists that follow each other stay apart.
    fn list(&mut self, name: &str, length: usize) {
        self.add(name.as_bytes());
        self.add(&(length as u64).to_le_bytes());
    }

    fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    fn content(&mut self, digest: Option<Digest>) {
        self.add(digest.as_ref().map_or(b"", |digest| &digest.0));
    }
}

/// The identity of a tool of rule `tool`, on machine `machine` where that matters.
pub(super) fn identify(
    tool: &str,
    machine: Option<&str>,
    evidence: &Evidence,
    sources: &mut Sources<'_, '_>,
) -> Result<Digest, Unreadable> {
    let named = evidence.searched.iter().chain(&evidence.files);
    digest_all(FORM, (tool, machine), evidence, named, sources)
}

/// The same without the directories that it searches, neither their names nor what is in them:
/// which of those that it asks for are there is no matter of the tool itself.
pub(super) fn identify_bare(
    tool: &str,
    machine: Option<&str>,
    evidence: &Evidence,
    sources: &mut Sources<'_, '_>,
) -> Result<Digest, Unreadable> {
    let named = evidence.files.iter();
    digest_all(BARE_FORM, (tool, machine), evidence, named, sources)
}

fn digest_all<'e>(
    form: &[u8],
    (tool, machine): (&str, Option<&str>),
    evidence: &Evidence,
    named: impl Iterator<Item = &'e Named> + Clone,
    sources: &mut Sources<'_, '_>,
) -> Result<Digest, Unreadable> {
    let mut fields = Fields(blake3::Hasher::new());
    fields.add(form);
    fields.add(tool.as_bytes());
    fields.add(machine.unwrap_or_default().as_bytes());
    fields.list("texts", evidence.texts.len());
    for text in &evidence.texts {
        fields.add(text);
    }
    fields.list("programs", evidence.programs.len());
    for named in &evidence.programs {
        add_program(&mut fields, named, evidence.libraries, sources)?;
    }
    // What a link in one of these leads to is digested once, however many links lead there.
    fields.list("files", named.clone().count());
    let mut todo = VecDeque::new();
    for (name, found) in named {
        fields.add(name.as_bytes());
        fields.add(&[u8::from(found.is_some())]);
        todo.extend(found.clone());
    }
    add_reachable(&mut fields, todo, sources)?;
    Ok(fields.digest())
}

/// What an identity was made of, for people who ask in what two of them differ. What links in the
/// directories lead to is no part of these.
pub(super) fn parts(
    machine: Option<&str>,
    evidence: &Evidence,
    sources: &mut Sources<'_, '_>,
) -> Result<Vec<Part>, Unreadable> {
    let mut parts = Vec::new();
    let mut said = Fields(blake3::Hasher::new());
    said.add(machine.unwrap_or_default().as_bytes());
    evidence.texts.iter().for_each(|text| said.add(text));
    parts.push(("what it says of itself".to_owned(), said.digest()));
    for (name, found) in &evidence.programs {
        let name = match name.as_str() {
            "" => "the program itself".to_owned(),
            name => format!("`{name}`"),
        };
        let named = (String::new(), found.clone());
        let mut alone = Fields(blake3::Hasher::new());
        add_program(&mut alone, &named, false, sources)?;
        parts.push((name.clone(), alone.digest()));
        if evidence.libraries {
            parts.push((format!("libraries of {name}"), loaded(found, sources)?));
        }
    }
    let headers = evidence.searched.iter().map(|named| ("headers in ", named));
    let files = evidence.files.iter().map(|named| ("", named));
    for (kind, (name, found)) in headers.chain(files) {
        let mut fields = Fields(blake3::Hasher::new());
        add_reachable(&mut fields, found.iter().cloned().collect(), sources)?;
        let part = (format!("{kind}`{name}`"), fields.digest());
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// What a program loads, without itself.
fn loaded(program: &Option<PathBuf>, sources: &Sources<'_, '_>) -> Result<Digest, Unreadable> {
    let mut fields = Fields(blake3::Hasher::new());
    let needs = program.as_ref().and_then(|it| sources.needs.get(it));
    for file in needs.iter().flat_map(|needs| &needs.files) {
        let digest = sources.digests.digest(file);
        fields.content(Some(digest.map_err(|error| (file.clone(), error))?));
    }
    for name in needs.iter().flat_map(|needs| &needs.missing) {
        fields.add(name.as_bytes());
    }
    Ok(fields.digest())
}

/// A program, and with `libraries` all that it loads. These count in the order in which they are loaded.
fn add_program(
    fields: &mut Fields,
    (name, found): &Named,
    libraries: bool,
    sources: &Sources<'_, '_>,
) -> Result<(), Unreadable> {
    let digest = |path: &Path| {
        let digest = sources.digests.digest(path);
        digest.map(Some).map_err(|error| (path.into(), error))
    };
    fields.add(name.as_bytes());
    let Some(program) = found else {
        fields.content(None);
        return Ok(());
    };
    fields.content(digest(program)?);
    let Some(needs) = sources.needs.get(program).filter(|_| libraries) else {
        return Ok(());
    };
    fields.list("needs", needs.files.len());
    for file in &needs.files {
        fields.content(digest(file)?);
    }
    fields.list("missing", needs.missing.len());
    for name in &needs.missing {
        fields.add(name.as_bytes());
    }
    Ok(())
}

/// Everything that a look-up which begins at these files and directories can end at.
fn add_reachable(
    fields: &mut Fields,
    mut todo: VecDeque<PathBuf>,
    sources: &mut Sources<'_, '_>,
) -> Result<(), Unreadable> {
    let mut seen: Vec<PathBuf> = Vec::new();
    while let Some(path) = todo.pop_front() {
        if let Some(before) = seen.iter().position(|seen| path.starts_with(seen)) {
            // Said by its place, so that the order of two directories counts.
            fields.list("again", before);
            continue;
        }
        if path.is_dir() {
            let summary = sources.forest.summary(&path);
            let summary = summary.map_err(|error| (path.clone(), error))?;
            fields.add(b"directory");
            fields.content(Some(summary.digest));
            todo.extend(summary.leads.iter().cloned());
        } else if path.is_file() {
            fields.add(b"file");
            // One that cannot be read cannot be read by the tool either.
            fields.content(sources.forest.file(&path));
        } else {
            // A device or a socket has no content of its own.
            fields.add(b"other");
        }
        seen.push(path);
    }
    Ok(())
}
