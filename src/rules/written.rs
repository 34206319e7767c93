//! What a command line writes: the end of stage 1, when all words were looked at.

use super::ask::{Command, FileKind, Look};
use super::classify::parse_all;
use super::rule::Text;
use super::scan::{Scan, Source, join, kind};
use super::set::{RuleSet, basename};
use crate::job::Role;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The primary outputs of a command line, whether or not a pod may run it; absolute paths.
pub fn outputs_of(rules: &RuleSet, command: &Command<'_>, look: &dyn Look) -> Vec<PathBuf> {
    let Ok(parsed) = parse_all(rules, command, look) else {
        return Vec::new();
    };
    let scan = &parsed.scan;
    let unnamed = scan.unnamed.iter();
    let unnamed = unnamed.filter(|(_, role)| *role == Role::Output);
    let all = scan.output.iter().chain(unnamed.map(|(path, _)| path));
    all.map(|path| join(command.cwd, path)).collect()
}

/// The first file that a command line names to be worked on, as it spells it.
pub fn first_input_of(rules: &RuleSet, command: &Command<'_>, look: &dyn Look) -> Option<OsString> {
    let parsed = parse_all(rules, command, look).ok()?;
    let scan = &parsed.scan;
    let mark = scan.marks.iter().find(|mark| mark.role == Role::Input)?;
    let word = scan.words.words.get(mark.word)?.get(mark.bytes.clone())?;
    Some(OsStr::from_bytes(word).to_owned())
}

impl Scan<'_> {
    /// After the last word: the mode, and the outputs that no word names.
    pub(super) fn conclude(&mut self) {
        let rule = self.rule;
        let mode = rule.modes.get(self.mode);
        if let Some(why) = mode.and_then(|mode| mode.local.as_deref()) {
            self.stays_local(why, b"");
        }
        // Where there are no languages, any input will do (`-file:a.smt2`).
        let any = self.marks.iter().any(|mark| mark.role == Role::Input);
        let has_source = !self.sources.is_empty() || any && rule.languages.is_empty();
        if rule.operands.required && !has_source {
            self.stays_local("no source file", b"");
        }
        let by_depfile = mode.is_some_and(|mode| mode.depfile_is_output) && self.has_depfile;
        if self.output.is_none() && !by_depfile {
            if let Some(why) = mode.and_then(|mode| mode.local_without_output.as_deref()) {
                self.stays_local(why, b"");
            }
            if let Some(reason) = self.local_without_output.take() {
                self.local.get_or_insert(reason);
            }
        }
        let template = mode.and_then(|mode| mode.output.as_deref());
        if self.output.is_some() && self.sources.len() > 1 && !rule.languages.is_empty() {
            self.stays_local("one output for several sources", b"");
        }
        if let Some(why) = mode.and_then(|mode| mode.overlay_only.as_deref()) {
            self.overlay_only.get_or_insert_with(|| why.into());
        }
        let writes = mode
            .into_iter()
            .flat_map(|mode| mode.writes.iter().map(|name| &**name));
        let writes: Vec<&str> = writes.chain(self.writes.iter().copied()).collect();
        for source in std::mem::take(&mut self.sources) {
            if self.output.is_none()
                && let Some(template) = template
            {
                self.overlay_only
                    .get_or_insert_with(|| "names its output itself".into());
                self.unnamed(template, &source, Role::Output);
            }
            self.beside(&source, &writes);
        }
    }

    /// What is written besides the output of one source.
    fn beside(&mut self, source: &Source, writes: &[&str]) {
        let language = source.language.map(|at| &self.rule.languages[at]);
        if let Some(flag) = self.depfile
            && let Some(template) = &flag.depfile
            && language.is_none_or(|language| language.depfile)
        {
            if !self.has_depfile {
                self.unnamed(template, source, Role::Depfile);
            }
            if let (false, Some(output)) = (self.has_dep_target, &self.output) {
                let template = |one: &Text| put(one, b"{output}", output);
                self.dep_target = self.rule.rewrite.dep_target.iter().map(template).collect();
            }
        }
        for name in writes {
            let not = language.is_some_and(|l| l.not_written.iter().any(|not| not == name));
            if !not {
                self.unnamed(name, source, Role::SideOutput);
            }
        }
    }

    fn unnamed(&mut self, template: &str, source: &Source, role: Role) {
        let name = basename(&source.name);
        let stem = without_extension(name);
        let base = self.output.as_deref().map_or(stem, without_extension);
        let text = put(template, b"{base}", base);
        let text = put_bytes(&text, b"{stem}", stem);
        let text = put_bytes(&text, b"{source}", name);
        if !self.unnamed.iter().any(|(known, _)| *known == text) {
            self.unnamed.push((text, role));
        }
    }

    /// Only regular files and links can be written by a pod and put in place here.
    pub(super) fn look_at_outputs(&mut self, cwd: &Path, look: &dyn Look) {
        let named = self
            .marks
            .iter()
            .filter(|mark| mark.role.is_written() && !mark.guess);
        let named = named.map(|mark| {
            let text = &self.words.words[mark.word][mark.bytes.clone()];
            ([text, mark.suffix.as_bytes()].concat(), mark.role)
        });
        let all: Vec<_> = named.chain(self.unnamed.iter().cloned()).collect();
        for (path, role) in all {
            match kind(&path, cwd, look) {
                FileKind::Missing | FileKind::Regular => {}
                FileKind::Directory if role == Role::OutputDir => {}
                // Nobody wants it back, so the pod's own will do.
                FileKind::DevNull if role != Role::Output && path == b"/dev/null" => {}
                FileKind::DevNull => self.stays_local("writes to /dev/null", &path),
                _ => self.stays_local("an output is not a regular file", &path),
            }
        }
    }
}

/// The path without the extension of its last component.
fn without_extension(path: &[u8]) -> &[u8] {
    let name = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    match path[name..].iter().rposition(|byte| *byte == b'.') {
        Some(dot) => &path[..name + dot],
        None => path,
    }
}

fn put(template: &str, name: &[u8], value: &[u8]) -> Vec<u8> {
    put_bytes(template.as_bytes(), name, value)
}

fn put_bytes(template: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    match template.windows(name.len()).position(|part| part == name) {
        Some(at) => [&template[..at], value, &template[at + name.len()..]].concat(),
        None => template.to_vec(),
    }
}
