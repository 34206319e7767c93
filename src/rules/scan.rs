//! Stage 1: what each word of a command line is, by the rule. Needs no roots.
//!
//! Every word is looked at, also after a reason to run locally was found, so that the decision can
//! be explained. What a flag means is the rule's to say: nothing here knows one by name.

mod operand;

use super::ask::{Command, FileKind, Look, Reason};
use super::glob;
use super::rule::{Attach, Flag, Rule, Value};
use super::set::Named;
use super::words::{self, Words};
use crate::job::Role;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why a command line that reads a file of the system's runs locally: no root holds the file, and no
/// identity says that a pod's is the same.
pub(super) const SYSTEM_FILE: &str = "names a system file";

/// A path in a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) word: usize,
    pub(super) bytes: Range<usize>,
    pub(super) role: Role,
    /// Only if such a file exists in a root.
    pub(super) guess: bool,
    /// Why it runs locally if the path is in no root.
    pub(super) only_in_root: Option<String>,
    /// Added to the text to get the file's name.
    pub(super) suffix: String,
}

/// A source among the operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: Vec<u8>,
    pub(super) language: Option<usize>,
}

/// What the words of a command line are.
#[derive(Debug)]
pub(super) struct Scan<'r> {
    pub(super) rule: &'r Rule,
    pub(super) words: Words,
    pub(super) marks: Vec<Mark>,
    pub(super) local: Option<Reason>,
    pub(super) overlay_only: Option<String>,
    /// Outputs that no word names, as the tool names them.
    pub(super) unnamed: Vec<(Vec<u8>, Role)>,
    /// What is added where the depfile's target would change with the output's path.
    pub(super) dep_target: Vec<Vec<u8>>,
    pub(super) sources: Vec<Source>,
    language: Option<usize>,
    pub(super) mode: usize,
    pub(super) output: Option<Vec<u8>>,
    pub(super) depfile: Option<&'r Flag>,
    pub(super) has_depfile: bool,
    pub(super) has_dep_target: bool,
    pub(super) writes: Vec<&'r str>,
    pub(super) local_without_output: Option<Reason>,
    pending: Vec<Option<Named<'r>>>,
    flags_ended: bool,
}

/// Part of a word.
type At = (usize, Range<usize>);

impl<'r> Scan<'r> {
    /// Looks at all words.
    pub(super) fn new(
        rule: &'r Rule,
        words: Words,
        command: &Command<'_>,
        look: &dyn Look,
    ) -> Self {
        let mut scan = Self {
            rule,
            marks: Vec::with_capacity(words.words.len()),
            words,
            local: None,
            overlay_only: rule.overlay_only.as_deref().map(Into::into),
            unnamed: Vec::new(),
            dep_target: Vec::new(),
            sources: Vec::new(),
            language: None,
            mode: 0,
            output: None,
            depfile: None,
            has_depfile: false,
            has_dep_target: false,
            writes: Vec::new(),
            local_without_output: None,
            pending: vec![None; rule.tables.len()],
            flags_ended: false,
        };
        for word in 0..scan.words.words.len() {
            let whole = 0..scan.words.words[word].len();
            scan.feed(0, (word, whole), command.cwd, look);
        }
        for named in scan.pending.iter().flatten() {
            let reason = reason("a flag lacks its value", named.name.as_bytes());
            scan.local.get_or_insert(reason);
        }
        scan.conclude();
        scan.look_at_outputs(command.cwd, look);
        scan
    }

    fn text(&self, at: &At) -> &[u8] {
        &self.words.words[at.0][at.1.clone()]
    }

    pub(super) fn stays_local(&mut self, why: &str, detail: &[u8]) {
        self.local.get_or_insert_with(|| reason(why, detail));
    }

    /// Takes one more word of a command line: the tool's own (table 0) or a sub-program's.
    fn feed(&mut self, table: usize, at: At, cwd: &Path, look: &dyn Look) {
        if let Some(named) = self.pending.get_mut(table).and_then(Option::take) {
            return self.value(named, at, cwd, look);
        }
        let rule = self.rule;
        let text = self.text(&at);
        let found = match (self.flags_ended && table == 0, rule.tables.get(table)) {
            (false, Some(table)) => table.find(text),
            _ => None,
        };
        match found {
            Some((named, value)) => {
                self.flag(named.flag, &at);
                match (value, named.flag.attach) {
                    (Some(start), _) => {
                        let value = (at.0, at.1.start + start..at.1.end);
                        self.value(named, value, cwd, look);
                    }
                    (None, Attach::Alone) => {}
                    (None, _) => self.pending[table] = Some(named),
                }
            }
            None if table == 0 => self.operand(at, cwd, look),
            None if text.starts_with(b"-") => self.unknown(at, cwd, look),
            None => {}
        }
    }

    /// What a flag does, its value aside.
    fn flag(&mut self, flag: &'r Flag, at: &At) {
        if let Some(why) = &flag.local {
            let detail = self.text(at).to_vec();
            self.stays_local(why, &detail);
        }
        if let Some(why) = &flag.local_without_output {
            let reason = reason(why, self.text(at));
            self.local_without_output.get_or_insert(reason);
        }
        if let Some(why) = &flag.overlay_only {
            self.overlay_only.get_or_insert_with(|| why.to_string());
        }
        if let Some(mode) = flag.mode {
            self.mode = self.mode.max(usize::from(mode));
        }
        if flag.depfile.is_some() {
            self.depfile = Some(flag);
        }
        self.has_dep_target |= flag.dep_target;
        self.writes.extend(flag.writes.iter().map(|name| &**name));
        self.flags_ended |= flag.ends_flags;
    }

    fn value(&mut self, named: Named<'r>, mut at: At, cwd: &Path, look: &dyn Look) {
        let flag = named.flag;
        let text = self.text(&at);
        let mut local = flag.local_values.iter();
        if let Some((_, why)) = local.find(|(glob, _)| glob::matches(glob.as_bytes(), text)) {
            let reason = reason(why, text);
            self.local.get_or_insert(reason);
        }
        let text = self.text(&at);
        let role = match flag.value {
            Value::Text => return,
            Value::Language => {
                let name = text.to_vec();
                return self.set_language(&name);
            }
            Value::Word => return self.feed(usize::from(flag.table), at, cwd, look),
            Value::Words => return self.words(flag, &at, cwd, look),
            Value::SpacedWords => return self.spaced_words(flag, &at, cwd, look),
            other => role(other),
        };
        if let Some(after) = flag.after.as_deref().map(str::as_bytes) {
            let found = text.windows(after.len()).rposition(|part| part == after);
            match found {
                Some(found) => at.1.start += found + after.len(),
                None => return,
            }
        }
        let text = self.text(&at);
        let found_by_tool = is_found_by_tool(flag, text, cwd, look);
        let is_text = found_by_tool
            || text.is_empty()
            || flag
                .not_path
                .iter()
                .any(|begin| text.starts_with(begin.as_bytes()));
        let mut covered = self.rule.probe.found_files.iter();
        if found_by_tool && flag.installed && !covered.any(|name| name.as_bytes() == text) {
            let why = flag.only_in_root.as_deref().unwrap_or(SYSTEM_FILE);
            let text = text.to_vec();
            return self.stays_local(why, &text);
        }
        if role == Role::Output && text.is_empty() {
            return self.stays_local("an output has no name", named.name.as_bytes());
        }
        if role == Role::Output && text == b"-" {
            return self.stays_local("writes to standard output", b"-o -");
        }
        if is_text {
            // A depfile on standard output is one all the same.
            self.has_depfile |= role == Role::Depfile;
            return;
        }
        let suffix = flag
            .suffix
            .as_deref()
            .filter(|suffix| !text.ends_with(suffix.as_bytes()));
        let suffix = suffix.unwrap_or_default();
        match role {
            Role::Output => self.output = Some([text, suffix.as_bytes()].concat()),
            Role::Depfile => self.has_depfile = true,
            _ => {}
        }
        self.mark(at, role, flag.value == Value::Guess);
        if let Some(mark) = self.marks.last_mut() {
            mark.only_in_root = flag.only_in_root.as_deref().map(Into::into);
            mark.suffix = suffix.into();
        }
    }

    /// Takes the words of a value, with commas between them, for a sub-program.
    fn words(&mut self, flag: &'r Flag, at: &At, cwd: &Path, look: &dyn Look) {
        let ends: Vec<usize> = (at.1.clone())
            .filter(|n| self.words.words[at.0][*n] == b',')
            .chain([at.1.end])
            .collect();
        let mut start = at.1.start;
        for end in ends {
            self.feed(usize::from(flag.table), (at.0, start..end), cwd, look);
            start = end + 1;
        }
    }

    /// The same of words that a shell will split.
    fn spaced_words(&mut self, flag: &'r Flag, at: &At, cwd: &Path, look: &dyn Look) {
        let text = self.text(at).to_vec();
        for part in words::spaced(&text) {
            match part {
                Ok(part) => {
                    let range = at.1.start + part.start..at.1.start + part.end;
                    self.feed(usize::from(flag.table), (at.0, range), cwd, look);
                }
                Err(part) => {
                    self.stays_local(
                        "has the shell of a sub-program put words together",
                        &text[part],
                    );
                }
            }
        }
    }

    fn mark(&mut self, (word, bytes): At, role: Role, guess: bool) {
        self.marks.push(Mark {
            word,
            bytes,
            role,
            guess,
            only_in_root: None,
            suffix: String::new(),
        });
    }
}

/// Whether the tool looks for a file of this name in places of its own.
fn is_found_by_tool(flag: &Flag, text: &[u8], cwd: &Path, look: &dyn Look) -> bool {
    let is_bare = !text.is_empty() && !text.contains(&b'/');
    match (flag.bare_name, flag.installed) {
        (true, _) => is_bare && kind(text, cwd, look) == FileKind::Missing,
        (false, installed) => is_bare && installed,
    }
}

pub(super) fn reason(why: &str, detail: &[u8]) -> Reason {
    Reason {
        why: why.into(),
        detail: String::from_utf8_lossy(detail).into_owned(),
    }
}

pub(super) fn join(cwd: &Path, path: &[u8]) -> PathBuf {
    cwd.join(OsStr::from_bytes(path))
}

pub(super) fn kind(path: &[u8], cwd: &Path, look: &dyn Look) -> FileKind {
    look.kind(&join(cwd, path))
}

fn role(value: Value) -> Role {
    match value {
        Value::SearchDir => Role::SearchDir,
        Value::Output => Role::Output,
        Value::SideOutput => Role::SideOutput,
        Value::Depfile => Role::Depfile,
        Value::OutputDir => Role::OutputDir,
        _ => Role::Input,
    }
}
