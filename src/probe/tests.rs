//! Whole probes: of a compiler that is a script, of copies of a real one, along a search path.

use super::*;
use crate::job::Digest;
use crate::rules::{List, Probe, Rule, RuleSet, Search, Text};
use crate::wire::messages::OfferedTool;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SYSTEM: &str = "/usr/bin:/bin";

fn words(words: &[&'static str]) -> List<Text> {
    words.iter().map(|word| Text::from(*word)).collect()
}

fn rule(tool: &'static str, programs: &[&'static str]) -> Rule {
    let search = |language| Search {
        args: words(&["-E", "-v", "-x", language, "/dev/null"]),
        after: "#include <...>".into(),
        before: "End of search list".into(),
        absent: Some("ignoring nonexistent directory ".into()),
    };
    Rule {
        tool: tool.into(),
        programs: words(programs),
        probe: Probe {
            version: words(&["--version"]),
            target: words(&["-dumpmachine"]),
            program: true,
            programs: words(&["cc1", "as"]),
            print_program: words(&["-print-prog-name={name}"]),
            found_files: words(&["specs"]),
            print_file: words(&["-print-file-name={name}"]),
            outputs: vec![words(&["-dump"])].into(),
            search: vec![search("c")].into(),
            files: words(&["{bin}/../etc/config"]),
            masquerades: words(&["fake-launcher*"]),
            ..Probe::default()
        },
        ..Rule::default()
    }
}

/// A compiler that is a script, with a tree of its own.
struct Toy(tempfile::TempDir);

impl Toy {
    fn new() -> Self {
        let toy = Self(tempfile::tempdir().unwrap());
        for directory in ["bin", "lib", "include/sys", "etc"] {
            fs::create_dir_all(toy.at(directory)).unwrap();
        }
        toy.write("include/stdio.h", "int puts(const char *);\n");
        toy.write("include/sys/types.h", "typedef int pid_t;\n");
        toy.write("lib/dump", "");
        toy.write("etc/config", "");
        toy.program("lib/cc1", "the compiler proper");
        toy.program("bin/toy-as", "the assembler");
        let script = r#"#!/bin/sh
home=$(dirname "$(dirname "$0")")
case $1 in
--version) echo "$(basename "$0") 1.0" ;;
-dumpmachine) echo toy-linux ;;
-dump) cat "$home/lib/dump" ;;
-print-file-name=specs) if [ -e "$home/lib/specs" ]; then echo "$home/lib/specs"; else echo specs; fi ;;
-print-prog-name=cc1) echo "$home/lib/cc1" ;;
-print-prog-name=as) echo toy-as ;;
-E) { echo '#include <...> search starts here:'; echo " $home/include"; echo 'End of search list.'; } >&2 ;;
esac
"#;
        toy.program("bin/toy", script);
        toy
    }

    fn at(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn write(&self, below: &str, content: &str) {
        fs::write(self.at(below), content).unwrap();
    }

    fn program(&self, below: &str, content: &str) {
        self.write(below, content);
        fs::set_permissions(self.at(below), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self) -> String {
        format!("{}:{SYSTEM}", self.at("bin").display())
    }

    fn probe(&self) -> OfferedTool {
        self.try_probe(&rule("toy", &["toy"])).unwrap()
    }

    fn try_probe(&self, rule: &Rule) -> Result<OfferedTool, ProbeError> {
        let mut prober = Prober::new(OsStr::new(&self.path()), None);
        prober.probe(rule, "toy", &self.at("bin/toy"))
    }
}

#[test]
fn says_what_the_tool_says() {
    let toy = Toy::new();
    let offered = toy.probe();
    assert_eq!(offered.tool, "toy");
    assert_eq!(offered.program, "toy");
    assert_eq!(offered.path.as_path(), toy.at("bin/toy"));
    assert_eq!(offered.version, "toy 1.0");
}

#[test]
fn whatever_decides_results_changes_the_identity() {
    type Change = fn(&Toy);
    let changes: [(&str, Change); 13] = [
        ("what it prints", |toy| toy.write("lib/dump", "more")),
        ("a specs file", |toy| toy.write("lib/specs", "*cpp:\n")),
        ("other specs", |toy| toy.write("lib/specs", "*cpp:\n-O2\n")),
        ("cc1", |toy| toy.write("lib/cc1", "another compiler")),
        ("the assembler", |toy| {
            toy.write("bin/toy-as", "another assembler")
        }),
        ("no assembler", |toy| {
            fs::remove_file(toy.at("bin/toy-as")).unwrap()
        }),
        ("a header", |toy| {
            toy.write("include/sys/types.h", "typedef long pid_t;\n")
        }),
        ("a new header", |toy| toy.write("include/new.h", "")),
        ("no header", |toy| {
            fs::remove_file(toy.at("include/stdio.h")).unwrap()
        }),
        ("a file of the rule", |toy| toy.write("etc/config", "-Wall")),
        ("no file of the rule", |toy| {
            fs::remove_file(toy.at("etc/config")).unwrap()
        }),
        ("the driver", |toy| {
            let script = fs::read_to_string(toy.at("bin/toy")).unwrap();
            toy.write("bin/toy", &(script + "# changed\n"));
        }),
        ("what a link leads to", |toy| {
            toy.write("etc/outside.h", "1");
            symlink("../etc/outside.h", toy.at("include/link.h")).unwrap();
            let before = toy.probe().identity;
            toy.write("etc/outside.h", "2");
            assert_ne!(toy.probe().identity, before);
        }),
    ];
    let toy = Toy::new();
    let mut seen = vec![toy.probe().identity];
    for (name, change) in changes {
        change(&toy);
        let identity = toy.probe().identity;
        assert!(!seen.contains(&identity), "{name}");
        seen.push(identity);
    }
    let renamed = Rule {
        tool: "other".into(),
        ..rule("toy", &["toy"])
    };
    assert!(!seen.contains(&toy.try_probe(&renamed).unwrap().identity));
}

#[test]
fn what_a_tool_says_to_some_only_does_not_count() {
    let toy = Toy::new();
    let mut rule = rule("toy", &["toy"]);
    rule.probe.version_line = "current".into();
    let script = fs::read_to_string(toy.at("bin/toy")).unwrap();
    let script = script.replace("echo \"$(basename \"$0\") 1.0\"", "cat \"$home/etc/says\"");
    toy.program("bin/toy", &script);
    toy.write("etc/says", "a toy\ncurrent is 7\n");
    let told = toy.try_probe(&rule).unwrap();
    assert_eq!(told.version, "current is 7");
    toy.write("etc/says", "error: no cache\n");
    let untold = toy.try_probe(&rule).unwrap();
    assert_eq!(untold.version, "");
    assert_eq!(untold.identity, told.identity);
    rule.probe.version_line = "".into();
    let counted = toy.try_probe(&rule).unwrap();
    assert_eq!(counted.version, "error: no cache");
    assert_ne!(counted.identity, told.identity);
}

#[test]
fn times_and_inodes_do_not_change_the_identity() {
    let toy = Toy::new();
    let before = toy.probe().identity;
    for file in ["include/stdio.h", "lib/cc1", "lib/dump", "bin/toy"] {
        let content = fs::read_to_string(toy.at(file)).unwrap();
        toy.program("etc/new", &content);
        fs::rename(toy.at("etc/new"), toy.at(file)).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let opened = fs::File::options().write(true).open(toy.at(file)).unwrap();
        opened.set_modified(old).unwrap();
    }
    assert_eq!(toy.probe().identity, before);
}

#[test]
fn a_hanging_tool_is_given_up() {
    let toy = Toy::new();
    toy.program("bin/toy", "#!/bin/sh\nsleep 1000\n");
    let limit = Duration::from_millis(200);
    let mut prober = Prober::new(OsStr::new(&toy.path()), None).with_limit(limit);
    let result = prober.probe(&rule("toy", &["toy"]), "toy", &toy.at("bin/toy"));
    let source = match result {
        Err(ProbeError::Command { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert!(matches!(source, CommandError::Hung(_)), "{source:?}");
}

#[test]
fn headers_are_no_part_of_the_bare_identity() {
    let toy = Toy::new();
    let before = toy.probe();
    assert_eq!(before.searched.len(), 1);
    toy.write("include/stdio.h", "");
    let other = toy.probe();
    assert_ne!(other.identity, before.identity);
    assert_eq!(other.bare, before.bare);
    fs::remove_dir_all(toy.at("include")).unwrap();
    let none = toy.probe();
    assert_eq!((none.bare, none.searched.len()), (before.bare, 0));
    toy.program("lib/cc1", "another compiler");
    assert_ne!(toy.probe().bare, before.bare);
}

#[test]
fn all_that_headers_lead_to_is_named() {
    let toy = Toy::new();
    let real = toy.at("").canonicalize().unwrap();
    fs::create_dir(toy.at("more")).unwrap();
    let headers = || {
        let mut prober = Prober::new(OsStr::new(&toy.path()), None);
        let rule = rule("toy", &["toy"]);
        let found = prober.find(&rule, "toy", &toy.at("bin/toy")).unwrap();
        found.headers
    };
    symlink("../more", toy.at("include/more")).unwrap();
    symlink("more", toy.at("include/same")).unwrap();
    let found = headers();
    let trees = ["include", "more"].map(|name| real.join(name));
    assert_eq!((found.trees, found.why_not), (trees.into(), None));
    // What no directory of them holds: a file, and a link on the way back into one.
    for (name, target) in [("file", "../etc/config"), ("way", "../etc/way")] {
        symlink("../include/sys", toy.at("etc/way")).unwrap();
        let link = toy.at("include").join(name);
        symlink(target, &link).unwrap();
        let why = headers().why_not.unwrap_or_default();
        assert!(why.contains("/etc/"), "{name}: {why}");
        fs::remove_file(link).unwrap();
        fs::remove_file(toy.at("etc/way")).unwrap();
    }
}

#[test]
fn a_directory_that_would_be_searched_is_watched_for() {
    let toy = Toy::new();
    let script = fs::read_to_string(toy.at("bin/toy")).unwrap();
    let says =
        "echo \"ignoring nonexistent directory \\\"$home/etc/../lib/no/include\\\"\"; echo '#inc";
    toy.program("bin/toy", &script.replace("echo '#inc", says));
    let mut prober = Prober::new(OsStr::new(&toy.path()), None);
    let rule = rule("toy", &["toy"]);
    prober.probe(&rule, "toy", &toy.at("bin/toy")).unwrap();
    let above = toy.at("lib").canonicalize().unwrap();
    assert!(prober.watched().contains(&above));
}

#[test]
fn a_program_that_is_no_such_tool_is_none() {
    let toy = Toy::new();
    toy.program("bin/toy", "#!/bin/sh\nexit 3\n");
    let rule = rule("toy", &["toy"]);
    let error = toy.try_probe(&rule).unwrap_err().to_string();
    assert!(error.ends_with("--version` exited with code 3"), "{error}");
    fs::remove_file(toy.at("bin/toy")).unwrap();
    assert!(matches!(toy.try_probe(&rule), Err(ProbeError::Absent(_))));
}

#[test]
fn a_probe_is_remembered_until_a_program_changes_or_it_is_doubted() {
    // Real programs, since what was written just now is never remembered.
    let rule = Rule {
        probe: Probe {
            outputs: vec![words(&["-c", "date +%N"])].into(),
            program: true,
            ..Probe::default()
        },
        ..rule("sh", &["sh"])
    };
    let space = tempfile::tempdir().unwrap();
    let link = space.path().join("sh");
    symlink("/bin/sh", &link).unwrap();
    let mut prober = Prober::new(OsStr::new(SYSTEM), None);
    let mut identity = || prober.probe(&rule, "sh", &link).unwrap().identity;
    let first = identity();
    // It says another thing each time, so it was not asked again.
    assert_eq!(identity(), first);
    fs::remove_file(&link).unwrap();
    symlink("/bin/bash", &link).unwrap();
    let second = identity();
    assert_ne!(second, first);
    assert_eq!(identity(), second);
    prober.doubt();
    assert_ne!(prober.probe(&rule, "sh", &link).unwrap().identity, second);
}

#[test]
fn what_was_left_alone_is_unchanged() {
    let rule = Rule {
        probe: Probe {
            program: true,
            libraries: true,
            ..Probe::default()
        },
        ..rule("sh", &["sh"])
    };
    let mut prober = Prober::new(OsStr::new(SYSTEM), None);
    prober.probe(&rule, "sh", Path::new("/bin/sh")).unwrap();
    assert!(prober.is_unchanged());
    // The same program, named from a directory that is new.
    let space = tempfile::tempdir().unwrap();
    symlink("/bin/sh", space.path().join("sh")).unwrap();
    prober.probe(&rule, "sh", &space.path().join("sh")).unwrap();
    assert!(!prober.is_unchanged());
    prober.doubt();
    assert!(prober.is_unchanged());
}

#[test]
fn all_tools_along_the_path_are_found_once() {
    let toy = Toy::new();
    fs::create_dir(toy.at("front")).unwrap();
    toy.program("bin/ccache", "");
    toy.program("bin/fake-launcher-2", "");
    symlink("../bin/ccache", toy.at("front/toy")).unwrap();
    symlink("../bin/fake-launcher-2", toy.at("front/toy-1")).unwrap();
    symlink("toy", toy.at("bin/toy-1")).unwrap();
    symlink("toy", toy.at("bin/toy-2")).unwrap();
    toy.program("bin/broken-toy", "#!/bin/sh\nexit 1\n");
    let path = format!("{}:{}", toy.at("front").display(), toy.path());
    let rules = [
        rule("first", &["toy-2", "broken-*"]),
        rule("toy", &["toy", "toy-[0-9]"]),
        Rule {
            tool: "exec".into(),
            covers_roots: true,
            ..Rule::default()
        },
    ];
    let mut prober = Prober::new(OsStr::new(""), None);
    let all = RuleSet::with_user(rules.to_vec());
    let mut tools = prober.probe_all(&all, OsStr::new(&path));
    // What the built-in rules find in the machine's own directories is another matter.
    tools.retain(|tool| rules.iter().any(|rule| rule.tool == tool.tool));
    let named: Vec<_> = tools
        .iter()
        .map(|tool| {
            (
                &*tool.tool,
                &*tool.program,
                tool.path.as_path().to_path_buf(),
            )
        })
        .collect();
    let machine = std::env::consts::ARCH;
    assert_eq!(
        named,
        [
            ("toy", "toy", toy.at("bin/toy")),
            ("toy", "toy-1", toy.at("bin/toy-1")),
            ("first", "toy-2", toy.at("bin/toy-2")),
            ("exec", machine, PathBuf::new()),
        ]
    );
    assert_eq!(tools[0].identity, tools[1].identity);
    assert_ne!(tools[0].identity, tools[2].identity);
    let base = prober.probe(&rules[2], machine, Path::new("")).unwrap();
    assert_eq!(base, tools[3]);
    assert!(!prober.is_unchanged(), "the toy is too new to be sure");
    let watched = prober.watched();
    for below in ["front", "bin", "include", "include/sys", "lib", "etc"] {
        let canonical = toy.at(below).canonicalize().unwrap();
        assert!(
            watched.contains(&toy.at(below)) || watched.contains(&canonical),
            "{below}"
        );
    }
}

mod real;
