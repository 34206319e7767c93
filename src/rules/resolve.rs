//! Stage 2 of classification: from what the words mean to a job, by the roots.

use super::ask::{Decision, FileKind, Look, Reason};
use super::classify::{Parsed, is_system};
use super::rule::{Rule, Text, Value, Variable};
use super::scan::{Mark, SYSTEM_FILE, join, reason};
use super::set::{basename, machine_identity};
use crate::job::{Arg, Job, Limits, Need, Output, Piece, Program, Role};
use crate::paths::{Bytes, RootPath, Roots, normalise};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Stage 2: finds the paths in the roots.
pub fn resolve(parsed: &Parsed<'_>, roots: &Roots, look: &dyn Look) -> Decision {
    match Resolver::new(parsed, roots, look).and_then(Resolver::job) {
        Ok(job) => Decision::Remote(Box::new(job)),
        Err(reason) => Decision::Local(reason),
    }
}

struct Resolver<'a> {
    parsed: &'a Parsed<'a>,
    roots: &'a Roots,
    look: &'a dyn Look,
    cwd: RootPath,
    inputs: Vec<RootPath>,
    outputs: Vec<Output>,
    /// Searched, below no root.
    system_dirs: Vec<Bytes>,
}

impl<'a> Resolver<'a> {
    fn new(parsed: &'a Parsed<'a>, roots: &'a Roots, look: &'a dyn Look) -> Result<Self, Reason> {
        let cwd = roots.locate(&parsed.cwd, Path::new(""));
        let outside = || reason("outside every root", parsed.cwd.as_os_str().as_bytes());
        Ok(Self {
            parsed,
            roots,
            look,
            cwd: cwd.ok_or_else(outside)?,
            inputs: Vec::new(),
            outputs: Vec::new(),
            system_dirs: Vec::new(),
        })
    }

    fn job(mut self) -> Result<Job, Reason> {
        let scan = &self.parsed.scan;
        let (mut need, program) = self.program()?;
        let args = self.args()?;
        for (path, role) in &scan.unnamed {
            let at = self.locate(path).ok_or_else(|| outside(path))?;
            self.output(at, *role);
        }
        let env = self.env()?;
        let rewrite_args = match need.overlay_only {
            Some(_) => Vec::new(),
            None => self.rewrite_args(),
        };
        need.system_dirs = self.system_dirs;
        Ok(Job {
            need,
            program,
            argv0: self.parsed.argv0.as_slice().into(),
            args,
            rewrite_args,
            cwd: self.cwd,
            env,
            inputs: self.inputs,
            outputs: self.outputs,
            scratch: scan
                .rule
                .scratch
                .iter()
                .map(|glob| glob.to_string())
                .collect(),
            limits: Limits {
                seconds: scan.rule.pod.seconds,
                memory_mib: scan.rule.pod.memory_mib,
            },
        })
    }

    fn locate(&self, path: &[u8]) -> Option<RootPath> {
        self.roots
            .locate(&self.parsed.cwd, Path::new(OsStr::from_bytes(path)))
    }

    fn program(&mut self) -> Result<(Need, Program), Reason> {
        let rule = self.parsed.scan.rule;
        let argv0 = &self.parsed.argv0;
        let name = basename(argv0);
        let mut need = Need {
            tool: rule.tool.to_string(),
            program: String::from_utf8_lossy(name).into_owned(),
            identity: None,
            needs: rule.needs.iter().map(|tool| tool.to_string()).collect(),
            overlay_only: self.parsed.scan.overlay_only.clone(),
            system_dirs: Vec::new(),
        };
        let at = self
            .parsed
            .roots_rule
            .and_then(|rule| Some((rule, self.locate(argv0)?)));
        let Some((in_root, at)) = at else {
            return match rule.covers_roots && !rule.covers(name) {
                true => Err(reason("no rule for this program", name)),
                false => Ok((need, Program::Tool)),
            };
        };
        // A program of the tree itself is no tool of the pod's, whatever its name.
        let machine = self.look.machine(&join(&self.parsed.cwd, argv0));
        let machine = machine.ok_or_else(|| reason("not an executable for a machine", argv0))?;
        need.tool = in_root.tool.to_string();
        need.identity = Some(machine_identity(&machine));
        need.program = machine;
        need.overlay_only = in_root
            .overlay_only
            .as_deref()
            .map(Into::into)
            .or(need.overlay_only);
        let role = Role::Input;
        self.input(at.clone());
        let text = argv0.as_slice().into();
        Ok((need, Program::InRoot(vec![Piece::Path { at, role, text }])))
    }

    fn args(&mut self) -> Result<Vec<Arg>, Reason> {
        let scan = &self.parsed.scan;
        let mut words = Vec::with_capacity(scan.words.words.len());
        let mut marks = scan.marks.iter().peekable();
        for (index, word) in scan.words.words.iter().enumerate() {
            let mut of_word = Vec::new();
            while let Some(mark) = marks.next_if(|mark| mark.word == index) {
                of_word.push(mark);
            }
            words.push(Arg::Word(self.word(word, &of_word)?));
        }
        for path in &scan.words.files {
            let at = self.locate(path).ok_or_else(|| outside(path))?;
            self.input(at);
        }
        let mut args = Vec::with_capacity(words.len());
        let mut words = words.into_iter();
        let mut taken = 0;
        for response in &scan.words.responses {
            args.extend(words.by_ref().take(response.words.start - taken));
            let path = &response.word[1..];
            let at = self.locate(path).ok_or_else(|| outside(path))?;
            let text = path.into();
            let role = Role::Input;
            args.push(Arg::Response {
                word: vec![Piece::Text("@".into()), Piece::Path { at, role, text }],
                content: words.by_ref().take(response.words.len()).collect(),
            });
            taken = response.words.end;
        }
        args.extend(words);
        Ok(args)
    }

    fn word(&mut self, word: &[u8], marks: &[&Mark]) -> Result<Vec<Piece>, Reason> {
        let mut pieces = Vec::with_capacity(2 * marks.len() + 1);
        let mut done = 0;
        for mark in marks {
            let text = &word[mark.bytes.clone()];
            if let Some(piece) = self.path(text, mark)? {
                push_text(&mut pieces, &word[done..mark.bytes.start]);
                pieces.push(piece);
                done = mark.bytes.end;
            }
        }
        if done < word.len() || pieces.is_empty() {
            pieces.push(Piece::Text(word[done..].into()));
        }
        Ok(pieces)
    }

    /// A path below a root; none for one that every machine has for itself.
    fn path(&mut self, text: &[u8], mark: &Mark) -> Result<Option<Piece>, Reason> {
        let role = mark.role;
        let named = [text, mark.suffix.as_bytes()].concat();
        let whole = join(&self.parsed.cwd, &named);
        if mark.guess && self.look.kind(&whole) == FileKind::Missing {
            return Ok(None);
        }
        let Some(at) = self.locate(text) else {
            if let Some(why) = &mark.only_in_root {
                return Err(reason(why, text));
            }
            return self.elsewhere(&normalise(&whole), role, text);
        };
        let file = match mark.suffix.is_empty() {
            true => at.clone(),
            false => self.locate(&named).unwrap_or_else(|| at.clone()),
        };
        match role {
            Role::SearchDir => {}
            Role::Input => self.input(file),
            _ => self.output(file, role),
        }
        let text = text.into();
        Ok(Some(Piece::Path { at, role, text }))
    }

    /// A path below no root: every machine has the null device and directories of the system's for
    /// itself, but a file of the system's is the same only if the tool's identity covers it.
    fn elsewhere(
        &mut self,
        whole: &Path,
        role: Role,
        text: &[u8],
    ) -> Result<Option<Piece>, Reason> {
        let rule = self.parsed.scan.rule;
        if whole == Path::new("/dev/null") {
            return Ok(None);
        }
        match (is_system(rule, whole), role) {
            (true, Role::SearchDir) => {
                // Whether the identity covers it is for the hub to say, which knows the tool.
                let dir = Bytes::from(whole);
                if !self.system_dirs.contains(&dir) {
                    self.system_dirs.push(dir);
                }
                Ok(None)
            }
            (true, Role::Input) if is_covered(rule, whole) => Ok(None),
            (true, Role::Input) => Err(reason(SYSTEM_FILE, text)),
            _ => Err(outside(text)),
        }
    }

    fn input(&mut self, at: RootPath) {
        if !self.inputs.contains(&at) {
            self.inputs.push(at);
        }
    }

    /// Where a flag names an output again, the last counts.
    fn output(&mut self, at: RootPath, role: Role) {
        let named_again = |known: &Output| {
            known.at == at
                || known.role == role
                    && matches!(role, Role::Output | Role::Depfile)
                    && self
                        .parsed
                        .scan
                        .unnamed
                        .iter()
                        .all(|(_, unnamed)| *unnamed != role)
        };
        self.outputs.retain(|known| !named_again(known));
        self.outputs.push(Output { at, role });
    }

    fn env(&mut self) -> Result<Vec<(Bytes, Vec<Piece>)>, Reason> {
        let parsed = self.parsed;
        let mut env = Vec::with_capacity(parsed.env.len());
        for (name, value, variable) in &parsed.env {
            let pieces = match variable.value {
                Value::Text => vec![Piece::Text(value.as_slice().into())],
                _ => self.env_paths(name, value, variable)?,
            };
            env.push((name.as_slice().into(), pieces));
        }
        Ok(env)
    }

    fn env_paths(
        &mut self,
        name: &[u8],
        value: &[u8],
        of: &Variable,
    ) -> Result<Vec<Piece>, Reason> {
        let mut marks = Vec::new();
        let mut start = 0;
        let separators = (0..value.len()).filter(|at| of.list && value[*at] == b':');
        for end in separators.chain([value.len()]) {
            if start < end {
                marks.push(Mark {
                    word: 0,
                    bytes: start..end,
                    role: match of.value {
                        Value::SearchDir => Role::SearchDir,
                        _ => Role::Input,
                    },
                    guess: of.value == Value::Guess,
                    only_in_root: None,
                    suffix: String::new(),
                });
            }
            start = end + 1;
        }
        let named = |mut reason: Reason| {
            reason.detail = format!("{} in {}", reason.detail, String::from_utf8_lossy(name));
            reason
        };
        self.word(value, &marks.iter().collect::<Vec<_>>())
            .map_err(named)
    }

    fn rewrite_args(&self) -> Vec<Arg> {
        let scan = &self.parsed.scan;
        let rewrite = &scan.rule.rewrite;
        let mut args: Vec<Vec<u8>> = Vec::new();
        for (id, _) in self.roots.iter() {
            let numbered = |one: &Text| {
                let one = one.replace("{mount}", &format!("{{mount:{}}}", id.0));
                one.replace("{root}", &format!("{{root:{}}}", id.0))
                    .into_bytes()
            };
            args.extend(rewrite.each_root.iter().map(numbered));
        }
        let cwd = self.parsed.cwd.as_os_str().as_bytes();
        for one in rewrite.once.iter() {
            let mut parts = one.split("{cwd}").map(str::as_bytes);
            let first = parts.next().unwrap_or_default().to_vec();
            args.push(parts.fold(first, |all, part| [&all, cwd, part].concat()));
        }
        args.extend(scan.dep_target.iter().cloned());
        args.into_iter()
            .map(|arg| Arg::text(arg.as_slice()))
            .collect()
    }
}

/// Whether the content of a file is part of the tool's identity.
fn is_covered(rule: &Rule, whole: &Path) -> bool {
    let mut files = rule.probe.files.iter();
    files.any(|file| file.starts_with('/') && whole.starts_with(&**file))
}

fn outside(path: &[u8]) -> Reason {
    reason("names a path outside every root", path)
}

fn push_text(pieces: &mut Vec<Piece>, text: &[u8]) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.into()));
    }
}
