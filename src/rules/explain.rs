//! What classification found, for people and for programs.

use super::ask::{Command, Decision, Look, Reason};
use super::classify::parse_all;
use super::resolve::resolve;
use super::scan::Scan;
use super::set::RuleSet;
use crate::job::{Arg, Job, Output, Piece, Role};
use crate::paths::{Bytes, RootPath, Roots};
use serde::Serialize;
use std::fmt;

/// A decision and all that led to it. Bytes that are no UTF-8 are shown replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `remote` or `local`.
    pub decision: &'static str,
    /// Why it runs locally.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The rule's name; none where no rule covers the program.
    pub tool: Option<String>,
    /// Why only a pod with the overlay view may run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay_only: Option<String>,
    /// Every argument, those from response files in their place.
    pub arguments: Vec<Argument>,
    /// Files that are read, as far as the command line says; absolute paths.
    pub inputs: Vec<String>,
    /// Files that are written, as far as the command line says.
    pub outputs: Vec<Written>,
    /// Variables that travel with the job.
    pub environment: Vec<(String, String)>,
    /// Arguments that the rewrite view adds.
    pub rewrite_arguments: Vec<String>,
}

/// An argument, or one from a response file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Argument {
    /// As the tool sees it.
    pub text: String,
    /// The paths in it.
    pub paths: Vec<(Role, String)>,
    /// The response file that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// A file that is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Absolute.
    pub path: String,
    /// What it is to the tool.
    pub role: Role,
}

/// Explains what becomes of a command line.
pub fn explain(
    rules: &RuleSet,
    command: &Command<'_>,
    roots: &Roots,
    look: &dyn Look,
) -> Explanation {
    let mut parsed = match parse_all(rules, command, look) {
        Ok(parsed) => parsed,
        Err(reason) => return Explanation::local(reason),
    };
    let decision = match parsed.scan.local.take() {
        Some(reason) => Decision::Local(reason),
        None => resolve(&parsed, roots, look),
    };
    let scanned = arguments(&parsed.scan);
    let mut explanation = match decision {
        Decision::Remote(job) => Explanation::remote(&job, roots),
        Decision::Local(reason) => Explanation::local(reason),
    };
    explanation.tool.get_or_insert_with(|| parsed.tool().into());
    explanation.arguments = scanned;
    explanation
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn arguments(scan: &Scan<'_>) -> Vec<Argument> {
    let paths = |index: usize| {
        let marks = scan.marks.iter().filter(move |mark| mark.word == index);
        marks.map(move |mark| {
            (
                mark.role,
                show(&scan.words.words[index][mark.bytes.clone()]),
            )
        })
    };
    let from = |index: usize| {
        let found = scan
            .words
            .responses
            .iter()
            .find(|r| r.words.contains(&index));
        found.map(|response| show(&response.word[1..]))
    };
    let argument = |(index, word): (usize, &Vec<u8>)| Argument {
        text: show(word),
        paths: paths(index).collect(),
        from: from(index),
    };
    scan.words.words.iter().enumerate().map(argument).collect()
}

impl Explanation {
    fn local(reason: Reason) -> Self {
        Self {
            decision: "local",
            reason: Some(reason),
            tool: None,
            overlay_only: None,
            arguments: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            environment: Vec::new(),
            rewrite_arguments: Vec::new(),
        }
    }

    fn remote(job: &Job, roots: &Roots) -> Self {
        let path = |at: &RootPath| roots.absolute(at).unwrap_or_default().display().to_string();
        let written = |output: &Output| Written {
            path: path(&output.at),
            role: output.role,
        };
        let env = |(name, value): &(Bytes, Vec<Piece>)| (show(&name.0), joined(value));
        Self {
            decision: "remote",
            reason: None,
            tool: Some(job.need.tool.clone()),
            overlay_only: job.need.overlay_only.clone(),
            arguments: Vec::new(),
            inputs: job.inputs.iter().map(path).collect(),
            outputs: job.outputs.iter().map(written).collect(),
            environment: job.env.iter().map(env).collect(),
            rewrite_arguments: job.rewrite_args.iter().map(word).collect(),
        }
    }
}

fn joined(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) | Piece::Path { text, .. } => show(&text.0),
    };
    pieces.iter().map(text).collect()
}

fn word(arg: &Arg) -> String {
    match arg {
        Arg::Word(pieces) | Arg::Response { word: pieces, .. } => joined(pieces),
    }
}

/// A role in a few letters that line up.
fn label(role: Role) -> &'static str {
    match role {
        Role::Input => "input",
        Role::SearchDir => "search directory",
        Role::Output => "output",
        Role::SideOutput => "side output",
        Role::Depfile => "depfile",
        Role::OutputDir => "output directory",
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision)?;
        if let Some(reason) = &self.reason {
            write!(f, ": {reason}")?;
        }
        writeln!(f)?;
        writeln!(f, "tool         {}", self.tool.as_deref().unwrap_or("none"))?;
        if let Some(why) = &self.overlay_only {
            writeln!(f, "view         overlay only: {why}")?;
        }
        for argument in &self.arguments {
            write!(f, "argument     {}", argument.text)?;
            for (role, text) in &argument.paths {
                match *text == argument.text {
                    true => write!(f, "  [{}]", label(*role))?,
                    false => write!(f, "  [{} {text}]", label(*role))?,
                }
            }
            match &argument.from {
                Some(file) => writeln!(f, "  (from {file})")?,
                None => writeln!(f)?,
            }
        }
        for input in &self.inputs {
            writeln!(f, "reads        {input}")?;
        }
        for output in &self.outputs {
            writeln!(f, "writes       {}  [{}]", output.path, label(output.role))?;
        }
        for (name, value) in &self.environment {
            writeln!(f, "environment  {name}={value}")?;
        }
        for argument in &self.rewrite_arguments {
            writeln!(f, "rewrite adds {argument}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::FileKind;
    use std::path::Path;

    /// A disk on which only the response file exists.
    struct Disk;

    impl Look for Disk {
        fn read(&self, _: &Path) -> Option<Vec<u8>> {
            Some(b"-Iinc -c a.c".to_vec())
        }
        fn kind(&self, path: &Path) -> FileKind {
            match path.extension().is_some_and(|extension| extension == "rsp") {
                true => FileKind::Regular,
                false => FileKind::Missing,
            }
        }
        fn machine(&self, _: &Path) -> Option<String> {
            None
        }
    }

    fn explained(words: &[&str]) -> Explanation {
        let argv: Vec<_> = words.iter().map(Into::into).collect();
        let env = [("TZ".into(), "UTC".into())];
        let command = Command {
            argv: &argv,
            cwd: Path::new("/w"),
            env: &env,
        };
        explain(
            RuleSet::builtin(),
            &command,
            &Roots::new(["/w"]).unwrap(),
            &Disk,
        )
    }

    #[test]
    fn a_remote_command_is_shown_word_by_word() {
        let shown = explained(&["gcc", "@f.rsp", "-MD", "-o", "a.o"]).to_string();
        assert_eq!(
            shown,
            "remote\n\
             tool         gcc\n\
             argument     -Iinc  [search directory inc]  (from f.rsp)\n\
             argument     -c  (from f.rsp)\n\
             argument     a.c  [input]  (from f.rsp)\n\
             argument     -MD\n\
             argument     -o\n\
             argument     a.o  [output]\n\
             reads        /w/a.c\n\
             reads        /w/f.rsp\n\
             writes       /w/a.o  [output]\n\
             writes       /w/a.d  [depfile]\n\
             environment  TZ=UTC\n\
             rewrite adds -ffile-prefix-map={mount:0}={root:0}\n\
             rewrite adds -MQ\n\
             rewrite adds a.o\n"
        );
    }

    #[test]
    fn a_local_command_keeps_its_arguments() {
        let explanation = explained(&["gcc", "-march=native", "-c", "a.c"]);
        let json = serde_json::to_value(&explanation).unwrap();
        assert_eq!(json["decision"], "local");
        assert_eq!(json["reason"]["why"], "depends on this machine's processor");
        assert_eq!(json["reason"]["detail"], "-march=native");
        assert_eq!(json["arguments"][2]["paths"][0][0], "input");
        assert_eq!(explained(&["ls"]).tool, None);
    }
}
