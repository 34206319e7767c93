//! What a document declares: code that goes into files, and steps.
//!
//! The same list comes from a scan of the text, and from ConTeXt itself as `JOB.steps`.

use serde::Deserialize;
use std::fmt;

/// A file that is extracted from the document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Code {
    /// Its name, from the main document's folder.
    pub file: String,
    /// The kind of its chunks.
    pub kind: String,
    /// The sources that have chunks of it.
    #[serde(default)]
    pub from: Vec<String>,
}

/// A file of a step: what it is, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Item {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Its name, from the main document's folder.
    pub file: String,
}

/// A step of the build.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What is done.
    pub action: Action,
    /// With which tool, in the shell's syntax; none: the action's own.
    #[serde(default)]
    pub tool: Option<String>,
    /// Flags, in the shell's syntax.
    #[serde(default, deserialize_with = "or_empty")]
    pub flags: String,
    /// What it makes, the primary output first.
    #[serde(default)]
    pub creates: Vec<Item>,
    /// What it reads, in the order of its command line.
    #[serde(default)]
    pub requires: Vec<Item>,
    /// Where it is declared: `FILE`, or `FILE:LINE`.
    #[serde(default)]
    pub from: String,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// All that a document declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Lists {
    /// Files that are extracted.
    #[serde(default)]
    pub code: Vec<Code>,
    /// Steps, in the document's order.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// The version of `JOB.steps` that is understood.
const VERSION: u64 = 1;

/// Reads `JOB.steps`.
///
/// # Errors
/// If it is none, or of another version.
pub fn read(json: &[u8]) -> anyhow::Result<Lists> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
    }
    let head: Head = serde_json::from_slice(json)?;
    if head.version != VERSION {
        anyhow::bail!("version {} is not known", head.version);
    }
    Ok(serde_json::from_slice(json)?)
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$of])* $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// How a document says it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The one that a document calls so.
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.word() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// What a step does.
    Action {
        /// A source into an object.
        Compile = "compile",
        /// Objects into a static library.
        Archive = "archive",
        /// Objects and libraries into a program.
        Link = "link",
        /// Contracts, by Frama-C's WP.
        Prove = "prove",
        /// Values, by Frama-C's EVA.
        Analyse = "analyse",
        /// Annotations, by VeriFast.
        Verify = "verify",
        /// A problem, by Z3.
        Solve = "solve",
        /// A program.
        Run = "run",
        /// Another document.
        Typeset = "typeset",
    }
}

words! {
    /// What a file is.
    Kind {
        /// Source of a compiler or prover.
        Source = "source",
        /// What sources include.
        Header = "header",
        /// Compiled.
        Object = "object",
        /// A static or shared library.
        Library = "library",
        /// What can be run.
        Program = "program",
        /// What a solver solves.
        Problem = "problem",
        /// What an interpreter runs.
        Script = "script",
        /// What a solver found.
        Answer = "answer",
        /// What a prover said.
        Report = "report",
        /// What a program wrote.
        Output = "output",
        /// Typeset, or to be typeset.
        Document = "document",
        /// What a program reads.
        Data = "data",
        /// What a document shows.
        Figure = "figure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_context_writes() {
        let text = br#"{ "version": 1, "main": "book.tex",
            "code": [ { "file": "src/joy.c", "kind": "C", "from": ["c-interp.tex"] } ],
            "steps": [ { "name": "joy", "action": "compile", "tool": null, "flags": "-O2 -g",
                "creates": [ { "type": "object", "file": "build/joy.o" } ],
                "requires": [ { "type": "source", "file": "src/joy.c" } ],
                "from": "c-build.tex" },
              { "name": "x", "action": "run", "flags": null } ] }"#;
        let lists = read(text).unwrap();
        assert_eq!(lists.code[0].from, ["c-interp.tex"]);
        assert_eq!(lists.steps[0].action, Action::Compile);
        assert_eq!(lists.steps[0].creates[0].kind, Kind::Object);
        assert_eq!(lists.steps[1].flags, "");
        let error = read(br#"{ "version": 2 }"#).unwrap_err();
        assert_eq!(error.to_string(), "version 2 is not known");
        assert!(read(br#"{ "version": 1, "steps": [{ "name": "x", "action": "fly" }] }"#).is_err());
    }

    #[test]
    fn words_are_those_of_json() {
        for action in Action::ALL {
            let json =
                format!("{{\"version\":1,\"steps\":[{{\"name\":\"\",\"action\":\"{action}\"}}]}}");
            assert_eq!(read(json.as_bytes()).unwrap().steps[0].action, *action);
            assert_eq!(Action::of(action.word()), Some(*action));
        }
    }
}
