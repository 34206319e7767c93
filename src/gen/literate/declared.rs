//! The code environments and descriptions of steps that a document's text holds.
//!
//! What a description names by a macro's argument is left out: it is known when ConTeXt has run.

use super::find::tidy;
use super::steps::{Action, Code, Item, Kind, Lists, Step};
use super::tex::{Reader, Verbatim};
use std::collections::BTreeMap;

/// Environments of code: name, kind, and the suffix of a file without a name.
const CODE: &[(&str, &str, &str)] = &[
    ("CCode", "C", "c"),
    ("CHeader", "CHeader", "h"),
    ("CppCode", "Cpp", "cpp"),
    ("SmtCode", "Smt", "smt2"),
    ("JoyCode", "Joy", "joy"),
    ("PythonCode", "Python", "py"),
    ("Code", "Code", ""),
];

/// What was declared so far.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    job: String,
    last: BTreeMap<&'static str, String>,
    /// The lists.
    pub(super) lists: Lists,
    /// What is wrong, with its place.
    pub(super) problems: Vec<String>,
}

impl Declared {
    /// Nothing yet, in a document that ConTeXt calls `job`.
    pub(super) fn new(job: &str) -> Self {
        Self {
            job: job.to_owned(),
            last: BTreeMap::new(),
            lists: Lists::default(),
            problems: Vec::new(),
        }
    }

    /// `\startENVIRONMENT`, whatever it is.
    pub(super) fn start(
        &mut self,
        environment: &str,
        reader: &mut Reader<'_>,
        file: &str,
        line: usize,
        verbatim: &Verbatim,
    ) {
        if let Some(code) = CODE.iter().find(|it| it.0 == environment) {
            self.code(code, reader, file, line);
        } else if environment == "Description" {
            self.description(reader, file, line, verbatim);
        }
    }

    fn code(
        &mut self,
        (environment, kind, suffix): &(&'static str, &'static str, &str),
        reader: &mut Reader<'_>,
        from: &str,
        line: usize,
    ) {
        let name = reader.braces_here().map(str::trim).unwrap_or_default();
        reader.until_stop(environment);
        if name.contains(['#', '\\']) {
            return;
        }
        let name = match (name, self.last.get(kind)) {
            ("", Some(last)) => last.clone(),
            ("", None) if suffix.is_empty() => {
                let problem = format!("{from}:{line}: `\\start{environment}` names no file");
                self.problems.push(problem);
                return;
            }
            ("", None) => format!("{}.{suffix}", self.job),
            (name, _) => tidy(name),
        };
        self.last.insert(kind, name.clone());
        let code = &mut self.lists.code;
        let at = match code.binary_search_by(|it| it.file.cmp(&name)) {
            Ok(at) => at,
            Err(at) => {
                let kind = (*kind).to_owned();
                let from = Vec::new();
                let file = name;
                code.insert(at, Code { file, kind, from });
                at
            }
        };
        if !code[at].from.iter().any(|it| it == from) {
            code[at].from.push(from.to_owned());
        }
    }

    fn description(
        &mut self,
        reader: &mut Reader<'_>,
        file: &str,
        line: usize,
        verbatim: &Verbatim,
    ) {
        let (Some(name), Some(action)) = (reader.braces(), reader.braces()) else {
            self.problem(
                file,
                line,
                "`\\startDescription` needs a name and an action",
            );
            return;
        };
        let mut body = Body::default();
        while let Some(command) = reader.command(verbatim) {
            let done = match command.name {
                "stopDescription" => break,
                "creates" => Body::item(reader, &mut body.is_dynamic, &mut body.creates),
                "requires" => Body::item(reader, &mut body.is_dynamic, &mut body.requires),
                "uses" => body.word(reader, true),
                "flags" => body.word(reader, false),
                _ => Ok(()),
            };
            if let Err(problem) = done {
                self.problem(file, command.line, &problem);
            }
        }
        if body.is_dynamic || name.contains(['#', '\\']) || action.contains(['#', '\\']) {
            return;
        }
        let Some(action) = Action::of(action.trim()) else {
            let all: Vec<_> = Action::ALL.iter().map(|it| it.word()).collect();
            let all = all.join(", ");
            let problem = format!("there is no action `{}`; there are {all}", action.trim());
            self.problem(file, line, &problem);
            return;
        };
        self.lists.steps.push(Step {
            name: name.trim().to_owned(),
            action,
            tool: body.tool,
            flags: body.flags.join(" "),
            creates: body.creates,
            requires: body.requires,
            from: format!("{file}:{line}"),
        });
    }

    fn problem(&mut self, file: &str, line: usize, what: &str) {
        self.problems.push(format!("{file}:{line}: {what}"));
    }
}

/// What stands in a description.
#[derive(Default)]
struct Body {
    tool: Option<String>,
    flags: Vec<String>,
    creates: Vec<Item>,
    requires: Vec<Item>,
    is_dynamic: bool,
}

impl Body {
    fn item(
        reader: &mut Reader<'_>,
        is_dynamic: &mut bool,
        items: &mut Vec<Item>,
    ) -> Result<(), String> {
        let (Some(kind), Some(file)) = (reader.braces(), reader.braces()) else {
            return Err("a type and a file are wanted, each in braces".to_owned());
        };
        if file.contains(['#', '\\']) || kind.contains(['#', '\\']) {
            *is_dynamic = true;
            return Ok(());
        }
        let kind = kind.trim();
        let kind = Kind::of(kind).ok_or_else(|| {
            let all: Vec<_> = Kind::ALL.iter().map(|it| it.word()).collect();
            format!("there is no type `{kind}`; there are {}", all.join(", "))
        })?;
        let file = tidy(file.trim());
        if file.is_empty() {
            return Err("a file without a name".to_owned());
        }
        items.push(Item { kind, file });
        Ok(())
    }

    fn word(&mut self, reader: &mut Reader<'_>, is_tool: bool) -> Result<(), String> {
        let word = reader.braces();
        let word = word.ok_or("an argument in braces is wanted")?.trim();
        let word = word.split_whitespace().collect::<Vec<_>>().join(" ");
        self.is_dynamic |= word.contains('#');
        match is_tool {
            true => self.tool = Some(word).filter(|it| !it.is_empty()),
            false if word.is_empty() => {}
            false => self.flags.push(word),
        }
        Ok(())
    }
}
