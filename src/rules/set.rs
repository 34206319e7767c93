//! All rules there are: the built-in ones, and a user's before them.

use super::glob;
use super::rule::{Attach, Flag, NameMap, Rule, Table};
use crate::job::Digest;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The tables that the build script wrote.
mod built {
    use crate::rules::rule::*;
    use std::borrow::Cow;

    pub(super) static RULES: &[Rule] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));
    pub(super) static SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
    pub(super) const STAMP: u64 = include!(concat!(env!("OUT_DIR"), "/stamp.rs"));
}

static BUILTIN: RuleSet = RuleSet { user: Vec::new() };

/// Built-in rules and a user's; a user's rule stands in for a built-in one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    user: Vec<Rule>,
}

impl RuleSet {
    /// The rules that are part of the program.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The built-in rules and these.
    pub fn with_user(user: Vec<Rule>) -> Self {
        Self { user }
    }

    /// The texts of the built-in rule files, by name, which other files may extend.
    pub fn sources() -> &'static [(&'static str, &'static str)] {
        built::SOURCES
    }

    /// A number that changes with the built-in rule files, since what a user's own rule becomes
    /// depends on those that it extends.
    pub fn stamp() -> u64 {
        built::STAMP
    }

    /// All rules, a user's first.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let kept = |rule: &&Rule| !self.user.iter().any(|user| user.tool == rule.tool);
        self.user.iter().chain(built::RULES.iter().filter(kept))
    }

    /// The rule of a tool.
    pub fn rule(&self, tool: &str) -> Option<&Rule> {
        self.rules().find(|rule| rule.tool == tool)
    }

    /// The rule that covers a program, given by its name or path.
    pub fn rule_for(&self, program: &OsStr) -> Option<&Rule> {
        let name = basename(program.as_bytes());
        self.rules().find(|rule| rule.covers(name))
    }

    /// The rule for executables inside a root.
    pub(super) fn rule_for_roots(&self) -> Option<&Rule> {
        self.rules().find(|rule| rule.covers_roots)
    }
}

/// The identity of a tool of which nothing matters but the machine it runs on.
pub fn machine_identity(machine: &str) -> Digest {
    Digest::of(machine.as_bytes())
}

pub(super) fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

impl Rule {
    /// Whether a program of this name, without directories, is covered.
    pub fn covers(&self, name: &[u8]) -> bool {
        self.programs
            .iter()
            .any(|glob| glob::matches(glob.as_bytes(), name))
    }

    /// Whether a program of this name, found where a link of a covered name leads, only pretends to
    /// be the tool.
    pub fn is_masquerade(&self, name: &[u8]) -> bool {
        let mut globs = self.probe.masquerades.iter();
        globs.any(|glob| glob::matches(glob.as_bytes(), name))
    }

    /// What `program` of a hub of machine `hub` is called on a pod of machine `pod`; its own name
    /// where the rule does not say otherwise.
    pub fn name_on<'a>(&self, program: &'a str, hub: &str, pod: &str) -> Cow<'a, str> {
        let fits = |map: &&NameMap| map.hub == hub && map.pod == pod;
        let renamed = |map: &NameMap| {
            let Some((before, after)) = map.from.split_once('*') else {
                return (map.from == program).then(|| map.to.to_string());
            };
            let middle = program.strip_prefix(before)?.strip_suffix(after)?;
            Some(map.to.replacen('*', middle, 1))
        };
        let new = self.names.iter().filter(fits).find_map(renamed);
        new.map_or(Cow::Borrowed(program), Cow::Owned)
    }
}

/// A flag under one of its names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'r> {
    pub(super) name: &'r str,
    pub(super) flag: &'r Flag,
}

/// A flag found in a word, and where in the word its value begins if it is attached.
pub(super) type Found<'r> = (Named<'r>, Option<usize>);

impl Table {
    /// The flag with the longest name that fits the word, as compilers choose.
    pub(super) fn find(&self, word: &[u8]) -> Option<Found<'_>> {
        let mut part = word;
        loop {
            // A flag whose name begins `part` is not after this one in the order of names, and if
            // this one's name does not begin `part`, no longer than what both have in common.
            let names = &self.names;
            let after = names.partition_point(|(name, _)| name.as_bytes() <= part);
            let (name, flag) = names.get(after.checked_sub(1)?)?;
            let flag = self.flags.get(*flag)?;
            let named = Named { name, flag };
            let name = name.as_bytes();
            let shared = name.iter().zip(part).take_while(|(a, b)| a == b).count();
            let next = if shared < name.len() {
                shared
            } else if let Some(found) = fits(named, word) {
                return Some(found);
            } else {
                name.len().checked_sub(1)?
            };
            part = &part[..next];
        }
    }
}

fn fits<'r>(named: Named<'r>, word: &[u8]) -> Option<Found<'r>> {
    let length = named.name.len();
    let value = match (named.flag.attach, word.get(length)) {
        (Attach::Alone | Attach::Separate | Attach::Either | Attach::EqualsOrSeparate, None) => {
            None
        }
        (Attach::Joined, _) | (Attach::Either, Some(_)) => Some(length),
        (Attach::Equals | Attach::EqualsOrSeparate, Some(b'=')) => Some(length + 1),
        _ => return None,
    };
    Some((named, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::Value;

    fn found(table: &Table, word: &str) -> Option<(String, Option<usize>)> {
        table
            .find(word.as_bytes())
            .map(|(named, at)| (named.name.to_string(), at))
    }

    #[test]
    fn finds_the_longest_flag_that_fits() {
        let attached = [
            Attach::Alone,
            Attach::Either,
            Attach::Joined,
            Attach::Equals,
        ];
        let flag = |attach| Flag {
            attach,
            value: Value::Text,
            ..Flag::default()
        };
        let table = Table {
            name: "".into(),
            names: vec![
                ("-M".into(), 0),
                ("-MF".into(), 1),
                ("-MFx".into(), 0),
                ("-f".into(), 2),
                ("-fab".into(), 0),
                ("-fabc=".into(), 2),
                ("-p".into(), 3),
            ]
            .into(),
            flags: attached.map(flag).to_vec().into(),
        };
        for (word, name, at) in [
            ("-M", "-M", None),
            ("-MF", "-MF", None),
            ("-MFx", "-MFx", None),
            ("-MFxy", "-MF", Some(3)),
            ("-f", "-f", Some(2)),
            ("-fabd", "-f", Some(2)),
            ("-fab", "-fab", None),
            ("-fabc=1", "-fabc=", Some(6)),
            ("-fzz", "-f", Some(2)),
            ("-p=", "-p", Some(3)),
        ] {
            assert_eq!(found(&table, word), Some((name.into(), at)), "{word}");
        }
        for word in ["-N", "-Ma", "-px", "-p", "", "-"] {
            assert_eq!(found(&table, word), None, "{word}");
        }
    }

    #[test]
    fn every_built_in_flag_finds_itself() {
        for rule in RuleSet::builtin().rules() {
            for table in rule.tables.iter() {
                for (name, flag) in table.names.iter() {
                    let word = match table.flags[*flag].attach {
                        Attach::Equals => format!("{name}=x"),
                        _ => name.to_string(),
                    };
                    let (found, _) = found(table, &word).unwrap();
                    assert_eq!(found, *name, "in {}", rule.tool);
                }
            }
        }
    }

    #[test]
    fn programs_find_their_rule() {
        for (program, tool) in [
            ("gcc", Some("gcc")),
            ("/usr/bin/g++-12", Some("gcc")),
            ("aarch64-linux-gnu-gcc", Some("gcc")),
            ("arm-linux-gnueabihf-g++-12", Some("gcc")),
            ("arm-none-eabi-gcc", Some("gcc")),
            ("x86_64-linux-musl-gcc", Some("gcc")),
            ("clang-14", Some("clang")),
            ("clang++", Some("clang")),
            ("c++", Some("gcc")),
            ("clang-format", None),
            ("gcc-ar", None),
            ("gcc-ar-12", None),
            ("z3", Some("z3")),
            ("context", Some("context")),
            ("ld", None),
            ("", None),
        ] {
            let rule = RuleSet::builtin().rule_for(OsStr::new(program));
            assert_eq!(rule.map(|rule| &*rule.tool), tool, "{program}");
        }
    }

    #[test]
    fn names_change_with_the_machine() {
        let gcc = RuleSet::builtin().rule("gcc").unwrap();
        assert_eq!(
            gcc.name_on("gcc-12", "aarch64", "x86_64"),
            "aarch64-linux-gnu-gcc-12"
        );
        assert_eq!(
            gcc.name_on("aarch64-linux-gnu-g++", "x86_64", "aarch64"),
            "g++"
        );
        assert_eq!(gcc.name_on("gcc", "x86_64", "x86_64"), "gcc");
    }

    #[test]
    fn a_users_rule_stands_in_for_a_built_in_one() {
        let mine = Rule {
            tool: "z3".into(),
            programs: vec!["my-z3".into()].into(),
            ..Rule::default()
        };
        let set = RuleSet::with_user(vec![mine]);
        assert!(set.rule_for(OsStr::new("z3")).is_none());
        assert_eq!(set.rule_for(OsStr::new("my-z3")).unwrap().tool, "z3");
        assert_eq!(set.rules().count(), RuleSet::builtin().rules().count());
    }
}
